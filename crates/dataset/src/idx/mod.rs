//! IDX, the file format of MNIST and similar data sets, raw or gzipped.
//!
//! A file has two zero bytes, a byte for the element type (8 for unsigned bytes), a byte for the
//! number of dimensions, each dimension as a big-endian u32, then the elements in row-major order.

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

/// Four IDX files and the description that they do not contain.
pub struct IdxImport {
    /// Name of the new data set.
    pub name: DatasetName,
    /// One name per class; if absent, the labels are the names.
    pub class_names: Option<Vec<String>>,
    /// The label of the first class: 1 in the "letters" part of EMNIST, otherwise usually 0.
    pub first_label: u16,
    /// Whether rows and columns are swapped in the file, as in EMNIST.
    pub transposed: bool,
    /// Published statistics; computed from the train images if `None`.
    pub statistics: Option<ChannelStatistics>,
    /// The files.
    pub files: IdxFiles,
}

impl IdxImport {
    /// Reads the files and checks each of them and all together.
    ///
    /// # Errors
    /// The first error, with the file and the position.
    pub fn read(self) -> Result<NewDataset, ImportError> {
        let IdxFiles {
            train_images,
            train_labels,
            test_images,
            test_labels,
        } = self.files;
        // Labels come first, because they are small: swapped files are detected before anything large is read.
        let train_labels = read::labels(IdxFile::labels(Split::Train), &train_labels)?;
        let test_labels = read::labels(IdxFile::labels(Split::Test), &test_labels)?;
        let class_names = self.class_names.unwrap_or_else(|| {
            let labels = train_labels.iter().chain(&test_labels);
            let last = labels.map(|&label| u16::from(label)).max().unwrap_or(0);
            // At least one class, so that labels below the first label are reported as out of range.
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
