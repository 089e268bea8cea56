//! The wiring: from settings to a running server, readable top to bottom.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use anyhow::{Context as _, bail};
use graphile_worker::Worker;
use tokio_util::sync::CancellationToken;

use scv_artifact::ArtifactStore;
use scv_compute::engine::Engine;
use crate::config::Config;
use crate::http::Settings;
use crate::http::documents::Documents;
use scv_service::{Library, worker};
use scv_store::{Database, open};
use crate::{graphql, http};

/// Requests that may wait for the device; one more is told that the server is busy.
const DEVICE_QUEUE: usize = 16;

/// How long to wait before a worker that failed is started again: most failures are those of a database that is away.
const REST: Duration = Duration::from_secs(1);

/// A server that is ready to run.
pub struct App {
    address: SocketAddr,
    server: Server,
    /// Ends the subscriptions.
    farewell: CancellationToken,
    jobs: Jobs,
    database: Database,
}

/// Everything that brings jobs to an end.
struct Jobs {
    library: Library,
    lease: Duration,
    worker: Worker,
}

impl App {
    /// Opens everything, in the order in which it depends on one another. Nothing runs yet but the database.
    ///
    /// # Errors
    /// What could not be opened, and what to do about it.
    pub async fn build(config: &Config) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen).with_context(|| {
            format!(
                "cannot listen on {}: choose another address with --listen",
                config.listen
            )
        })?;
        let address = listener.local_addr()?;
        let engine = Engine::start(config.device, DEVICE_QUEUE)?;
        let database = open(&config.database()).await?;
        let farewell = CancellationToken::new();
        match Self::assemble(config, listener, engine, &database, farewell.clone()).await {
            Ok((server, jobs)) => Ok(Self {
                address,
                server,
                farewell,
                jobs,
                database,
            }),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    async fn assemble(
        config: &Config,
        listener: TcpListener,
        engine: Engine,
        database: &Database,
        farewell: CancellationToken,
    ) -> anyhow::Result<(Server, Jobs)> {
        let documents = match &config.trusted_documents {
            Some(file) => Documents::trusted(file)?,
            None => Documents::any(),
        };
        let artifacts = ArtifactStore::open(&config.data_dir.join("artifacts"))?;
        let settings = config.library().context("cannot ask the language model")?;
        let library = Library::new(database.store.clone(), artifacts, engine, settings);
        if !config.is_open() && !database.store.has_tokens().await? {
            bail!(
                "{} would answer whoever shows a token, and there is none yet: make one with `scv token create`, or let \
                 anybody in with --access open",
                config.listen
            );
        }
        worker::migrate(&database.store).await?;
        if database.cluster.is_some() {
            worker::release_orphans(&library).await?;
        }
        library.ensure_digits().await?;
        let lease = Duration::from_secs(config.lease_seconds);
        let of_jobs = library.for_jobs();
        let jobs = Jobs {
            worker: worker::worker(&of_jobs, lease).await?,
            library: of_jobs,
            lease,
        };
        let news = database.store.news().await?;
        library.forget_outdated(news.generation);
        let schema = graphql::schema(news.jobs, config.limits, !config.no_introspection);
        let server = http::server(
            listener,
            schema,
            library,
            Settings {
                limits: config.limits,
                origins: config.allowed_origins.clone(),
                is_open: config.is_open(),
                is_local: config.access.is_none() && config.is_open(),
                documents,
            },
            farewell,
        )?;
        Ok((server, jobs))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `shutdown`, then lets requests end, hands back what jobs cannot end soon, and stops the database.
    ///
    /// # Errors
    /// The web server failed.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            server,
            farewell,
            jobs,
            database,
            ..
        } = self;
        let handle = server.handle();
        let stop = async {
            shutdown.cancelled().await;
            farewell.cancel();
            handle.stop(true).await;
        };
        let serve = async {
            let outcome = server.await;
            shutdown.cancel();
            outcome
        };
        let (served, (), ()) = tokio::join!(serve, jobs.run(&shutdown), stop);
        database.close().await;
        served.context("the web server failed")
    }
}

impl Jobs {
    /// Works until `shutdown`. A worker that fails is replaced: requests are answered all the while.
    async fn run(self, shutdown: &CancellationToken) {
        let mut worker = self.worker;
        loop {
            if let Err(error) = run_worker(&worker, shutdown).await {
                tracing::warn!(%error, "the worker failed and is started again");
            }
            worker = loop {
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    () = shutdown.cancelled() => return,
                }
                match worker::worker(&self.library, self.lease).await {
                    Ok(worker) => break worker,
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "the worker cannot be started"),
                }
            };
        }
    }
}

async fn run_worker(worker: &Worker, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut running = std::pin::pin!(worker.run());
    tokio::select! {
        outcome = &mut running => return Ok(outcome?),
        () = shutdown.cancelled() => worker.request_shutdown(),
    }
    Ok(running.await?)
}
