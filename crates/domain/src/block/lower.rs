//! From a block list to a graph, or to all that is wrong with it.

use super::Block;
use super::error::BlockError;
use super::walk::Walk;
use crate::graph::{Graph, Node, Operator, ValueId};
use crate::image::ImageShape;
use serde::Serialize;

/// What a block list comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockReport {
    /// Everything that is wrong, in the order of the blocks.
    pub errors: Vec<BlockError>,
    /// The blocks without a fault whose input is known, in execution order.
    pub layers: Vec<BlockSummary>,
    /// Trainable numbers of `layers`.
    pub parameter_count: u64,
    /// Multiply-accumulates of `layers` for one image; see [`lower`] for what counts.
    pub multiply_accumulates: u64,
    /// Shape of the network's output for one image, if it could be inferred.
    pub output_shape: Option<Vec<usize>>,
}

/// What one block comes to. A residual stands for its sum alone, after the blocks inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockSummary {
    /// Where the block stands, such as `3.main.0`.
    pub path: String,
    /// Its kind.
    pub kind: &'static str,
    /// Shape that arrives, for one image.
    pub input_shape: Vec<usize>,
    /// Shape made, for one image.
    pub output_shape: Vec<usize>,
    /// Trainable numbers.
    pub parameter_count: u64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: u64,
}

/// Turns a block list into the graph that computes it on images of a shape, one score a class.
///
/// Multiply-accumulates are those of convolutions, transposed convolutions and linear layers,
/// without biases; everything else counts 0.
///
/// # Errors
/// Everything that is wrong with the list, in the order of the blocks. After a fault the shape is
/// followed only where it is certain, so no error is the mere consequence of another.
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
        images_together: true,
    })
}

/// Says what a block list comes to on images of a shape, as far as it is right.
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
