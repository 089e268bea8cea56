//! The embedded PostgreSQL, for users without a database: it is created, started and stopped with the server.
//!
//! It listens only on a Unix socket in a folder that only its owner can open, so it needs no password. The layout of a data
//! directory:
//!
//! ```text
//! lock               locked while a server uses the directory; contains its process number
//! postgres/          the database cluster
//! postgresql.conf    its settings, written at every start
//! postgres.log       output of PostgreSQL at the last start; later messages are in postgres/log/
//! socket/            its socket, unless the path is too long for one
//! ```
//!
//! If SCV is killed, its PostgreSQL keeps running. The next start stops it, and the new server recovers. If PostgreSQL ends while SCV
//! runs, it is started again ([`Cluster::start_again`]).

mod account;
mod cluster;
mod directory;
mod error;
mod installation;
mod log;
mod package;
mod pgvector;
mod postmaster;
mod restart;
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
use postmaster::{Launch, POLL_INTERVAL, Postmaster};
pub use version::Version;

/// The database and the role that owns it.
const DATABASE: &str = "scv";
const USER: &str = "scv";

/// How long a server may take to accept connections, and how long if it reports that it is recovering from a crash.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the last messages of a server that has ended may take to be written.
const LOG_DELAY: Duration = Duration::from_secs(2);
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(900);

/// PostgreSQL's error code while it starts or recovers (`cannot_connect_now`).
const STARTING_UP: &str = "57P03";

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory, which is created if it is missing.
    pub data_dir: PathBuf,
    /// The PostgreSQL installation to use (the folder that contains `bin`). `None`: search for one.
    pub postgres_dir: Option<PathBuf>,
    /// The cache directory that contains the bundle of `scripts/setup`.
    pub cache_dir: PathBuf,
}

/// A running PostgreSQL. [`Cluster::stop`] shuts it down cleanly. Dropping it stops it immediately; then the next start has to
/// recover, and no data is lost.
#[derive(Debug)]
pub struct Cluster {
    postmaster: Postmaster,
    options: PgConnectOptions,
    /// When it was started again.
    restarts: Vec<Instant>,
    // Dropped last, so the directory stays locked until the server has received its signal.
    origin: Origin,
}

impl Cluster {
    /// The options for connecting to the database `scv` as its owner.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Closes all connections, writes everything to disk and waits until the server has exited.
    pub async fn stop(self) {
        self.postmaster.stop().await;
        // The folder may be outside the data directory. If it is not empty, the next start cleans it up.
        if let Some(socket_folder) = self.options.get_socket() {
            let _ = std::fs::remove_dir(socket_folder);
        }
    }
}

/// Starts PostgreSQL on the data directory and waits until the database `scv` can be used. Creates the cluster if there is
/// none.
pub async fn start(settings: Settings) -> Result<Cluster, EmbeddedError> {
    let origin = Origin::prepare(&settings).await?;
    let (postmaster, options) = origin.launch().await?;
    Ok(Cluster {
        postmaster,
        options,
        restarts: Vec::new(),
        origin,
    })
}

/// What PostgreSQL is started from.
#[derive(Debug)]
struct Origin {
    installation: Installation,
    account: Account,
    directory: DataDirectory,
}

impl Origin {
    /// Locks the data directory, finds PostgreSQL and creates the cluster if there is none.
    async fn prepare(settings: &Settings) -> Result<Self, EmbeddedError> {
        let mut installation = Installation::find(settings.postgres_dir.as_deref(), &settings.cache_dir)?;
        let directory = DataDirectory::open(&settings.data_dir)?;
        let account = Account::for_cluster(&directory.cluster())?;
        let advice = "run scripts/setup as root, or move it to a folder that all users may enter";
        if account.check_reaches(&installation.bin, advice).is_err() {
            installation = installation.into_cache(&settings.cache_dir)?;
        }
        account.check_reaches(&installation.bin, advice)?;
        account.check_reaches(
            &directory.path,
            "choose another directory with --data-dir, such as /var/lib/scv",
        )?;
        cluster::prepare(&directory, &installation, &account).await?;
        Ok(Self {
            installation,
            account,
            directory,
        })
    }

    /// Starts PostgreSQL and waits until the database `scv` can be used. One that an earlier run left behind is stopped.
    async fn launch(&self) -> Result<(Postmaster, PgConnectOptions), EmbeddedError> {
        let Self {
            installation,
            account,
            directory,
        } = self;
        let cluster = directory.cluster();
        postmaster::stop_leftover(&cluster).await?;
        let socket_folder = directory.socket_folder(account)?;
        let configuration = cluster::configure(directory)?;
        let messages = directory.path.join("postgres.log");
        let postmaster = Postmaster::launch(Launch {
            installation,
            account,
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
        let created = cluster::create_database(&mut connection).await;
        created.map_err(|cause| EmbeddedError::Refused {
            action: "create the database",
            cause,
        })?;
        // If this fails, the server detects the closed connection.
        let _ = connection.close().await;
        tracing::info!(directory = %directory.path.display(), major = installation.major, "PostgreSQL is running");
        Ok((starting.postmaster, options.database(DATABASE)))
    }
}

/// The options for connecting to a server that already runs on a data directory. `None` if there is none or it refuses.
pub async fn find_running(data_dir: &Path) -> Option<PgConnectOptions> {
    let folder = directory::existing_socket_folder(data_dir)?;
    let options = as_owner(&folder).database(DATABASE);
    let connection = options.connect().await.ok()?;
    let _ = connection.close().await;
    Some(options)
}

/// The path of `psql`, if the installation contains it.
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

/// A server that was started but has not accepted a connection yet.
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
            if let Some(status) = self.postmaster.exit_status() {
                return Err(EmbeddedError::Ended {
                    status: status.to_string(),
                    log: self.last_log().await,
                });
            }
            let recovering = error
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|it| it == STARTING_UP);
            let limit = if recovering { RECOVERY_TIMEOUT } else { START_TIMEOUT };
            if begin.elapsed() > limit {
                return Err(EmbeddedError::TooSlow {
                    seconds: limit.as_secs(),
                    log: log::last_lines(self.messages, self.cluster),
                });
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// The last lines of the log of a server that has ended. Another process writes them, which may end a little later.
    async fn last_log(&self) -> String {
        let end = Instant::now() + LOG_DELAY;
        loop {
            let log = log::last_lines(self.messages, self.cluster);
            if Instant::now() > end || ["FATAL", "PANIC"].iter().any(|severity| log.contains(severity)) {
                return log;
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}
