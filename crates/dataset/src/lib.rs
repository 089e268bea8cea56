//! Imports data sets from files in published formats, and contains the digits that come with SCV.

use bytes::Bytes;

use scv_domain::dataset::{DatasetError, NewDataset};
use scv_domain::dataset_source::DatasetSource;

mod digits;
mod idx;
mod preset;

pub use digits::{DIGITS_NAME, digits};
pub use idx::{IdxContent, IdxError, IdxFile};
pub use preset::{IDX_PRESETS, IdxPreset};

/// Checks what can be checked without reading whole files: their headers, the class names and the statistics. Returns the bytes of
/// memory that [`read`] takes.
///
/// # Errors
/// The first error, with the file and the position.
pub fn check(source: &DatasetSource<Bytes>) -> Result<u64, ImportError> {
    match source {
        DatasetSource::Digits(_) => Ok(0),
        DatasetSource::Idx(import) => idx::check(import),
    }
}

/// Reads and checks a data set. This blocks for seconds for a large data set, so asynchronous code must call it on a thread for
/// blocking work. `step` is called before each part with the share of the work that is done; the reading ends with its error.
///
/// # Errors
/// A file is invalid, or the files do not form a valid data set.
pub fn read<E: From<ImportError>>(
    source: DatasetSource<Bytes>,
    step: impl Fn(f64) -> Result<(), E>,
) -> Result<NewDataset, E> {
    match source {
        DatasetSource::Digits(name) => Ok(digits().with_name(name)),
        DatasetSource::Idx(import) => idx::read(*import, step),
    }
}

/// Why a data set could not be imported. Every variant is the caller's to fix.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file is invalid.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Each file is valid, but together they are not a valid data set.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}
