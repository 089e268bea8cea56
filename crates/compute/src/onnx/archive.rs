//! Unpacks the zip of an upload.

use std::io::{Cursor, Read as _};

use super::external::{NamedFile, base_name, escapes_folder};
use crate::error::OnnxError;
use scv_memory::Reservation;

/// The maximum unpacked size of a zip in bytes: that of the largest possible upload.
const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// The maximum unpacked size of a zip, as a multiple of its packed size. Trained weights hardly shrink; the names of a
/// graph shrink by a factor of about ten.
const MAX_RATIO: u64 = 100;

/// The unpacked size that is allowed to every zip, however small, in bytes.
const MIN_UNPACKED_LIMIT: u64 = 1 << 20;

/// The files in a zip, with their paths.
///
/// # Errors
/// It is damaged, unpacks to too much or to more than there is memory, or holds paths outside of it.
pub(super) fn unzip(bytes: &[u8], memory: &Reservation) -> Result<Vec<NamedFile>, OnnxError> {
    let unreadable = |error: &dyn std::fmt::Display| OnnxError::Unreadable(format!("the zip is damaged: {error}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
    let mut files = Vec::new();
    let limit = MAX_UNPACKED_BYTES.min(MIN_UNPACKED_LIMIT.max(MAX_RATIO * bytes.len() as u64));
    let mut left = limit;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
        if !entry.is_file() {
            continue;
        }
        let name = entry.name().map_err(|error| unreadable(&error))?.into_owned();
        if escapes_folder(&name) {
            return Err(OnnxError::Unreadable(format!(
                "the zip holds {name:?}, a path outside of it: zip the network's own folder"
            )));
        }
        if base_name(&name).starts_with('.') {
            // Desktops leave such files in their archives.
            continue;
        }
        let size = entry.size();
        left = left.checked_sub(size).ok_or_else(|| {
            OnnxError::Unreadable(format!(
                "the zip unpacks to more than {limit} bytes; the limits are {MAX_RATIO} times its size and \
                     {MAX_UNPACKED_BYTES} bytes: upload the files themselves"
            ))
        })?;
        memory.grow(size)?;
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        // What the zip says is not trusted: no more is unpacked than was taken.
        let read = entry
            .by_ref()
            .take(size + 1)
            .read_to_end(&mut content)
            .map_err(|error| unreadable(&error))?;
        if read as u64 != size {
            return Err(unreadable(&format!(
                "{name:?} does not have the {size} bytes that it declares"
            )));
        }
        files.push(NamedFile {
            name,
            bytes: content.into(),
        });
    }
    Ok(files)
}
