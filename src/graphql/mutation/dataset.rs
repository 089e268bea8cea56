//! Importing data sets, drawing probe sets, and keeping their indexes.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Upload};
use bytes::Bytes;

use scv_domain::access::Scope;
use scv_domain::dataset::DatasetName;
use scv_domain::id::ProbeSetId;
use scv_domain::image::ChannelStatistics;
use scv_domain::probe::{DEFAULT_PROBE_SEED, DEFAULT_PROBES, ProbeRequest};
use scv_domain::similarity::SearchIndex;
use crate::graphql::dataset::{Dataset, ProbeSet};
use crate::graphql::error::{ApiError, Result};
use crate::graphql::id::GlobalId as _;
use crate::graphql::job::Job;
use crate::graphql::loader::load_referenced;
use crate::graphql::number::not_negative;
use crate::graphql::upload::read_upload;
use scv_dataset::{DatasetSource, IdxFiles, IdxImport, IdxPreset};
use scv_service::{Library, ProbeSetRequest};

/// Writes on data sets and probe sets.
#[derive(Debug, Default, async_graphql::Description)]
pub struct DatasetMutation;

#[Object(use_type_description)]
impl DatasetMutation {
    /// Imports a data set and draws its default probe set.
    async fn import_dataset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to import.")] input: ImportDatasetInput,
    ) -> Result<ImportDatasetPayload> {
        ctx.data_unchecked::<Library>().require(Scope::Write)?;
        let source = source(ctx, input).await?;
        let new = tokio::task::spawn_blocking(|| source.read())
            .await
            .map_err(ApiError::bad_input)?;
        let dataset = ctx
            .data_unchecked::<Library>()
            .import_dataset(&new.map_err(ApiError::bad_input)?)
            .await?;
        Ok(ImportDatasetPayload {
            dataset: Dataset(dataset),
        })
    }

    /// Draws another probe set from a data set and ingests its READY versions on it in the background.
    async fn create_probe_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to draw.")] input: CreateProbeSetInput,
    ) -> Result<CreateProbeSetPayload> {
        let count = input
            .image_count
            .map(|count| not_negative("imageCount", count))
            .transpose()?;
        let seed = input.seed.map(|seed| not_negative("seed", seed)).transpose()?;
        let draw = ProbeRequest {
            count: count.unwrap_or(DEFAULT_PROBES),
            seed: seed.unwrap_or(DEFAULT_PROBE_SEED),
        };
        let request = ProbeSetRequest {
            dataset: input.dataset,
            draw,
        };
        let (probe_set, jobs) = ctx.data_unchecked::<Library>().create_probe_set(request).await?;
        Ok(CreateProbeSetPayload {
            probe_set: ProbeSet(probe_set),
            jobs: jobs.into_iter().map(Job).collect(),
        })
    }

    /// Makes the search index of a probe set anew, and answers when it is done: minutes for 100,000 layers. Searches and
    /// writes go on beside it. The index grows with every layer, so this is only for after very many were deleted.
    async fn rebuild_search_index(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose index.")] input: RebuildSearchIndexInput,
    ) -> Result<RebuildSearchIndexPayload> {
        let id = ProbeSetId::decode(&input.probe_set_id)?;
        let SearchIndex { layers, bytes } = ctx.data_unchecked::<Library>().rebuild_search_index(id).await?;
        Ok(RebuildSearchIndexPayload {
            probe_set: load_referenced(ctx, id).await.map(ProbeSet)?,
            layer_count: layers,
            byte_count: bytes,
        })
    }
}

/// A data set to import.
#[derive(InputObject)]
pub struct ImportDatasetInput {
    /// 1 to 64 lowercase letters, digits, `_` and `-`. The names mnist, fashion_mnist and emnist stand for the
    /// published data sets and fill in class names, labels and statistics that are left out.
    name: String,
    /// What the files are; IDX if left out.
    #[graphql(default_with = "DatasetFormat::Idx")]
    format: DatasetFormat,
    /// One name a class; without them a class is called by its label.
    class_names: Option<Vec<String>>,
    /// The label that means the first class; 0 if left out.
    first_label: Option<u16>,
    /// Whether rows and columns are exchanged in the files, as in EMNIST; no if left out.
    transposed: Option<bool>,
    /// Mean of each channel after pixels are scaled to 0..1; computed from the train images if left out.
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel; to be given just if `mean` is.
    std: Option<Vec<f32>>,
    /// Images to learn from, raw or gzipped.
    train_images: Option<Upload>,
    /// Their labels.
    train_labels: Option<Upload>,
    /// Images to measure with.
    test_images: Option<Upload>,
    /// Their labels.
    test_labels: Option<Upload>,
}

/// A published file format of data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum DatasetFormat {
    /// Four IDX files: images and labels of both splits (MNIST, Fashion-MNIST, EMNIST).
    Idx,
    /// The handwritten digits of 8x8 that come with the server. No files.
    Digits,
}

/// The data set imported.
#[derive(Debug, SimpleObject)]
pub struct ImportDatasetPayload {
    /// The data set.
    dataset: Dataset,
}

/// A probe set to draw.
#[derive(Debug, InputObject)]
pub struct CreateProbeSetInput {
    /// Name of the data set.
    dataset: String,
    /// How many images, 4 to 1,000; 100 if left out.
    image_count: Option<i32>,
    /// Equal seeds draw equal images.
    seed: Option<i32>,
}

/// The probe set drawn.
#[derive(Debug, SimpleObject)]
pub struct CreateProbeSetPayload {
    /// The probe set.
    probe_set: ProbeSet,
    /// One job for each version that is ingested on it.
    jobs: Vec<Job>,
}

/// An index to make anew.
#[derive(Debug, InputObject)]
pub struct RebuildSearchIndexInput {
    /// The probe set.
    probe_set_id: ID,
}

/// The index made.
#[derive(Debug, SimpleObject)]
pub struct RebuildSearchIndexPayload {
    /// The probe set.
    probe_set: ProbeSet,
    /// Layers in the index.
    layer_count: i64,
    /// What it takes on disk, with the indexes that filters use.
    byte_count: i64,
}

async fn source(ctx: &Context<'_>, input: ImportDatasetInput) -> Result<DatasetSource> {
    let name = DatasetName::try_from(input.name).map_err(ApiError::bad_input)?;
    if input.format == DatasetFormat::Digits {
        let files = [
            &input.train_images,
            &input.train_labels,
            &input.test_images,
            &input.test_labels,
        ];
        if files.into_iter().any(Option::is_some) {
            return Err(ApiError::bad_input(
                "the digits come with the server: give no files, or the format IDX",
            ));
        }
        let described = input.class_names.is_some() || input.first_label.is_some() || input.transposed.is_some();
        if described || input.mean.is_some() || input.std.is_some() {
            return Err(ApiError::bad_input(
                "the digits are known whole: give `name` and `format` alone, or the format IDX",
            ));
        }
        return Ok(DatasetSource::Digits(name));
    }
    let given = match (input.mean, input.std) {
        (Some(mean), Some(std)) => Some(ChannelStatistics { mean, std }),
        (None, None) => None,
        _ => return Err(ApiError::bad_input("give both `mean` and `std`, or neither")),
    };
    let files = IdxFiles {
        train_images: read_file(ctx, input.train_images, "trainImages").await?,
        train_labels: read_file(ctx, input.train_labels, "trainLabels").await?,
        test_images: read_file(ctx, input.test_images, "testImages").await?,
        test_labels: read_file(ctx, input.test_labels, "testLabels").await?,
    };
    let known = match IdxPreset::find(name.as_str()) {
        Some(preset) => preset.import(files).map_err(ApiError::bad_input)?,
        None => IdxImport {
            name,
            class_names: None,
            first_label: 0,
            transposed: false,
            statistics: None,
            files,
        },
    };
    Ok(DatasetSource::Idx(Box::new(IdxImport {
        class_names: input.class_names.or(known.class_names),
        first_label: input.first_label.unwrap_or(known.first_label),
        transposed: input.transposed.unwrap_or(known.transposed),
        statistics: given.or(known.statistics),
        ..known
    })))
}

async fn read_file(ctx: &Context<'_>, upload: Option<Upload>, field: &str) -> Result<Bytes> {
    let missing = || ApiError::bad_input(format!("`{field}` is missing: the format IDX needs all four files"));
    read_upload(ctx, upload.ok_or_else(missing)?, field).await
}
