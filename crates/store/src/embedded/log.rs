//! What the server said when it did not start.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// How much of a log is shown.
const LINES: usize = 15;
const BYTES: u64 = 8192;

/// The end of what the server printed and of its newest log file.
pub(super) fn last_lines(messages: &Path, cluster: &Path) -> String {
    let files = [Some(messages.to_path_buf()), newest_in(&cluster.join("log"))];
    let text: Vec<String> = files.into_iter().flatten().filter_map(|path| end_of(&path)).collect();
    let lines: Vec<&str> = text.iter().flat_map(|text| text.lines()).collect();
    if lines.is_empty() {
        return "(it is empty)".to_owned();
    }
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn newest_in(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    files
        .max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok())
        .map(|file| file.path())
}

fn end_of(path: &Path) -> Option<String> {
    // The folder belongs to the database's user: as root we do not follow a link that somebody may have planted there.
    let flags = OFlag::O_NOFOLLOW.bits();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    Some(String::from_utf8_lossy(&end).into_owned())
}
