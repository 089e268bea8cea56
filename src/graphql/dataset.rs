//! Data sets and probe sets.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::error::Result;
use super::id::GlobalId;
use super::loader::{ProbeSetsOf, SplitsOf, load, load_referenced};
use super::plain::Plain;
use scv_domain::{dataset as names, dataset_record as domain};

/// Labelled images with a shape and class names.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Dataset(pub domain::Dataset);

#[Object(use_type_description)]
impl Dataset {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Unique.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// 1 for grey images, 3 for colour.
    async fn channels(&self) -> i32 {
        self.0.shape.channels as i32
    }

    /// Rows of an image.
    async fn height(&self) -> i32 {
        self.0.shape.height as i32
    }

    /// Columns of an image.
    async fn width(&self) -> i32 {
        self.0.shape.width as i32
    }

    /// One name a class, in the order of the class indices.
    async fn class_names(&self) -> &[String] {
        &self.0.class_names
    }

    /// Mean of each channel after pixels are scaled to 0..1.
    async fn mean(&self) -> Vec<f64> {
        self.0.statistics.mean.iter().copied().map(as_written).collect()
    }

    /// Standard deviation of each channel after pixels are scaled to 0..1.
    async fn std(&self) -> Vec<f64> {
        self.0.statistics.std.iter().copied().map(as_written).collect()
    }

    /// Its parts: train and test.
    async fn splits(&self, ctx: &Context<'_>) -> Result<Vec<DatasetSplit>> {
        let splits = load(ctx, SplitsOf(self.0.id)).await?.unwrap_or_default();
        Ok(splits
            .into_iter()
            .map(|stored| DatasetSplit {
                split: stored.split.into(),
                image_count: stored.image_count,
            })
            .collect())
    }

    /// Its probe sets, the default one first.
    async fn probe_sets(&self, ctx: &Context<'_>) -> Result<Vec<ProbeSet>> {
        Ok(load(ctx, ProbeSetsOf(self.0.id))
            .await?
            .unwrap_or_default()
            .into_iter()
            .map(ProbeSet)
            .collect())
    }

    /// When it was imported.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// The number a person would write: 0.1307 in single precision is 0.13070000708… in double precision.
pub fn as_written(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct DatasetSplit {
    /// Which part.
    split: Split,
    /// How many images.
    image_count: i32,
}

/// What the images of a part of a data set are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "names::Split")]
pub enum Split {
    /// To learn from.
    Train,
    /// To measure with.
    Test,
}

/// An ordered, immutable list of images. Layers are comparable within one probe set only.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct ProbeSet(pub domain::ProbeSet);

#[Object(use_type_description)]
impl ProbeSet {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// The data set its images are of.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Dataset> {
        load_referenced(ctx, self.0.dataset_id).await.map(Dataset)
    }

    /// The split its images are of.
    async fn split(&self) -> Split {
        self.0.split.into()
    }

    /// How many images.
    async fn image_count(&self) -> usize {
        self.0.image_indices.len()
    }

    /// Indices of the images in their split, in order.
    async fn image_indices(&self) -> Plain<&[i32]> {
        Plain(&self.0.image_indices)
    }

    /// SHA-256 over the images and how they become numbers.
    async fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// Whether searches use it when none is named.
    async fn is_default(&self) -> bool {
        self.0.is_default
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}
