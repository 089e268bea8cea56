//! Pictures that queries leave behind, each stored under the hash of its bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::ServiceError;
use scv_artifact::{ArtifactError, ArtifactKey, ArtifactKind, ArtifactStore};
use scv_picture::{PictureError, Raster, png};
use scv_store::Store;

/// The file format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Pixels.
    Png,
    /// A drawing, sharp at any size.
    Svg,
}

impl PictureFormat {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Svg, Self::Png];

    /// Writes a drawing in this format.
    pub(super) fn encode(self, svg: String) -> Result<Vec<u8>, PictureError> {
        match self {
            Self::Svg => Ok(svg.into_bytes()),
            Self::Png => png(&svg),
        }
    }

    /// The extension of such a file, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }
}

/// A picture in the artifact store.
#[derive(Debug, Clone)]
pub struct StoredPicture {
    /// The hash of its bytes, 64 hexadecimal digits.
    pub hash: String,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// How many times the space that all pictures take is checked while as many bytes are written as they may take.
const CHECKS_PER_LIMIT: u64 = 16;

/// How long a picture stays in any case, so that the client that caused it can fetch it.
const MIN_AGE: Duration = Duration::from_secs(600);

/// The stored pictures. When they take more space than they may, the oldest are deleted.
#[derive(Debug, Clone)]
pub struct Pictures {
    store: Store,
    artifacts: ArtifactStore,
    byte_limit: u64,
    /// Bytes written since the space was last checked.
    unchecked_bytes: Arc<AtomicU64>,
}

impl Pictures {
    pub(super) fn new(store: Store, artifacts: ArtifactStore, byte_limit: u64) -> Self {
        Self {
            store,
            artifacts,
            byte_limit,
            // What an earlier process left is not known: the first picture causes a check.
            unchecked_bytes: Arc::new(AtomicU64::new(byte_limit / CHECKS_PER_LIMIT)),
        }
    }

    /// Stores a picture. It is kept until there are too many, or for as long as a synthetic image refers to it.
    pub(super) async fn put(&self, raster: Raster) -> Result<StoredPicture, ServiceError> {
        let (width, height) = (raster.width() as u32, raster.height() as u32);
        let png = tokio::task::spawn_blocking(move || raster.png());
        let png = png
            .await
            .map_err(ServiceError::internal)?
            .map_err(ServiceError::internal)?;
        let bytes = png.len() as u64;
        let key = self.artifacts.rewrite(ArtifactKind::Pictures, png).await?;
        if self.count_written(bytes) {
            let pictures = self.clone();
            tokio::spawn(async move {
                if let Err(error) = pictures.delete_oldest().await {
                    tracing::warn!(%error, "the oldest pictures could not be deleted");
                }
            });
        }
        Ok(StoredPicture {
            hash: key.hash(),
            width,
            height,
        })
    }

    /// The PNG file of a picture.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none with this hash.
    pub async fn get(&self, hash: &str) -> Result<Bytes, ServiceError> {
        let unknown =
            || ServiceError::not_found_by_name("picture", format!("{hash}: repeat the query that returned it"));
        let key = picture_key(hash).ok_or_else(unknown)?;
        match self.artifacts.get(&key).await {
            Err(ArtifactError::Missing { .. }) => Err(unknown()),
            outcome => Ok(outcome?),
        }
    }

    /// Counts bytes that were written. Whether it is time to check how much space all pictures take.
    fn count_written(&self, bytes: u64) -> bool {
        let unchecked = self.unchecked_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_due = unchecked > self.byte_limit / CHECKS_PER_LIMIT;
        if is_due {
            self.unchecked_bytes.store(0, Ordering::Relaxed);
        }
        is_due
    }

    /// Deletes the oldest pictures if all together take too much space, except those of synthetic images and young ones. A
    /// deleted picture is drawn again by the next query that returns it.
    async fn delete_oldest(&self) -> Result<(), ServiceError> {
        let hashes = self.store.synthetic_pictures().await?;
        let spared = hashes.iter().filter_map(|hash| picture_key(hash)).collect();
        let deleted = self
            .artifacts
            .trim(ArtifactKind::Pictures, self.byte_limit, &spared, MIN_AGE)
            .await?;
        if deleted > 0 {
            tracing::info!(deleted, "deleted the oldest pictures");
        }
        Ok(())
    }
}

fn picture_key(hash: &str) -> Option<ArtifactKey> {
    format!("{}/{hash}", ArtifactKind::Pictures).parse().ok()
}
