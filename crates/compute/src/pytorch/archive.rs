//! The two containers that `torch.save` writes: zip archives, and, before PyTorch 1.6, a sequence of pickles.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::error::{PytorchError, Result};
use super::pickle::value::Value;
use super::pickle::{self, Pickle};

/// The first value of a legacy file, an integer.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// The first bytes of a zip archive.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// The magic number of a legacy file ends within this many bytes in every protocol of pickles.
const MAX_MAGIC_BYTES: usize = 64;

/// The unpacked size that is allowed to every archive, however small, in bytes.
const MIN_UNPACKED_LIMIT: usize = 16 * 1024 * 1024;

/// The maximum unpacked size of an archive, as a multiple of its packed size. Weights hardly shrink when they are
/// packed, so only a malicious archive needs more.
const MAX_RATIO: usize = 4;

/// Whether the bytes are a file of `torch.save`, of either kind. A TorchScript archive counts as one, so that the error
/// says what it is.
pub fn is_pytorch(bytes: &[u8]) -> bool {
    if bytes.starts_with(ZIP_MAGIC) {
        Zip::open(bytes).is_ok()
    } else {
        end_of_magic(bytes).is_some()
    }
}

/// The bytes of storages, by key.
pub(super) type Storages<'a> = HashMap<String, Cow<'a, [u8]>>;

/// A file of `torch.save`.
pub(super) enum Container<'a> {
    Zip(Zip<'a>),
    Legacy(Legacy<'a>),
}

impl<'a> Container<'a> {
    /// Opens a file. Its first bytes decide the kind.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Container<'a>> {
        if bytes.starts_with(ZIP_MAGIC) {
            Zip::open(bytes).map(Self::Zip)
        } else {
            Legacy::open(bytes).map(Self::Legacy)
        }
    }
}

/// A zip archive with `name/data.pkl`, and one entry `name/data/key` per storage.
pub(crate) struct Zip<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// The prefix of all names.
    root: Vec<u8>,
    /// How many bytes may still be unpacked.
    bytes_left: usize,
}

impl<'a> Zip<'a> {
    fn open(bytes: &'a [u8]) -> Result<Zip<'a>> {
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(error.to_string()))?;
        let roots = archive
            .file_names_raw()
            .filter_map(|name| name.strip_suffix(b"data.pkl"));
        let root = roots
            .filter(|root| root.is_empty() || root.ends_with(b"/"))
            .min_by_key(|root| root.len())
            .ok_or(PytorchError::NotPytorch)?
            .to_vec();
        let bytes_left = MIN_UNPACKED_LIMIT.max(bytes.len().saturating_mul(MAX_RATIO));
        Ok(Zip {
            archive,
            root,
            bytes_left,
        })
    }

    /// The bytes of `data.pkl`.
    pub(super) fn pickle(&mut self) -> Result<Vec<u8>> {
        let code = [self.root.as_slice(), b"code/"].concat();
        let constants = [self.root.as_slice(), b"constants.pkl"].concat();
        let is_code = |name: &[u8]| name == constants || name.starts_with(&code);
        if self.archive.file_names_raw().any(is_code) {
            return Err(PytorchError::TorchScript);
        }
        self.entry("data.pkl")?.ok_or(PytorchError::NotPytorch)
    }

    /// Whether numbers are big-endian, which archives from some mainframes declare.
    pub(super) fn is_big_endian(&mut self) -> Result<bool> {
        match self.entry("byteorder")?.as_deref() {
            None | Some(b"little") => Ok(false),
            Some(b"big") => Ok(true),
            Some(_) => Err(damaged("its byteorder is neither little nor big")),
        }
    }

    /// The bytes of a storage.
    pub(crate) fn storage(&mut self, key: &str) -> Result<Vec<u8>> {
        let bytes = self.entry(&format!("data/{key}"))?;
        bytes.ok_or_else(|| PytorchError::missing_storage(key))
    }

    fn entry(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let name = [self.root.as_slice(), name.as_bytes()].concat();
        let Some(index) = self.archive.index_for_name_raw(&name) else {
            return Ok(None);
        };
        let unreadable = |why: String| damaged(format!("{}: {why}", String::from_utf8_lossy(&name)));
        let file = self
            .archive
            .by_index(index)
            .map_err(|error| unreadable(error.to_string()))?;
        // The sizes that the archive claims are ignored: only bytes that are really unpacked count, up to the limit.
        let mut bytes = Vec::new();
        let read = file.take(self.bytes_left as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(error.to_string()))?;
        if bytes.len() > self.bytes_left {
            return Err(damaged(format!("it unpacks to more than {MAX_RATIO} times its size")));
        }
        self.bytes_left -= bytes.len();
        Ok(Some(bytes))
    }
}

/// A sequence of pickles (magic number, version, the machine it was written on, the object, the keys of its storages),
/// followed by the storages themselves. Numbers are little-endian on every machine.
pub(super) struct Legacy<'a> {
    bytes: &'a [u8],
    start: usize,
}

impl<'a> Legacy<'a> {
    fn open(bytes: &'a [u8]) -> Result<Legacy<'a>> {
        let start = end_of_magic(bytes).ok_or(PytorchError::NotPytorch)?;
        let version = pickle::read(bytes, start)?;
        if version.values.count(version.root) != Some(1001) {
            return Err(PytorchError::Pickle {
                offset: start,
                what: "the version of the format is not 1001".to_owned(),
            });
        }
        let machine = pickle::read(bytes, version.end)?;
        Ok(Legacy {
            bytes,
            start: machine.end,
        })
    }

    /// The object, and the bytes of its storages by key.
    pub(super) fn read(&self) -> Result<(Pickle<'a>, Storages<'a>)> {
        let object = pickle::read(self.bytes, self.start)?;
        let keys = pickle::read(self.bytes, object.end)?;
        let mut sizes = HashMap::new();
        for storage in object.values.storages() {
            if let Some(key) = object.values.text(storage.key) {
                let size = storage.element.map_or(1, |element| element.size());
                sizes.entry(key).or_insert(size);
            }
        }
        let mut storages = Storages::new();
        let mut rest = self.bytes.get(keys.end..).unwrap_or_default();
        for &key in keys.values.sequence(keys.root).unwrap_or_default() {
            let key = keys.values.text(key).unwrap_or_default();
            let size = *sizes.get(key).ok_or_else(|| PytorchError::missing_storage(key))?;
            let (data, after) = split_counted(rest, size).ok_or_else(|| PytorchError::missing_storage(key))?;
            storages.insert(key.to_owned(), Cow::Borrowed(data));
            rest = after;
        }
        Ok((object, storages))
    }
}

/// The offset of the byte after the magic number; `None` if the file is not a legacy file.
fn end_of_magic(bytes: &[u8]) -> Option<usize> {
    let first = pickle::read(bytes.get(..MAX_MAGIC_BYTES.min(bytes.len()))?, 0).ok()?;
    matches!(first.values.get(first.root), Value::Integer(MAGIC)).then_some(first.end)
}

/// Splits off elements that are preceded by their count.
fn split_counted(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (count, bytes) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(i64::from_le_bytes(*count)).ok()?.checked_mul(size)?;
    bytes.split_at_checked(length)
}

fn damaged(what: impl Into<String>) -> PytorchError {
    PytorchError::Archive { what: what.into() }
}
