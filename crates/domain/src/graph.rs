//! The one form that every network takes inside SCV.
//!
//! Blocks are lowered to it; validation, costs, inference, training and export read it. Shapes are
//! those of **one** image (no batch dimension): `[channels, height, width]`, `[features]`, or what a partial
//! flattening leaves.

use serde::{Deserialize, Serialize};

mod operator;
mod tensor;

pub use operator::{Activation, Operator, PadMode};
pub use tensor::{BinaryFunction, Interpolation, NumberType, Reduction, TensorOperator, UnaryFunction};

/// Names a value of the graph: 0 is the input image, `i + 1` the output of node `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValueId(pub usize);

impl ValueId {
    /// The input image.
    pub const INPUT: ValueId = ValueId(0);
}

/// A feed-forward network whose nodes stand in execution order.
///
/// Every node reads only values before it and makes exactly one.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Shape of one input image, `[channels, height, width]`.
    pub input_shape: Vec<usize>,
    /// The nodes, in execution order.
    pub nodes: Vec<Node>,
    /// One unnormalised score a class, `[classes]`. A closing softmax stands behind this value,
    /// so that the loss can be computed from it without losing digits.
    pub logits: ValueId,
    /// Whether a batch of images runs at once. A network that cannot keep them apart runs on one after the other.
    pub images_together: bool,
}

/// One operation with the tensors it owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the node stands in the block list, such as `3` or `3.main.0`. Weight keys begin with it.
    pub path: String,
    /// The layer kind in the words of the block language, such as `Conv2d`.
    pub kind: &'static str,
    /// The parameters of the layer as the user would write them, defaults filled in.
    pub settings: serde_json::Value,
    /// What is computed.
    pub operator: Operator,
    /// The values read: one, or two for [`Operator::Add`].
    pub inputs: Vec<ValueId>,
    /// Shape of the value made, for one image: without the dimension that counts images.
    pub output_shape: Vec<usize>,
    /// Which dimension counts images; `None` for a value that is the same for every image.
    pub batch: Option<BatchAxis>,
    /// Weights and buffers, in the order of PyTorch's state dict.
    pub parameters: Vec<Parameter>,
    /// Multiply-accumulate operations for one image.
    pub multiply_accumulates: u64,
    /// Whether it gets a layer vector.
    pub is_layer: bool,
}

/// The dimension of a value that counts images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchAxis {
    /// Its position.
    pub axis: usize,
    /// Places along it for each image: more than 1 where a network has merged another dimension into it.
    pub factor: usize,
    /// How many of these places stand next to each other before the next image's: all of them, or fewer where the images
    /// are the inner one of the dimensions that were merged.
    pub inner: usize,
}

impl BatchAxis {
    /// One place for each image, in front of all other dimensions.
    pub const FIRST: BatchAxis = BatchAxis {
        axis: 0,
        factor: 1,
        inner: 1,
    };
}

/// A weight or a buffer of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// What the operator uses it for.
    pub role: ParameterRole,
    /// Its shape, in PyTorch's layout.
    pub shape: Vec<usize>,
}

/// What an operator uses a tensor for. The names are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterRole {
    /// `weight`
    Weight,
    /// `bias`
    Bias,
    /// `running_mean`, a buffer: training updates it, the gradient does not.
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

    /// Whether gradient descent changes it, and so whether it counts as a parameter.
    pub fn is_trainable(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

impl Graph {
    /// The value that the last node makes; a network without nodes answers with its input.
    pub fn output(&self) -> ValueId {
        ValueId(self.nodes.len())
    }

    /// Shape of a value without the dimension that counts images.
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

    /// The nodes that are layers, each with its position in `nodes`, in execution order.
    pub fn layers(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_layer)
    }

    /// All weights and buffers with their keys, in the order of PyTorch's state dict.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &Parameter)> {
        self.nodes
            .iter()
            .flat_map(|node| node.parameters.iter().map(|p| (node.key(p.role), p)))
    }

    /// Trainable numbers of the whole network.
    pub fn parameter_count(&self) -> u64 {
        self.nodes.iter().map(Node::parameter_count).sum()
    }

    /// Multiply-accumulates of the whole network for one image.
    pub fn multiply_accumulates(&self) -> u64 {
        self.nodes.iter().map(|node| node.multiply_accumulates).sum()
    }
}

impl Node {
    /// All dimensions of the value for a batch of images.
    pub fn dims(&self, batch: usize) -> Vec<usize> {
        let mut dims = self.output_shape.clone();
        if let Some(BatchAxis { axis, factor, .. }) = self.batch {
            dims.insert(axis, batch * factor);
        }
        dims
    }

    /// Shape of the value for one image, with what was merged into the dimension of the images in front.
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

    /// Trainable numbers of the node.
    pub fn parameter_count(&self) -> u64 {
        self.parameters
            .iter()
            .filter(|p| p.role.is_trainable())
            .map(|p| p.shape.iter().product::<usize>() as u64)
            .sum()
    }
}
