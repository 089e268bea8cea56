//! The server process: starting it, stopping it, and ending one that an earlier run left behind.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::account::Account;
use super::error::{EmbeddedError, io_error};
use super::installation::Installation;

/// PostgreSQL's three ways to shut down that matter here: orderly, at once (the next start recovers from the log), and
/// by force; each with how long it is given.
const SHUTDOWN: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// How often something outside this process is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a server is started with.
pub(super) struct Launch<'a> {
    pub installation: &'a Installation,
    pub account: &'a Account,
    /// The cluster's folder.
    pub cluster: &'a Path,
    /// The configuration file.
    pub configuration: &'a Path,
    /// The folder for the socket.
    pub socket_folder: &'a Path,
    /// Takes what the server says before its own log begins.
    pub messages: File,
}

/// A running server. Dropping it tells it to stop at once.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
}

impl Postmaster {
    pub fn launch(launch: Launch<'_>) -> Result<Postmaster, EmbeddedError> {
        let program = launch.installation.program("postgres");
        let and_again = launch
            .messages
            .try_clone()
            .map_err(io_error("open the start log for", &program))?;
        let child = launch
            .account
            .command(&program, launch.cluster)
            .arg("-D")
            .arg(launch.cluster)
            .arg("-c")
            .arg(join("config_file=", launch.configuration, ""))
            .args([
                "-p",
                "5432",
                "-c",
                "listen_addresses=",
                "-c",
                "unix_socket_permissions=0700",
                "-c",
            ])
            // A list of folders; the quotes keep a comma in this one from dividing it.
            .arg(join("unix_socket_directories=\"", launch.socket_folder, "\""))
            // Ctrl-C in a terminal reaches the whole group: in one of its own, the server outlives our own shutdown.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(and_again)
            .stderr(launch.messages)
            .spawn()
            .map_err(io_error("start", &program))?;
        Ok(Postmaster { child })
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Stops it in the most orderly way that works.
    pub async fn stop(mut self) {
        for (signal, patience) in SHUTDOWN {
            self.send(signal);
            if timeout(patience, self.child.wait()).await.is_ok() {
                return;
            }
            tracing::warn!(%signal, "PostgreSQL does not stop");
        }
    }

    fn send(&self, signal: Signal) {
        // No number once it has ended and was waited for; then there is nobody to tell.
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may end at this very moment, which is what was wanted.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.send(Signal::SIGQUIT);
    }
}

/// Stops the server that a killed run left on this cluster, if there is one. The caller holds the data directory's
/// lock, so whatever still runs there belongs to nobody.
///
/// It is stopped rather than adopted: a server of our own has the settings and the version of this installation, can
/// be waited for, and takes two seconds to start.
pub(super) async fn stop_leftover(cluster: &Path) -> Result<(), EmbeddedError> {
    let pid_file = cluster.join("postmaster.pid");
    let Some(pid) = first_line_number(&pid_file) else {
        return wait_until_deserted(cluster).await;
    };
    if !Path::new("/proc").join(pid.to_string()).exists() {
        // PostgreSQL itself checks and removes the file of a process that is gone.
        return wait_until_deserted(cluster).await;
    }
    if !serves(pid, cluster) {
        // After a crash the number went to another program, for whose sake PostgreSQL would refuse to start.
        tracing::info!(pid, "removing the PID file of a PostgreSQL that is gone");
        fs::remove_file(&pid_file).map_err(io_error("remove", &pid_file))?;
        return wait_until_deserted(cluster).await;
    }
    tracing::warn!(pid, "stopping a PostgreSQL that an earlier run left behind");
    for (signal, patience) in SHUTDOWN {
        let _ = kill(Pid::from_raw(pid), signal);
        if comes_true(patience, || !serves(pid, cluster)).await {
            return wait_until_deserted(cluster).await;
        }
    }
    Err(EmbeddedError::Leftover {
        cluster: cluster.to_path_buf(),
        pid,
    })
}

/// When a postmaster is killed its children end by themselves, but not before they notice.
async fn wait_until_deserted(cluster: &Path) -> Result<(), EmbeddedError> {
    if comes_true(Duration::from_secs(10), || inhabitant(cluster).is_none()).await {
        return Ok(());
    }
    match inhabitant(cluster) {
        Some(pid) => Err(EmbeddedError::Leftover {
            cluster: cluster.to_path_buf(),
            pid,
        }),
        None => Ok(()),
    }
}

async fn comes_true(patience: Duration, condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        sleep(LOOK_AGAIN).await;
    }
    true
}

/// Some PostgreSQL process that works in the cluster's folder.
fn inhabitant(cluster: &Path) -> Option<i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|&pid| is_postgres(pid) && works_in(pid, cluster).unwrap_or(false))
}

/// Whether the process is a PostgreSQL server of this cluster.
fn serves(pid: i32, cluster: &Path) -> bool {
    // Without a capability that containers lack, root may not see where another user's process works. The command
    // line is open to all, and only the first process of a server keeps it.
    is_postgres(pid) && works_in(pid, cluster).unwrap_or_else(|| was_started_for(pid, cluster))
}

fn is_postgres(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "postgres")
}

/// Whether the process works in the folder; `None` if we may not know.
fn works_in(pid: i32, folder: &Path) -> Option<bool> {
    match fs::metadata(format!("/proc/{pid}/cwd")) {
        Ok(found) => Some(fs::metadata(folder).is_ok_and(|it| (it.dev(), it.ino()) == (found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        // It has ended, and only waits for its parent to notice.
        Err(_) => Some(false),
    }
}

fn was_started_for(pid: i32, cluster: &Path) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = words.split(|&byte| byte == 0).collect();
    words
        .windows(2)
        .any(|pair| pair[0] == b"-D" && pair[1] == cluster.as_os_str().as_encoded_bytes())
}

fn first_line_number(path: &PathBuf) -> Option<i32> {
    fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok()
}

fn join(before: &str, path: &Path, after: &str) -> OsString {
    let mut joined = OsString::from(before);
    joined.push(path);
    joined.push(after);
    joined
}
