//! Turns a block list into a graph, or into all of its errors.

use super::Block;
use super::error::BlockError;
use super::walk::Walk;
use crate::graph::{Graph, Node, Operator, ValueId};
use crate::image::ImageShape;
use serde::Serialize;

/// A report on a block list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockReport {
    /// All errors, in the order of the blocks.
    pub errors: Vec<BlockError>,
    /// The valid blocks with a known input, in execution order.
    pub layers: Vec<BlockSummary>,
    /// Number of trainable parameters of `layers`.
    pub parameter_count: u64,
    /// Multiply-accumulates of `layers` for one image; see [`lower`] for what counts.
    pub multiply_accumulates: u64,
    /// Shape of the network's output for one image, if it could be inferred.
    pub output_shape: Option<Vec<usize>>,
}

/// A summary of one block. The summary of a residual covers only its sum, and follows the blocks inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockSummary {
    /// Path of the block, such as `3.main.0`.
    pub path: String,
    /// Its kind.
    pub kind: &'static str,
    /// Input shape, for one image.
    pub input_shape: Vec<usize>,
    /// Output shape, for one image.
    pub output_shape: Vec<usize>,
    /// Number of trainable parameters.
    pub parameter_count: u64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: u64,
}

/// Turns a block list into a graph for images of a shape, with one output score per class.
///
/// Multiply-accumulates are those of convolutions, transposed convolutions and linear layers,
/// without biases; everything else counts 0.
///
/// # Errors
/// All errors of the list, in the order of the blocks. After an error, checking continues only where
/// the shape is still certain, so that no error is a consequence of another.
pub fn lower(blocks: &[Block], input: ImageShape, classes: usize) -> Result<Graph, Vec<BlockError>> {
    let walk = Walk::over(blocks, input, classes);
    if !walk.errors.is_empty() {
        return Err(walk.errors);
    }
    let output = ValueId(walk.nodes.len());
    let logits = match walk.nodes.last() {
        Some(Node {
            operator: Operator::Softmax { .. },
            inputs,
            ..
        }) => inputs[0],
        _ => output,
    };
    Ok(Graph {
        input_shape: input.dims(),
        nodes: walk.nodes,
        logits,
        is_batched: true,
    })
}

/// Reports on a block list for images of a shape, as far as the list is valid.
pub fn report(blocks: &[Block], input: ImageShape, classes: usize) -> BlockReport {
    let walk = Walk::over(blocks, input, classes);
    BlockReport {
        errors: walk.errors,
        layers: walk.layers,
        parameter_count: walk.parameter_count,
        multiply_accumulates: walk.multiply_accumulates,
        output_shape: walk.output_shape,
    }
}
