//! IDX, the format of MNIST and its kin, raw or gzipped.
//!
//! Two zero bytes, a byte for the type of the numbers (8: unsigned bytes), a byte for the number of
//! dimensions, each dimension as a big-endian u32, then the numbers, the last dimension fastest.

use bytes::Bytes;

use scv_domain::dataset::{DatasetDraft, DatasetName, NewDataset, Split};
use scv_domain::image::{ChannelStatistics, LabelledImages};

use super::ImportError;

mod error;
mod read;
#[cfg(test)]
mod tests;

pub use error::{IdxContent, IdxError, IdxFile};

/// The bytes of the four files, each raw or gzipped.
pub struct IdxFiles {
    /// Images of the train split.
    pub train_images: Bytes,
    /// Labels of the train split.
    pub train_labels: Bytes,
    /// Images of the test split.
    pub test_images: Bytes,
    /// Labels of the test split.
    pub test_labels: Bytes,
}

/// Four IDX files and what they do not say of themselves.
pub struct IdxImport {
    /// Name of the data set to be.
    pub name: DatasetName,
    /// One name a class; without them a class is called by its label.
    pub class_names: Option<Vec<String>>,
    /// The label that means the first class: 1 in the "letters" part of EMNIST, else 0.
    pub first_label: u16,
    /// Whether rows and columns are exchanged in the file, as in EMNIST.
    pub transposed: bool,
    /// Published statistics; computed from the train images if there are none.
    pub statistics: Option<ChannelStatistics>,
    /// The files.
    pub files: IdxFiles,
}

impl IdxImport {
    /// Reads the files and checks them, one by one and together.
    ///
    /// # Errors
    /// The first thing that is wrong, with the file and the place.
    pub fn read(self) -> Result<NewDataset, ImportError> {
        let IdxFiles {
            train_images,
            train_labels,
            test_images,
            test_labels,
        } = self.files;
        // Labels first: they are small, so a mix-up of the files is found before anything large is read.
        let train_labels = read::labels(IdxFile::labels(Split::Train), &train_labels)?;
        let test_labels = read::labels(IdxFile::labels(Split::Test), &test_labels)?;
        let class_names = self.class_names.unwrap_or_else(|| {
            let labels = train_labels.iter().chain(&test_labels);
            let last = labels.map(|&label| u16::from(label)).max().unwrap_or(0);
            // At least one class, so that labels below the first are reported as what they are.
            (self.first_label..=last.max(self.first_label))
                .map(|label| label.to_string())
                .collect()
        });
        let classes = read::Classes {
            first_label: self.first_label,
            count: class_names.len(),
        };
        let train_labels = classes.indices(IdxFile::labels(Split::Train), &train_labels)?;
        let test_labels = classes.indices(IdxFile::labels(Split::Test), &test_labels)?;
        let train = LabelledImages {
            images: read::images(IdxFile::images(Split::Train), &train_images, self.transposed)?,
            labels: train_labels.into(),
        };
        let test = LabelledImages {
            images: read::images(IdxFile::images(Split::Test), &test_images, self.transposed)?,
            labels: test_labels.into(),
        };
        let dataset = NewDataset::check(DatasetDraft {
            name: self.name,
            class_names,
            statistics: self.statistics,
            train,
            test,
        })?;
        Ok(dataset)
    }
}
