//! Pictures of what was computed: drawn when they are asked for, or kept under the hash of their bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{Library, ServiceError};
use scv_artifact::{ArtifactError, ArtifactKey, ArtifactKind};
use scv_domain::comparison::Comparison;
use scv_domain::dataset::Split;
use scv_domain::id::{DatasetId, LayerId, ProbeSetId, VersionId};
use scv_domain::image::LabelledImages;
use scv_domain::vector::Measure;
use scv_picture::{Axis, Frames, HeatMap, Numbers, PictureError, Raster, Scale, png};

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Pixels.
    Png,
    /// A drawing.
    Svg,
}

impl PictureFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Svg, Self::Png];

    /// A drawing, written so.
    pub(super) fn of_drawing(self, svg: String) -> Result<Vec<u8>, PictureError> {
        match self {
            Self::Svg => Ok(svg.into_bytes()),
            Self::Png => png(&svg),
        }
    }

    /// How the name of such a file ends.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }
}

/// A picture of the layers of two versions against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureRequest {
    /// The version of the rows.
    pub a: VersionId,
    /// The version of the columns.
    pub b: VersionId,
    /// The probe set to compare on; the default one of a's data set if left out.
    pub probe_set: Option<ProbeSetId>,
    /// What the scores are of.
    pub measure: Measure,
    /// Only layers of these kinds. Empty: all.
    pub layer_kinds: Vec<String>,
}

/// A picture that is kept.
#[derive(Debug, Clone)]
pub struct KeptPicture {
    /// The hash of its bytes, 64 hexadecimal digits.
    pub hash: String,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// Of all room for pictures, the part that is written between two looks at how much is taken.
const LOOKS: u64 = 16;

/// How long a picture stays at least, so that who asked for it can fetch it.
const GRACE: Duration = Duration::from_secs(600);

/// Room for pictures that queries leave behind.
#[derive(Debug)]
pub(super) struct PictureRoom {
    limit: u64,
    /// Bytes written since the last look.
    written: AtomicU64,
}

impl PictureRoom {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            // What an earlier process has left is not known: the first picture looks.
            written: AtomicU64::new(limit / LOOKS),
        }
    }

    /// Counts bytes; whether it is time to look how many there are.
    fn took(&self, bytes: u64) -> bool {
        let is_due = self.written.fetch_add(bytes, Ordering::Relaxed) + bytes > self.limit / LOOKS;
        if is_due {
            self.written.store(0, Ordering::Relaxed);
        }
        is_due
    }
}

impl Library {
    /// An image of a data set as a picture, small ones enlarged to be seen.
    ///
    /// # Errors
    /// `NOT_FOUND` if the split has no such image.
    pub async fn dataset_picture(
        &self,
        dataset: DatasetId,
        split: Split,
        index: usize,
    ) -> Result<KeptPicture, ServiceError> {
        let images = self.split_images(dataset, split).await?.images;
        if index >= images.count() {
            let name = self.dataset(dataset).await?.name;
            return Err(no_such_image(&name, split, index, images.count()));
        }
        let raster = Raster::of_planes(images.shape, images.image(index));
        self.keep_picture(raster.enlarged()).await
    }

    /// Keeps a picture: until there are too many, or for as long as a synthetic image names it.
    pub(super) async fn keep_picture(&self, raster: Raster) -> Result<KeptPicture, ServiceError> {
        let (width, height) = (raster.width() as u32, raster.height() as u32);
        let png = tokio::task::spawn_blocking(move || raster.png());
        let png = png
            .await
            .map_err(ServiceError::internal)?
            .map_err(ServiceError::internal)?;
        let bytes = png.len() as u64;
        let key = self.artifacts.put_again(ArtifactKind::Pictures, png).await?;
        if self.pictures.took(bytes) {
            let library = self.clone();
            tokio::spawn(async move {
                if let Err(error) = library.make_room_for_pictures().await {
                    tracing::warn!(%error, "pictures that nobody needs could not be deleted");
                }
            });
        }
        Ok(KeptPicture {
            hash: key.hash(),
            width,
            height,
        })
    }

    /// Deletes the oldest pictures if all take too much room, but for those of synthetic images and young ones. A picture that
    /// is gone is drawn again by the query that asks for it.
    async fn make_room_for_pictures(&self) -> Result<(), ServiceError> {
        let hashes = self.store.synthetic_pictures().await?;
        let keys = hashes.iter().filter_map(|hash| picture_key(hash));
        let (spared, limit) = (keys.collect(), self.pictures.limit);
        let deleted = self
            .artifacts
            .trim(ArtifactKind::Pictures, limit, &spared, GRACE)
            .await?;
        if deleted > 0 {
            tracing::info!(deleted, "deleted the oldest pictures");
        }
        Ok(())
    }

    /// A picture that is kept, as PNG.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none of this hash.
    pub async fn kept_picture(&self, hash: &str) -> Result<Bytes, ServiceError> {
        let unknown = || ServiceError::not_found("picture", format!("{hash}: ask again for what it shows"));
        let key = picture_key(hash).ok_or_else(unknown)?;
        match self.artifacts.get(&key).await {
            Err(ArtifactError::Missing { .. }) => Err(unknown()),
            outcome => Ok(outcome?),
        }
    }

    /// The images of a split, kept in memory.
    pub(super) async fn split_images(&self, dataset: DatasetId, split: Split) -> Result<LabelledImages, ServiceError> {
        let read = async {
            let dataset = self.dataset(dataset).await?;
            self.images(&dataset, split).await
        };
        self.splits.get_or((dataset, split), read).await
    }

    /// Draws the layers of two versions against each other.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version, and those of [`Library::compare`].
    pub async fn picture(&self, request: PictureRequest, format: PictureFormat) -> Result<Vec<u8>, ServiceError> {
        let (a, model_a) = self.listed_version(request.a).await?;
        let (b, model_b) = self.listed_version(request.b).await?;
        let dataset = self.dataset(a.dataset_id).await?;
        let comparison = Comparison {
            probe_set: self.probe_set_of(&dataset, request.probe_set).await?.id,
            measure: request.measure,
            layer_kinds: request.layer_kinds,
        };
        let layers = self.compare(&a, &b, &comparison).await?;
        let [title_a, title_b] = [(&model_a, &a), (&model_b, &b)]
            .map(|(model, version)| format!("{} version {}", model.name.as_str(), version.number));
        let (rows, columns) = (
            self.axis(title_a.clone(), &layers.rows).await?,
            self.axis(title_b.clone(), &layers.columns).await?,
        );
        let drawn = tokio::task::spawn_blocking(move || {
            let matched = layers.matrix.best_matches();
            let map = HeatMap {
                title: format!("Layers of {title_a} and {title_b} on {}", dataset.name),
                unit: match comparison.measure {
                    Measure::DebiasedCka => "debiased CKA".to_owned(),
                    Measure::Cka => "CKA".to_owned(),
                },
                rows,
                columns,
                scale: Scale::linear(&layers.matrix),
                numbers: Numbers::Scores,
                frames: Some(Frames {
                    cells: matched.iter().map(|best| (best.row, best.column)).collect(),
                    meaning: "of each row, the layer most like it".to_owned(),
                }),
                matrix: layers.matrix,
            };
            format.of_drawing(map.svg()?)
        });
        let drawn = drawn.await.map_err(ServiceError::internal)?;
        drawn.map_err(|error: PictureError| ServiceError::internal(error))
    }

    async fn axis(&self, title: String, ids: &[LayerId]) -> Result<Axis, ServiceError> {
        let layers = self.store.layers_by_id(ids).await?;
        let labels: HashMap<LayerId, String> = layers
            .into_iter()
            .map(|layer| (layer.id, format!("{} {}", layer.name, layer.kind)))
            .collect();
        let labels = ids.iter().map(|id| labels.get(id).cloned().unwrap_or_default());
        Ok(Axis {
            title,
            labels: labels.collect(),
        })
    }
}

fn picture_key(hash: &str) -> Option<ArtifactKey> {
    format!("{}/{hash}", ArtifactKind::Pictures).parse().ok()
}

/// A split has no image of an index.
pub(super) fn no_such_image(dataset: &str, split: Split, index: usize, count: usize) -> ServiceError {
    let last = count.saturating_sub(1);
    ServiceError::not_found(
        "image",
        format!("{index}: those of the {split} split of {dataset} are 0 to {last}"),
    )
}
