//! Data sets from files in published formats.

use scv_domain::dataset::{DatasetError, DatasetName, NewDataset};

mod digits;
mod idx;
mod preset;

pub use digits::{DIGITS_NAME, digits};
pub use idx::{IdxContent, IdxError, IdxFile, IdxFiles, IdxImport};
pub use preset::{IDX_PRESETS, IdxPreset};

/// Where a data set comes from.
pub enum DatasetSource {
    /// The digits that come with the program, under a name.
    Digits(DatasetName),
    /// Four IDX files.
    Idx(Box<IdxImport>),
}

impl DatasetSource {
    /// Reads and checks everything. It computes for as long as a second for a large data set, so
    /// asynchronous code calls it on a thread for blocking work.
    ///
    /// # Errors
    /// What is wrong with a file, or with the data set that the files make together.
    pub fn read(self) -> Result<NewDataset, ImportError> {
        match self {
            Self::Digits(name) => Ok(digits().named(name)),
            Self::Idx(import) => import.read(),
        }
    }
}

/// Why a data set could not be imported. Every variant is the giver's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file is at fault.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// The files are good one by one, but make no data set.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}
