//! Imports data sets from files in published formats, and contains the digits that come with SCV.

use scv_domain::dataset::{DatasetError, DatasetName, NewDataset};

mod digits;
mod idx;
mod preset;

pub use digits::{DIGITS_NAME, digits};
pub use idx::{IdxContent, IdxError, IdxFile, IdxFiles, IdxImport};
pub use preset::{IDX_PRESETS, IdxPreset};

/// Where a data set comes from.
pub enum DatasetSource {
    /// The digits that come with SCV, under the given name.
    Digits(DatasetName),
    /// Four IDX files.
    Idx(Box<IdxImport>),
}

impl DatasetSource {
    /// Reads and checks the data set. This blocks for up to a second for a large data set, so
    /// asynchronous code must call it on a thread for blocking work.
    ///
    /// # Errors
    /// A file is invalid, or the files do not form a valid data set.
    pub fn read(self) -> Result<NewDataset, ImportError> {
        match self {
            Self::Digits(name) => Ok(digits().with_name(name)),
            Self::Idx(import) => import.read(),
        }
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
