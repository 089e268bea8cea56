//! Imports data sets, creates probe sets and rebuilds search indexes.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Upload};
use bytes::Bytes;

use crate::dataset::ProbeSet;
use crate::error::{ApiError, Result};
use crate::id::GlobalId as _;
use crate::job::Job;
use crate::loader::load_referenced;
use crate::number::non_negative;
use crate::upload::read_upload;
use scv_dataset::IdxPreset;
use scv_domain::access::Scope;
use scv_domain::dataset::DatasetName;
use scv_domain::dataset_source::{DatasetSource, IdxFiles, IdxImport};
use scv_domain::id::ProbeSetId;
use scv_domain::image::ChannelStatistics;
use scv_domain::probe::{DEFAULT_PROBE_SEED, DEFAULT_PROBES, ProbeRequest};
use scv_service::{Library, ProbeSetRequest};

/// Mutations of data sets and probe sets.
#[derive(Debug, Default, async_graphql::Description)]
pub struct DatasetMutation;

#[Object(use_type_description)]
impl DatasetMutation {
    /// Queues a job that imports a data set and draws its default probe set. Mistakes that are plain from the input and the headers
    /// of the files are reported at once, others as the failure of the job. The uploaded files are kept until the import has
    /// succeeded, or for seven days after it failed or was cancelled: until then `retryJob` can try it again.
    async fn import_dataset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The data set to import.")] input: ImportDatasetInput,
    ) -> Result<ImportDatasetPayload> {
        ctx.data_unchecked::<Library>().require(Scope::Write)?;
        let source = source(ctx, input)?;
        let job = ctx.data_unchecked::<Library>().import_dataset(source).await?;
        Ok(ImportDatasetPayload { job: Job(job) })
    }

    /// Creates another probe set from a data set and queues a job for each READY version to ingest it on the probe set.
    async fn create_probe_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The probe set to create.")] input: CreateProbeSetInput,
    ) -> Result<CreateProbeSetPayload> {
        let count = input
            .image_count
            .map(|count| non_negative("imageCount", count))
            .transpose()?;
        let seed = input.seed.map(|seed| non_negative("seed", seed)).transpose()?;
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

    /// Begins to fit the search index of a probe set to its layers, which takes minutes for a million layers. Searches and
    /// writes continue in the meantime. It has finished when `searchIndex.rebuilding` is false, and succeeded if
    /// `searchIndex.fittedAt` differs from before. Only one index is rebuilt at a time, of whatever probe set. The server does
    /// this by itself as the library grows, so it is useful only after many layers were deleted.
    async fn rebuild_search_index(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The index to rebuild.")] input: RebuildSearchIndexInput,
    ) -> Result<RebuildSearchIndexPayload> {
        let id = ProbeSetId::decode(&input.probe_set_id)?;
        ctx.data_unchecked::<Library>().rebuild_search_index(id).await?;
        let probe_set = load_referenced(ctx, id).await.map(ProbeSet)?;
        Ok(RebuildSearchIndexPayload { probe_set })
    }
}

/// A data set to import.
#[derive(InputObject)]
pub struct ImportDatasetInput {
    /// Its name: 1 to 64 lowercase letters, digits, `_` and `-`. For the published data sets `mnist`, `fashion_mnist`
    /// and `emnist`, the server supplies class names, labels and statistics that are omitted.
    name: String,
    /// The format of the files. Default: IDX.
    #[graphql(default_with = "DatasetFormat::Idx")]
    format: DatasetFormat,
    /// The name of each class, by class index. Default: the labels.
    class_names: Option<Vec<String>>,
    /// The label of the first class. Default: 0.
    first_label: Option<u16>,
    /// Whether classes may have no training images. Otherwise such an import fails, because a class that no image belongs to is
    /// usually a mistake, such as labels that begin at 1. Default: false.
    allow_empty_classes: Option<bool>,
    /// Whether rows and columns are swapped in the files, as in EMNIST. Default: false.
    transposed: Option<bool>,
    /// Mean of each channel, for pixel values scaled to 0–1. Default: computed from the training images.
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel; required if `mean` is specified.
    std: Option<Vec<f32>>,
    /// The file of training images, raw or gzipped.
    train_images: Option<Upload>,
    /// The file of training labels, raw or gzipped.
    train_labels: Option<Upload>,
    /// The file of test images, raw or gzipped.
    test_images: Option<Upload>,
    /// The file of test labels, raw or gzipped.
    test_labels: Option<Upload>,
}

/// Formats of data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum DatasetFormat {
    /// Four IDX files: images and labels of both splits, as MNIST, Fashion-MNIST and EMNIST are published.
    Idx,
    /// The 8x8 handwritten digits that are included in the server; no files are needed.
    Digits,
}

/// The import of a data set.
#[derive(Debug, SimpleObject)]
pub struct ImportDatasetPayload {
    /// The job that imports it. Its `dataset` is the new data set once it has succeeded.
    job: Job,
}

/// A probe set to create.
#[derive(Debug, InputObject)]
pub struct CreateProbeSetInput {
    /// Name of the data set.
    dataset: String,
    /// Number of images, 4 to 1,000. Default: 100.
    image_count: Option<i32>,
    /// Random seed of the selection of images; the same seed selects the same images.
    seed: Option<i32>,
}

/// The created probe set.
#[derive(Debug, SimpleObject)]
pub struct CreateProbeSetPayload {
    /// The probe set.
    probe_set: ProbeSet,
    /// The jobs that ingest versions on it, one per version.
    jobs: Vec<Job>,
}

/// A search index to rebuild.
#[derive(Debug, InputObject)]
pub struct RebuildSearchIndexInput {
    /// Global id of the probe set.
    probe_set_id: ID,
}

/// The probe set whose index is being rebuilt.
#[derive(Debug, SimpleObject)]
pub struct RebuildSearchIndexPayload {
    /// The probe set.
    probe_set: ProbeSet,
}

fn source(ctx: &Context<'_>, input: ImportDatasetInput) -> Result<DatasetSource<Bytes>> {
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
                "the format DIGITS takes no files: omit them, or use the format IDX",
            ));
        }
        let has_labels =
            input.class_names.is_some() || input.first_label.is_some() || input.allow_empty_classes.is_some();
        if has_labels || input.transposed.is_some() || input.mean.is_some() || input.std.is_some() {
            return Err(ApiError::bad_input(
                "the format DIGITS takes only `name` and `format`: omit the other fields, or use the format IDX",
            ));
        }
        return Ok(DatasetSource::Digits(name));
    }
    let given = match (input.mean, input.std) {
        (Some(mean), Some(std)) => Some(ChannelStatistics { mean, std }),
        (None, None) => None,
        _ => return Err(ApiError::bad_input("specify both `mean` and `std`, or neither")),
    };
    let files = IdxFiles {
        train_images: read_file(ctx, input.train_images, "trainImages")?,
        train_labels: read_file(ctx, input.train_labels, "trainLabels")?,
        test_images: read_file(ctx, input.test_images, "testImages")?,
        test_labels: read_file(ctx, input.test_labels, "testLabels")?,
    };
    let known = match IdxPreset::find(name.as_str()) {
        Some(preset) => preset.import(files).map_err(ApiError::bad_input)?,
        None => IdxImport {
            name,
            class_names: None,
            first_label: 0,
            allow_empty_classes: false,
            transposed: false,
            statistics: None,
            files,
        },
    };
    Ok(DatasetSource::Idx(Box::new(IdxImport {
        class_names: input.class_names.or(known.class_names),
        first_label: input.first_label.unwrap_or(known.first_label),
        allow_empty_classes: input.allow_empty_classes.unwrap_or(known.allow_empty_classes),
        transposed: input.transposed.unwrap_or(known.transposed),
        statistics: given.or(known.statistics),
        ..known
    })))
}

fn read_file(ctx: &Context<'_>, upload: Option<Upload>, field: &str) -> Result<Bytes> {
    let missing = || ApiError::bad_input(format!("`{field}` is missing: the format IDX requires all four files"));
    read_upload(ctx, upload.ok_or_else(missing)?, field)
}
