//! The wiring: from settings to a running server, readable top to bottom.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use anyhow::{Context as _, bail};
use graphile_worker::Worker;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::graphql::execute::Rules;
use crate::http::Settings;
use crate::http::documents::Documents;
use crate::{graphql, http};
use scv_artifact::ArtifactStore;
use scv_compute::engine::Engine;
use scv_service::Library;
use scv_service::worker::{self, JobRunner, WorkerStatus};
use scv_store::embedded::Cluster;
use scv_store::{Database, open};

/// Requests that may wait for the device. Beyond that, the server responds that it is busy.
const DEVICE_QUEUE: usize = 16;

/// How long to wait before a failed worker is restarted. Most failures are due to a database that is unavailable.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// A server that is ready to run.
pub struct App {
    address: SocketAddr,
    server: Server,
    /// Ends the subscriptions.
    end_subscriptions: CancellationToken,
    jobs: Jobs,
    database: Database,
    /// Removes old entries of the audit log.
    trimming: AbortOnDropHandle<()>,
}

/// Everything that runs jobs.
struct Jobs {
    runner: JobRunner,
    lease: Duration,
    worker: Worker,
}

impl App {
    /// Opens everything, dependencies first. Only the database runs afterwards.
    ///
    /// # Errors
    /// Something cannot be opened; the error says what to do about it.
    pub async fn build(config: &Config) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen).map_err(|error| {
            anyhow::anyhow!(
                "cannot listen on {}: {error}: choose another address with --listen",
                config.listen
            )
        })?;
        let address = listener.local_addr()?;
        let engine = Engine::start(config.device, DEVICE_QUEUE)?;
        let database = open(&config.database()).await?;
        let end_subscriptions = CancellationToken::new();
        match Self::assemble(config, listener, engine, &database, end_subscriptions.clone()).await {
            Ok((server, jobs, trimming)) => Ok(Self {
                address,
                server,
                end_subscriptions,
                jobs,
                database,
                trimming,
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
        end_subscriptions: CancellationToken,
    ) -> anyhow::Result<(Server, Jobs, AbortOnDropHandle<()>)> {
        let documents = match &config.trusted_documents {
            Some(file) => Documents::trusted(file)?,
            None => Documents::any(),
        };
        let artifact_folder = config.data_dir.join("artifacts");
        let artifacts = ArtifactStore::open(&artifact_folder)?;
        let settings = config.library().context("cannot set up the language model")?;
        let library = Library::new(database.store.clone(), artifacts, engine, settings);
        library
            .check_artifact_store()
            .await
            .with_context(|| format!("cannot use the artifacts in {}", artifact_folder.display()))?;
        if !config.is_open() && !database.store.has_tokens().await? {
            bail!(
                "a server on {} requires tokens, and there are none yet: create one with `scv token create ACCOUNT \
                 --scope admin{}`, or allow access without a token with --access open",
                config.listen,
                config.library_option()
            );
        }
        worker::migrate(&database.store).await?;
        if database.cluster.is_some() {
            worker::release_orphans(&database.store).await?;
        }
        library.ensure_digits().await?;
        let lease = Duration::from_secs(config.lease_seconds);
        let runner = JobRunner::new(&library);
        let jobs = Jobs {
            worker: runner.worker(lease).await?,
            runner,
            lease,
        };
        let news = database.store.listen().await?;
        library.drop_outdated(news.generation);
        let trimming = tokio::spawn(library.clone().trim_audit_log(config.audit_retention()));
        let health = library.health(jobs.runner.state().clone());
        let schema = graphql::schema(news.jobs, config.limits, !config.no_introspection);
        let server = http::server(
            listener,
            schema,
            library,
            Settings {
                rules: Rules {
                    limits: config.limits,
                    shows_schema: !config.no_introspection,
                },
                origins: config.allowed_origins.clone(),
                is_open: config.is_open(),
                hosts: config.allowed_hosts.clone(),
                documents,
                proxies: config.trusted_proxies.clone(),
                connections: config.database_connections,
                health,
            },
            end_subscriptions,
        )?;
        Ok((server, jobs, AbortOnDropHandle::new(trimming)))
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `shutdown`. Then requests may finish, jobs that cannot finish soon return to the queue, and the
    /// database stops. Without its database, nothing can finish: then it ends at once.
    ///
    /// # Errors
    /// The web server fails, or the embedded database has ended and does not run again.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            server,
            end_subscriptions,
            jobs,
            database,
            trimming,
            ..
        } = self;
        let handle = server.handle();
        let stop = async {
            shutdown.cancelled().await;
            end_subscriptions.cancel();
            handle.stop(true).await;
        };
        let serve = async {
            let outcome = server.await;
            shutdown.cancel();
            outcome
        };
        let work = async {
            let (served, (), ()) = tokio::join!(serve, jobs.run(&shutdown), stop);
            served.context("the web server failed")
        };
        let Database { store, mut cluster } = database;
        let outcome = tokio::select! {
            outcome = work => Some(outcome),
            lost = keep_database(cluster.as_mut(), &shutdown) => {
                lost.context("the embedded database is gone, so the server ends")?;
                None
            }
        };
        drop(trimming);
        Database { store, cluster }.close().await;
        outcome.unwrap_or(Ok(()))
    }
}

/// Starts the embedded database again whenever it ends. Returns when it has ended while the server stops.
///
/// # Errors
/// It does not run any more.
async fn keep_database(cluster: Option<&mut Cluster>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let Some(cluster) = cluster else {
        return std::future::pending().await;
    };
    loop {
        let status = cluster.ended().await;
        if shutdown.is_cancelled() && status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let reason = status.map_or_else(|| "unknown status".to_owned(), |status| status.to_string());
        if !shutdown.is_cancelled() {
            tracing::error!(status = reason, "PostgreSQL has ended; it is started again");
        }
        tokio::select! {
            started = cluster.start_again() => started?,
            () = shutdown.cancelled() => bail!("PostgreSQL ended ({reason}) before the server had stopped"),
        }
    }
}

impl Jobs {
    /// Runs jobs until `shutdown`. A worker that fails is replaced, while the server keeps handling requests.
    async fn run(self, shutdown: &CancellationToken) {
        // Its long computations must not delay the worker's heartbeat, and it has to end before the database is closed.
        let _tending = AbortOnDropHandle::new(tokio::spawn(self.runner.clone().tend_library()));
        let state = self.runner.state();
        let _ended = state.ended_on_drop();
        let mut worker = self.worker;
        loop {
            state.set(WorkerStatus::Running);
            if let Err(error) = run_worker(&worker, shutdown).await {
                tracing::warn!(%error, "the worker failed and will be restarted");
            }
            state.set(WorkerStatus::Restarting);
            worker = loop {
                tokio::select! {
                    () = tokio::time::sleep(RESTART_DELAY) => {}
                    () = shutdown.cancelled() => return,
                }
                match self.runner.worker(self.lease).await {
                    Ok(worker) => break worker,
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot start the worker"),
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
