//! What is published about well-known data sets in IDX files.

use super::idx::{IdxFiles, IdxImport};
use scv_domain::dataset::{DatasetError, DatasetName};
use scv_domain::image::ChannelStatistics;

/// A data set whose files need no further description.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IdxPreset {
    /// Its name.
    pub name: &'static str,
    /// One name a class.
    pub class_names: &'static [&'static str],
    /// The label that means the first class.
    pub first_label: u16,
    /// Whether rows and columns are exchanged in the file.
    pub transposed: bool,
    /// Published mean of the one channel.
    pub mean: f32,
    /// Published deviation of the one channel.
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
    /// The preset of that name.
    pub fn find(name: &str) -> Option<&'static IdxPreset> {
        IDX_PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The import of `files` as this preset describes them.
    ///
    /// # Errors
    /// None for the presets of [`IDX_PRESETS`]; a name that is no data set's otherwise.
    pub fn import(&self, files: IdxFiles) -> Result<IdxImport, DatasetError> {
        let name: DatasetName = self.name.parse()?;
        Ok(IdxImport {
            name,
            class_names: Some(self.class_names.iter().map(|&name| name.to_owned()).collect()),
            first_label: self.first_label,
            transposed: self.transposed,
            statistics: Some(ChannelStatistics {
                mean: vec![self.mean],
                std: vec![self.std],
            }),
            files,
        })
    }
}
