//! One throw-away PostgreSQL for all tests of this process.
//!
//! It is made when the first test asks for a database and disappears with the process, in whatever manner that ends: a
//! shell waits at the other end of a pipe that only this process holds open, and clears up when the pipe closes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use scv::config::Config;
use scv_artifact::ArtifactStore;
use scv_compute::engine::Engine;
use scv_service::{Library, worker};
use scv_store::embedded::{self, Cluster, Settings};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::sync::OnceCell;

static SHARED: OnceCell<Shared> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Name of a database that is copied and never changed.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

struct Shared {
    cluster: Cluster,
    /// Holds the pipe open.
    _watchdog: Child,
}

/// Waits until its input ends, then stops the server in the folder $1, waits for it to remove its PID file, and removes
/// the folder.
const WATCHDOG: &str = r#"
    read -r _
    pid_file="$1/postgres/postmaster.pid"
    [ -e "$pid_file" ] && kill -QUIT "$(head -n 1 "$pid_file")"
    for _ in $(seq 100); do [ -e "$pid_file" ] || break; sleep 0.1; done
    rm -rf "$1"
"#;

/// A new, empty database for one test.
pub async fn database() -> PgConnectOptions {
    create("").await
}

/// A new database for one test, as `scv serve` leaves it after its first start: with all tables, the queue and the digits.
/// It is copied, which takes a tenth of the time.
pub async fn library_database() -> PgConnectOptions {
    let template = TEMPLATE.get_or_init(async || {
        let options = database().await;
        prepare_library(&options).await;
        options.get_database().expect("it was named").to_owned()
    });
    create(&format!("TEMPLATE {}", template.await)).await
}

async fn create(clause: &str) -> PgConnectOptions {
    let shared = SHARED.get_or_init(make_cluster).await;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let sql = format!("CREATE DATABASE {name} {clause}");
    run(shared.cluster.connect_options(), sql).await;
    shared.cluster.connect_options().database(&name)
}

/// What a server does to an empty database when it starts. The images of the digits go to a folder that is thrown away: each
/// server writes them again if they are missing.
async fn prepare_library(options: &PgConnectOptions) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let config = Config {
        data_dir: folder.path().to_owned(),
        database_url: Some(options.to_url_lossy().to_string()),
        llm_url: None,
        ..Config::defaults()
    };
    let database = scv_store::open(&config.database()).await.expect("the database opens");
    worker::migrate(&database.store).await.expect("the queue is created");
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts")).expect("the folder is writable");
    let engine = Engine::start("cpu".parse().expect("it is a device"), 1).expect("the CPU is there");
    let settings = config.library().expect("no language model is named");
    let library = Library::new(database.store.clone(), artifacts, engine, settings);
    library.ensure_digits().await.expect("the digits are stored");
    drop(library);
    // A database is copied only while nobody is connected to it.
    database.close().await;
}

/// The cache folder by the rule of `scripts/setup`.
pub fn cache_dir() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let of_user = || {
        let base = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        base.unwrap_or_else(|| variable("HOME").expect("HOME is set").join(".cache"))
            .join("scv")
    };
    let usual = || {
        if nix::unistd::geteuid().is_root() {
            PathBuf::from("/var/cache/scv")
        } else {
            of_user()
        }
    };
    variable("SCV_CACHE_DIR").unwrap_or_else(usual)
}

async fn make_cluster() -> Shared {
    // Its name is short, since the path of a socket inside has to be; it is the watchdog's to remove.
    let folder = tempfile::Builder::new()
        .prefix("scv-test-")
        .tempdir_in("/tmp")
        .expect("/tmp is writable")
        .keep();
    let watchdog = watch(&folder);
    // Started as root, the server runs as another user, who has to pass through.
    fs::set_permissions(&folder, Permissions::from_mode(0o711)).expect("the folder is ours");
    let settings = Settings {
        data_dir: folder.clone(),
        postgres_dir: None,
        cache_dir: cache_dir(),
    };
    let cluster = embedded::start(settings)
        .await
        .expect("the throw-away PostgreSQL starts");
    // Nothing here has to survive a power cut.
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        run(cluster.connect_options(), format!("ALTER SYSTEM SET {setting} = off")).await;
    }
    run(cluster.connect_options(), "SELECT pg_reload_conf()".to_owned()).await;
    Shared {
        cluster,
        _watchdog: watchdog,
    }
}

fn watch(folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal is not for it.
        .process_group(0)
        .spawn()
        .expect("every system has a shell")
}

async fn run(options: PgConnectOptions, sql: String) {
    let mut connection: PgConnection = options.connect().await.expect("the shared server answers");
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .expect("the shared server obeys");
    connection.close().await.expect("the connection closes");
}
