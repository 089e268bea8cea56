//! The server process: starting it, stopping it, and stopping one that an earlier run left behind.

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

/// The steps of a shutdown with their timeouts: orderly, immediate (the next start recovers from the log), and by force.
const SHUTDOWN: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// How often the state of other processes is polled.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The parameters for starting a server.
pub(super) struct Launch<'a> {
    pub installation: &'a Installation,
    pub account: &'a Account,
    /// The cluster's folder.
    pub cluster: &'a Path,
    /// The configuration file.
    pub configuration: &'a Path,
    /// The folder for the socket.
    pub socket_folder: &'a Path,
    /// Receives the output of the server until its own log begins.
    pub messages: File,
}

/// A running server. Dropping it makes the server stop immediately.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
}

impl Postmaster {
    pub fn launch(launch: Launch<'_>) -> Result<Postmaster, EmbeddedError> {
        let program = launch.installation.program("postgres");
        let stdout = launch
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
            // The value is a list of folders; quotes, because the path may contain a comma.
            .arg(join("unix_socket_directories=\"", launch.socket_folder, "\""))
            // Ctrl-C in a terminal signals the whole process group. In its own group, the server outlives our shutdown.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(launch.messages)
            .spawn()
            .map_err(io_error("start", &program))?;
        Ok(Postmaster { child })
    }

    /// The exit status, if the server has exited.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the server has exited. The status is not known if another part of the program has collected it.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    /// Stops the server in the most orderly way that works.
    pub async fn stop(mut self) {
        for (signal, limit) in SHUTDOWN {
            self.send(signal);
            if timeout(limit, self.child.wait()).await.is_ok() {
                return;
            }
            tracing::warn!(%signal, "PostgreSQL did not stop in time");
        }
    }

    fn send(&self, signal: Signal) {
        // There is no process number after the server has exited and was waited for.
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // This fails if the server has just exited, which is what we want.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.send(Signal::SIGQUIT);
    }
}

/// Stops the server that a killed run left on this cluster, if there is one. The caller holds the lock of the data directory,
/// so no other SCV uses that server.
///
/// It is not adopted, because a new server has the settings and the version of this installation, can be waited for, and takes
/// two seconds to start.
pub(super) async fn stop_leftover(cluster: &Path) -> Result<(), EmbeddedError> {
    let pid_file = cluster.join("postmaster.pid");
    let Some(pid) = first_line_number(&pid_file) else {
        return wait_until_unused(cluster).await;
    };
    if !Path::new("/proc").join(pid.to_string()).exists() {
        // PostgreSQL itself checks and removes the file of a process that does not exist.
        return wait_until_unused(cluster).await;
    }
    if !serves(pid, cluster) {
        // After a crash, another program got the process number. PostgreSQL would refuse to start because of it.
        tracing::info!(pid, "removing the PID file of a PostgreSQL that no longer runs");
        fs::remove_file(&pid_file).map_err(io_error("remove", &pid_file))?;
        return wait_until_unused(cluster).await;
    }
    tracing::warn!(pid, "stopping a PostgreSQL that an earlier run left behind");
    for (signal, limit) in SHUTDOWN {
        let _ = kill(Pid::from_raw(pid), signal);
        if wait_for(limit, || !serves(pid, cluster)).await {
            return wait_until_unused(cluster).await;
        }
    }
    Err(EmbeddedError::Leftover {
        cluster: cluster.to_path_buf(),
        pid,
    })
}

/// Waits for the children of a killed postmaster, which exit when they notice that it is gone.
async fn wait_until_unused(cluster: &Path) -> Result<(), EmbeddedError> {
    if wait_for(Duration::from_secs(10), || process_in(cluster).is_none()).await {
        return Ok(());
    }
    match process_in(cluster) {
        Some(pid) => Err(EmbeddedError::Leftover {
            cluster: cluster.to_path_buf(),
            pid,
        }),
        None => Ok(()),
    }
}

/// Polls a condition. Returns whether it became true within the time limit.
async fn wait_for(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        sleep(POLL_INTERVAL).await;
    }
    true
}

/// A PostgreSQL process whose working directory is the folder of the cluster.
fn process_in(cluster: &Path) -> Option<i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|&pid| is_postgres(pid) && works_in(pid, cluster).unwrap_or(false))
}

/// Whether the process is the PostgreSQL server of this cluster.
fn serves(pid: i32, cluster: &Path) -> bool {
    // Without a capability that containers lack, root may not read the working directory of another user's process. All users
    // may read the command line, and only the first process of a server keeps it.
    is_postgres(pid) && works_in(pid, cluster).unwrap_or_else(|| was_started_for(pid, cluster))
}

fn is_postgres(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "postgres")
}

/// Whether the folder is the working directory of the process. `None` if we may not read it.
fn works_in(pid: i32, folder: &Path) -> Option<bool> {
    match fs::metadata(format!("/proc/{pid}/cwd")) {
        Ok(found) => Some(fs::metadata(folder).is_ok_and(|it| (it.dev(), it.ino()) == (found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        // The process has exited, and its parent has not collected its status yet.
        Err(_) => Some(false),
    }
}

fn was_started_for(pid: i32, cluster: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments: Vec<&[u8]> = arguments.split(|&byte| byte == 0).collect();
    arguments
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
