//! Opens the database and brings its schema up to date: the user's own database, or the embedded one.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use super::embedded::{self, Cluster, EmbeddedError, PgvectorError, check_pgvector};
use super::{Store, StoreError, StoreSettings};

/// How long running statements may take to end when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the database is, and how to use it.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// URL of the user's own database; `None` for the embedded one.
    pub url: Option<String>,
    /// How the store may use the machine.
    pub store: StoreSettings,
    /// Folder of the embedded cluster.
    pub data_dir: PathBuf,
    /// PostgreSQL installation for the embedded cluster, if the user specifies one.
    pub postgres_dir: Option<PathBuf>,
    /// Cache folder with the PostgreSQL installation that `scripts/setup` fetched.
    pub cache_dir: PathBuf,
}

/// An open database, with its embedded cluster if this process runs one.
#[derive(Debug)]
pub struct Database {
    /// The catalogue in it.
    pub store: Store,
    /// The embedded cluster, which is stopped last.
    pub cluster: Option<Cluster>,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `DATABASE_URL` is invalid.
    #[error("DATABASE_URL is not the address of a PostgreSQL database ({0}): write postgres://user@host:5432/name")]
    Url(String),
    /// No server responds, or it refuses the connection.
    #[error(
        "cannot connect to the PostgreSQL database ({0}): check its address, which --database-url or DATABASE_URL gives, and that PostgreSQL is running there"
    )]
    Connect(sqlx::Error),
    /// The embedded cluster does not start.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// pgvector is missing or too old.
    #[error(transparent)]
    Pgvector(#[from] PgvectorError),
    /// The database cannot be reached or migrated.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the database and brings its schema up to date.
///
/// # Errors
/// Each case of [`OpenError`]. An embedded cluster that was started is stopped again.
pub async fn open(settings: &DatabaseSettings) -> Result<Database, OpenError> {
    let (options, cluster) = match &settings.url {
        Some(url) => (parse(url)?, None),
        None => {
            let cluster = embedded::start(settings.embedded()).await?;
            (cluster.connect_options(), Some(cluster))
        }
    };
    match prepare(options, settings, cluster.is_some()).await {
        Ok(store) => Ok(Database { store, cluster }),
        Err(error) => {
            if let Some(cluster) = cluster {
                cluster.stop().await;
            }
            Err(error)
        }
    }
}

/// Opens the database as [`open`] does. If another server uses the embedded database, this connects to it, and the server
/// keeps running. That server knows the catalogue's generation from its own commits, so the caller may change nothing that an answer
/// shows that can be kept.
///
/// # Errors
/// Each case of [`OpenError`].
pub async fn join(settings: &DatabaseSettings) -> Result<Database, OpenError> {
    let running = match settings.url {
        Some(_) => None,
        None => embedded::find_running(&settings.data_dir).await,
    };
    let Some(options) = running else {
        return open(settings).await;
    };
    let store = prepare(options, settings, false).await?;
    Ok(Database { store, cluster: None })
}

/// The path of `psql`, from the installation of the embedded database.
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

/// The parser of sqlx ignores the scheme, and would accept the URL of another kind of database.
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

async fn prepare(
    options: PgConnectOptions,
    settings: &DatabaseSettings,
    owns_catalogue: bool,
) -> Result<Store, OpenError> {
    let store = match Store::connect(options.clone(), settings.store).await {
        Ok(store) => store,
        // The pool retries, and its error does not say why it failed: one more attempt finds the reason.
        Err(error) => match options.connect().await {
            Ok(_) => return Err(error.into()),
            Err(reason) => return Err(OpenError::Connect(reason)),
        },
    };
    check_pgvector(store.pool()).await?;
    store.migrate().await?;
    if owns_catalogue {
        store.generations.own().await?;
    }
    Ok(store)
}

impl Database {
    /// Closes the connections and stops the embedded cluster, if there is one. A statement that does not end in time, such as
    /// one that waits for a lock, is abandoned.
    pub async fn close(self) {
        if timeout(CLOSE_TIMEOUT, self.store.close()).await.is_err() {
            tracing::warn!("statements are still running in the database; they are abandoned");
        }
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}
