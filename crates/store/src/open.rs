//! From settings to a database that is up to date: the user's own, or the embedded one.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use super::embedded::{self, Cluster, EmbeddedError, PgvectorError, check_pgvector};
use super::{Store, StoreError};

/// How long statements that still run may take to end when the server stops.
const TIME_TO_CLOSE: Duration = Duration::from_secs(5);

/// Where the database is to be found.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// A PostgreSQL of the user's own; the embedded one if there is none.
    pub url: Option<String>,
    /// Connections at a time.
    pub connections: u32,
    /// How long a statement of somebody who asks may take.
    pub longest: Duration,
    /// Folder for the embedded cluster.
    pub data_dir: PathBuf,
    /// Installation for the embedded cluster, if the user names one.
    pub postgres_dir: Option<PathBuf>,
    /// Folder of the installation that the set-up fetched.
    pub cache_dir: PathBuf,
}

/// An open database, with the cluster behind it if that is ours.
#[derive(Debug)]
pub struct Database {
    /// The catalogue in it.
    pub store: Store,
    /// The embedded cluster, to be stopped last.
    pub cluster: Option<Cluster>,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `DATABASE_URL` is none.
    #[error("DATABASE_URL is not the address of a PostgreSQL database ({0}): write postgres://user@host:5432/name")]
    Url(String),
    /// Nothing answers there, or it lets nobody in.
    #[error("cannot connect to the database of DATABASE_URL ({0}): check the address, and that PostgreSQL runs there")]
    Connect(sqlx::Error),
    /// The embedded cluster does not start.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// pgvector is missing or too old.
    #[error(transparent)]
    Pgvector(#[from] PgvectorError),
    /// It cannot be reached or migrated.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the database and brings its schema up to date.
///
/// # Errors
/// Each case of [`OpenError`]; an embedded cluster that was started is stopped again.
pub async fn open(settings: &DatabaseSettings) -> Result<Database, OpenError> {
    let (options, cluster) = match &settings.url {
        Some(url) => (parse(url)?, None),
        None => {
            let cluster = embedded::start(settings.embedded()).await?;
            (cluster.connect_options(), Some(cluster))
        }
    };
    match prepare(options, settings).await {
        Ok(store) => Ok(Database { store, cluster }),
        Err(error) => {
            if let Some(cluster) = cluster {
                cluster.stop().await;
            }
            Err(error)
        }
    }
}

/// Opens the database as [`open`] does, but joins a server that has the embedded one in use, which goes on running.
///
/// # Errors
/// Each case of [`OpenError`].
pub async fn join(settings: &DatabaseSettings) -> Result<Database, OpenError> {
    let running = match settings.url {
        Some(_) => None,
        None => embedded::running(&settings.data_dir).await,
    };
    let Some(options) = running else {
        return open(settings).await;
    };
    let store = prepare(options, settings).await?;
    Ok(Database { store, cluster: None })
}

/// PostgreSQL's own client, from the installation of the embedded database.
pub fn psql(settings: &DatabaseSettings) -> Option<PathBuf> {
    embedded::psql(&settings.embedded())
}

impl DatabaseSettings {
    fn embedded(&self) -> embedded::Settings {
        embedded::Settings {
            data_dir: self.data_dir.clone(),
            postgres_dir: self.postgres_dir.clone(),
            cache_dir: self.cache_dir.clone(),
        }
    }
}

/// The parser does not mind the scheme, and would take another database's address for one of PostgreSQL's.
fn parse(url: &str) -> Result<PgConnectOptions, OpenError> {
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        return Err(OpenError::Url("it does not begin with postgres://".to_owned()));
    }
    url.parse()
        .map_err(|error: sqlx::Error| OpenError::Url(error.to_string()))
}

async fn prepare(options: PgConnectOptions, settings: &DatabaseSettings) -> Result<Store, OpenError> {
    let store = match Store::connect(options.clone(), settings.connections, settings.longest).await {
        Ok(store) => store,
        // The pool tries again and again, and at last only says that it was in vain: one more try says why.
        Err(error) => match options.connect().await {
            Ok(_) => return Err(error.into()),
            Err(reason) => return Err(OpenError::Connect(reason)),
        },
    };
    check_pgvector(store.pool()).await?;
    store.migrate().await?;
    Ok(store)
}

impl Database {
    /// Closes the connections and stops the cluster, if it is ours. A statement that does not end, such as one that waits
    /// for somebody else's lock, is abandoned after a while.
    pub async fn close(self) {
        if timeout(TIME_TO_CLOSE, self.store.close()).await.is_err() {
            tracing::warn!("statements that still run in the database are abandoned");
        }
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}
