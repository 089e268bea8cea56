//! A PostgreSQL of one's own: made, started and stopped with the server, for those who have none.
//!
//! It listens on a Unix socket in a folder that only its owner can open, and nowhere else, so it needs no password.
//! A data directory looks like this:
//!
//! ```text
//! lock               held while a server uses the directory; its process number is inside
//! postgres/          the database cluster
//! postgresql.conf    its settings, written at every start
//! postgres.log       what PostgreSQL said at the last start; later messages are in postgres/log/
//! socket/            its socket, unless the path is too long for one
//! ```
//!
//! A run that is killed leaves its PostgreSQL behind; the next start stops that one and lets the new one recover.

mod account;
mod cluster;
mod directory;
mod error;
mod installation;
mod log;
mod pgvector;
mod postmaster;
mod version;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use account::Account;
use directory::DataDirectory;
pub use error::EmbeddedError;
use error::io_error;
use installation::Installation;
pub use pgvector::{PgvectorError, check_pgvector};
use postmaster::{LOOK_AGAIN, Launch, Postmaster};
pub use version::Version;

/// The database and the role that owns it.
const DATABASE: &str = "scv";
const USER: &str = "scv";

/// How long a server may take to answer, and how long when it says that it is recovering from a crash.
const TIME_TO_ANSWER: Duration = Duration::from_secs(60);
const TIME_TO_RECOVER: Duration = Duration::from_secs(900);

/// What PostgreSQL answers while it starts or recovers (`cannot_connect_now`).
const STARTING_UP: &str = "57P03";

/// Where the pieces are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory; made if it is missing.
    pub data_dir: PathBuf,
    /// A PostgreSQL installation to use (the folder that holds `bin`), instead of looking for one.
    pub postgres_dir: Option<PathBuf>,
    /// The cache directory in which `scripts/setup` put the bundle.
    pub cache_dir: PathBuf,
}

/// A running PostgreSQL. [`Cluster::stop`] ends it in good order; dropping it ends it at once, which costs the next
/// start a recovery and no data.
#[derive(Debug)]
pub struct Cluster {
    postmaster: Postmaster,
    options: PgConnectOptions,
    // Fields are dropped in this order: the lock outlives the signal to the server.
    _directory: DataDirectory,
}

impl Cluster {
    /// How to connect to the database `scv` as its owner.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Closes all connections, writes everything to disk and waits until the server has ended.
    pub async fn stop(self) {
        self.postmaster.stop().await;
        // It may be outside the data directory. If something is left in it, the next start takes care of that.
        if let Some(socket_folder) = self.options.get_socket() {
            let _ = std::fs::remove_dir(socket_folder);
        }
    }
}

/// Starts PostgreSQL on the data directory, making a cluster first if there is none, and waits until the database
/// `scv` can be used.
pub async fn start(settings: Settings) -> Result<Cluster, EmbeddedError> {
    let installation = Installation::find(settings.postgres_dir.as_deref(), &settings.cache_dir)?;
    let directory = DataDirectory::open(&settings.data_dir)?;
    let cluster = directory.cluster();
    let account = Account::for_cluster(&cluster)?;
    account.check_reaches(
        &installation.bin,
        "run scripts/setup as root, or move it to a place open to all",
    )?;
    account.check_reaches(
        &directory.path,
        "choose another directory with --data-dir, such as /var/lib/scv",
    )?;

    cluster::prepare(&directory, &installation, &account).await?;
    postmaster::stop_leftover(&cluster).await?;
    let socket_folder = directory.socket_folder(&account)?;
    let configuration = cluster::configure(&directory)?;
    let messages = directory.path.join("postgres.log");
    let postmaster = Postmaster::launch(Launch {
        installation: &installation,
        account: &account,
        cluster: &cluster,
        configuration: &configuration,
        socket_folder: &socket_folder,
        messages: File::create(&messages).map_err(io_error("write", &messages))?,
    })?;

    let options = as_owner(&socket_folder);
    let mut starting = Starting {
        postmaster,
        messages: &messages,
        cluster: &cluster,
    };
    let mut connection = starting.first_connection(&options.clone().database("postgres")).await?;
    let made = cluster::create_database(&mut connection).await;
    made.map_err(|source| EmbeddedError::Refused {
        doing: "create the database",
        source,
    })?;
    // The server notices by itself if this goodbye is lost.
    let _ = connection.close().await;
    tracing::info!(directory = %directory.path.display(), major = installation.major, "PostgreSQL runs");
    Ok(Cluster {
        postmaster: starting.postmaster,
        options: options.database(DATABASE),
        _directory: directory,
    })
}

/// How to connect to the server that runs on a data directory already, if one does and we may.
pub async fn running(data_dir: &Path) -> Option<PgConnectOptions> {
    let folder = directory::existing_socket_folder(data_dir)?;
    let options = as_owner(&folder).database(DATABASE);
    let connection = options.connect().await.ok()?;
    let _ = connection.close().await;
    Some(options)
}

/// The client `psql` of the installation, if it has one.
pub fn psql(settings: &Settings) -> Option<PathBuf> {
    let installation = Installation::find(settings.postgres_dir.as_deref(), &settings.cache_dir).ok()?;
    Some(installation.program("psql")).filter(|program| program.exists())
}

fn as_owner(socket_folder: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_folder)
        .port(5432)
        .username(USER)
}

/// A server that has been started but has not answered yet.
struct Starting<'a> {
    postmaster: Postmaster,
    messages: &'a Path,
    cluster: &'a Path,
}

impl Starting<'_> {
    async fn first_connection(&mut self, options: &PgConnectOptions) -> Result<PgConnection, EmbeddedError> {
        let begin = Instant::now();
        loop {
            let error = match options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let log = || log::last_lines(self.messages, self.cluster);
            if let Some(status) = self.postmaster.ended() {
                return Err(EmbeddedError::Ended {
                    status: status.to_string(),
                    log: log(),
                });
            }
            let recovering = error
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|it| it == STARTING_UP);
            let patience = if recovering { TIME_TO_RECOVER } else { TIME_TO_ANSWER };
            if begin.elapsed() > patience {
                return Err(EmbeddedError::TooSlow {
                    seconds: patience.as_secs(),
                    log: log(),
                });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
