//! `.npz`: a zip archive of `.npy` files, stored or deflated, one for each array.
//!
//! What an archive claims is held against what is there before it is believed: numbers against the
//! size of their entry, and the size of an entry against the most that its compressed bytes can
//! become. Nothing is inflated beyond the numbers that the header of an array declares.

use std::collections::HashSet;
use std::io::{self, Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::error::ActivationError;
use super::judge::Judge;
use super::npy::{self, Header};
use super::numbers::Layout;
use super::{Array, MAX_LAYERS, Source};

/// What an archive with entries begins with, and an empty one.
pub(super) const MAGICS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// What the record of every entry in the directory begins with.
const RECORD_MAGIC: [u8; 4] = *b"PK\x01\x02";

/// Bytes of a record before the name of its entry.
const RECORD_BYTES: usize = 46;

/// Signatures that may be in the numbers by chance, beside those of the entries.
const STRAY_MAGICS: usize = 64;

/// Most bytes that one deflated byte can become.
const BEST_DEFLATE_RATIO: u64 = 1_032;

const ENDS_EARLY: &str = "it ends before the last number that its header declares";

/// An archive in memory. A clone shares the list of entries and reads on its own.
pub(super) type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Reads the headers of all arrays, in the order of the archive.
pub(super) fn open<'a>(bytes: &'a [u8], judge: &mut Judge) -> Option<(Source<'a>, Vec<Array>)> {
    // Counted beforehand: the list of a million entries would take more memory than their file.
    let entries = bytes.windows(4).filter(|&four| four == RECORD_MAGIC).count();
    if entries > MAX_LAYERS + STRAY_MAGICS {
        judge.count(entries);
        return None;
    }
    let mut archive = match ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(error) => {
            let fault = ActivationError::unreadable_file(format!("the zip archive is damaged ({error})"));
            judge.errors.push(fault);
            return None;
        }
    };
    judge.count(archive.len());
    if archive.has_duplicate_names() {
        // The archive keeps the last of them only.
        let directory = bytes.get(archive.central_directory_start() as usize..);
        repeated_names(directory.unwrap_or_default(), judge);
    }
    let size = bytes.len() as u64;
    let arrays = (0..archive.len().min(MAX_LAYERS))
        .filter_map(|index| array(&mut archive, index, size, judge))
        .collect();
    Some((Source::Npz(archive), arrays))
}

/// Finds the names that occur twice in the directory of an archive.
fn repeated_names(mut directory: &[u8], judge: &mut Judge) {
    let length = |record: &[u8], at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
    let mut seen = HashSet::new();
    while let Some(record) = directory.get(..RECORD_BYTES) {
        let name_length = length(record, 28);
        let rest = &directory[RECORD_BYTES..];
        let name = rest.get(..name_length).unwrap_or(rest);
        if !record.starts_with(&RECORD_MAGIC) {
            return;
        }
        if !seen.insert(name) {
            let name = String::from_utf8_lossy(name);
            judge.repeated(name.strip_suffix(".npy").unwrap_or(&name));
        }
        let further = name_length + length(record, 30) + length(record, 32);
        directory = rest.get(further..).unwrap_or_default();
    }
}

/// Reads and judges the header of one array; nothing if a fault was found.
fn array(archive: &mut Archive<'_>, index: usize, file_bytes: u64, judge: &mut Judge) -> Option<Array> {
    let before = judge.errors.len();
    let full_name = match archive.name_for_index(index) {
        Some(Ok(name)) => name.into_owned(),
        _ => format!("number {index}"),
    };
    let Some(name) = full_name.strip_suffix(".npy") else {
        judge.stray_file(&full_name);
        return None;
    };
    judge.name(name);
    let (layout, entry) = match header(archive, index) {
        Ok((header, entry)) => {
            judge.shape(name, &header.shape);
            match header.layout() {
                Ok(layout) => (layout, entry),
                Err(dtype) => {
                    judge.dtype(name, &dtype);
                    return None;
                }
            }
        }
        Err(actual) => {
            judge.errors.push(ActivationError::unreadable_array(name, actual));
            return None;
        }
    };
    let declared = judge.size(name, &layout)?;
    if declared != entry.numbers
        || entry.packed > file_bytes
        || entry.unpacked > entry.packed.saturating_mul(entry.ratio)
    {
        let actual = format!(
            "its header declares {declared} bytes of numbers, but its entry of {} bytes claims {} of them",
            entry.packed, entry.numbers
        );
        judge.errors.push(ActivationError::unreadable_array(name, actual));
    }
    (judge.errors.len() == before).then(|| Array::new(name, layout, index))
}

/// What the archive claims of an entry, in bytes.
struct Claims {
    packed: u64,
    unpacked: u64,
    /// What is unpacked, without the header.
    numbers: u64,
    /// The most that a byte of it can become.
    ratio: u64,
}

fn header(archive: &mut Archive<'_>, index: usize) -> Result<(Header, Claims), String> {
    let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
    let header = npy::read_header(&mut entry).map_err(|error| error.to_string())?;
    let claims = Claims {
        packed: entry.compressed_size(),
        unpacked: entry.size(),
        numbers: entry.size().saturating_sub(header.length),
        ratio: match entry.compression() {
            CompressionMethod::Stored => 1,
            _ => BEST_DEFLATE_RATIO,
        },
    };
    Ok((header, claims))
}

/// Reads the numbers of an array and makes sure that nothing follows.
///
/// # Errors
/// Damage that only shows in the numbers, such as a wrong checksum.
pub(super) fn read(archive: &Archive<'_>, index: usize, layout: &Layout) -> Result<Vec<f32>, String> {
    let mut archive = archive.clone();
    let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
    npy::read_header(&mut entry).map_err(|error| error.to_string())?;
    let numbers = layout.read(&mut entry).map_err(|error| in_words(&error))?;
    end(&mut entry)?;
    Ok(numbers)
}

/// Reads as [`read`] does, and keeps nothing.
///
/// # Errors
/// Those of [`read`].
pub(super) fn verify(archive: &Archive<'_>, index: usize, layout: &Layout) -> Result<(), String> {
    let mut archive = archive.clone();
    let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
    npy::read_header(&mut entry).map_err(|error| error.to_string())?;
    let declared = layout.bytes().unwrap_or(u64::MAX);
    let read = io::copy(&mut entry.by_ref().take(declared), &mut io::sink()).map_err(|error| in_words(&error))?;
    if read < declared {
        return Err(ENDS_EARLY.to_owned());
    }
    end(&mut entry)
}

/// The checksum is compared when the end is met.
fn end(entry: &mut impl Read) -> Result<(), String> {
    match entry.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err("more bytes follow than its header declares".to_owned()),
        Err(error) => Err(in_words(&error)),
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ENDS_EARLY.to_owned(),
        _ => error.to_string(),
    }
}
