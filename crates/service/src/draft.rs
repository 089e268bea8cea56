//! Networks of other tools in the block language, to be changed and trained here.

use super::{Library, ServiceError};
use scv_compute::error::{ComputeError, OnnxError};
use scv_compute::onnx::blocks::to_blocks;
use scv_compute::onnx::file::{NamedFile, read};
use scv_compute::onnx::import::{ImportOptions, import};
use scv_domain::block::{Block, BlockReport, NodeProblem, report};
use scv_domain::image::ImageShape;

/// What blocks can say of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadBlocks {
    /// The blocks, or every node that they cannot say.
    pub blocks: Result<Vec<Block>, Vec<NodeProblem>>,
    /// Shape of the images that the file's network reads.
    pub image_shape: ImageShape,
    /// Whether the blocks fit the data set; `None` without blocks.
    pub report: Option<BlockReport>,
}

impl Library {
    /// Reads an ONNX file and says its network in blocks, as far as they can. Nothing is written. If the file leaves the size
    /// of its images open, it is that of the data set.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown data set, and those of [`Library::create_version`] for the file.
    pub async fn read_blocks(
        &self,
        file: NamedFile,
        dataset: &str,
        output: Option<String>,
    ) -> Result<ReadBlocks, ServiceError> {
        let dataset = self.dataset_named(dataset).await?;
        let images = dataset.shape;
        let name = file.name.clone();
        let reading = tokio::task::spawn_blocking(move || read_network(file, images, output));
        let reading = reading.await.map_err(ServiceError::internal)?;
        let (blocks, image_shape) =
            reading.map_err(|error| ServiceError::from(ComputeError::Onnx(error)).in_file(&name))?;
        let checked = blocks.as_ref().ok();
        let report = checked.map(|blocks| report(blocks, dataset.shape, dataset.class_names.len()));
        Ok(ReadBlocks {
            blocks,
            image_shape,
            report,
        })
    }
}

type Network = (Result<Vec<Block>, Vec<NodeProblem>>, ImageShape);

fn read_network(file: NamedFile, images: ImageShape, output: Option<String>) -> Result<Network, OnnxError> {
    let model = read(vec![file])?;
    let mut options = ImportOptions { size: None, output };
    let imported = match import(&model, &options) {
        Err(OnnxError::OpenSize { .. }) => {
            options.size = Some([images.height, images.width]);
            import(&model, &options)
        }
        known => known,
    }?;
    Ok((to_blocks(&imported, options.output.as_deref(), images), imported.image_shape()))
}
