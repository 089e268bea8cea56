//! Data sets and probe sets.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::{ListConnection, connection_of_all, page};
use super::cost::page_cost;
use super::error::{ApiError, Result};
use super::evaluation::Class;
use super::id::GlobalId;
use super::loader::{ProbeSetsOf, SearchIndexOf, SplitsOf, load, load_referenced};
use super::number::non_negative;
use super::picture::Picture;
use super::plain::ListEntry;
use super::raw_list::RawList;
use scv_domain::id::{DatasetId, ProbeSetId};
use scv_domain::{dataset as names, dataset_record as domain, similarity};
use scv_service::Library;

/// A set of labelled images of one shape, with class names.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Dataset(pub domain::Dataset);

#[Object(use_type_description)]
impl Dataset {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Its unique name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Number of channels: 1 for greyscale images, 3 for colour images.
    async fn channels(&self) -> i32 {
        self.0.shape.channels as i32
    }

    /// Height of the images in pixels.
    async fn height(&self) -> i32 {
        self.0.shape.height as i32
    }

    /// Width of the images in pixels.
    async fn width(&self) -> i32 {
        self.0.shape.width as i32
    }

    /// The name of each class, by class index.
    async fn class_names(&self) -> &[String] {
        &self.0.class_names
    }

    /// Mean of each channel, for pixel values scaled to 0–1.
    async fn mean(&self) -> Vec<f64> {
        self.0.statistics.mean.iter().copied().map(as_written).collect()
    }

    /// Standard deviation of each channel, for pixel values scaled to 0–1.
    async fn std(&self) -> Vec<f64> {
        self.0.statistics.std.iter().copied().map(as_written).collect()
    }

    /// Its splits: train and test.
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

    /// The images of a split, in its order.
    #[expect(
        clippy::too_many_arguments,
        reason = "a choice of images and a page of them, as the schema writes them"
    )]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn images(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The split.", default_with = "Split::Test")] split: Split,
        #[graphql(desc = "Return only images of the class of this index.")] class: Option<u16>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<DatasetImage>> {
        let page = page(first, after, last, before)?;
        if let Some(class) = class {
            check_class(&self.0, class)?;
        }
        let split = names::Split::from(split);
        let classes = Box::pin(ctx.data_unchecked::<Library>().image_classes(self.0.id, split)).await?;
        let indices = 0..classes.len();
        let chosen: Vec<usize> = match class {
            Some(class) => indices.filter(|&index| classes[index] == class).collect(),
            None => indices.collect(),
        };
        Ok(connection_of_all(&chosen, &page, |index| {
            self.image_at(split, index, classes[index])
        }))
    }

    /// An image of a split. Null if the split has fewer images.
    async fn image(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its index in the split, from 0.")] index: i32,
        #[graphql(desc = "The split.", default_with = "Split::Test")] split: Split,
    ) -> Result<Option<DatasetImage>> {
        let index = non_negative("index", index)?;
        let split = names::Split::from(split);
        let classes = Box::pin(ctx.data_unchecked::<Library>().image_classes(self.0.id, split)).await?;
        Ok(classes.get(index).map(|&class| self.image_at(split, index, class)))
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

impl Dataset {
    fn image_at(&self, split: names::Split, index: usize, class: u16) -> DatasetImage {
        DatasetImage {
            dataset: self.0.id,
            split,
            index,
            class: Class::of(class, &self.0.class_names),
        }
    }
}

/// Checks that a data set has a class of an index.
fn check_class(dataset: &domain::Dataset, class: u16) -> Result<()> {
    let classes = dataset.class_names.len();
    if usize::from(class) < classes {
        return Ok(());
    }
    Err(ApiError::bad_input(format!(
        "class {class} of data set {} is out of range (0–{})",
        dataset.name,
        classes.saturating_sub(1)
    )))
}

/// An image of a data set.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct DatasetImage {
    dataset: DatasetId,
    split: names::Split,
    index: usize,
    class: Class,
}

impl ListEntry for DatasetImage {}

#[Object(use_type_description)]
impl DatasetImage {
    /// Its index in the split, from 0.
    async fn index(&self) -> usize {
        self.index
    }

    /// The split that it belongs to.
    async fn split(&self) -> Split {
        self.split.into()
    }

    /// Its class.
    async fn class(&self) -> &Class {
        &self.class
    }

    /// The image; small images are enlarged.
    async fn picture(&self, ctx: &Context<'_>) -> Result<Picture> {
        let library = ctx.data_unchecked::<Library>();
        let picture = library.dataset_picture(self.dataset, self.split, self.index);
        Ok(Picture(Box::pin(picture).await?))
    }
}

/// Converts a number to double precision as a person would write it: 0.1307 in single precision would otherwise become
/// 0.13070000708…
pub fn as_written(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// A split of a data set.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct DatasetSplit {
    /// Which split.
    split: Split,
    /// Number of images.
    image_count: i32,
}

/// The purpose of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "names::Split")]
pub enum Split {
    /// Images for training.
    Train,
    /// Images for evaluation.
    Test,
}

/// An ordered, immutable list of images that layers are measured on. Layers can be compared only on the same probe set.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct ProbeSet(pub domain::ProbeSet);

#[Object(use_type_description)]
impl ProbeSet {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// The data set that its images belong to.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Dataset> {
        load_referenced(ctx, self.0.dataset_id).await.map(Dataset)
    }

    /// The split that its images belong to.
    async fn split(&self) -> Split {
        self.0.split.into()
    }

    /// Number of images.
    async fn image_count(&self) -> usize {
        self.0.image_indices.len()
    }

    /// The indices of its images in the split, in order.
    async fn image_indices(&self) -> RawList<&[i32]> {
        RawList(&self.0.image_indices)
    }

    /// SHA-256 hash of the images and their preprocessing.
    async fn content_hash(&self) -> &str {
        &self.0.content_hash
    }

    /// Whether searches use it by default.
    async fn is_default(&self) -> bool {
        self.0.is_default
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Its search index.
    async fn search_index(&self, ctx: &Context<'_>) -> Result<SearchIndex> {
        let probe_set = self.0.id;
        let index = load_referenced(ctx, SearchIndexOf(probe_set)).await?;
        Ok(SearchIndex { probe_set, index })
    }
}

/// What searches on a probe set compare layers by.
#[derive(Debug, async_graphql::Description)]
pub struct SearchIndex {
    probe_set: ProbeSetId,
    index: similarity::SearchIndex,
}

#[Object(use_type_description)]
impl SearchIndex {
    /// When it was last fitted to the layers of the probe set, or created.
    async fn fitted_at(&self) -> DateTime<Utc> {
        self.index.fitted_at
    }

    /// Whether it is being rebuilt. Searches use the old one until then.
    async fn rebuilding(&self) -> bool {
        self.index.is_being_rebuilt
    }

    /// Number of layers that the caller's searches can find.
    async fn layer_count(&self, ctx: &Context<'_>) -> Result<usize> {
        let library = ctx.data_unchecked::<Library>();
        Ok(library.count_searchable(self.probe_set).await?)
    }
}
