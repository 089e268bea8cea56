//! The network graph: the internal representation of every network.
//!
//! Blocks are lowered to it; validation, costs, inference, training and export read it. Shapes are
//! those of **one** image (no batch dimension): `[channels, height, width]`, `[features]`, or the
//! result of a partial flattening.

use serde::{Deserialize, Serialize};

pub mod liveness;
mod operator;
mod tensor;

pub use operator::{Activation, Operator, PadMode};
pub use tensor::{BinaryFunction, Interpolation, NumberType, Reduction, TensorOperator, UnaryFunction};

/// Identifies a value of the graph: 0 is the input image, `i + 1` is the output of node `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValueId(pub usize);

impl ValueId {
    /// The input image.
    pub const INPUT: ValueId = ValueId(0);
}

/// A feed-forward network whose nodes are in execution order.
///
/// Every node reads only earlier values and computes exactly one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Shape of one input image, `[channels, height, width]`.
    pub input_shape: Vec<usize>,
    /// The nodes, in execution order.
    pub nodes: Vec<Node>,
    /// One unnormalised score per class, `[classes]`. If the network ends with a softmax, this is its
    /// input, so that the loss can be computed without losing precision.
    pub logits: ValueId,
    /// Whether images run in batches. A network that would mix the images of a batch runs on one image at a time.
    pub is_batched: bool,
}

/// One operation with the tensors it owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Path of the node in the block list, such as `3` or `3.main.0`. Weight keys begin with it.
    pub path: String,
    /// The layer kind, as the block language names it, such as `Conv2d`.
    pub kind: &'static str,
    /// The parameters of the layer as the user would write them, including defaults.
    pub settings: serde_json::Value,
    /// The operation.
    pub operator: Operator,
    /// The input values: one, or two for [`Operator::Add`].
    pub inputs: Vec<ValueId>,
    /// Shape of the output for one image, without the batch dimension.
    pub output_shape: Vec<usize>,
    /// The batch dimension of the output; `None` for a value that is the same for every image.
    pub batch: Option<BatchAxis>,
    /// Weights and buffers, in the order of PyTorch's state dict.
    pub parameters: Vec<Parameter>,
    /// Multiply-accumulate operations for one image.
    pub multiply_accumulates: u64,
    /// Whether it gets a layer vector.
    pub is_layer: bool,
}

/// The batch dimension of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchAxis {
    /// Index of the dimension.
    pub axis: usize,
    /// Number of entries along it per image: more than 1 if the network has merged another dimension into it.
    pub factor: usize,
    /// Number of consecutive entries of one image before those of the next: all of them, or fewer if the images are the
    /// inner of the merged dimensions.
    pub inner: usize,
}

impl BatchAxis {
    /// One entry per image, before all other dimensions.
    pub const FIRST: BatchAxis = BatchAxis {
        axis: 0,
        factor: 1,
        inner: 1,
    };
}

/// A weight or buffer of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its role in the operator.
    pub role: ParameterRole,
    /// Its shape, in PyTorch's layout.
    pub shape: Vec<usize>,
}

/// The role of a tensor in an operator. The names are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterRole {
    /// `weight`
    Weight,
    /// `bias`
    Bias,
    /// `running_mean`, a buffer: training updates it, but not by its gradient.
    RunningMean,
    /// `running_var`, a buffer like the running mean.
    RunningVar,
    /// `value`, a constant of the network.
    Value,
}

impl ParameterRole {
    /// The last part of the tensor's key in a state dict.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::RunningMean => "running_mean",
            Self::RunningVar => "running_var",
            Self::Value => "value",
        }
    }

    /// Whether gradient descent updates it, so that it counts as a parameter.
    pub fn is_trainable(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

impl Graph {
    /// The output of the last node, or the input of a network without nodes.
    pub fn output(&self) -> ValueId {
        ValueId(self.nodes.len())
    }

    /// Shape of a value without the batch dimension.
    pub fn shape(&self, value: ValueId) -> &[usize] {
        match value.0 {
            0 => &self.input_shape,
            id => &self.nodes[id - 1].output_shape,
        }
    }

    /// Shape of a value, for one image.
    pub fn image_shape(&self, value: ValueId) -> Vec<usize> {
        match value.0 {
            0 => self.input_shape.clone(),
            id => self.nodes[id - 1].image_shape(),
        }
    }

    /// The nodes that are layers with their indices in `nodes`, in execution order.
    pub fn layers(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_layer)
    }

    /// For each layer, the layers whose outputs it reads, by their positions among the layers, and `None` for the image. Nodes
    /// that are no layers pass on what they read; constants are left out. Each occurs once, in the order of the inputs.
    pub fn layer_inputs(&self) -> Vec<Vec<Option<usize>>> {
        // For each value, the layers that it comes from.
        let mut sources: Vec<Vec<Option<usize>>> = vec![vec![None]];
        let mut inputs = Vec::new();
        for node in &self.nodes {
            let mut read = Vec::new();
            for source in node.inputs.iter().flat_map(|input| &sources[input.0]) {
                if !read.contains(source) {
                    read.push(*source);
                }
            }
            if node.is_layer {
                sources.push(vec![Some(inputs.len())]);
                inputs.push(read);
            } else {
                sources.push(read);
            }
        }
        inputs
    }

    /// All weights and buffers with their keys, in the order of PyTorch's state dict.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &Parameter)> {
        self.nodes
            .iter()
            .flat_map(|node| node.parameters.iter().map(|p| (node.key(p.role), p)))
    }

    /// Number of trainable parameters of the network.
    pub fn parameter_count(&self) -> u64 {
        self.nodes.iter().map(Node::parameter_count).sum()
    }

    /// Multiply-accumulates of the network for one image.
    pub fn multiply_accumulates(&self) -> u64 {
        self.nodes.iter().map(|node| node.multiply_accumulates).sum()
    }
}

impl Node {
    /// All dimensions of the output for a batch of images.
    pub fn dims(&self, batch: usize) -> Vec<usize> {
        let mut dims = self.output_shape.clone();
        if let Some(BatchAxis { axis, factor, .. }) = self.batch {
            dims.insert(axis, batch * factor);
        }
        dims
    }

    /// Shape of the output for one image. Dimensions merged into the batch dimension come first.
    pub fn image_shape(&self) -> Vec<usize> {
        let mut shape = self.output_shape.clone();
        if let Some(BatchAxis {
            factor: factor @ 2.., ..
        }) = self.batch
        {
            shape.insert(0, factor);
        }
        shape
    }

    /// The key of one of the node's tensors, such as `3.main.0.weight`.
    pub fn key(&self, role: ParameterRole) -> String {
        format!("{}.{}", self.path, role.name())
    }

    /// Number of trainable parameters of the node.
    pub fn parameter_count(&self) -> u64 {
        self.parameters
            .iter()
            .filter(|p| p.role.is_trainable())
            .map(|p| p.shape.iter().product::<usize>() as u64)
            .sum()
    }
}
