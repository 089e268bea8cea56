//! All SQL. Reads stand on [`Store`], writes on [`Tx`]; both take and give domain types.
//!
//! A missing row is `Ok(None)`. A batch read may give fewer rows than keys, in any order: loaders align.

pub mod embedded;
pub mod error;

mod analyst;
mod audit;
mod catalogue;
mod dataset;
mod evaluation;
mod exemplar;
mod job;
mod layer;
mod listen;
mod model;
mod nearest_versions;
mod open;
mod probe;
mod rows;
mod search;
mod search_index;
mod synthesis;
mod token;
mod vector;
mod version;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgTransaction, Postgres};

pub use analyst::AnalystError;
pub use dataset::DatasetLock;
pub use error::StoreError;
pub use evaluation::EvaluationKey;
pub use job::{NewJob, TASK};
pub use listen::News;
pub use model::ModelCursor;
pub use open::{Database, DatabaseSettings, OpenError, join, open, psql};
pub use probe::NewProbeSet;
pub use search::{Candidates, Found, SearchScope, SearchTarget, SearchWindow};
pub use token::TokenDigest;
pub use vector::MeasuredLayer;
pub use version::{NewLayer, NewVersion};

use scv_domain::id::AccountId;

/// Settings of every connection. For the search: as many candidates as are usual and some that are turned away, and on with
/// the index scan while a filter turns more away, in any order since the exact scores decide. And no notices, which migrations give at every start,
/// nor warnings, which a transaction gives that was cut off before it began.
const SESSION: [(&str, &str); 4] = [
    ("hnsw.ef_search", "75"),
    ("hnsw.iterative_scan", "relaxed_order"),
    ("jit", "off"),
    ("client_min_messages", "error"),
];

/// What a worker uses at a time: its claim, its heartbeat, and the listener for new entries.
const QUEUE_CONNECTIONS: u32 = 4;

/// Statements that take longer are told in the log.
const SLOW: Duration = Duration::from_secs(1);

/// What jobs use at a time: there is one device, and a job writes at its end.
const WORK_CONNECTIONS: u32 = 4;

/// The catalogue, over a pool of connections.
#[derive(Debug, Clone)]
pub struct Store {
    /// Connections of those who ask. Their statements end when nobody waits any longer.
    pool: PgPool,
    /// Connections for what takes as long as it takes: migrations, jobs, the building of indexes.
    work: PgPool,
    /// Connections of the queue alone: requests that wait for one another do not keep it from a job's end.
    queue: PgPool,
    /// Whose private models are read beside those that everybody may see; all are if nobody is named.
    viewer: Option<AccountId>,
}

/// Writes that become visible together, or not at all: dropped without [`Tx::commit`], nothing happened.
#[derive(Debug)]
pub struct Tx {
    inner: PgTransaction<'static>,
}

impl Store {
    /// Connects with at most `connections` at a time, whose statements may take `longest`.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn connect(options: PgConnectOptions, connections: u32, longest: Duration) -> Result<Self, StoreError> {
        // Told to operators, and not to somebody who watches a command on a busy machine.
        let options = options.log_slow_statements(log::LevelFilter::Info, SLOW);
        let options = options.application_name("scv").options(SESSION);
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(10))
        };
        let bounded = [("statement_timeout", longest.as_millis().to_string())];
        Ok(Self {
            queue: pool(QUEUE_CONNECTIONS).connect_lazy_with(options.clone()),
            work: pool(WORK_CONNECTIONS).connect_lazy_with(options.clone()),
            pool: pool(connections).connect_with(options.options(bounded)).await?,
            viewer: None,
        })
    }

    /// The same catalogue as a viewer sees it.
    pub fn seen_by(&self, viewer: Option<AccountId>) -> Self {
        Self { viewer, ..self.clone() }
    }

    /// Who reads, as the statements take it.
    fn viewer(&self) -> Option<i64> {
        self.viewer.map(|account| account.0)
    }

    /// The same catalogue for jobs, whose statements take as long as they take.
    pub fn for_jobs(&self) -> Self {
        Self {
            pool: self.work.clone(),
            ..self.clone()
        }
    }

    /// The pool, for libraries that keep their own tables beside ours.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The pool of the queue's worker.
    pub fn queue_pool(&self) -> &PgPool {
        &self.queue
    }

    /// Brings the schema up to date. Servers that start together wait for one another.
    ///
    /// # Errors
    /// A migration fails, or the database was migrated by a newer SCV.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // sqlx holds a PostgreSQL advisory lock while it migrates.
        sqlx::migrate!("../../migrations").run(&self.work).await?;
        Ok(())
    }

    /// Begins writes that belong together.
    ///
    /// # Errors
    /// No connection can be had.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx {
            inner: self.pool.begin().await?,
        })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("select 1 as one").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// Closes all connections, waiting for those in use.
    pub async fn close(&self) {
        self.queue.close().await;
        self.work.close().await;
        self.pool.close().await;
    }
}

impl Tx {
    /// Makes the writes last.
    ///
    /// # Errors
    /// The database cannot, and then nothing happened.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    fn connection(&mut self) -> &mut <Postgres as sqlx::Database>::Connection {
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn analysts_search_in_sql_with_the_settings_of_our_connections() {
        let sql = include_str!("../../../migrations/0014_access.sql");
        for (name, value) in SESSION.iter().filter(|(name, _)| *name != "client_min_messages") {
            assert!(sql.contains(&format!("    set {name} = {value}\n")), "{name}");
        }
    }
}
