//! The wiring: from settings to a running server, readable top to bottom.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use anyhow::Context as _;
use graphile_worker::Worker;
use tokio_util::sync::CancellationToken;

use crate::artifact::ArtifactStore;
use crate::compute::engine::Engine;
use crate::config::Config;
use crate::service::{Library, worker};
use crate::store::{Database, open};
use crate::{graphql, http};

/// Requests that may wait for the device; one more is told that the server is busy.
const DEVICE_QUEUE: usize = 16;

/// A server that is ready to run.
pub struct App {
    address: SocketAddr,
    server: Server,
    worker: Worker,
    database: Database,
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
        let embedded = database.cluster.is_some();
        match Self::assemble(config, listener, engine, &database, embedded).await {
            Ok((server, worker)) => Ok(Self {
                address,
                server,
                worker,
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
        embedded: bool,
    ) -> anyhow::Result<(Server, Worker)> {
        let artifacts = ArtifactStore::open(&config.data_dir.join("artifacts"))?;
        let library = Library::new(database.store.clone(), artifacts, engine, config.search_cache_bytes);
        worker::migrate(&library).await?;
        if embedded {
            worker::release_orphans(&library).await?;
        }
        library.ensure_digits().await?;
        let worker = worker::worker(&library, Duration::from_secs(config.lease_seconds)).await?;
        let jobs = database.store.job_changes().await?;
        let schema = graphql::schema(library, jobs);
        let server = http::server(listener, schema, database.store.clone(), config.max_upload_bytes)?;
        Ok((server, worker))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `shutdown`, then lets requests end, hands back what jobs cannot end soon, and stops the database.
    ///
    /// # Errors
    /// The web server or the worker failed.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            server,
            worker,
            database,
            ..
        } = self;
        let handle = server.handle();
        let stop = async {
            shutdown.cancelled().await;
            worker.request_shutdown();
            handle.stop(true).await;
        };
        let (served, worked, ()) = tokio::join!(
            async {
                let outcome = server.await;
                shutdown.cancel();
                outcome
            },
            async {
                let outcome = worker.run().await;
                shutdown.cancel();
                outcome
            },
            stop
        );
        database.close().await;
        served.context("the web server failed")?;
        worked.context("the worker failed")
    }
}
