//! The log of a server that did not start.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Maximum number of lines of a log that are shown.
const MAX_LINES: usize = 15;
/// Maximum number of bytes that are read from the end of each file.
const MAX_BYTES: u64 = 8192;

/// The last lines of the server's output and of its newest log file.
pub(super) fn last_lines(messages: &Path, cluster: &Path) -> String {
    let files = [Some(messages.to_path_buf()), newest_in(&cluster.join("log"))];
    let text: Vec<String> = files.into_iter().flatten().filter_map(|path| end_of(&path)).collect();
    let lines: Vec<&str> = text.iter().flat_map(|text| text.lines()).collect();
    if lines.is_empty() {
        return "(it is empty)".to_owned();
    }
    lines[lines.len().saturating_sub(MAX_LINES)..].join("\n")
}

fn newest_in(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    files
        .max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok())
        .map(|file| file.path())
}

fn end_of(path: &Path) -> Option<String> {
    // The folder belongs to the user of the database. Root must not follow a link that was planted there.
    let flags = OFlag::O_NOFOLLOW.bits();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    Some(String::from_utf8_lossy(&end).into_owned())
}
