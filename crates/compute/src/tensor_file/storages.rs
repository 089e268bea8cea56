//! The bytes that tensors are read from.

use std::borrow::Cow;
use std::collections::HashMap;

use super::entry::{Entry, element_count};
use super::numbers::numbers;
use crate::pytorch::archive::Zip;
use crate::pytorch::error::PytorchError;

/// The bytes of storages, by key. Those of a zip archive are unpacked when they are needed.
pub(crate) struct Storages<'a> {
    held: HashMap<String, Cow<'a, [u8]>>,
    archive: Option<Zip<'a>>,
    is_big_endian: bool,
    /// How many numbers may still be read. Views can overlap; together they may not have more numbers than the file or
    /// its unpacked storages have bytes.
    numbers_left: usize,
    /// The bytes for which numbers were granted.
    file_bytes: usize,
    unpacked_bytes: usize,
}

impl<'a> Storages<'a> {
    /// No storages yet, of a file of this size.
    pub(crate) fn new(file_bytes: usize) -> Self {
        Self {
            held: HashMap::new(),
            archive: None,
            is_big_endian: false,
            numbers_left: file_bytes,
            file_bytes,
            unpacked_bytes: 0,
        }
    }

    /// Those of an archive of this size.
    pub(crate) fn of_archive(archive: Zip<'a>, is_big_endian: bool, file_bytes: usize) -> Self {
        Self {
            archive: Some(archive),
            is_big_endian,
            ..Self::new(file_bytes)
        }
    }

    pub(crate) fn hold(&mut self, key: &str, bytes: Cow<'a, [u8]>) {
        self.held.insert(key.to_owned(), bytes);
    }

    /// The numbers of a tensor in row-major order; `None` if they are not floating point numbers.
    ///
    /// # Errors
    /// If they are not in the file, or if its tensors repeat its numbers too often.
    pub(crate) fn numbers(&mut self, entry: &Entry) -> Result<Option<Vec<f32>>, PytorchError> {
        if !entry.element.is_float() {
            return Ok(None);
        }
        let wrong = |what: String| PytorchError::Tensor {
            key: entry.key.clone(),
            what,
        };
        let count = element_count(&entry.shape).unwrap_or(usize::MAX);
        let (bytes, is_big_endian) = self.take(&entry.place.storage, count)?.ok_or_else(|| {
            wrong("it repeats the numbers of its storage too often; save a copy, with .contiguous()".to_owned())
        })?;
        numbers(entry, bytes, is_big_endian).map(Some).map_err(wrong)
    }

    /// The bytes of a storage from which `count` numbers will be read, and whether they are big-endian. `None` if too many
    /// numbers were read.
    fn take(&mut self, key: &str, count: usize) -> Result<Option<(&[u8], bool)>, PytorchError> {
        if !self.held.contains_key(key) {
            self.unpack(key)?;
        }
        let Some(left) = self.numbers_left.checked_sub(count) else {
            return Ok(None);
        };
        self.numbers_left = left;
        Ok(self.held.get(key).map(|bytes| (bytes.as_ref(), self.is_big_endian)))
    }

    fn unpack(&mut self, key: &str) -> Result<(), PytorchError> {
        let Some(archive) = &mut self.archive else {
            return Err(PytorchError::missing_storage(key));
        };
        let bytes = archive.storage(key)?;
        let before = self.unpacked_bytes.max(self.file_bytes);
        self.unpacked_bytes += bytes.len();
        self.numbers_left += self.unpacked_bytes.max(self.file_bytes) - before;
        self.held.insert(key.to_owned(), Cow::Owned(bytes));
        Ok(())
    }
}
