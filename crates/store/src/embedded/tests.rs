//! Complete starts and stops with the real bundle, which `scripts/setup` downloads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, query, query_scalar};
use tempfile::TempDir;

use super::*;

/// A folder that the user of the database may enter, even if root runs the test.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
    folder
}

fn settings(data_dir: &Path) -> Settings {
    Settings {
        data_dir: data_dir.to_path_buf(),
        postgres_dir: None,
        cache_dir: cache_dir(),
    }
}

/// The cache folder by the rule of `scripts/setup`.
fn cache_dir() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let of_user = || {
        let base = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        base.unwrap_or_else(|| variable("HOME").unwrap().join(".cache"))
            .join("scv")
    };
    let usual = || {
        if geteuid().is_root() {
            PathBuf::from("/var/cache/scv")
        } else {
            of_user()
        }
    };
    variable("SCV_CACHE_DIR").unwrap_or_else(usual)
}

/// Starts a stopped cluster again. If another test starts a process at this moment, that process keeps our files open and
/// locked until it executes its program.
async fn restart(data_dir: &Path) -> Result<Cluster, EmbeddedError> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let started = start(settings(data_dir)).await;
        if !matches!(started, Err(EmbeddedError::InUse { .. })) || Instant::now() > end {
            return started;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn pool(cluster: &Cluster) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .connect_with(cluster.connect_options())
        .await
        .unwrap()
}

async fn write_something(cluster: &Cluster) {
    let pool = pool(cluster).await;
    query("CREATE TABLE kept AS SELECT 42 AS number")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

async fn assert_still_there(cluster: &Cluster) {
    let pool = pool(cluster).await;
    let number: i32 = query_scalar("SELECT number FROM kept").fetch_one(&pool).await.unwrap();
    assert_eq!(number, 42);
    pool.close().await;
}

fn postmaster_pid(data_dir: &Path) -> i32 {
    let file = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

/// Abandons the cluster like a killed process: the lock is released, and the server keeps running.
fn abandon(cluster: Cluster) {
    std::mem::forget(cluster.postmaster);
}

#[tokio::test]
async fn the_first_start_creates_a_database_with_pgvector_and_a_restart_keeps_it() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let cluster = start(settings(&data_dir)).await.unwrap();
    let pool = pool(&cluster).await;
    check_pgvector(&pool).await.unwrap();
    query("CREATE EXTENSION vector").execute(&pool).await.unwrap();
    check_pgvector(&pool).await.unwrap();
    let tcp: String = query_scalar("SHOW listen_addresses").fetch_one(&pool).await.unwrap();
    assert_eq!(tcp, "", "nothing listens on the network");
    let place: String = query_scalar("SHOW unix_socket_directories")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        fs::metadata(place.trim_matches('"')).unwrap().permissions().mode() & 0o777,
        0o700
    );
    pool.close().await;
    write_something(&cluster).await;
    cluster.stop().await;

    let cluster = start(settings(&data_dir)).await.unwrap();
    assert_still_there(&cluster).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let folder = folder();
    let cluster = start(settings(folder.path())).await.unwrap();
    let error = start(settings(folder.path())).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::InUse { .. }), "{error}");
    write_something(&cluster).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_server_left_behind_by_a_killed_run_is_stopped_and_replaced() {
    let folder = folder();
    let cluster = start(settings(folder.path())).await.unwrap();
    write_something(&cluster).await;
    let old = postmaster_pid(folder.path());
    abandon(cluster);

    let cluster = restart(folder.path()).await.unwrap();
    assert_ne!(postmaster_pid(folder.path()), old);
    assert_still_there(&cluster).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_server_that_was_killed_recovers_at_the_next_start() {
    let folder = folder();
    let cluster = start(settings(folder.path())).await.unwrap();
    write_something(&cluster).await;
    kill(Pid::from_raw(postmaster_pid(folder.path())), Signal::SIGKILL).unwrap();
    drop(cluster);

    let cluster = restart(folder.path()).await.unwrap();
    assert_still_there(&cluster).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_pid_file_with_the_number_of_another_program_is_ignored() {
    let folder = folder();
    let cluster = start(settings(folder.path())).await.unwrap();
    write_something(&cluster).await;
    let pid_file = folder.path().join("postgres/postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    kill(Pid::from_raw(postmaster_pid(folder.path())), Signal::SIGKILL).unwrap();
    drop(cluster);

    let account = Account::for_cluster(&folder.path().join("postgres")).unwrap();
    let mut other = account
        .command(Path::new("sleep"), Path::new("/"))
        .arg("1000")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let rest = text.split_once('\n').unwrap().1;
    fs::write(&pid_file, format!("{}\n{rest}", other.id().unwrap())).unwrap();

    let cluster = start(settings(folder.path())).await.unwrap();
    assert_still_there(&cluster).await;
    assert!(other.try_wait().unwrap().is_none(), "the other program still runs");
    cluster.stop().await;
}

#[tokio::test]
async fn a_data_directory_with_a_long_and_unusual_name_works() {
    let folder = folder();
    let data_dir = folder.path().join("it's a, \\ long name ".repeat(8).trim());
    let cluster = start(settings(&data_dir)).await.unwrap();
    write_something(&cluster).await;
    let place = cluster.options.get_socket().unwrap().clone();
    assert_eq!(place.parent(), Some(Path::new("/tmp")));
    cluster.stop().await;
    assert!(!place.exists(), "nothing is left outside the data directory");
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_the_end_of_its_log() {
    let folder = folder();
    let cluster = start(settings(folder.path())).await.unwrap();
    cluster.stop().await;
    fs::remove_dir_all(folder.path().join("postgres/pg_wal")).unwrap();

    let error = restart(folder.path()).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("pg_wal"), "{error}");

    fs::write(folder.path().join("postgres/PG_VERSION"), "15\n").unwrap();
    let error = restart(folder.path()).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::WrongMajorVersion { .. }), "{error}");
}

#[tokio::test]
async fn a_data_directory_that_the_database_cannot_reach_is_refused_before_anything_is_created() {
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let data_dir = closed.path().join("data");
    let started = start(settings(&data_dir)).await;
    if geteuid().is_root() {
        let error = started.unwrap_err();
        assert!(matches!(error, EmbeddedError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("--data-dir"), "{error}");
        assert!(!data_dir.join("postgres").exists());
    } else {
        // Only for root, the database runs as another user.
        started.unwrap().stop().await;
    }
}
