//! Exports of networks, in the formats of other tools.

use super::network::weights_key;
use super::{Library, ServiceError};
use scv_artifact::ObjectStream;
use scv_compute::error::ComputeError;
use scv_compute::onnx::export::to_onnx;
use scv_compute::weights::Weights;
use scv_domain::block::{Block, pytorch_source};
use scv_domain::dataset_record::Dataset;
use scv_domain::id::VersionId;
use scv_domain::version::{ModelFormat, Version};

/// How many times the weights of a network are in memory while it is exported as ONNX: as they are stored, as numbers, as messages,
/// and as the bytes of the file.
const COPIES: u64 = 4;

/// The class name in the source of blocks that belong to no model.
const UNNAMED: &str = "Network";

/// The format of an exported network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// An ONNX file with all weights.
    Onnx,
    /// PyTorch source that builds the network and loads the safetensors file.
    Pytorch,
    /// The weights of a block network under its state dict's keys.
    Safetensors,
}

impl Library {
    /// Exports a version.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or its model is deleted; `BAD_USER_INPUT` for a format that is not available for this kind
    /// of version, or while its weights are missing.
    pub async fn export(&self, id: VersionId, format: ExportFormat) -> Result<ObjectStream, ServiceError> {
        let (version, model) = self.listed_version(id).await?;
        match (version.format, format) {
            (ModelFormat::Blocks, ExportFormat::Pytorch) => {
                let source = self.pytorch_source(&version, model.name.as_str()).await?;
                Ok(source.into_bytes().into())
            }
            (ModelFormat::Blocks, ExportFormat::Safetensors) | (ModelFormat::Onnx, ExportFormat::Onnx) => {
                self.stream_artifact(weights_key(&version)?).await
            }
            (ModelFormat::Blocks, ExportFormat::Onnx) => {
                let dataset = self.dataset(version.dataset_id).await?;
                let graph = self.graph(&version, &dataset)?;
                let permit = self.compute_permit().await;
                let memory = self.memory.reserve(COPIES * 4 * graph.parameter_count()).await?;
                let weights = self.artifact(weights_key(&version)?).await?;
                let name = model.name.to_string();
                let exported = permit.run(move || {
                    let weights = Weights::read_to_memory(&weights, &graph)?;
                    Ok::<_, ComputeError>((to_onnx(&graph, &weights, &name)?, memory))
                });
                let (file, memory) = exported.await??;
                memory.shrink_to(file.len() as u64);
                Ok(ObjectStream::from(file).holding(memory))
            }
            (ModelFormat::Onnx, _) => Err(ServiceError::bad_input(
                "the version was uploaded as an ONNX file and can only be downloaded as one: network.onnx",
            )),
            (ModelFormat::Activations, _) => Err(ServiceError::bad_input(
                "this version has activations only; it has no network to download",
            )),
        }
    }

    /// PyTorch source of a block version, even while its weights are missing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn pytorch_source(&self, version: &Version, name: &str) -> Result<String, ServiceError> {
        let dataset = self.dataset(version.dataset_id).await?;
        let blocks = version.blocks.clone().unwrap_or_default();
        let blocks: Vec<Block> = serde_json::from_value(blocks).map_err(ServiceError::internal)?;
        source(&blocks, &dataset, name)
    }

    /// PyTorch source of blocks that are not registered, for a data set.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown data set, `BAD_USER_INPUT` with every error of the blocks.
    pub async fn pytorch_source_of_blocks(&self, blocks: &[Block], dataset: &str) -> Result<String, ServiceError> {
        let dataset = self.dataset_named(dataset).await?;
        source(blocks, &dataset, UNNAMED)
    }
}

fn source(blocks: &[Block], dataset: &Dataset, name: &str) -> Result<String, ServiceError> {
    let source = pytorch_source(blocks, dataset.shape, dataset.class_names.len(), name);
    source.map_err(|errors| ServiceError::blocks(&errors))
}
