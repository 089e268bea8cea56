//! Data sets of labelled images. They are checked once, here, and trusted afterwards.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::image::{ChannelStatistics, ImageShape, Images, LabelledImages};

mod error;

pub use error::DatasetError;

/// Maximum number of images in one split.
pub const MAX_IMAGES_PER_SPLIT: usize = 1_000_000;
/// Minimum number of classes: with a single class there is nothing to classify.
pub const MIN_CLASSES: usize = 2;
/// Maximum number of classes.
pub const MAX_CLASSES: usize = 1_000;
/// Maximum height and width of an image.
pub const MAX_IMAGE_SIDE: usize = 512;
/// Maximum number of pixel bytes of both splits together: 4 GiB.
pub const MAX_PIXEL_BYTES: u64 = 4 << 30;
/// Maximum length of a data set's name, in characters.
pub const MAX_NAME_LENGTH: usize = 64;
/// Maximum length of a class name, in characters.
pub const MAX_CLASS_NAME_LENGTH: usize = 100;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Split {
    /// The images that networks are trained on.
    Train,
    /// The images that accuracy is measured on.
    Test,
}

impl Split {
    /// Both, train first.
    pub const ALL: [Split; 2] = [Split::Train, Split::Test];

    /// `TRAIN` or `TEST`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "TRAIN",
            Self::Test => "TEST",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

/// The name of a data set: 1 to 64 lowercase letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName(String);

impl DatasetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DatasetName {
    type Error = DatasetError;

    fn try_from(name: String) -> Result<Self, DatasetError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() || name.len() > MAX_NAME_LENGTH || !name.chars().all(allowed) {
            // The message does not repeat a long name in full.
            let name = name.chars().take(MAX_NAME_LENGTH + 1).collect();
            return Err(DatasetError::Name { name });
        }
        Ok(Self(name))
    }
}

impl std::str::FromStr for DatasetName {
    type Err = DatasetError;

    fn from_str(name: &str) -> Result<Self, DatasetError> {
        Self::try_from(name.to_owned())
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> String {
        name.0
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An imported data set that [`NewDataset::check`] has not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetDraft {
    /// Its name.
    pub name: DatasetName,
    /// One name per class, in the order of the class indices.
    pub class_names: Vec<String>,
    /// Published statistics; computed from the train images if `None`.
    pub statistics: Option<ChannelStatistics>,
    /// Images to train on. Their shape is the shape of the data set.
    pub train: LabelledImages,
    /// Images to measure accuracy on.
    pub test: LabelledImages,
}

/// A data set that has passed every check of [`DatasetError`] and can be stored as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDataset {
    name: DatasetName,
    class_names: Vec<String>,
    statistics: ChannelStatistics,
    train: LabelledImages,
    test: LabelledImages,
}

impl NewDataset {
    /// Checks a draft and completes its statistics.
    ///
    /// # Errors
    /// The first rule that is broken, and where.
    pub fn check(draft: DatasetDraft) -> Result<Self, DatasetError> {
        check_class_names(&draft.class_names)?;
        let shape = draft.train.images.shape;
        check_shape(shape)?;
        if draft.test.images.shape != shape {
            return Err(DatasetError::SplitShapes {
                train: shape,
                test: draft.test.images.shape,
            });
        }
        for (split, images) in [(Split::Train, &draft.train), (Split::Test, &draft.test)] {
            check_split(split, images, draft.class_names.len())?;
        }
        let bytes = (draft.train.images.pixels.len() + draft.test.images.pixels.len()) as u64;
        if bytes > MAX_PIXEL_BYTES {
            return Err(DatasetError::TooManyPixels { bytes });
        }
        if let Some(statistics) = &draft.statistics {
            check_statistics(statistics, shape.channels)?;
        }
        let statistics = draft.statistics;
        let statistics = statistics.unwrap_or_else(|| ChannelStatistics::of(&draft.train.images));
        Ok(Self {
            name: draft.name,
            class_names: draft.class_names,
            statistics,
            train: draft.train,
            test: draft.test,
        })
    }

    /// The same data set under another name.
    pub fn with_name(self, name: DatasetName) -> Self {
        Self { name, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &DatasetName {
        &self.name
    }

    /// Shape of every image of both splits.
    pub fn shape(&self) -> ImageShape {
        self.train.images.shape
    }

    /// One name per class, in the order of the class indices.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The statistics that normalise pixels.
    pub fn statistics(&self) -> &ChannelStatistics {
        &self.statistics
    }

    /// The images of a split.
    pub fn split(&self, split: Split) -> &LabelledImages {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }
}

impl ChannelStatistics {
    /// Mean and population deviation of each channel over all images, pixels scaled to 0..1.
    ///
    /// The sums are integers and exact; only the final division and square root round. A constant
    /// channel gets the deviation 1, so that normalising it gives zeros instead of a division by
    /// zero. Without images the mean is 0 and the deviation 1.
    pub fn of(images: &Images) -> Self {
        let channels = images.shape.channels;
        let plane = images.shape.height * images.shape.width;
        let mut sums = vec![0_u64; channels];
        // The squares of 4 GiB of pixels sum to at most 2.8e14, far below the limit of u64.
        let mut squares = vec![0_u64; channels];
        for index in 0..images.count() {
            for (channel, pixels) in images.image(index).chunks_exact(plane).enumerate() {
                sums[channel] += pixels.iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
                squares[channel] += pixels.iter().map(|&pixel| u64::from(pixel).pow(2)).sum::<u64>();
            }
        }
        let count = (images.count() * plane).max(1) as u64;
        let mean = sums.iter().map(|&sum| (sum as f64 / count as f64 / 255.0) as f32);
        let std = sums.iter().zip(&squares).map(|(&sum, &square)| {
            // n² times the variance, computed exactly: n Σx² - (Σx)².
            let scaled = u128::from(count) * u128::from(square) - u128::from(sum).pow(2);
            match scaled {
                0 => 1.0,
                scaled => ((scaled as f64).sqrt() / count as f64 / 255.0) as f32,
            }
        });
        Self {
            mean: mean.collect(),
            std: std.collect(),
        }
    }
}

/// Checks the names of classes.
///
/// # Errors
/// There are too few or too many, or one cannot be a name or is used twice.
pub fn check_class_names(names: &[String]) -> Result<(), DatasetError> {
    if !(MIN_CLASSES..=MAX_CLASSES).contains(&names.len()) {
        return Err(DatasetError::ClassCount { count: names.len() });
    }
    let mut seen = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        let length = name.chars().count();
        let is_in_bounds = (1..=MAX_CLASS_NAME_LENGTH).contains(&length);
        if !is_in_bounds || name.trim() != name || name.chars().any(char::is_control) {
            return Err(DatasetError::ClassName { index });
        }
        if !seen.insert(name) {
            return Err(DatasetError::DuplicateClassName {
                index,
                name: name.clone(),
            });
        }
    }
    Ok(())
}

fn check_shape(shape: ImageShape) -> Result<(), DatasetError> {
    let sides = 1..=MAX_IMAGE_SIDE;
    let is_valid = matches!(shape.channels, 1 | 3) && sides.contains(&shape.height) && sides.contains(&shape.width);
    if is_valid {
        Ok(())
    } else {
        Err(DatasetError::Shape { shape })
    }
}

fn check_split(split: Split, labelled: &LabelledImages, classes: usize) -> Result<(), DatasetError> {
    let images = labelled.images.count();
    if images == 0 || images > MAX_IMAGES_PER_SPLIT {
        return Err(DatasetError::ImageCount { split, images });
    }
    let (bytes, image_bytes) = (labelled.images.pixels.len(), labelled.images.shape.len());
    if !bytes.is_multiple_of(image_bytes) {
        return Err(DatasetError::PartialImage {
            split,
            bytes,
            image_bytes,
        });
    }
    if labelled.labels.len() != images {
        return Err(DatasetError::LabelCount {
            split,
            images,
            labels: labelled.labels.len(),
        });
    }
    match labelled.labels.iter().position(|&label| usize::from(label) >= classes) {
        Some(index) => Err(DatasetError::Label {
            split,
            index,
            label: labelled.labels[index],
            classes,
        }),
        None => Ok(()),
    }
}

/// Checks statistics of images with a number of channels.
///
/// # Errors
/// They are of another number of channels, or cannot normalise an image.
pub fn check_statistics(statistics: &ChannelStatistics, channels: usize) -> Result<(), DatasetError> {
    let (means, deviations) = (statistics.mean.len(), statistics.std.len());
    if means != channels || deviations != channels {
        return Err(DatasetError::StatisticsLength {
            means,
            deviations,
            channels,
        });
    }
    for channel in 0..channels {
        let (mean, std) = (statistics.mean[channel], statistics.std[channel]);
        if !mean.is_finite() || !std.is_finite() || std <= 0.0 {
            return Err(DatasetError::Statistics { channel, mean, std });
        }
    }
    Ok(())
}
