//! `.npz`: a zip archive of `.npy` files, stored or deflated, one for each array.
//!
//! The claims of an archive are checked before they are trusted: the numbers against the size of their entry, and the
//! size of an entry against the maximum that its compressed bytes can expand to. Nothing is inflated beyond the numbers
//! that the header of an array declares.

use std::collections::HashSet;
use std::io::{self, Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::array::Array;
use super::check_arrays::ArrayChecker;
use super::limits::MAX_LAYERS;
use super::npy::{self, Header};
use super::numbers::ArrayLayout;
use crate::error::ActivationError;
use crate::file_kind::{ZIP_RECORD_MAGIC, count_zip_records};

/// The first bytes of an archive with entries, and of an empty one.
pub(super) const MAGICS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// The size of a record up to the name of its entry, in bytes.
const RECORD_BYTES: usize = 46;

/// How many signatures may occur in the numbers by chance, in addition to those of the records.
const MAX_STRAY_MAGICS: usize = 64;

/// The maximum number of bytes that one deflated byte can expand to.
const MAX_DEFLATE_RATIO: u64 = 1_032;

const ENDS_EARLY: &str = "it ends before the last number that its header declares";

/// An archive in memory. A clone shares the list of entries but has its own read position.
pub(super) type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Reads the headers of all arrays, in the order of the archive.
pub(super) fn open<'a>(bytes: &'a [u8], checker: &mut ArrayChecker) -> Option<(Archive<'a>, Vec<Array>)> {
    let entries = count_zip_records(bytes);
    if entries > MAX_LAYERS + MAX_STRAY_MAGICS {
        checker.check_count(entries);
        return None;
    }
    let mut archive = match ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(error) => {
            let error = ActivationError::unreadable_file(format!("the zip archive is damaged ({error})"));
            checker.errors.push(error);
            return None;
        }
    };
    checker.check_count(archive.len());
    if archive.has_duplicate_names() {
        // `ZipArchive` keeps only the last entry of a name.
        let directory = bytes.get(archive.central_directory_start() as usize..);
        report_duplicate_names(directory.unwrap_or_default(), checker);
    }
    let size = bytes.len() as u64;
    let arrays = (0..archive.len().min(MAX_LAYERS))
        .filter_map(|index| array(&mut archive, index, size, checker))
        .collect();
    Some((archive, arrays))
}

/// Reports the names that occur more than once in the directory of an archive.
fn report_duplicate_names(mut directory: &[u8], checker: &mut ArrayChecker) {
    let length = |record: &[u8], at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
    let mut seen = HashSet::new();
    while let Some(record) = directory.get(..RECORD_BYTES) {
        let name_length = length(record, 28);
        let rest = &directory[RECORD_BYTES..];
        let name = rest.get(..name_length).unwrap_or(rest);
        if !record.starts_with(&ZIP_RECORD_MAGIC) {
            return;
        }
        if !seen.insert(name) {
            let name = String::from_utf8_lossy(name);
            checker.report_duplicate(name.strip_suffix(".npy").unwrap_or(&name));
        }
        let to_next = name_length + length(record, 30) + length(record, 32);
        directory = rest.get(to_next..).unwrap_or_default();
    }
}

/// Reads and checks the header of one array; `None` if it has an error.
fn array(archive: &mut Archive<'_>, index: usize, file_bytes: u64, checker: &mut ArrayChecker) -> Option<Array> {
    let before = checker.errors.len();
    let full_name = match archive.name_for_index(index) {
        Some(Ok(name)) => name.into_owned(),
        _ => format!("number {index}"),
    };
    let Some(name) = full_name.strip_suffix(".npy") else {
        checker.report_stray_file(&full_name);
        return None;
    };
    checker.check_name(name);
    let (layout, entry) = match header(archive, index) {
        Ok((header, entry)) => {
            checker.check_shape(name, &header.shape);
            match header.layout() {
                Ok(layout) => (layout, entry),
                Err(dtype) => {
                    checker.report_dtype(name, &dtype);
                    return None;
                }
            }
        }
        Err(actual) => {
            checker.errors.push(ActivationError::unreadable_array(name, actual));
            return None;
        }
    };
    let declared = checker.check_size(name, &layout)?;
    if declared != entry.numbers
        || entry.packed > file_bytes
        || entry.unpacked > entry.packed.saturating_mul(entry.max_ratio)
    {
        let actual = format!(
            "its header declares {declared} bytes of numbers, but its entry of {} bytes claims to hold {}",
            entry.packed, entry.numbers
        );
        checker.errors.push(ActivationError::unreadable_array(name, actual));
    }
    (checker.errors.len() == before).then(|| Array::new(name, layout, index))
}

/// The sizes that the archive claims for an entry, in bytes.
struct Claims {
    packed: u64,
    unpacked: u64,
    /// The unpacked size without the header.
    numbers: u64,
    /// The maximum number of bytes that one packed byte can expand to.
    max_ratio: u64,
}

fn header(archive: &mut Archive<'_>, index: usize) -> Result<(Header, Claims), String> {
    let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
    let header = npy::read_header(&mut entry).map_err(|error| error.to_string())?;
    let claims = Claims {
        packed: entry.compressed_size(),
        unpacked: entry.size(),
        numbers: entry.size().saturating_sub(header.length),
        max_ratio: match entry.compression() {
            CompressionMethod::Stored => 1,
            _ => MAX_DEFLATE_RATIO,
        },
    };
    Ok((header, claims))
}

/// Reads the numbers of an array, and checks that no bytes follow them.
///
/// # Errors
/// Damage that shows only when the numbers are read, such as a wrong checksum.
pub(super) fn read(archive: &Archive<'_>, index: usize, layout: &ArrayLayout) -> Result<Vec<f32>, String> {
    let mut archive = archive.clone();
    let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
    npy::read_header(&mut entry).map_err(|error| error.to_string())?;
    let numbers = layout.read(&mut entry).map_err(|error| message(&error))?;
    check_end(&mut entry)?;
    Ok(numbers)
}

/// Reads the numbers like [`read`], without keeping them.
///
/// # Errors
/// Those of [`read`].
pub(super) fn verify(archive: &Archive<'_>, index: usize, layout: &ArrayLayout) -> Result<(), String> {
    let mut archive = archive.clone();
    let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
    npy::read_header(&mut entry).map_err(|error| error.to_string())?;
    let declared = layout.bytes().unwrap_or(u64::MAX);
    let read = io::copy(&mut entry.by_ref().take(declared), &mut io::sink()).map_err(|error| message(&error))?;
    if read < declared {
        return Err(ENDS_EARLY.to_owned());
    }
    check_end(&mut entry)
}

/// Checks that the entry ends here. The archive compares its checksum at this point.
fn check_end(entry: &mut impl Read) -> Result<(), String> {
    match entry.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err("it holds more bytes than its header declares".to_owned()),
        Err(error) => Err(message(&error)),
    }
}

fn message(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ENDS_EARLY.to_owned(),
        _ => error.to_string(),
    }
}
