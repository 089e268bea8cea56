//! What can be wrong with a data set.

use super::{
    MAX_CLASS_NAME_LENGTH, MAX_CLASSES, MAX_IMAGE_SIDE, MAX_IMAGES_PER_SPLIT, MAX_NAME_LENGTH, MAX_PIXEL_BYTES,
    MIN_CLASSES, Split,
};
use crate::image::ImageShape;

/// Why a data set was refused. Every variant is the giver's to mend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DatasetError {
    /// The name is empty, too long or has other characters.
    #[error("a data set's name must be 1 to {MAX_NAME_LENGTH} of a-z, 0-9, '_' and '-': got {name:?}")]
    Name {
        /// The name, cut after the longest that is allowed.
        name: String,
    },
    /// Too few or too many classes.
    #[error("a data set must have {MIN_CLASSES} to {MAX_CLASSES} classes: got {count}")]
    ClassCount {
        /// Number of classes.
        count: usize,
    },
    /// The name of a class is empty, too long, padded or not on one line.
    #[error(
        "the name of class {index} must be one line of 1 to {MAX_CLASS_NAME_LENGTH} characters without spaces around it"
    )]
    ClassName {
        /// Index of the class.
        index: usize,
    },
    /// Two classes have one name.
    #[error("the name of class {index}, {name:?}, belongs to an earlier class: give every class a name of its own")]
    ClassNameTwice {
        /// Index of the second class of that name.
        index: usize,
        /// The name.
        name: String,
    },
    /// The images are too small, too large or neither grey nor of three colours.
    #[error(
        "images must have 1 or 3 channels and sides of 1 to {MAX_IMAGE_SIDE}: got {shape} (channels x height x width)"
    )]
    Shape {
        /// The shape.
        shape: ImageShape,
    },
    /// The splits differ in shape.
    #[error("images of both splits must have one shape: train images are {train}, test images {test}")]
    SplitShapes {
        /// Shape of the train images.
        train: ImageShape,
        /// Shape of the test images.
        test: ImageShape,
    },
    /// A split is empty or too large.
    #[error("the {split} split must have 1 to {MAX_IMAGES_PER_SPLIT} images: got {images}")]
    ImageCount {
        /// The split.
        split: Split,
        /// Its number of images.
        images: usize,
    },
    /// The pixels do not come out even.
    #[error("the {split} split has {bytes} bytes of pixels, not a multiple of the {image_bytes} of one image")]
    PartOfAnImage {
        /// The split.
        split: Split,
        /// Bytes of pixels.
        bytes: usize,
        /// Bytes of one image.
        image_bytes: usize,
    },
    /// Images and labels differ in number.
    #[error("the {split} split has {images} images but {labels} labels: give one label an image, in the same order")]
    LabelCount {
        /// The split.
        split: Split,
        /// Its number of images.
        images: usize,
        /// Its number of labels.
        labels: usize,
    },
    /// A label names no class.
    #[error("label {index} of the {split} split is class {label}, but there are only {classes} classes, from 0")]
    Label {
        /// The split.
        split: Split,
        /// Index of the image.
        index: usize,
        /// The class index given.
        label: u16,
        /// Number of classes.
        classes: usize,
    },
    /// Too much altogether.
    #[error("both splits together must not exceed {MAX_PIXEL_BYTES} bytes of pixels: got {bytes}")]
    TooManyPixels {
        /// Bytes of pixels.
        bytes: u64,
    },
    /// Statistics for another number of channels.
    #[error(
        "the images have {channels} channels, but the statistics have {means} means and {deviations} deviations: give one of each a channel, or none to have them computed"
    )]
    StatisticsLength {
        /// Means given.
        means: usize,
        /// Deviations given.
        deviations: usize,
        /// Channels of the images.
        channels: usize,
    },
    /// Statistics nobody can divide by.
    #[error("channel {channel} has mean {mean} and deviation {std}: both must be finite and the deviation above zero")]
    Statistics {
        /// The channel, from 0.
        channel: usize,
        /// Its mean.
        mean: f32,
        /// Its deviation.
        std: f32,
    },
}
