//! Published descriptions of well-known data sets in IDX files.

use scv_domain::dataset::{DatasetError, DatasetName};
use scv_domain::dataset_source::{IdxFiles, IdxImport};
use scv_domain::image::ChannelStatistics;

/// The description of a well-known data set, which its files do not contain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IdxPreset {
    /// Its name.
    pub name: &'static str,
    /// One name per class.
    pub class_names: &'static [&'static str],
    /// The label of the first class.
    pub first_label: u16,
    /// Whether rows and columns are swapped in the file.
    pub transposed: bool,
    /// Published mean of the only channel.
    pub mean: f32,
    /// Published standard deviation of the only channel.
    pub std: f32,
}

/// The data sets known by name.
pub const IDX_PRESETS: [IdxPreset; 3] = [
    IdxPreset {
        name: "mnist",
        class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        first_label: 0,
        transposed: false,
        mean: 0.1307,
        std: 0.3081,
    },
    IdxPreset {
        name: "fashion_mnist",
        class_names: &[
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
        first_label: 0,
        transposed: false,
        mean: 0.2860,
        std: 0.3530,
    },
    // The "letters" part of EMNIST: upper and lower case of a letter are one class.
    IdxPreset {
        name: "emnist",
        class_names: &[
            "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U",
            "V", "W", "X", "Y", "Z",
        ],
        first_label: 1,
        transposed: true,
        mean: 0.1751,
        std: 0.3332,
    },
];

impl IdxPreset {
    /// The preset with this name.
    pub fn find(name: &str) -> Option<&'static IdxPreset> {
        IDX_PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Describes `files` with this preset.
    ///
    /// # Errors
    /// The name is not a valid data set name. This does not happen for [`IDX_PRESETS`].
    pub fn import<File>(&self, files: IdxFiles<File>) -> Result<IdxImport<File>, DatasetError> {
        let name: DatasetName = self.name.parse()?;
        Ok(IdxImport {
            name,
            class_names: Some(self.class_names.iter().map(|&name| name.to_owned()).collect()),
            first_label: self.first_label,
            allow_empty_classes: false,
            transposed: self.transposed,
            statistics: Some(ChannelStatistics {
                mean: vec![self.mean],
                std: vec![self.std],
            }),
            files,
        })
    }
}
