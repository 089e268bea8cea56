//! The real program in its own process, which can be killed.
//!
//! All data directories are in one folder. A shell waits at the other end of a pipe that only the test process holds
//! open. When the pipe closes, the shell kills what still runs in these directories and removes the folder.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::client::Client;
use super::cluster::cache_dir;

/// How long the program may take to listen or to end: twenty times as long as it takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

static FOLDERS: LazyLock<Folders> = LazyLock::new(Folders::create);
static TEMPLATE: OnceCell<PathBuf> = OnceCell::const_new();

struct Folders {
    path: PathBuf,
    /// Number of folders created so far.
    created: AtomicU32,
    /// Holds the pipe open.
    _watchdog: Child,
}

/// Waits until its input ends, then kills the programs $2 and the databases in the folders of $1, and removes it.
const WATCHDOG: &str = r#"
    read -r _
    for file in "$1"/*/pids; do
        [ -e "$file" ] || continue
        for pid in $(cat "$file"); do
            [ "$(readlink "/proc/$pid/exe")" = "$2" ] && kill -KILL "$pid"
        done
    done
    for file in "$1"/*/data/postgres/postmaster.pid; do
        [ -e "$file" ] || continue
        pid="$(head -n 1 "$file")"
        [ "$(cat "/proc/$pid/comm")" = postgres ] && kill -QUIT "$pid"
        for _ in $(seq 100); do [ -e "$file" ] || break; sleep 0.1; done
    done
    rm -rf "$1"
"#;

impl Folders {
    fn create() -> Self {
        // The name is short because the path of a socket inside must be short.
        let path = tempfile::Builder::new()
            .prefix("scv-run-")
            .tempdir_in("/tmp")
            .expect("/tmp is writable")
            .keep();
        open_to_all(&path);
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .args([path.as_path(), Path::new(env!("CARGO_BIN_EXE_scv"))])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in the terminal must not reach it.
            .process_group(0)
            .spawn()
            .expect("every system has a shell");
        Self {
            path,
            created: AtomicU32::new(0),
            _watchdog: watchdog,
        }
    }
}

/// An installation of the server: its data directory, and the ids of the processes that were started on it.
pub struct Installation {
    folder: PathBuf,
}

impl Installation {
    /// An installation without a data directory.
    pub fn empty() -> Self {
        let folder = FOLDERS
            .path
            .join(FOLDERS.created.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder).unwrap();
        open_to_all(&folder);
        Self { folder }
    }

    /// An installation whose embedded database exists and was shut down gracefully. It is a copy, which takes a tenth
    /// of the time.
    pub async fn with_database() -> Self {
        let template = TEMPLATE
            .get_or_init(|| async {
                let installation = Self::empty();
                let mut first = Process::start(&installation).await;
                // A worker that stops while it registers itself can leave its entry behind. The copies would then log a
                // warning when they remove it.
                wait_for_worker(&mut installation.database().await).await;
                assert!(first.terminate().success());
                installation.data_dir()
            })
            .await;
        let installation = Self::empty();
        // If the tests run as root, the cluster belongs to another user and must continue to.
        let copied = Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .args([template, &installation.data_dir()])
            .status()
            .unwrap();
        assert!(copied.success());
        installation
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file in which the embedded PostgreSQL of a running server records its process id.
    pub fn postmaster_pid(&self) -> PathBuf {
        self.data_dir().join("postgres/postmaster.pid")
    }

    /// `scv serve` on this data directory and a free port, without the environment of the test process.
    pub fn serve(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scv"));
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("SCV_DATA_DIR", self.data_dir())
            .env("SCV_CACHE_DIR", cache_dir())
            .env("SCV_LISTEN", "127.0.0.1:0")
            .env("SCV_DEVICE", "cpu")
            .env("SCV_LOG_FORMAT", "json")
            // Not the settings of the user who runs the tests.
            .env("SCV_CONFIG", "/dev/null")
            .arg("serve");
        command
    }

    /// A connection to the embedded database of the running server.
    pub async fn database(&self) -> sqlx::PgConnection {
        self.try_database().await.unwrap()
    }

    /// A connection to the embedded database, if it accepts one.
    pub async fn try_database(&self) -> sqlx::Result<sqlx::PgConnection> {
        use sqlx::ConnectOptions;
        sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .socket(self.data_dir().join("socket"))
            .username("scv")
            .database("scv")
            .connect()
            .await
    }
}

/// Waits until the server's worker has registered itself.
async fn wait_for_worker(database: &mut sqlx::PgConnection) {
    let end = Instant::now() + TIMEOUT;
    let workers = "select count(*) from graphile_worker._private_workers";
    while sqlx::query_scalar::<_, i64>(workers)
        .fetch_one(&mut *database)
        .await
        .unwrap()
        == 0
    {
        assert!(Instant::now() < end, "the worker does not register itself");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A running server.
pub struct Process {
    /// A client of the server.
    pub api: Client,
    child: Child,
    log: Log,
}

impl Process {
    /// Starts the server of an installation and waits until it listens.
    pub async fn start(installation: &Installation) -> Self {
        Self::run(installation, installation.serve()).await
    }

    /// Starts a server on a database that others may use too, and waits until it listens.
    pub async fn start_on(installation: &Installation, database_url: &str, lease_seconds: u32) -> Self {
        let mut command = installation.serve();
        command
            .env("DATABASE_URL", database_url)
            .env("SCV_LEASE_SECONDS", lease_seconds.to_string());
        Self::run(installation, command).await
    }

    /// Runs a command that starts a server on an installation, and waits until it listens.
    pub async fn run(installation: &Installation, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal ends the tests, and the tests end the servers.
            .process_group(0)
            .spawn()
            .unwrap();
        record_pid(&installation.folder, child.id());
        let (log, address) = Log::follow(child.stderr.take().unwrap());
        let url = tokio::task::spawn_blocking(move || address.recv_timeout(TIMEOUT))
            .await
            .unwrap();
        let Ok(url) = url else {
            let _ = child.kill();
            panic!("the server does not listen; its log:\n{log}");
        };
        Self {
            api: Client::new(url),
            child,
            log,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its log contains some words.
    pub async fn wait_for_log(&self, words: &str) {
        let end = Instant::now() + TIMEOUT;
        while !self.log.to_string().contains(words) {
            assert!(Instant::now() < end, "{words:?} is not in the log:\n{}", self.log);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills it, as a power cut would; its child processes are left behind.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as a service manager does.
    pub fn terminate(&mut self) -> ExitStatus {
        self.end(Signal::SIGTERM)
    }

    /// Sends a signal and waits until the process has ended.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.send(signal);
        self.wait()
    }

    /// Sends a signal.
    pub fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until the process has ended.
    #[expect(
        clippy::disallowed_methods,
        reason = "it waits for another process, not for this runtime"
    )]
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server does not end; its log:\n{}", self.log);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The lines of its log at the level `WARN` or `ERROR`.
    pub fn warnings(&self) -> Vec<String> {
        self.log.warnings()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that ends by itself; returns its exit status and its standard error.
pub fn run_to_exit(installation: &Installation, command: &mut Command) -> (ExitStatus, String) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    record_pid(&installation.folder, child.id());
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

fn record_pid(folder: &Path, pid: u32) {
    let file = folder.join("pids");
    let before = fs::read_to_string(&file).unwrap_or_default();
    fs::write(file, format!("{before}{pid}\n")).unwrap();
}

/// If the tests run as root, the database runs as another user, which needs access to its folder.
fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
}

/// The lines that a server has logged.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Keeps all lines, and sends the address once a line contains it.
    fn follow(stderr: ChildStderr) -> (Self, Receiver<String>) {
        let log = Self(Arc::default());
        let (sender, address) = channel();
        let lines = Arc::clone(&log.0);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap_or_default();
                let message = message["fields"]["message"].as_str().unwrap_or_default();
                if let Some(url) = message.strip_prefix("listening on ") {
                    let _ = sender.send(url.to_owned());
                }
                lines.lock().unwrap().push(line);
            }
        });
        (log, address)
    }

    fn warnings(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let is_warning = |line: &&String| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            !matches!(line["level"].as_str(), Some("INFO" | "DEBUG" | "TRACE"))
        };
        lines.iter().filter(is_warning).cloned().collect()
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.lock().unwrap().join("\n"))
    }
}
