//! Where a new data set comes from.

use serde::{Deserialize, Serialize};

use super::dataset::DatasetName;
use super::image::ChannelStatistics;

/// What a data set is imported from. A file is its bytes, or the key under which it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DatasetSource<File> {
    /// The digits that come with SCV, under the given name.
    Digits(DatasetName),
    /// Four IDX files.
    Idx(Box<IdxImport<File>>),
}

impl<File> DatasetSource<File> {
    /// Name of the new data set.
    pub fn name(&self) -> &DatasetName {
        match self {
            Self::Digits(name) => name,
            Self::Idx(import) => &import.name,
        }
    }

    /// Its files; empty if it needs none.
    pub fn files(&self) -> Vec<&File> {
        match self {
            Self::Digits(_) => Vec::new(),
            Self::Idx(import) => import.files.all().into(),
        }
    }
}

/// Four IDX files and the description that they do not contain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdxImport<File> {
    /// Name of the new data set.
    pub name: DatasetName,
    /// One name per class; if absent, the labels are the names.
    pub class_names: Option<Vec<String>>,
    /// The label of the first class: 1 in the "letters" part of EMNIST, otherwise usually 0.
    pub first_label: u16,
    /// Whether classes without train images are meant to be so.
    #[serde(default)]
    pub allow_empty_classes: bool,
    /// Whether rows and columns are swapped in the file, as in EMNIST.
    pub transposed: bool,
    /// Published statistics; computed from the train images if `None`.
    pub statistics: Option<ChannelStatistics>,
    /// The files.
    pub files: IdxFiles<File>,
}

impl<File> IdxImport<File> {
    /// The same description with files in another form.
    pub fn with_files<Other>(self, files: IdxFiles<Other>) -> IdxImport<Other> {
        IdxImport {
            name: self.name,
            class_names: self.class_names,
            first_label: self.first_label,
            allow_empty_classes: self.allow_empty_classes,
            transposed: self.transposed,
            statistics: self.statistics,
            files,
        }
    }
}

/// The four files, each raw or gzipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdxFiles<File> {
    /// Images of the train split.
    pub train_images: File,
    /// Labels of the train split.
    pub train_labels: File,
    /// Images of the test split.
    pub test_images: File,
    /// Labels of the test split.
    pub test_labels: File,
}

impl<File> IdxFiles<File> {
    /// All four.
    pub fn all(&self) -> [&File; 4] {
        [
            &self.train_images,
            &self.train_labels,
            &self.test_images,
            &self.test_labels,
        ]
    }
}
