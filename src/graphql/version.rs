//! Versions and their failures.

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::compare::{self, LayerPair, PictureFormat, VersionMatchConnection};
use super::connection::{ListConnection, Total, connection, empty, page};
use super::dataset::{Dataset, ProbeSet, Split, as_written};
use super::diff::VersionDiff;
use super::error::Result;
use super::evaluation::Evaluation;
use super::id::GlobalId;
use super::insight::{AttributionSettings, ImageAttributions, attribute, attribution_cost, image_of_dataset};
use super::job::EpochReport;
use super::layer::Layer;
use super::layer_match::{Measure, SimilarityFilter};
use super::limits::{list_cost, page_cost};
use super::loader::{EvaluationsOf, LayerCount, LayersPage, load, load_referenced};
use super::model::Model;
use super::node;
use super::synthesis::{self, Synthesis};
use scv_domain::id::{ProbeSetId, VersionId};
use scv_domain::synthesis::SynthesesOf;
use scv_domain::version as domain;
use scv_domain::{evaluation, image};
use scv_service::{Library, ServiceError};

/// A numbered, immutable version of a model.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Version(pub domain::Version);

#[Object(use_type_description)]
impl Version {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// From 1, without gaps.
    async fn number(&self) -> i32 {
        self.0.number
    }

    /// How far it has come. Layers and vectors are there once it is READY.
    async fn status(&self) -> VersionStatus {
        self.0.status.into()
    }

    /// What it was brought as.
    async fn format(&self) -> ModelFormat {
        self.0.format.into()
    }

    /// The model it belongs to.
    async fn model(&self, ctx: &Context<'_>) -> Result<Model> {
        load_referenced(ctx, self.0.model_id).await.map(Model)
    }

    /// The data set whose images and classes it is made for.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Dataset> {
        load_referenced(ctx, self.0.dataset_id).await.map(Dataset)
    }

    /// Share of the test images classified right, 0 to 1: on its own data set, or on the one named. Null if it was not evaluated there.
    async fn accuracy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Name of a data set; its own if left out.")] dataset: Option<String>,
    ) -> Result<Option<f64>> {
        Ok(self
            .find_evaluation(ctx, dataset)
            .await?
            .map(|evaluation| evaluation.accuracy))
    }

    /// The evaluation on its own data set, or on the one named. Null if there is none.
    async fn evaluation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Name of a data set; its own if left out.")] dataset: Option<String>,
    ) -> Result<Option<Evaluation>> {
        Ok(self.find_evaluation(ctx, dataset).await?.map(Evaluation))
    }

    /// Its layers in execution order; none until it is READY.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn layers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Layer>> {
        let page = page(first, after, last, before)?;
        let slice = load(ctx, LayersPage(self.0.id, page.clone()))
            .await?
            .unwrap_or_else(|| empty(&page));
        Ok(connection(
            slice,
            Total::Layers(LayerCount(self.0.id)),
            |layer| layer.index,
            Layer,
        ))
    }

    /// What leads from this version to another: layers added, removed and changed, and how far each moved.
    async fn diff(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the other version. Layers that only it has are ADDED.")] with: ID,
        #[graphql(
            desc = "The probe set to compare on, one of this version's data set; if left out the default one, or the oldest \
                    other that both versions were measured on."
        )]
        probe_set: Option<ID>,
    ) -> Result<VersionDiff> {
        let key = VersionId::decode(&with)?;
        let other = node::version(ctx, key).await?;
        let other = other.ok_or_else(|| ServiceError::not_found("version", &*with))?;
        let probe_set = probe_set.as_ref().map(ProbeSetId::decode).transpose()?;
        let library = ctx.data_unchecked::<Library>();
        Ok(library.version_diff(&self.0, &other.0, probe_set).await?.into())
    }

    /// Trainable numbers.
    async fn parameter_count(&self) -> i64 {
        self.0.parameter_count
    }

    /// Multiply-accumulate operations for one image; a whole number.
    async fn multiply_accumulates(&self) -> f64 {
        self.0.multiply_accumulates as f64
    }

    /// The block list as it was given, for a version of format BLOCKS.
    async fn blocks(&self) -> Option<Json<serde_json::Value>> {
        self.0.blocks.clone().map(Json)
    }

    /// Source code that builds the network, for a version of format BLOCKS; null for others. The files of a version are at
    /// `downloads`.
    async fn code(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In which language.", default_with = "CodeFormat::Pytorch")] format: CodeFormat,
    ) -> Result<Option<String>> {
        if self.0.format != domain::ModelFormat::Blocks {
            return Ok(None);
        }
        match format {
            CodeFormat::Pytorch => {
                let model = load_referenced(ctx, self.0.model_id).await?;
                let library = ctx.data_unchecked::<Library>();
                Ok(Some(library.pytorch_source(&self.0, model.name.as_str()).await?))
            }
        }
    }

    /// Addresses on this server at which the network can be had as a file.
    async fn downloads(&self) -> Downloads {
        let at = |file: &str| format!("/versions/{}/{file}", self.0.id.encode().0);
        let is_blocks = self.0.format == domain::ModelFormat::Blocks;
        let has_file = self.0.weights_key.is_some();
        Downloads {
            onnx: (has_file && self.0.format != domain::ModelFormat::Activations).then(|| at("network.onnx")),
            pytorch: is_blocks.then(|| at("network.py")),
            safetensors: (has_file && is_blocks).then(|| at("weights.safetensors")),
        }
    }

    /// How images become the input of an ONNX file; null for versions of other formats.
    async fn preprocessing(&self) -> Option<Preprocessing> {
        match &self.0.source {
            Some(domain::Source::Onnx { preprocessing, .. }) => Some(preprocessing.clone().into()),
            _ => None,
        }
    }

    /// The probe set that activations were computed on; null for versions of other formats.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<Option<ProbeSet>> {
        match self.0.source {
            Some(domain::Source::Activations { probe_set }) => {
                Ok(Some(load_referenced(ctx, probe_set).await.map(ProbeSet)?))
            }
            _ => Ok(None),
        }
    }

    /// What each epoch came to, if it was trained here.
    async fn epochs(&self) -> Vec<EpochReport> {
        self.0.train_epochs.iter().flatten().copied().map(EpochReport).collect()
    }

    /// The versions that compute most nearly the same, layer by layer, best first; never this one. Its own model is left out
    /// unless the filter says otherwise. A filter's layer kinds choose the layers that are compared, its least score is one
    /// of versions.
    #[graphql(complexity = "page_cost(Some(first), None, child_complexity)")]
    async fn similar_versions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Hits of this page, at most 100.", default = 10)] first: i32,
        #[graphql(desc = "Only hits behind this cursor, of the first 400.")] after: Option<String>,
        #[graphql(desc = "What layers are compared by.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "Which versions may answer.")] filter: Option<SimilarityFilter>,
        #[graphql(desc = "The probe set to compare on; the default one of the version's data set if left out.")]
        probe_set: Option<ID>,
    ) -> Result<VersionMatchConnection> {
        compare::similar_versions(ctx, &self.0, (first, after), measure, filter, probe_set.as_ref()).await
    }

    /// Pairs of layers of which one follows the other in execution order and that compute nearly the same: candidates for
    /// pruning. Layers without a vector are in no pair.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn redundant_neighbours(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Least score of a pair.", default = 0.98)] min_score: f64,
        #[graphql(desc = "What the scores are of.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "The probe set to compare on; the default one of the version's data set if left out.")]
        probe_set: Option<ID>,
    ) -> Result<Vec<LayerPair>> {
        compare::redundant_neighbours(ctx, &self.0, min_score, measure, probe_set.as_ref()).await
    }

    /// The version that this one is a near-duplicate of: when this one was ingested, each layer of either had one in the other
    /// with a debiased CKA of at least 0.999. Null if there was none, or its model is deleted.
    async fn duplicate_of(&self, ctx: &Context<'_>) -> Result<Option<Version>> {
        match self.0.duplicate_of {
            Some(original) => node::version(ctx, original).await,
            None => Ok(None),
        }
    }

    /// Address on this server of a picture of its training, loss and accuracy by epoch; null if it was not trained here.
    async fn training_curve(
        &self,
        #[graphql(desc = "How it is written.", default_with = "PictureFormat::Svg")] format: PictureFormat,
    ) -> Option<String> {
        self.0.train_epochs.as_ref().filter(|epochs| !epochs.is_empty())?;
        let ending = scv_service::PictureFormat::from(format).ending();
        Some(format!("/trainings/{}.{ending}", self.0.id.encode().as_str()))
    }

    /// Which pixels of an image of its data set a class hangs on.
    #[graphql(complexity = "attribution_cost(settings.as_ref(), child_complexity)")]
    async fn attribution(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Index of the image in its split.")] image: i32,
        #[graphql(desc = "The split.", default_with = "Split::Test")] split: Split,
        #[graphql(desc = "Index of the class; the likeliest if left out.")] class: Option<i32>,
        #[graphql(desc = "How; by integrated gradients if left out.")] settings: Option<AttributionSettings>,
    ) -> Result<ImageAttributions> {
        attribute(ctx, self.0.id, image_of_dataset(split, image)?, class, settings).await
    }

    /// Images that parts of its network answer to most, the latest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn syntheses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Synthesis>> {
        synthesis::list(ctx, SynthesesOf::Version(self.0.id), page(first, after, last, before)?).await
    }

    /// Why it failed, if it did.
    async fn failure(&self) -> Option<Failure> {
        self.0.failure.clone().map(Failure::from)
    }

    /// When it was registered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

impl Version {
    async fn find_evaluation(
        &self,
        ctx: &Context<'_>,
        dataset: Option<String>,
    ) -> Result<Option<evaluation::Evaluation>> {
        let evaluations = load(ctx, EvaluationsOf(self.0.id)).await?.unwrap_or_default();
        for evaluation in evaluations {
            let wanted = match &dataset {
                None => evaluation.dataset_id == self.0.dataset_id,
                Some(name) => load_referenced(ctx, evaluation.dataset_id).await?.name == *name,
            };
            if wanted {
                return Ok(Some(evaluation));
            }
        }
        if let Some(name) = dataset {
            // Null is for one that it was not evaluated on.
            ctx.data_unchecked::<Library>().dataset_named(&name).await?;
        }
        Ok(None)
    }
}

/// A language of source code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum CodeFormat {
    /// Python with PyTorch.
    Pytorch,
}

/// Where the network of a version can be had as a file; null for what its format has not, or what is not there yet.
#[derive(Debug, SimpleObject)]
pub struct Downloads {
    /// An ONNX file with all weights.
    onnx: Option<String>,
    /// PyTorch source that builds the network and loads its weights.
    pytorch: Option<String>,
    /// The weights of a block network.
    safetensors: Option<String>,
}

/// How images become the input of a network. It sees `(pixel / 255 - mean) / std`.
#[derive(Debug, SimpleObject)]
pub struct Preprocessing {
    /// Channels that it reads: grey images are repeated for each.
    channels: usize,
    /// Rows of its images.
    height: usize,
    /// Columns of its images.
    width: usize,
    /// The order of the colours.
    channel_order: ChannelOrder,
    /// Means of pixels from 0 to 1, in the order of the network's channels.
    mean: Vec<f64>,
    /// Deviations of pixels from 0 to 1.
    std: Vec<f64>,
}

impl From<image::Preprocessing> for Preprocessing {
    fn from(given: image::Preprocessing) -> Self {
        let written = |numbers: Vec<f32>| numbers.into_iter().map(as_written).collect();
        Self {
            channels: given.shape.channels,
            height: given.shape.height,
            width: given.shape.width,
            channel_order: given.order.into(),
            mean: written(given.statistics.mean),
            std: written(given.statistics.std),
        }
    }
}

/// In which order a network wants the colours of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "image::ChannelOrder")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::VersionStatus")]
pub enum VersionStatus {
    /// Its job waits.
    Queued,
    /// Its job runs.
    Running,
    /// Its layers and vectors are there.
    Ready,
    /// There are no layers and no vectors; `failure` says why.
    Failed,
}

/// What a version was brought as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::ModelFormat")]
pub enum ModelFormat {
    /// A list of blocks with safetensors weights, or trained here.
    Blocks,
    /// An ONNX file.
    Onnx,
    /// Activations on the probe set, computed elsewhere.
    Activations,
}

/// Why background work failed, in words its owner can act on.
#[derive(Debug, Clone, SimpleObject)]
pub struct Failure {
    /// The kind of failure.
    code: FailureCode,
    /// What happened and what to do.
    message: String,
    /// Name of the layer at fault, if there is one.
    layer: Option<String>,
}

impl From<domain::Failure> for Failure {
    fn from(failure: domain::Failure) -> Self {
        Self {
            code: failure.code.into(),
            message: failure.message,
            layer: failure.layer,
        }
    }
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::FailureCode")]
pub enum FailureCode {
    /// The weights are not those of the blocks.
    WeightsDoNotFit,
    /// The numbers left the range of floating point.
    NotFinite,
    /// A layer could not be computed.
    LayerFailed,
    /// The network cannot be run as it was asked for: the message says what to change.
    CannotRun,
    /// Something that was stored is gone or damaged.
    ArtifactUnreadable,
    /// It was asked to stop.
    Cancelled,
    /// It was begun again and again without coming to an end.
    TooManyAttempts,
    /// A fault of the server; its log says more.
    Internal,
}
