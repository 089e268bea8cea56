//! The files of a database cluster: creating, checking and configuring them.

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

/// Disk space in bytes for a new cluster. It takes about 50 MB at first, and the first log segments take as much again.
const MIN_FREE_SPACE: u64 = 200_000_000;

/// Shared memory in bytes that parallel index builds need. Some containers have less.
const MIN_SHARED_MEMORY: u64 = 3 << 29;

/// The settings of every cluster. They override the file that `initdb` creates, and `ALTER SYSTEM` overrides them.
const SETTINGS: &str = "\
# Written at every start. To change a setting permanently, use ALTER SYSTEM, which overrides this file.
include 'postgres/postgresql.conf'

max_connections = 100
maintenance_work_mem = 512MB
random_page_cost = 1.1
jit = off
timezone = 'UTC'

# One file per day of the week, each overwritten a week later.
logging_collector = on
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_checkpoints = off
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
";

/// Creates the cluster if it does not exist; otherwise checks that the installation can read it.
pub(super) async fn prepare(
    directory: &DataDirectory,
    installation: &Installation,
    account: &Account,
) -> Result<(), EmbeddedError> {
    remove_unfinished(&directory.path)?;
    let cluster = directory.cluster();
    if cluster.exists() {
        return check_version(&cluster, installation.major);
    }
    check_space(&directory.path, directory.free_space()?)?;
    tracing::info!(directory = %directory.path.display(), "creating a new database");
    initialise(directory, installation, account).await
}

/// Writes the configuration file and returns its path. The file is outside the cluster, because root must not write to a
/// folder in which an unprivileged user may have planted a link.
pub(super) fn configure(directory: &DataDirectory) -> Result<PathBuf, EmbeddedError> {
    let path = directory.path.join("postgresql.conf");
    let shared_memory = statvfs("/dev/shm").map_or(0, |found| found.blocks().saturating_mul(found.fragment_size()));
    let fallback = if shared_memory < MIN_SHARED_MEMORY {
        "\ndynamic_shared_memory_type = mmap\n"
    } else {
        ""
    };
    let write = || {
        let fresh = tempfile::NamedTempFile::new_in(&directory.path)?;
        let cache = format!("\nshared_buffers = {}MB\n", cache_megabytes());
        fs::write(fresh.path(), format!("{SETTINGS}{cache}{fallback}"))?;
        fs::set_permissions(fresh.path(), Permissions::from_mode(0o644))?;
        fresh.persist(&path)?;
        Ok(())
    };
    write().map_err(io_error("write", &path))?;
    Ok(path)
}

/// Size of the database's own cache: an eighth of the machine's memory, which is allocated as it is used. A search reads a few
/// hundred scattered pages of an index, and all of them should be cached.
fn cache_megabytes() -> u64 {
    let memory = nix::sys::sysinfo::sysinfo().map_or(0, |system| system.ram_total() >> 20);
    (memory / 8).clamp(128, 4_096)
}

async fn initialise(
    directory: &DataDirectory,
    installation: &Installation,
    account: &Account,
) -> Result<(), EmbeddedError> {
    // Created under a temporary name and renamed when it is complete, so that an interruption leaves no incomplete cluster.
    let fresh = tempfile::Builder::new()
        .prefix(UNFINISHED_PREFIX)
        .tempdir_in(&directory.path)
        .map_err(io_error("create a folder in", &directory.path))?;
    account.chown(fresh.path())?;

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
    // Access is controlled by the folder of the socket alone: every user who can open it may connect.
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
    fs::rename(fresh.path(), &cluster).map_err(io_error("rename the new database cluster to", &cluster))?;
    // It no longer exists under its old name, so there is nothing to remove.
    let _ = fresh.keep();
    let synced = File::open(&directory.path).and_then(|folder| folder.sync_all());
    synced.map_err(io_error("sync to disk", &directory.path))
}

/// Prefix of the folder in which `initdb` works.
const UNFINISHED_PREFIX: &str = "postgres.new-";

/// Removes the folders of interrupted runs of `initdb`.
fn remove_unfinished(data_dir: &Path) -> Result<(), EmbeddedError> {
    let entries = fs::read_dir(data_dir).map_err(io_error("read", data_dir))?;
    for entry in entries {
        let entry = entry.map_err(io_error("read", data_dir))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED_PREFIX) {
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
    if free < MIN_FREE_SPACE {
        let directory = data_dir.to_path_buf();
        return Err(EmbeddedError::NoSpace {
            directory,
            free: free / 1_000_000,
            needed: MIN_FREE_SPACE / 1_000_000,
        });
    }
    Ok(())
}

/// Creates the database `scv` if it does not exist.
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
    fn a_full_disk_is_detected_before_a_cluster_is_created() {
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
            error.contains("created by PostgreSQL 15, which PostgreSQL 18 cannot read"),
            "{error}"
        );
        check_version(folder.path(), 15).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_a_cluster_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            check_version(folder.path(), 18),
            Err(EmbeddedError::NotACluster { .. })
        ));
    }

    #[test]
    fn leftovers_of_an_interrupted_initdb_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let unfinished = folder.path().join("postgres.new-Ab3dEf");
        fs::create_dir_all(unfinished.join("base")).unwrap();
        fs::create_dir(folder.path().join("postgres")).unwrap();
        remove_unfinished(folder.path()).unwrap();
        assert!(!unfinished.exists());
        assert!(folder.path().join("postgres").exists());
    }
}
