//! All SQL. [`Store`] has the reads and [`Tx`] the writes; both take and return domain types.
//!
//! A missing row is `Ok(None)`. A batch read may return fewer rows than keys, in any order; loaders align them.

pub mod embedded;
pub mod error;

mod analyst;
mod artifact_store;
mod audit;
mod connections;
mod dataset;
mod evaluation;
mod exemplar;
mod explanation_use;
mod functions;
mod generation;
mod job;
mod layer;
mod layer_sketch;
mod listen;
mod listing;
mod migration;
mod mirror;
mod model;
mod nearest_versions;
mod open;
mod probe;
mod rows;
mod scram;
mod search;
mod session;
mod sketch_basis;
mod synthesis;
mod template;
mod token;
mod vector;
mod vector_cache;
mod version;
mod version_deletion;
mod version_list;

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrate as _;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgTransaction, Postgres};
use tokio::sync::Semaphore;

pub use analyst::AnalystError;
pub use audit::CurrentChange;
pub use dataset::DatasetLock;
pub use error::StoreError;
pub use evaluation::{CellImage, CellKey, EvaluationKey};
pub use job::{NewJob, ProcessId, TASK};
pub use listen::Notifications;
pub use listing::{Position, SortExpression, SortField};
pub use open::{Database, DatabaseSettings, OpenError, join, open, psql};
pub use probe::NewProbeSet;
pub use search::{PROVEN_LAYERS, SearchScope, SearchTarget, SearchWindow};
pub use sketch_basis::{BasisFit, FittedBasis, Replacement, StoredBasis};
pub use token::TokenDigest;
pub use vector::MeasuredLayer;
pub use version::{NewLayer, NewVersion};
pub use version_deletion::VersionDeletion;

use connections::{ACQUIRE_TIMEOUT, Connections};
use generation::{Generations, bump_generation};
use migration::MIGRATIONS;
use mirror::Mirrors;
use scv_domain::id::AccountId;
use sketch_basis::BasisCache;
use vector_cache::VectorCache;

/// Settings of every connection for the search: its statements are short, and not worth compiling.
const SEARCH_SETTINGS: [(&str, &str); 1] = [("jit", "off")];

/// No notices, which migrations cause at every start, and no warnings, which a transaction causes that was cut off before it
/// began.
const MESSAGES: (&str, &str) = ("client_min_messages", "error");

/// How soon PostgreSQL notices that a connection has been closed, and cancels its statement.
const CLOSED_CHECK: (&str, &str) = ("client_connection_check_interval", "1s");

/// Concurrent connections of a worker: its claim, its heartbeat, and the listener for new entries.
const QUEUE_CONNECTIONS: u32 = 4;

/// How long a connection that came back to its pool is used without another test.
const TESTED_FOR: Duration = Duration::from_millis(10);

/// Slower statements are logged.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// Concurrent connections of jobs: there is one device, and a job writes at its end. One more at a time reads sketches into memory.
const WORK_CONNECTIONS: u32 = 4;

/// The catalogue, over a pool of connections.
#[derive(Debug, Clone)]
pub struct Store {
    /// Connections for requests, whose statements have a timeout, or for jobs.
    pool: Connections,
    /// Connections without a timeout: for migrations, jobs, index builds, and for reading all sketches of a probe set.
    work: PgPool,
    /// Connections for the queue alone, so requests that wait for one another cannot delay the end of a job.
    queue: PgPool,
    /// One connection for [`Store::ping`], which must not wait for requests or jobs.
    health: PgPool,
    /// The account whose private models are visible in addition to public ones. `None`: all models are visible.
    viewer: Option<AccountId>,
    /// The change that the request is about to make.
    change: Option<CurrentChange>,
    /// What sketches are made with.
    bases: BasisCache,
    generations: Generations,
    mirrors: Mirrors,
    vectors: VectorCache,
}

/// How a store may use the machine.
#[derive(Debug, Clone, Copy)]
pub struct StoreSettings {
    /// Maximum number of concurrent connections for requests.
    pub connections: u32,
    /// How long a statement for a request may take.
    pub statement_timeout: Duration,
    /// Bytes of the sketches in memory.
    pub sketch_cache_bytes: u64,
    /// Bytes of the vectors in memory.
    pub vector_cache_bytes: u64,
}

impl StoreSettings {
    /// Some connections that wait as long as it takes, and nothing in memory: for commands and benchmarks that write.
    pub fn for_writing(connections: u32) -> Self {
        Self {
            connections,
            statement_timeout: Duration::from_secs(3_600),
            sketch_cache_bytes: 0,
            vector_cache_bytes: 0,
        }
    }
}

/// How a cache is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Its name.
    pub name: &'static str,
    /// Bytes of all its entries.
    pub bytes: u64,
    /// Maximum of `bytes`.
    pub byte_limit: u64,
    /// Number of entries.
    pub entries: u64,
    /// Lookups that found an entry, or waited for one that was being computed.
    pub hits: u64,
    /// Lookups that had to compute the entry, or to do without.
    pub misses: u64,
}

/// Writes that become visible together. Dropped without [`Tx::commit`], it writes nothing.
#[derive(Debug)]
pub struct Tx {
    inner: PgTransaction<'static>,
    /// Whether layers lose their vectors.
    deletes: bool,
    /// Whose entry is written with it.
    change: Option<CurrentChange>,
    bases: BasisCache,
    generations: Generations,
}

impl Store {
    /// Connects to a database.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the connection.
    pub async fn connect(options: PgConnectOptions, settings: StoreSettings) -> Result<Self, StoreError> {
        // For operators: commands do not show this level to the user of a busy machine.
        let options = options.log_slow_statements(log::LevelFilter::Info, SLOW_STATEMENT);
        let options = options
            .application_name("scv")
            .options(SEARCH_SETTINGS)
            .options([MESSAGES, CLOSED_CHECK]);
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .before_acquire(|connection, usage| Box::pin(test_if_idle(connection, usage)))
        };
        let bounded = [("statement_timeout", settings.statement_timeout.as_millis().to_string())];
        let requests = pool(settings.connections)
            .connect_with(options.clone().options(bounded))
            .await?;
        let work = pool(WORK_CONNECTIONS).connect_lazy_with(options.clone());
        let vectors = VectorCache::new(settings.vector_cache_bytes);
        Ok(Self {
            mirrors: Mirrors::new(
                requests.clone(),
                work.clone(),
                settings.sketch_cache_bytes,
                vectors.clone(),
            ),
            vectors,
            queue: pool(QUEUE_CONNECTIONS).connect_lazy_with(options.clone()),
            health: pool(1).connect_lazy_with(options.clone()),
            work,
            // On a connection of its own: kept answers do not wait until a search returns one.
            generations: Generations::new(pool(1).connect_lazy_with(options)),
            pool: Connections::of(requests),
            viewer: None,
            change: None,
            bases: sketch_basis::basis_cache(),
        })
    }

    /// The same catalogue, restricted to what a viewer may see.
    pub fn visible_to(&self, viewer: Option<AccountId>) -> Self {
        Self { viewer, ..self.clone() }
    }

    /// The same catalogue for a client, which may use a share of the connections at a time.
    pub fn shared(&self, connections: Arc<Semaphore>) -> Self {
        Self {
            pool: self.pool.shared(connections),
            ..self.clone()
        }
    }

    /// The viewer as a parameter of statements.
    fn viewer(&self) -> Option<i64> {
        self.viewer.map(|account| account.0)
    }

    /// The same catalogue for jobs, whose statements have no timeout.
    pub fn for_jobs(&self) -> Self {
        Self {
            pool: Connections::of(self.work.clone()),
            ..self.clone()
        }
    }

    /// The pool, for libraries that keep their own tables in the same database.
    pub fn pool(&self) -> &PgPool {
        self.pool.pool()
    }

    /// The pool of the queue's worker.
    pub fn queue_pool(&self) -> &PgPool {
        &self.queue
    }

    /// Brings the schema up to date. Servers that start at the same time wait for one another.
    ///
    /// # Errors
    /// A migration fails, or the database was migrated by a newer SCV.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.work.acquire().await?;
        // The advisory lock that sqlx holds while it migrates. A session may take it again.
        connection.lock().await?;
        migration::accept_earlier_text(&mut connection).await?;
        MIGRATIONS.run(&mut *connection).await?;
        functions::install(&mut connection).await?;
        connection.unlock().await?;
        Ok(())
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// No connection is available.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx {
            inner: self.pool.begin().await?,
            deletes: false,
            change: self.change.clone(),
            bases: self.bases.clone(),
            generations: self.generations.clone(),
        })
    }

    /// Checks that the database responds, however busy requests and jobs are.
    ///
    /// # Errors
    /// It does not respond.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("select 1 as one").fetch_one(&self.health).await?;
        Ok(())
    }

    /// How the sketches and the vectors in memory are used.
    pub fn cache_statistics(&self) -> [CacheStatistics; 2] {
        [self.mirrors.statistics(), self.vectors.statistics()]
    }

    /// Closes all connections, waiting for those in use.
    pub async fn close(&self) {
        self.health.close().await;
        self.queue.close().await;
        self.work.close().await;
        self.pool.pool().close().await;
    }
}

/// Tests a connection that has been idle, so that a request does not get one that the database has closed meanwhile. The pool
/// has tested it when it came back, and each test takes as long as a small statement.
async fn test_if_idle(connection: &mut PgConnection, usage: PoolConnectionMetadata) -> sqlx::Result<bool> {
    if usage.idle_for >= TESTED_FOR {
        connection.ping().await?;
    }
    Ok(true)
}

impl Tx {
    /// Commits the writes, and counts them as a change of the catalogue.
    ///
    /// # Errors
    /// The database fails; nothing was written.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if let Some(entry) = self.change.as_ref().and_then(CurrentChange::take) {
            audit::insert(self.connection(), &entry).await?;
        }
        let deletes = self.deletes;
        let generation = bump_generation(self.connection(), deletes).await?;
        let commit = self.generations.committing();
        self.inner.commit().await?;
        commit.succeeded(generation);
        Ok(())
    }

    fn connection(&mut self) -> &mut <Postgres as sqlx::Database>::Connection {
        &mut self.inner
    }
}
