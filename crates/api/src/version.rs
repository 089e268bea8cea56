//! Versions and their failures.

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::compare::{self, LayerPair, PictureFormat, VersionMatchConnection};
use super::connection::{ListConnection, Total, connection, empty_slice, page};
use super::cost::{list_cost, page_cost};
use super::dataset::{Dataset, ProbeSet, Split};
use super::diff::VersionDiff;
use super::error::{ApiError, Result};
use super::evaluation::Evaluation;
use super::failure::Failure;
use super::id::GlobalId;
use super::insight::{AttributionSettings, ImageAttributions, attribute, attribution_cost, image_of_dataset};
use super::job::Job;
use super::layer::Layer;
use super::layer_match::{Measure, SimilarityFilter};
use super::loader::{
    AccountNameOf, BuildingJobOf, EvaluationsOf, LayerCount, LayersPage, NamedLayer, WeightsOf, load, load_referenced,
};
use super::model::Model;
use super::node;
use super::plain::ListEntry;
use super::preprocessing::{Preprocessing, preprocessing_of};
use super::synthesis::{self, Synthesis};
use super::training::{EpochReport, TrainSettings};
use super::weight_mapping::WeightMapping;
use scv_domain::evaluation;
use scv_domain::id::{ProbeSetId, VersionId};
use scv_domain::page::Page;
use scv_domain::synthesis::SynthesisScope;
use scv_domain::version as domain;
use scv_service::{Library, ServiceError};

/// A numbered, immutable version of a model.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Version(pub domain::Version);

impl ListEntry for Version {}

#[Object(use_type_description)]
impl Version {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Its number within the model, from 1.
    async fn number(&self) -> i32 {
        self.0.number
    }

    /// Its state. Layers and vectors exist once it is READY.
    async fn status(&self) -> VersionStatus {
        self.0.status.into()
    }

    /// The format in which it was registered.
    async fn format(&self) -> ModelFormat {
        self.0.format.into()
    }

    /// The model it belongs to.
    async fn model(&self, ctx: &Context<'_>) -> Result<Model> {
        load_referenced(ctx, self.0.model_id).await.map(Model)
    }

    /// The data set whose images and classes it is for.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Dataset> {
        load_referenced(ctx, self.0.dataset_id).await.map(Dataset)
    }

    /// Accuracy on the test split of its own data set, or of the specified one: the share of images that were
    /// classified correctly, 0 to 1. Null if it was not evaluated on that data set.
    async fn accuracy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Name of a data set. Default: the version's own.")] dataset: Option<String>,
    ) -> Result<Option<f64>> {
        Ok(self
            .find_evaluation(ctx, dataset)
            .await?
            .map(|evaluation| evaluation.accuracy))
    }

    /// The evaluation on its own data set, or on the specified one. Null if it was not evaluated on that data set.
    async fn evaluation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Name of a data set. Default: the version's own.")] dataset: Option<String>,
    ) -> Result<Option<Evaluation>> {
        Ok(self.find_evaluation(ctx, dataset).await?.map(Evaluation))
    }

    /// Its layers in execution order; empty until it is READY.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn layers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Layer>> {
        let page = page(first, after, last, before)?;
        let slice = load(ctx, LayersPage(self.0.id, page.clone()))
            .await?
            .unwrap_or_else(|| empty_slice(&page));
        Ok(connection(
            slice,
            Total::Layers(LayerCount(self.0.id)),
            |layer| layer.index,
            Layer,
        ))
    }

    /// A layer by its name or its index. Null if there is none, or not yet. Of several layers with one name, it is the first.
    async fn layer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name.")] name: Option<String>,
        #[graphql(desc = "Its index in execution order, from 0.")] index: Option<i32>,
    ) -> Result<Option<Layer>> {
        match (name, index) {
            (Some(name), None) => Ok(load(ctx, NamedLayer(self.0.id, name)).await?.map(Layer::from)),
            (None, Some(index)) => {
                // The page that begins behind the layer before it.
                let page = Page::new(Some(1), index.checked_sub(1), None, None)?;
                let slice = load(ctx, LayersPage(self.0.id, page)).await?;
                let layer = slice.and_then(|slice| slice.entries.into_iter().next());
                Ok(layer.filter(|layer| layer.index == index).map(Layer))
            }
            _ => Err(ApiError::bad_input("specify exactly one of `name` and `index`")),
        }
    }

    /// The differences between this version and another: layers that were added, removed or changed, and their
    /// similarity.
    async fn diff(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the other version. Layers that only this other version has are ADDED.")]
        with: ID,
        #[graphql(
            desc = "The probe set to compare on, one of this version's data set. Default: the default probe set, or \
                    the oldest other one that both versions were measured on."
        )]
        probe_set: Option<ID>,
    ) -> Result<VersionDiff> {
        let key = VersionId::decode(&with)?;
        let other = node::version(ctx, key).await?;
        let other = other.ok_or_else(|| ServiceError::not_found("version", key))?;
        let probe_set = probe_set.as_ref().map(ProbeSetId::decode).transpose()?;
        let library = ctx.data_unchecked::<Library>();
        Ok(Box::pin(library.version_diff(&self.0, &other.0, probe_set))
            .await?
            .into())
    }

    /// Number of trainable parameters.
    async fn parameter_count(&self) -> i64 {
        self.0.parameter_count
    }

    /// Number of multiply-accumulate operations for one image; a whole number.
    async fn multiply_accumulates(&self) -> f64 {
        self.0.multiply_accumulates as f64
    }

    /// The block list as registered; null for versions of other formats than BLOCKS.
    async fn blocks(&self) -> Option<Json<serde_json::Value>> {
        self.0.blocks.clone().map(Json)
    }

    /// Source code that builds the network; null for versions of other formats than BLOCKS. See also `downloads`.
    async fn code(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The language and framework.", default_with = "CodeFormat::Pytorch")] format: CodeFormat,
    ) -> Result<Option<String>> {
        if self.0.format != domain::ModelFormat::Blocks {
            return Ok(None);
        }
        match format {
            CodeFormat::Pytorch => {
                let model = load_referenced(ctx, self.0.model_id).await?;
                let library = ctx.data_unchecked::<Library>();
                Ok(Some(
                    Box::pin(library.pytorch_source(&self.0, model.name.as_str())).await?,
                ))
            }
        }
    }

    /// The files in which the network can be downloaded from this server.
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

    /// How images are preprocessed for the network; null for ACTIVATIONS, and for BLOCKS if images are normalised with the mean and the
    /// standard deviation of the data set.
    async fn preprocessing(&self) -> Option<Preprocessing> {
        preprocessing_of(&self.0)
    }

    /// The probe set that the activations were computed on; null for versions of other formats than ACTIVATIONS.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<Option<ProbeSet>> {
        match self.0.source {
            Some(domain::VersionSource::Activations { probe_set }) => {
                Ok(Some(load_referenced(ctx, probe_set).await.map(ProbeSet)?))
            }
            _ => Ok(None),
        }
    }

    /// Which tensors of the uploaded file became its weights, and what told so; null unless it was registered with weights for
    /// blocks, by this release or a later one.
    async fn weight_mapping(&self, ctx: &Context<'_>) -> Result<Option<WeightMapping>> {
        Ok(load(ctx, WeightsOf(self.0.id)).await?.map(WeightMapping::from))
    }

    /// The settings with which this server trains it; null if it was registered with weights, as a file or as activations.
    async fn train_settings(&self) -> Option<TrainSettings> {
        self.0.train_settings.clone().map(TrainSettings::from)
    }

    /// The results of each training epoch; empty if it was not trained on this server.
    async fn epochs(&self) -> Vec<EpochReport> {
        self.0.train_epochs.iter().flatten().copied().map(EpochReport).collect()
    }

    /// The most similar versions by their layers, most similar first, without this version itself. Versions of the same
    /// model are excluded unless the filter includes them. The filter's `layerKinds` selects the layers to compare; its
    /// `minScore` applies to the score of a version.
    #[graphql(complexity = "page_cost(Some(first), None, child_complexity)")]
    async fn similar_versions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N hits, at most 100.", default = 10)] first: i32,
        #[graphql(desc = "Return only hits after this cursor. At most 400 hits can be listed in total.")] after: Option<
            String,
        >,
        #[graphql(desc = "The measure to compare layers by.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "Which versions to consider.")] filter: Option<SimilarityFilter>,
        #[graphql(desc = "The probe set to compare on. Default: the default probe set of the version's data set.")]
        probe_set: Option<ID>,
    ) -> Result<VersionMatchConnection> {
        Box::pin(compare::similar_versions(
            ctx,
            &self.0,
            (first, after),
            measure,
            filter,
            probe_set.as_ref(),
        ))
        .await
    }

    /// Pairs of consecutive layers, in execution order, that compute nearly the same: candidates for pruning. Layers
    /// without a vector are skipped.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn redundant_neighbours(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Minimum score of a pair.", default = 0.98)] min_score: f64,
        #[graphql(desc = "The measure of the scores.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "The probe set to compare on. Default: the default probe set of the version's data set.")]
        probe_set: Option<ID>,
    ) -> Result<Vec<LayerPair>> {
        Box::pin(compare::redundant_neighbours(
            ctx,
            &self.0,
            min_score,
            measure,
            probe_set.as_ref(),
        ))
        .await
    }

    /// The version that this one nearly duplicates: when this version was ingested, each layer of either version had a
    /// layer in the other with a debiased CKA of at least 0.999. Null if there is none, or if its model is deleted.
    async fn duplicate_of(&self, ctx: &Context<'_>) -> Result<Option<Version>> {
        match self.0.duplicate_of {
            Some(original) => node::version(ctx, original).await,
            None => Ok(None),
        }
    }

    /// URL path on this server of a plot of loss and accuracy by training epoch; null if it was not trained on this
    /// server.
    async fn training_curve(
        &self,
        #[graphql(desc = "The file format.", default_with = "PictureFormat::Svg")] format: PictureFormat,
    ) -> Option<String> {
        self.0.train_epochs.as_ref().filter(|epochs| !epochs.is_empty())?;
        let ending = scv_service::PictureFormat::from(format).extension();
        Some(format!("/trainings/{}.{ending}", self.0.id.encode().as_str()))
    }

    /// Pixel attributions for a class and an image of its data set.
    #[graphql(complexity = "attribution_cost(settings.as_ref(), child_complexity)")]
    async fn attribution(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Index of the image in its split.")] image: i32,
        #[graphql(desc = "The split of the image.", default_with = "Split::Test")] split: Split,
        #[graphql(desc = "Index of the class. Default: the predicted class.")] class: Option<i32>,
        #[graphql(desc = "The method and its settings. Default: integrated gradients.")] settings: Option<
            AttributionSettings,
        >,
    ) -> Result<ImageAttributions> {
        let image = image_of_dataset(split, image)?;
        Box::pin(attribute(ctx, self.0.id, image, class, settings)).await
    }

    /// Synthetic images for parts of its network, newest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn syntheses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Synthesis>> {
        synthesis::list(
            ctx,
            SynthesisScope::Version(self.0.id),
            page(first, after, last, before)?,
        )
        .await
    }

    /// Why it failed; null if it did not fail.
    async fn failure(&self) -> Option<Failure> {
        self.0.failure.clone().map(Failure::from)
    }

    /// The account that registered it. Null if the server required no token then, or if it was registered by an earlier
    /// release.
    async fn created_by(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        match self.0.created_by {
            Some(account) => load(ctx, AccountNameOf(account)).await,
            None => Ok(None),
        }
    }

    /// The job that built it: the one that trains it, or else the latest one that ingests it.
    async fn job(&self, ctx: &Context<'_>) -> Result<Option<Job>> {
        Ok(load(ctx, BuildingJobOf(self.0.id)).await?.map(Job))
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
            let is_requested = match &dataset {
                None => evaluation.dataset_id == self.0.dataset_id,
                Some(name) => load_referenced(ctx, evaluation.dataset_id).await?.name == *name,
            };
            if is_requested {
                return Ok(Some(evaluation));
            }
        }
        if let Some(name) = dataset {
            // A data set that does not exist is an error; null means that it was not evaluated there.
            ctx.data_unchecked::<Library>().dataset_named(&name).await?;
        }
        Ok(None)
    }
}

/// Formats of source code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum CodeFormat {
    /// Python with PyTorch.
    Pytorch,
}

/// URL paths of the files in which a version can be downloaded. A path is null if the version's format does not support
/// the file, or if the file does not exist yet.
#[derive(Debug, SimpleObject)]
pub struct Downloads {
    /// An ONNX file with all weights.
    onnx: Option<String>,
    /// PyTorch source that builds the network and loads its weights.
    pytorch: Option<String>,
    /// The weights of a block network.
    safetensors: Option<String>,
}

/// States of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::VersionStatus")]
pub enum VersionStatus {
    /// Its job is waiting.
    Queued,
    /// Its job is running.
    Running,
    /// Its layers and vectors exist.
    Ready,
    /// Its job failed, so it has no layers and no vectors; `failure` gives the reason.
    Failed,
}

/// Formats of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::ModelFormat")]
pub enum ModelFormat {
    /// A list of blocks, either trained on this server or uploaded with weights.
    Blocks,
    /// An ONNX file.
    Onnx,
    /// Activations on a probe set, computed elsewhere. Such a version has no network to run.
    Activations,
}
