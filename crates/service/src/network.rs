//! The network of a version, ready to run.

use std::sync::Arc;

use bytes::Bytes;

use super::{Library, ServiceError};
use scv_artifact::{ArtifactError, ArtifactKey, ObjectStream};
use scv_compute::control::Control;
use scv_compute::load::NetworkSource;
use scv_compute::network::Network;
use scv_compute::onnx::import::ImportOptions;
use scv_domain::block::{Block, lower};
use scv_domain::dataset_record::Dataset;
use scv_domain::graph::Graph;
use scv_domain::id::VersionId;
use scv_domain::image::ChannelStatistics;
use scv_domain::version::{ModelFormat, Version, VersionSource, VersionStatus};
use scv_memory::{MemoryBudget, Reservation};

/// How many times the bytes of an ONNX file are in memory while it is loaded: as they are stored, as messages, and as constants.
const COPIES_OF_ONNX: u64 = 3;

/// A version with its network and the data set it is made for.
#[derive(Debug, Clone)]
pub(super) struct RunnableVersion {
    pub(super) version: Version,
    pub(super) dataset: Dataset,
    pub(super) network: Arc<Network>,
    /// The memory of the network. It is given back when nobody runs the version any more.
    pub(super) _memory: Arc<Reservation>,
}

impl RunnableVersion {
    /// The channel statistics that pixels are normalised with before the network reads them.
    pub(super) fn statistics(&self) -> ChannelStatistics {
        statistics_for(&self.version, &self.dataset)
    }
}

impl Library {
    /// A version with its network, to be run on images.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or its model is deleted, `BAD_USER_INPUT` if it is not ready or has no network.
    pub(super) async fn runnable_version(&self, version: VersionId) -> Result<RunnableVersion, ServiceError> {
        let version = self.ready_version(version).await?;
        let dataset = self.dataset(version.dataset_id).await?;
        self.run_version(version, dataset).await
    }

    /// A version with its network.
    ///
    /// # Errors
    /// It has no weights, its network cannot be loaded, or there is not so much memory.
    pub(super) async fn run_version(
        &self,
        version: Version,
        dataset: Dataset,
    ) -> Result<RunnableVersion, ServiceError> {
        let memory = self.memory.reserve(self.network_bytes(&version).await?).await?;
        let network = self.network(&version, &dataset).await?;
        memory.shrink_to(network.byte_len());
        Ok(RunnableVersion {
            version,
            dataset,
            network,
            _memory: Arc::new(memory),
        })
    }

    /// The memory that the network of a version takes until it is there. Networks of the cache are counted too: others may drive
    /// them out of it while they run.
    async fn network_bytes(&self, version: &Version) -> Result<u64, ServiceError> {
        if let Some(network) = self.networks.peek(&version.id).await {
            return Ok(network.byte_len());
        }
        let key = weights_key(version)?
            .parse::<ArtifactKey>()
            .map_err(ArtifactError::from)?;
        let copies = match version.format {
            ModelFormat::Onnx => COPIES_OF_ONNX,
            _ => 1,
        };
        let weights = 4 * version.parameter_count.unsigned_abs();
        Ok(copies * self.artifacts.size(&key).await? + weights)
    }

    /// A version that is `READY` and has a network.
    ///
    /// # Errors
    /// Those of [`Library::runnable_version`].
    pub(super) async fn ready_version(&self, version: VersionId) -> Result<Version, ServiceError> {
        let (version, _) = self.listed_version(version).await?;
        if version.format == ModelFormat::Activations {
            return Err(ServiceError::bad_input(
                "this version has activations only; register its weights to run it",
            ));
        }
        match version.status {
            VersionStatus::Ready => Ok(version),
            VersionStatus::Failed => {
                let reason = version
                    .failure
                    .map_or_else(String::new, |failure| format!(": {}", failure.message));
                Err(ServiceError::bad_input(format!(
                    "the version has failed and cannot be run{reason}"
                )))
            }
            VersionStatus::Queued | VersionStatus::Running => Err(ServiceError::bad_input(
                "the version is not READY yet: wait for its job",
            )),
        }
    }

    /// The network of a version, cached on the device.
    async fn network(&self, version: &Version, dataset: &Dataset) -> Result<Arc<Network>, ServiceError> {
        let key = weights_key(version)?;
        let load = async {
            let source = match &version.source {
                Some(VersionSource::Onnx { output, preprocessing }) => NetworkSource::Onnx {
                    bytes: self.artifact(key).await?,
                    options: ImportOptions {
                        size: Some([preprocessing.shape.height, preprocessing.shape.width]),
                        images: Some(preprocessing.shape),
                        output: output.clone(),
                        // Taken before it is read.
                        memory: MemoryBudget::default(),
                    },
                    order: preprocessing.order,
                    activation_limit: self.activation_limit,
                },
                _ => NetworkSource::Blocks {
                    graph: self.graph(version, dataset)?,
                    weights: self.artifact(key).await?,
                },
            };
            let _permit = self.device_permit().await;
            Ok::<_, ServiceError>(self.engine.run(source, Control::unwatched()).await?)
        };
        // A version's network never changes, so the version's key identifies it.
        self.networks.get_or(version.id, load).await
    }

    /// The graph of a block version. It is lowered again: lowering is deterministic, so this is the graph that was checked.
    pub(super) fn graph(&self, version: &Version, dataset: &Dataset) -> Result<Arc<Graph>, ServiceError> {
        let blocks = version.blocks.clone().unwrap_or_default();
        let blocks: Vec<Block> = serde_json::from_value(blocks).map_err(ServiceError::internal)?;
        let graph = lower(&blocks, dataset.shape, dataset.class_names.len()).map_err(|e| ServiceError::blocks(&e))?;
        Ok(Arc::new(graph))
    }

    /// The file of a version: safetensors, ONNX or activations.
    pub(super) async fn artifact(&self, key: &str) -> Result<Bytes, ServiceError> {
        let key = key.parse::<ArtifactKey>().map_err(ArtifactError::from)?;
        Ok(self.artifacts.get(&key).await?)
    }

    /// The file of a version, in pieces.
    pub(super) async fn stream_artifact(&self, key: &str) -> Result<ObjectStream, ServiceError> {
        let key = key.parse::<ArtifactKey>().map_err(ArtifactError::from)?;
        Ok(self.artifacts.stream(&key).await?)
    }
}

/// The key of the artifact that a version's network is read from.
pub(super) fn weights_key(version: &Version) -> Result<&str, ServiceError> {
    let missing = || ServiceError::bad_input("the version has no weights yet: wait for its job");
    version.weights_key.as_deref().ok_or_else(missing)
}

/// Whether a network's output is one score for each class of a data set. An imported network may have been made for something
/// else: its layers are compared all the same.
pub(super) fn is_classifier_of(network: &Network, dataset: &Dataset) -> bool {
    network
        .classes()
        .is_ok_and(|classes| classes == dataset.class_names.len())
}

/// The channel statistics that pixels of a data set are normalised with before a version reads them.
pub(super) fn statistics_for(version: &Version, on: &Dataset) -> ChannelStatistics {
    match &version.source {
        Some(VersionSource::Onnx { preprocessing, .. } | VersionSource::Blocks { preprocessing }) => {
            preprocessing.statistics.clone()
        }
        _ => on.statistics.clone(),
    }
}
