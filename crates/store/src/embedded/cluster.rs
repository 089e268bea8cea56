//! The files of a database cluster: making them, checking them, configuring them.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::statvfs::statvfs;

use super::account::Account;
use super::directory::DataDirectory;
use super::error::{EmbeddedError, io_error};
use super::installation::Installation;
use super::{DATABASE, USER};

/// A new cluster takes some 50 MB at once, and its first log segments as much again.
const NEEDED_FOR_NEW: u64 = 200_000_000;

/// Parallel index builds take this much shared memory, which some containers do not have.
const SHARED_MEMORY_WANTED: u64 = 3 << 29;

/// The settings of every cluster. They follow the file that `initdb` made and are followed by what
/// `ALTER SYSTEM` has set.
const SETTINGS: &str = "\
# Written at every start. To change a setting for good, use ALTER SYSTEM, which comes after this file.
include 'postgres/postgresql.conf'

max_connections = 100
maintenance_work_mem = 512MB
random_page_cost = 1.1
jit = off
timezone = 'UTC'

# One file a day of the week, each overwritten a week later.
logging_collector = on
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_checkpoints = off
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
";

/// Makes the cluster unless it is there, and checks that the installation can read the one that is.
pub(super) async fn prepare(
    directory: &DataDirectory,
    installation: &Installation,
    account: &Account,
) -> Result<(), EmbeddedError> {
    remove_half_made(&directory.path)?;
    let cluster = directory.cluster();
    if cluster.exists() {
        return check_version(&cluster, installation.major);
    }
    check_space(&directory.path, directory.free_space()?)?;
    tracing::info!(directory = %directory.path.display(), "making a new database");
    initialise(directory, installation, account).await
}

/// Writes the configuration file and returns its path. It stands outside the cluster because root must not write in
/// a folder where an unprivileged user could have planted a link.
pub(super) fn configure(directory: &DataDirectory) -> Result<PathBuf, EmbeddedError> {
    let path = directory.path.join("postgresql.conf");
    let shared_memory = statvfs("/dev/shm").map_or(0, |found| found.blocks().saturating_mul(found.fragment_size()));
    let elsewhere = if shared_memory < SHARED_MEMORY_WANTED {
        "\ndynamic_shared_memory_type = mmap\n"
    } else {
        ""
    };
    let write = || {
        let fresh = tempfile::NamedTempFile::new_in(&directory.path)?;
        let cache = format!("\nshared_buffers = {}MB\n", cache_megabytes());
        fs::write(fresh.path(), format!("{SETTINGS}{cache}{elsewhere}"))?;
        fs::set_permissions(fresh.path(), Permissions::from_mode(0o644))?;
        fresh.persist(&path)?;
        Ok(())
    };
    write().map_err(io_error("write", &path))?;
    Ok(path)
}

/// What the database keeps in memory itself: an eighth of the machine's, which is taken as it is used. A search reads a few
/// hundred pages of an index here and there: all of them should be at hand.
fn cache_megabytes() -> u64 {
    let memory = nix::sys::sysinfo::sysinfo().map_or(0, |system| system.ram_total() >> 20);
    (memory / 8).clamp(128, 4_096)
}

async fn initialise(
    directory: &DataDirectory,
    installation: &Installation,
    account: &Account,
) -> Result<(), EmbeddedError> {
    // Made beside its place and renamed when it is whole, so that being killed half-way leaves no half a cluster.
    let fresh = tempfile::Builder::new()
        .prefix(HALF_MADE)
        .tempdir_in(&directory.path)
        .map_err(io_error("make a folder in", &directory.path))?;
    account.take(fresh.path())?;

    let mut initdb = account.command(&installation.program("initdb"), fresh.path());
    initdb.args([
        "--username",
        USER,
        "--encoding",
        "UTF8",
        "--locale",
        "C",
        "--data-checksums",
    ]);
    // Only the socket's folder keeps others out: everybody who can open it may connect, nobody else can.
    initdb
        .args(["--auth-local", "trust", "--auth-host", "reject", "--pgdata"])
        .arg(fresh.path());
    if installation.major >= 17 {
        initdb.args(["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]);
    }
    let failed = |output: String| EmbeddedError::Initdb {
        directory: directory.path.clone(),
        output,
    };
    let initdb = initdb.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = initdb.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }

    let cluster = directory.cluster();
    fs::rename(fresh.path(), &cluster).map_err(io_error("name the new database cluster", &cluster))?;
    // Nothing is left under the old name for its owner to remove.
    let _ = fresh.keep();
    let to_disk = File::open(&directory.path).and_then(|folder| folder.sync_all());
    to_disk.map_err(io_error("write to disk", &directory.path))
}

const HALF_MADE: &str = "postgres.new-";

/// Removes what an `initdb` that was killed left behind.
fn remove_half_made(data_dir: &Path) -> Result<(), EmbeddedError> {
    let entries = fs::read_dir(data_dir).map_err(io_error("read", data_dir))?;
    for entry in entries {
        let entry = entry.map_err(io_error("read", data_dir))?;
        if entry.file_name().to_string_lossy().starts_with(HALF_MADE) {
            fs::remove_dir_all(entry.path()).map_err(io_error("remove", &entry.path()))?;
        }
    }
    Ok(())
}

fn check_version(cluster: &Path, installed: u32) -> Result<(), EmbeddedError> {
    let cluster = cluster.to_path_buf();
    let path = cluster.join("PG_VERSION");
    let found = match fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EmbeddedError::NotACluster { cluster });
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    if found != installed.to_string() {
        return Err(EmbeddedError::WrongMajorVersion {
            cluster,
            found,
            installed,
        });
    }
    Ok(())
}

fn check_space(data_dir: &Path, free: u64) -> Result<(), EmbeddedError> {
    if free < NEEDED_FOR_NEW {
        let directory = data_dir.to_path_buf();
        return Err(EmbeddedError::NoSpace {
            directory,
            free: free / 1_000_000,
            needed: NEEDED_FOR_NEW / 1_000_000,
        });
    }
    Ok(())
}

/// Makes the database `scv` if the cluster does not have it yet.
pub(super) async fn create_database(connection: &mut sqlx::PgConnection) -> Result<(), sqlx::Error> {
    let exists: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(DATABASE)
        .fetch_optional(&mut *connection)
        .await?;
    if exists.is_none() {
        // The name is `DATABASE`; CREATE DATABASE takes no parameters.
        sqlx::query("CREATE DATABASE scv").execute(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_full_disk_is_noticed_before_a_cluster_is_begun() {
        let error = check_space(Path::new("/data"), 12_345_678).unwrap_err().to_string();
        assert!(
            error.contains("/data has 12 MB free") && error.contains("at least 200 MB"),
            "{error}"
        );
        check_space(Path::new("/data"), 200_000_000).unwrap();
    }

    #[test]
    fn a_cluster_of_another_major_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("PG_VERSION"), "15\n").unwrap();
        let error = check_version(folder.path(), 18).unwrap_err().to_string();
        assert!(
            error.contains("made by PostgreSQL 15, which PostgreSQL 18 cannot read"),
            "{error}"
        );
        check_version(folder.path(), 15).unwrap();
    }

    #[test]
    fn a_folder_that_is_no_cluster_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            check_version(folder.path(), 18),
            Err(EmbeddedError::NotACluster { .. })
        ));
    }

    #[test]
    fn what_a_killed_initdb_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let half_made = folder.path().join("postgres.new-Ab3dEf");
        fs::create_dir_all(half_made.join("base")).unwrap();
        fs::create_dir(folder.path().join("postgres")).unwrap();
        remove_half_made(folder.path()).unwrap();
        assert!(!half_made.exists());
        assert!(folder.path().join("postgres").exists());
    }
}
