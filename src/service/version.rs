//! Registering versions: checked before anything is written, queued in the transaction that writes them.

use super::{Library, ServiceError};
use crate::artifact::ArtifactKind;
use crate::compute::weights::check_weights;
use crate::domain::block::{Block, BlockReport, lower, report};
use crate::domain::dataset_record::Dataset;
use crate::domain::graph::Graph;
use crate::domain::id::{ModelId, VersionId};
use crate::domain::job::{Job, JobKind};
use crate::domain::training::TrainSettings;
use crate::domain::version::{ModelFormat, Version, VersionStatus};
use crate::store::{NewJob, NewVersion};

/// A block version with its weights.
#[derive(Debug, Clone)]
pub struct VersionRequest {
    /// The model it belongs to.
    pub model: ModelId,
    /// Name of the data set it is made for.
    pub dataset: String,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// A safetensors file.
    pub weights: Vec<u8>,
}

/// A block version to be trained.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// The model it belongs to.
    pub model: ModelId,
    /// Name of the data set to learn.
    pub dataset: String,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// How to train.
    pub settings: TrainSettings,
}

impl Library {
    /// Checks blocks against a data set, with every fault and the shapes as far as they could be told.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown data set.
    pub async fn validate_blocks(&self, blocks: &[Block], dataset: &str) -> Result<BlockReport, ServiceError> {
        let dataset = self.dataset_named(dataset).await?;
        Ok(report(blocks, dataset.shape, dataset.class_names.len()))
    }

    /// Registers a version with its weights and queues its evaluation and ingest.
    ///
    /// # Errors
    /// `NOT_FOUND` for the model or data set, `BAD_USER_INPUT` with every fault of the blocks or the weights.
    pub async fn create_version(&self, request: VersionRequest) -> Result<(Version, Job), ServiceError> {
        let dataset = self.dataset_named(&request.dataset).await?;
        let graph = checked_graph(&request.blocks, &dataset)?;
        let (graph, weights) = tokio::task::spawn_blocking(move || {
            check_weights(&request.weights, &graph).map(|()| (graph, request.weights))
        })
        .await
        .map_err(ServiceError::internal)?
        .map_err(crate::compute::error::ComputeError::Weights)?;
        let key = self.artifacts.put(ArtifactKind::Weights, weights).await?;
        let version = new_version(request.model, &dataset, &graph, &request.blocks);
        self.register(
            NewVersion {
                weights_key: Some(key.to_string()),
                ..version
            },
            JobKind::Ingest,
        )
        .await
    }

    /// Registers a version and queues its training, evaluation and ingest.
    ///
    /// # Errors
    /// `NOT_FOUND` for the model or data set, `BAD_USER_INPUT` with every fault of the blocks.
    pub async fn train_version(&self, request: TrainRequest) -> Result<(Version, Job), ServiceError> {
        let dataset = self.dataset_named(&request.dataset).await?;
        let graph = checked_graph(&request.blocks, &dataset)?;
        let version = new_version(request.model, &dataset, &graph, &request.blocks);
        self.register(
            NewVersion {
                train_settings: Some(request.settings),
                ..version
            },
            JobKind::Train,
        )
        .await
    }

    /// Queues an evaluation of a `READY` version on its own data set or another of the same shape and classes.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version or data set, `BAD_USER_INPUT` if the version is not ready or cannot read the images.
    pub async fn evaluate_version(
        &self,
        version: VersionId,
        dataset: Option<&str>,
    ) -> Result<(Version, Job), ServiceError> {
        let version = self.version(version).await?;
        if version.status != VersionStatus::Ready {
            return Err(ServiceError::bad_input(
                "only a version that is READY can be evaluated: wait for its job",
            ));
        }
        let own = self.dataset(version.dataset_id).await?;
        let wanted = match dataset {
            None => own.clone(),
            Some(name) => self.dataset_named(name).await?,
        };
        if wanted.shape != own.shape || wanted.class_names.len() != own.class_names.len() {
            return Err(ServiceError::bad_input(format!(
                "the version reads {} images of {} classes, but data set {} has {} images of {}: choose one that fits",
                own.shape,
                own.class_names.len(),
                wanted.name,
                wanted.shape,
                wanted.class_names.len(),
            )));
        }
        let mut tx = self.store.begin().await?;
        tx.lock_model(version.model_id)
            .await?
            .ok_or_else(|| ServiceError::not_found("version", version.id))?;
        let job = NewJob {
            kind: JobKind::Evaluate,
            version_id: version.id,
            dataset_id: Some(wanted.id),
        };
        let job = tx.insert_job(job).await?;
        tx.commit().await?;
        Ok((version, job))
    }

    async fn register(&self, version: NewVersion, kind: JobKind) -> Result<(Version, Job), ServiceError> {
        let mut tx = self.store.begin().await?;
        tx.lock_model(version.model_id)
            .await?
            .ok_or_else(|| ServiceError::not_found("model", version.model_id))?;
        let version = tx.insert_version(&version).await?;
        let job = tx
            .insert_job(NewJob {
                kind,
                version_id: version.id,
                dataset_id: None,
            })
            .await?;
        tx.commit().await?;
        Ok((version, job))
    }
}

fn checked_graph(blocks: &[Block], dataset: &Dataset) -> Result<Graph, ServiceError> {
    lower(blocks, dataset.shape, dataset.class_names.len()).map_err(|errors| ServiceError::blocks(&errors))
}

fn new_version(model: ModelId, dataset: &Dataset, graph: &Graph, blocks: &[Block]) -> NewVersion {
    NewVersion {
        model_id: model,
        format: ModelFormat::Blocks,
        dataset_id: dataset.id,
        blocks: Some(serde_json::json!(blocks)),
        weights_key: None,
        parameter_count: graph.parameter_count() as i64,
        multiply_accumulates: graph.multiply_accumulates() as i64,
        train_settings: None,
    }
}
