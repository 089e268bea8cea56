//! A data set as the catalogue holds it.

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
    /// One name a class, in the order of the class indices.
    pub class_names: Vec<String>,
    /// How pixels become numbers.
    pub statistics: ChannelStatistics,
    /// When it was imported.
    pub created_at: DateTime<Utc>,
}

/// A part of a data set with where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSplit {
    /// Which part.
    pub split: Split,
    /// How many images.
    pub image_count: i32,
    /// Object with the pixels, as [`super::image::Images::pixels`] lays them out.
    pub images_key: String,
    /// Object with the class indices, two bytes each, little end first.
    pub labels_key: String,
}

/// An ordered, immutable list of images of one data set. Vectors are comparable within one probe set only.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeSet {
    /// Key.
    pub id: ProbeSetId,
    /// The data set.
    pub dataset_id: DatasetId,
    /// The split its images are of.
    pub split: Split,
    /// Indices of the images in that split, in order.
    pub image_indices: Vec<i32>,
    /// What the images were drawn with.
    pub seed: i64,
    /// SHA-256 over the images and how they become numbers.
    pub content_hash: String,
    /// Whether searches use it when none is named.
    pub is_default: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl ProbeSet {
    /// Numbers in a layer vector on it: n(n-1)/2 for n images.
    pub fn vector_length(&self) -> usize {
        let images = self.image_indices.len().max(2);
        images * (images - 1) / 2
    }
}
