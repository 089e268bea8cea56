//! What the stages of the import share.

use super::flat::{FlatGraph, FlatNode};
use super::lower::{OperatorEntry, find};
use crate::images::Layout;
use crate::weights::Weights;
use scv_domain::graph::{Graph, ValueId};
use scv_domain::image::ImageShape;
use scv_domain::input::InputFormat;
use scv_memory::MemoryBudget;

/// The two batch sizes whose plans are compared.
pub(super) const BATCHES: [usize; 2] = [2, 3];

/// The user's choices for a file.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Height and width, if the file leaves them open.
    pub size: Option<[usize; 2]>,
    /// Shape of the images that the network is for. It stands in for what neither the file nor `size` says.
    pub images: Option<ImageShape>,
    /// The output to use, if there are several.
    pub output: Option<String>,
    /// What the constants of the file take their memory from.
    pub memory: MemoryBudget,
}

/// A network from a file.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Its graph.
    pub graph: Graph,
    /// Its weights, in main memory.
    pub weights: Weights,
    /// For each node, the file's name of the value that it computes; empty for a step between two nodes of the file.
    pub names: Vec<String>,
    /// The outputs of the file that depend on the image.
    pub outputs: Vec<(String, ValueId)>,
    /// The order of the dimensions of its input.
    pub layout: Layout,
    /// How the file describes its input, and what was assumed.
    pub input: InputFormat,
    /// The dimensions of the file's own input; the first one that is `None` counts images.
    pub input_dims: Vec<Option<usize>>,
}

impl Imported {
    /// Shape of the images that the network reads. The order of its dimensions does not matter.
    pub fn image_shape(&self) -> ImageShape {
        let [a, b, c] = [0, 1, 2].map(|axis| self.graph.input_shape.get(axis).copied().unwrap_or(1));
        let (channels, height, width) = match self.layout {
            Layout::ChannelsFirst => (a, b, c),
            Layout::ChannelsLast => (c, a, b),
        };
        ImageShape {
            channels,
            height,
            width,
        }
    }
}

/// The graph of a file, with the shape of its input.
pub(super) struct SourceGraph<'a> {
    pub(super) graph: &'a FlatGraph<'a>,
    /// Shape of one image.
    pub(super) image_shape: &'a [usize],
}

/// What SCV knows about the operator of a node; `None` if it is not supported.
pub(super) fn entry_of(node: &FlatNode<'_>) -> Option<&'static OperatorEntry> {
    find(node.domain, node.op_type)
}
