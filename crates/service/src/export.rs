//! Networks on their way out: in the formats of other tools.

use super::network::file_of;
use super::{Library, ServiceError};
use scv_artifact::Stored;
use scv_compute::onnx::export::to_onnx;
use scv_compute::weights::Weights;
use scv_domain::block::{Block, pytorch_source};
use scv_domain::id::VersionId;
use scv_domain::version::{ModelFormat, Version};

/// What a network can be taken out as.
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
    /// A version in a format, as far as it can be had in that.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or its model is deleted; `BAD_USER_INPUT` for a format that its kind has not, or weights
    /// that are not there yet.
    pub async fn export(&self, id: VersionId, format: ExportFormat) -> Result<Stored, ServiceError> {
        let (version, model) = self.listed_version(id).await?;
        match (version.format, format) {
            (ModelFormat::Blocks, ExportFormat::Pytorch) => {
                let source = self.pytorch_source(&version, model.name.as_str()).await?;
                Ok(source.into_bytes().into())
            }
            (ModelFormat::Blocks, ExportFormat::Safetensors) | (ModelFormat::Onnx, ExportFormat::Onnx) => {
                self.stored(file_of(&version)?).await
            }
            (ModelFormat::Blocks, ExportFormat::Onnx) => {
                let dataset = self.dataset(version.dataset_id).await?;
                let graph = self.graph(&version, &dataset)?;
                let weights = self.weights(file_of(&version)?).await?;
                let name = model.name.to_string();
                let written = tokio::task::spawn_blocking(move || {
                    let weights = Weights::read_to_memory(&weights, &graph)?;
                    to_onnx(&graph, &weights, &name)
                });
                Ok(written.await.map_err(ServiceError::internal)??.into())
            }
            (ModelFormat::Onnx, _) => Err(ServiceError::bad_input(
                "the version came as an ONNX file and can be had as that: network.onnx",
            )),
            (ModelFormat::Activations, _) => Err(ServiceError::bad_input(
                "a version of activations has no network to take out",
            )),
        }
    }

    /// PyTorch source of a block version, whether its weights are there or not.
    ///
    /// # Errors
    /// The database fails.
    pub async fn pytorch_source(&self, version: &Version, name: &str) -> Result<String, ServiceError> {
        let dataset = self.dataset(version.dataset_id).await?;
        let blocks = version.blocks.clone().unwrap_or_default();
        let blocks: Vec<Block> = serde_json::from_value(blocks).map_err(ServiceError::internal)?;
        let source = pytorch_source(&blocks, dataset.shape, dataset.class_names.len(), name);
        source.map_err(|errors| ServiceError::blocks(&errors))
    }
}
