//! Data sets and probe sets as the catalogue stores them.

use chrono::{DateTime, Utc};

use super::dataset::Split;
use super::id::{DatasetId, ProbeSetId};
use super::image::{ChannelStatistics, ImageShape};

/// Labelled images with a shape and class names.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Key.
    pub id: DatasetId,
    /// Unique.
    pub name: String,
    /// Shape of every image.
    pub shape: ImageShape,
    /// One name per class, in the order of the class indices.
    pub class_names: Vec<String>,
    /// Mean and deviation of each channel, which normalise pixels.
    pub statistics: ChannelStatistics,
    /// When it was imported.
    pub created_at: DateTime<Utc>,
}

/// A split with the keys of the objects that store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSplit {
    /// The split.
    pub split: Split,
    /// Number of images.
    pub image_count: i32,
    /// Object with the pixels, in the layout of [`super::image::Images::pixels`].
    pub images_key: String,
    /// Object with the class indices as little-endian u16.
    pub labels_key: String,
}

/// An ordered, immutable list of images of one data set. Vectors can be compared only within one probe set.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeSet {
    /// Key.
    pub id: ProbeSetId,
    /// The data set.
    pub dataset_id: DatasetId,
    /// The split of its images.
    pub split: Split,
    /// Indices of the images in that split, in order.
    pub image_indices: Vec<i32>,
    /// Random seed the images were drawn with.
    pub seed: i64,
    /// SHA-256 of the images and the statistics that normalise them.
    pub content_hash: String,
    /// Whether searches use it if no probe set is specified.
    pub is_default: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl ProbeSet {
    /// Length of a layer vector on this probe set: n(n-1)/2 for n images.
    pub fn vector_length(&self) -> usize {
        let images = self.image_indices.len().max(2);
        images * (images - 1) / 2
    }
}
