//! Errors of data sets.

use super::{
    MAX_CLASS_NAME_LENGTH, MAX_CLASSES, MAX_IMAGE_SIDE, MAX_IMAGES_PER_SPLIT, MAX_NAME_LENGTH, MAX_PIXEL_BYTES,
    MIN_CLASSES, Split,
};
use crate::image::ImageShape;

/// Why a data set was rejected. Every variant is the caller's to fix.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DatasetError {
    /// The name is empty, too long or contains characters that are not allowed.
    #[error("a data set's name must be 1 to {MAX_NAME_LENGTH} characters from a-z, 0-9, '_' and '-': got {name:?}")]
    Name {
        /// The name, truncated to one character more than is allowed.
        name: String,
    },
    /// Too few or too many classes.
    #[error("a data set must have {MIN_CLASSES} to {MAX_CLASSES} classes: got {count}")]
    ClassCount {
        /// Number of classes.
        count: usize,
    },
    /// A class name is empty, too long, surrounded by spaces or not on one line.
    #[error(
        "the name of class {index} must be one line of 1 to {MAX_CLASS_NAME_LENGTH} characters without leading or trailing spaces"
    )]
    ClassName {
        /// Index of the class.
        index: usize,
    },
    /// Two classes have the same name.
    #[error("the name of class {index}, {name:?}, is already used by an earlier class: give every class its own name")]
    DuplicateClassName {
        /// Index of the second class of that name.
        index: usize,
        /// The name.
        name: String,
    },
    /// The images are too small or too large, or have neither one nor three channels.
    #[error(
        "images must have 1 or 3 channels and sides of 1 to {MAX_IMAGE_SIDE}: got {shape} (channels x height x width)"
    )]
    Shape {
        /// The shape.
        shape: ImageShape,
    },
    /// The splits have different image shapes.
    #[error("the images of both splits must have the same shape: train images are {train}, test images are {test}")]
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
    /// The pixels are not a whole number of images.
    #[error("the {split} split has {bytes} bytes of pixels, not a multiple of the {image_bytes} of one image")]
    PartialImage {
        /// The split.
        split: Split,
        /// Bytes of pixels.
        bytes: usize,
        /// Bytes of one image.
        image_bytes: usize,
    },
    /// The numbers of images and labels differ.
    #[error("the {split} split has {images} images but {labels} labels: give one label per image, in the same order")]
    LabelCount {
        /// The split.
        split: Split,
        /// Its number of images.
        images: usize,
        /// Its number of labels.
        labels: usize,
    },
    /// A label is not the index of a class.
    #[error("label {index} of the {split} split: class {label} is out of range (0–{})", .classes - 1)]
    Label {
        /// The split.
        split: Split,
        /// Index of the image.
        index: usize,
        /// The class index.
        label: u16,
        /// Number of classes.
        classes: usize,
    },
    /// Both splits together have too many pixels.
    #[error("both splits together have {bytes} bytes of pixels: the limit is {MAX_PIXEL_BYTES}")]
    TooManyPixels {
        /// Bytes of pixels.
        bytes: u64,
    },
    /// The statistics are for another number of channels.
    #[error(
        "the images have {channels} channels, but the statistics have {means} means and {deviations} deviations: give one of each per channel, or none to have them computed"
    )]
    StatisticsLength {
        /// Number of means.
        means: usize,
        /// Number of deviations.
        deviations: usize,
        /// Number of channels of the images.
        channels: usize,
    },
    /// The statistics cannot normalise an image.
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
