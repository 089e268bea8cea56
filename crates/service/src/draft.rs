//! Networks of other tools in the block language, to be changed and trained here.

use tokio_util::sync::CancellationToken;

use super::{Library, ServiceError};
use scv_compute::error::{ComputeError, OnnxError};
use scv_compute::onnx::blocks::to_blocks;
use scv_compute::onnx::file::{NamedFile, read};
use scv_compute::onnx::import::{ImportOptions, import};
use scv_domain::access::Scope;
use scv_domain::block::{Block, BlockReport, NodeProblem, report};
use scv_domain::image::ImageShape;

/// A network as blocks, as far as it can be expressed as blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadBlocks {
    /// The blocks, or every node that cannot be expressed as blocks.
    pub blocks: Result<Vec<Block>, Vec<NodeProblem>>,
    /// Shape of the images that the file's network reads.
    pub image_shape: ImageShape,
    /// Whether the blocks fit the data set; `None` without blocks.
    pub report: Option<BlockReport>,
}

impl Library {
    /// Reads the network of an ONNX file as blocks for a data set. Nothing is written. If the file leaves the size of its images
    /// open, it is that of the data set.
    ///
    /// # Errors
    /// `FORBIDDEN` for a caller that may only read, `NOT_FOUND` for an unknown data set, and those of [`Library::create_version`] for the file.
    pub async fn read_blocks(
        &self,
        file: NamedFile,
        dataset: &str,
        output: Option<String>,
    ) -> Result<ReadBlocks, ServiceError> {
        self.require(Scope::Write)?;
        let dataset = self.dataset_named(dataset).await?;
        let images = dataset.shape;
        let name = file.name.clone();
        let options = ImportOptions {
            size: None,
            images: Some(images),
            output,
            memory: self.memory.clone(),
        };
        let reading = self.compute(move |ended| read_network(file, images, &options, ended));
        let reading = reading
            .await?
            .map_err(|error| ServiceError::from(ComputeError::Onnx(error)).in_file(&name))?;
        // Nobody waits for what a request that has ended did not read.
        let (blocks, image_shape) = reading.ok_or(ServiceError::TimedOut)?;
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

/// The network of a file as blocks for images. `None` if the request has ended before.
fn read_network(
    file: NamedFile,
    images: ImageShape,
    options: &ImportOptions,
    ended: &CancellationToken,
) -> Result<Option<Network>, OnnxError> {
    let memory = options.memory.empty();
    let model = read(vec![file], &memory)?;
    if ended.is_cancelled() {
        return Ok(None);
    }
    let imported = import(&model, options)?;
    drop(model);
    if ended.is_cancelled() {
        return Ok(None);
    }
    let blocks = to_blocks(&imported, options.output.as_deref(), images);
    Ok(Some((blocks, imported.image_shape())))
}
