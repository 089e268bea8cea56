//! A split of a data set as two objects.
//!
//! Images are raw pixels of shape `count * channels * height * width`, one byte each; labels are class indices as
//! little-endian u16. The catalogue contains the shape and the number of images.

use std::sync::Arc;

use super::{ArtifactError, ArtifactKey, ArtifactKind, ArtifactStore};
use scv_domain::image::{ImageShape, Images, LabelledImages};

/// The two objects of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitKeys {
    /// The pixels.
    pub images: ArtifactKey,
    /// The class indices.
    pub labels: ArtifactKey,
}

impl ArtifactStore {
    /// Stores the images and labels of a split.
    ///
    /// # Errors
    /// As [`ArtifactStore::put`].
    pub async fn put_split(&self, split: &LabelledImages) -> Result<SplitKeys, ArtifactError> {
        let pixels = split.images.pixels.clone();
        let labels: Vec<u8> = split.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        Ok(SplitKeys {
            images: self.put(ArtifactKind::Images, pixels).await?,
            labels: self.put(ArtifactKind::Labels, labels).await?,
        })
    }

    /// Reads the images and labels of a split.
    ///
    /// # Errors
    /// As [`ArtifactStore::get`], and [`ArtifactError::NotASplit`] if the objects do not contain whole images of that shape
    /// with one label each.
    pub async fn get_split(&self, keys: &SplitKeys, shape: ImageShape) -> Result<LabelledImages, ArtifactError> {
        let images = self.get_images(&keys.images, shape).await?;
        let labels = self.get_labels(&keys.labels, images.count()).await?;
        Ok(LabelledImages { images, labels })
    }

    /// Reads the labels of a split without the images, of which there are `count`.
    ///
    /// # Errors
    /// As [`ArtifactStore::get_split`].
    pub async fn get_labels(&self, key: &ArtifactKey, count: usize) -> Result<Arc<[u16]>, ArtifactError> {
        let bytes = self.get(key).await?;
        if bytes.len() != 2 * count {
            return Err(ArtifactError::NotASplit {
                key: *key,
                bytes: bytes.len(),
                expected: format!("{count} labels of two bytes"),
            });
        }
        let (labels, _) = bytes.as_chunks::<2>();
        Ok(labels.iter().map(|&label| u16::from_le_bytes(label)).collect())
    }

    /// Reads the images of a split without the labels.
    ///
    /// # Errors
    /// As [`ArtifactStore::get_split`].
    pub async fn get_images(&self, key: &ArtifactKey, shape: ImageShape) -> Result<Images, ArtifactError> {
        let bytes = self.get(key).await?;
        if shape.is_empty() || !bytes.len().is_multiple_of(shape.len()) {
            return Err(ArtifactError::NotASplit {
                key: *key,
                bytes: bytes.len(),
                expected: format!("{shape} images"),
            });
        }
        Ok(Images { shape, pixels: bytes })
    }
}
