//! The real program in a process of its own, which can be killed.
//!
//! All their data directories lie in one folder. A shell waits at the other end of a pipe that only this process holds
//! open; when the pipe closes it ends what still runs in them and removes the folder.

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

/// How long the program may take to listen, or to end: twenty times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

static FOLDERS: LazyLock<Folders> = LazyLock::new(Folders::make);
static TEMPLATE: OnceCell<PathBuf> = OnceCell::const_new();

struct Folders {
    path: PathBuf,
    made: AtomicU32,
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
    fn make() -> Self {
        // Its name is short, since the path of a socket inside has to be.
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
            // Ctrl-C in the terminal is not for it.
            .process_group(0)
            .spawn()
            .expect("every system has a shell");
        Self {
            path,
            made: AtomicU32::new(0),
            _watchdog: watchdog,
        }
    }
}

/// A place for a server: its data directory, and the numbers of the processes that were started on it.
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// An empty place.
    pub fn empty() -> Self {
        let folder = FOLDERS
            .path
            .join(FOLDERS.made.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder).unwrap();
        open_to_all(&folder);
        Self { folder }
    }

    /// A place whose embedded database has been made already and was stopped in order: a copy, which takes a tenth of
    /// the time.
    pub async fn with_database() -> Self {
        let template = TEMPLATE
            .get_or_init(|| async {
                let place = Self::empty();
                let mut first = Process::start(&place).await;
                // A worker that has to stop while it makes itself known can leave its name behind, and the copies would
                // clear it away aloud.
                registered(&mut place.database().await).await;
                assert!(first.terminate().success());
                place.data_dir()
            })
            .await;
        let place = Self::empty();
        // Root's cluster belongs to another user and has to stay so.
        let copied = Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .args([template, &place.data_dir()])
            .status()
            .unwrap();
        assert!(copied.success());
        place
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where the embedded PostgreSQL of a running server says which process it is.
    pub fn postmaster_pid(&self) -> PathBuf {
        self.data_dir().join("postgres/postmaster.pid")
    }

    /// `scv serve` on the data directory here and a free port, with nothing taken over from our own environment.
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
            .arg("serve");
        command
    }

    /// A connection to the embedded database of the server that runs here.
    pub async fn database(&self) -> sqlx::PgConnection {
        use sqlx::ConnectOptions;
        sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .socket(self.data_dir().join("socket"))
            .username("scv")
            .database("scv")
            .connect()
            .await
            .unwrap()
    }
}

/// Waits until the server's worker has entered itself into the list of those that live.
async fn registered(database: &mut sqlx::PgConnection) {
    let end = Instant::now() + PATIENCE;
    let workers = "select count(*) from graphile_worker._private_workers";
    while sqlx::query_scalar::<_, i64>(workers)
        .fetch_one(&mut *database)
        .await
        .unwrap()
        == 0
    {
        assert!(Instant::now() < end, "the worker does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A running server.
pub struct Process {
    /// Asks it.
    pub api: Client,
    child: Child,
    log: Log,
}

impl Process {
    /// The server of a place, once it listens.
    pub async fn start(place: &Place) -> Self {
        Self::run(place, place.serve()).await
    }

    /// A server on a database that others may use too, once it listens.
    pub async fn start_on(place: &Place, database_url: &str, lease_seconds: u32) -> Self {
        let mut command = place.serve();
        command
            .env("DATABASE_URL", database_url)
            .env("SCV_LEASE_SECONDS", lease_seconds.to_string());
        Self::run(place, command).await
    }

    /// What a command runs on a place, once it listens.
    pub async fn run(place: &Place, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in the terminal ends the tests, and those end the servers.
            .process_group(0)
            .spawn()
            .unwrap();
        note(&place.folder, child.id());
        let (log, address) = Log::follow(child.stderr.take().unwrap());
        let url = tokio::task::spawn_blocking(move || address.recv_timeout(PATIENCE))
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

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has logged something.
    pub async fn log_has(&self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log.to_string().contains(words) {
            assert!(Instant::now() < end, "nothing of {words:?} in the log:\n{}", self.log);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it on the spot, as a power cut would; what it started is left behind.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as a service manager does.
    pub fn terminate(&mut self) -> ExitStatus {
        self.end(Signal::SIGTERM)
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.send(signal);
        self.wait()
    }

    /// Sends a signal.
    pub fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// How it ended, once it has.
    #[expect(clippy::disallowed_methods, reason = "another process has to end, not this runtime")]
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server does not end; its log:\n{}", self.log);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The lines of its log at the level `WARN` or `ERROR`.
    pub fn complaints(&self) -> Vec<String> {
        self.log.complaints()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program that ends by itself came to: how it ended, and what it said on standard error.
pub fn outcome(place: &Place, command: &mut Command) -> (ExitStatus, String) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    note(&place.folder, child.id());
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

fn note(folder: &Path, pid: u32) {
    let file = folder.join("pids");
    let before = fs::read_to_string(&file).unwrap_or_default();
    fs::write(file, format!("{before}{pid}\n")).unwrap();
}

/// Started as root, the database runs as another user, who has to pass through.
fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
}

/// The lines that a server wrote, kept as they come.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Keeps all lines, and tells the address once a line says it.
    fn follow(stderr: ChildStderr) -> (Self, Receiver<String>) {
        let log = Self(Arc::default());
        let (said, address) = channel();
        let lines = Arc::clone(&log.0);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap_or_default();
                let message = message["fields"]["message"].as_str().unwrap_or_default();
                if let Some(url) = message.strip_prefix("listening on ") {
                    let _ = said.send(url.to_owned());
                }
                lines.lock().unwrap().push(line);
            }
        });
        (log, address)
    }

    fn complaints(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let calm = |line: &&String| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            !matches!(line["level"].as_str(), Some("INFO" | "DEBUG" | "TRACE"))
        };
        lines.iter().filter(calm).cloned().collect()
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.lock().unwrap().join("\n"))
    }
}
