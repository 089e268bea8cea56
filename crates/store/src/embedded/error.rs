use std::io;
use std::path::{Path, PathBuf};

use super::version::Version;

/// Why the embedded PostgreSQL could not be had. Each text says where it went wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No PostgreSQL with a recent pgvector was found anywhere.
    #[error(
        "no PostgreSQL with pgvector {oldest} or newer was found (looked at {looked_at}); run scripts/setup, \
         which fetches one, or set DATABASE_URL to a database of your own",
        oldest = Version::OLDEST_PGVECTOR
    )]
    NoInstallation {
        /// The places that were tried, as a list to read.
        looked_at: String,
    },

    /// An installation is there but cannot be used.
    #[error("the PostgreSQL in {path} cannot be used: {reason}; run scripts/setup again, or name another one")]
    BadInstallation {
        /// The installation's prefix, the folder that holds `bin`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Another server holds the data directory.
    #[error(
        "the data directory {directory} is in use by another server{}; stop that one, or choose another \
         directory with --data-dir",
        pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// The process that wrote its number into the lock file.
        pid: Option<String>,
    },

    /// PostgreSQL refuses to run as root and there is nobody else to run it as.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has no user `postgres` or `nobody` to run it as; \
         start as an ordinary user, or set DATABASE_URL"
    )]
    NoAccount,

    /// Root's PostgreSQL runs as an unprivileged user who cannot reach what it needs.
    #[error(
        "PostgreSQL refuses to run as root, so it runs as user {account}, who may not enter {blocked_at} and so \
         cannot reach {path}; {advice}"
    )]
    Unreachable {
        /// The user PostgreSQL runs as.
        account: String,
        /// What that user has to reach.
        path: PathBuf,
        /// The first folder on the way that is closed to that user.
        blocked_at: PathBuf,
        /// What to do about it.
        advice: &'static str,
    },

    /// The cluster belongs to a user that PostgreSQL cannot be run as.
    #[error(
        "the database cluster {cluster} belongs to user {owner}, but PostgreSQL would run as user {account}; start as \
         the owner, change the owner (chown -R), or choose another directory with --data-dir"
    )]
    WrongOwner {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The number of the user that owns it.
        owner: u32,
        /// The user PostgreSQL would run as.
        account: String,
    },

    /// The cluster was made by another major version of PostgreSQL.
    #[error(
        "the database cluster {cluster} was made by PostgreSQL {found}, which PostgreSQL {installed} cannot read; \
         convert it with pg_upgrade, use an installation of PostgreSQL {found}, or choose another directory with \
         --data-dir"
    )]
    WrongMajorVersion {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The major version that made the cluster, as it stands in `PG_VERSION`.
        found: String,
        /// The major version that is installed.
        installed: u32,
    },

    /// A folder is where the cluster should be, but it is not one.
    #[error("{cluster} exists but is no database cluster (it has no PG_VERSION); move it away")]
    NotACluster {
        /// The cluster's folder.
        cluster: PathBuf,
    },

    /// The folder for the socket could be opened by somebody else.
    #[error(
        "{path} should be a folder that only its owner can open, for the database's socket, but {reason}; remove it"
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Too little room for a new cluster.
    #[error(
        "{directory} has {free} MB free, and a new database needs at least {needed} MB; make room, or choose another \
         directory with --data-dir"
    )]
    NoSpace {
        /// The data directory.
        directory: PathBuf,
        /// What is free, in megabytes.
        free: u64,
        /// What is needed, in megabytes.
        needed: u64,
    },

    /// `initdb` failed.
    #[error("initdb could not make a database cluster in {directory}:\n{output}")]
    Initdb {
        /// The data directory.
        directory: PathBuf,
        /// What it printed.
        output: String,
    },

    /// A server left behind by an earlier run does not go away.
    #[error(
        "the database cluster {cluster} is still held by process {pid}, left by an earlier run, which does not stop; \
         kill it"
    )]
    Leftover {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The process.
        pid: i32,
    },

    /// The server ended before it accepted a connection.
    #[error("PostgreSQL ended while starting ({status}); the last lines of its log:\n{log}")]
    Ended {
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },

    /// The server did not accept a connection in time.
    #[error("PostgreSQL accepted no connection within {seconds} seconds; the last lines of its log:\n{log}")]
    TooSlow {
        /// How long it was given.
        seconds: u64,
        /// The end of its log.
        log: String,
    },

    /// The server answered, but not as it should.
    #[error("the embedded PostgreSQL refused to {doing}: {source}")]
    Refused {
        /// What was asked of it.
        doing: &'static str,
        /// Its answer.
        source: sqlx::Error,
    },

    /// The operating system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

/// Says, for `map_err`, what was being done to which file.
pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_path_buf();
    move |source| EmbeddedError::Io { doing, path, source }
}
