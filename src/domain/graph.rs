//! The one form that every network takes inside SCV.
//!
//! Blocks are lowered to it; validation, costs, inference, training and export read it. Shapes are
//! those of **one** image (no batch dimension): `[channels, height, width]`, `[features]`, or what a partial
//! flattening leaves.

use serde::{Deserialize, Serialize};

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
    /// Shape of the value made, for one image.
    pub output_shape: Vec<usize>,
    /// Weights and buffers, in the order of PyTorch's state dict.
    pub parameters: Vec<Parameter>,
    /// Multiply-accumulate operations for one image.
    pub multiply_accumulates: u64,
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
}

impl ParameterRole {
    /// The last part of the tensor's key in a state dict.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::RunningMean => "running_mean",
            Self::RunningVar => "running_var",
        }
    }

    /// Whether gradient descent changes it, and so whether it counts as a parameter.
    pub fn is_trainable(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

/// What a node computes. The semantics are those of the PyTorch module of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Cross-correlation; weight `[out, in / groups, kh, kw]`, optional bias `[out]`.
    Conv2d {
        /// Rows, columns.
        stride: [usize; 2],
        /// Zeros added on both sides: rows, columns.
        padding: [usize; 2],
        /// Rows, columns.
        dilation: [usize; 2],
        /// Channel groups.
        groups: usize,
    },
    /// The gradient of a convolution with regard to its input; weight `[in, out / groups, kh, kw]`.
    ConvTranspose2d {
        /// Rows, columns.
        stride: [usize; 2],
        /// Rows and columns taken off both sides of the result.
        padding: [usize; 2],
        /// Rows and columns added on one side of the result.
        output_padding: [usize; 2],
        /// Rows, columns.
        dilation: [usize; 2],
        /// Channel groups.
        groups: usize,
    },
    /// Maximum over a window; padding never wins.
    MaxPool2d {
        /// Rows, columns.
        kernel: [usize; 2],
        /// Rows, columns.
        stride: [usize; 2],
        /// Rows, columns.
        padding: [usize; 2],
        /// Rows, columns.
        dilation: [usize; 2],
    },
    /// Mean over a window. The output shape already says how `ceil_mode` rounded.
    AvgPool2d {
        /// Rows, columns.
        kernel: [usize; 2],
        /// Rows, columns.
        stride: [usize; 2],
        /// Rows, columns.
        padding: [usize; 2],
        /// Whether padded zeros count in the divisor.
        count_include_pad: bool,
        /// A divisor to use in place of the window's size.
        divisor_override: Option<usize>,
    },
    /// Mean over windows chosen so that the output has the node's output shape.
    AdaptiveAvgPool2d,
    /// Adds rows and columns; a negative count takes them away (constant mode only).
    Pad2d {
        /// What the new places hold.
        mode: PadMode,
        /// Left, right, top, bottom: PyTorch's order.
        padding: [i64; 4],
    },
    /// Normalisation by channel; weight, bias (both optional), running mean and variance `[channels]`.
    BatchNorm2d {
        /// Added to the variance.
        eps: f64,
        /// Share of the new batch in the running statistics; `None` is the cumulative mean.
        momentum: Option<f64>,
    },
    /// Zeroes values at random while training; the identity otherwise.
    Dropout {
        /// Probability of a zero.
        p: f64,
    },
    /// Gives the value the node's output shape, same elements in the same order.
    Reshape,
    /// `x Wᵀ + b`; weight `[out, in]`, optional bias `[out]`.
    Linear,
    /// Softmax over a dimension of one image's value (0 is the channel).
    Softmax {
        /// The dimension, not counting the batch.
        dim: usize,
    },
    /// A function of each element.
    Activation(Activation),
    /// Sum of two values of one shape.
    Add,
}

/// How [`Operator::Pad2d`] fills the places it adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PadMode {
    /// One number everywhere.
    Constant(f64),
    /// Mirrored at the border, which itself is not repeated.
    Reflection,
    /// The border repeated.
    Replication,
}

/// Element-wise functions, with PyTorch's definitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `x` above zero, `negative_slope * x` below.
    LeakyRelu {
        /// Slope below zero.
        negative_slope: f64,
    },
    /// `x` above zero, `alpha * (exp(x) - 1)` below.
    Elu {
        /// Scale below zero.
        alpha: f64,
    },
    /// `x Φ(x)`; exact through erf, or the tanh approximation.
    Gelu {
        /// Use the tanh approximation.
        tanh: bool,
    },
    /// `x * sigmoid(x)`
    Silu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x` clipped to `[min, max]`; `ReLU6` is the interval `[0, 6]`.
    Hardtanh {
        /// Lower bound.
        min: f64,
        /// Upper bound.
        max: f64,
    },
    /// `log(1 + exp(beta x)) / beta`, and `x` itself where `beta x > threshold`.
    Softplus {
        /// Sharpness.
        beta: f64,
        /// Where it is the identity, for numerical safety.
        threshold: f64,
    },
}

impl Graph {
    /// The value that the last node makes; a network without nodes answers with its input.
    pub fn output(&self) -> ValueId {
        ValueId(self.nodes.len())
    }

    /// Shape of a value, for one image.
    pub fn shape(&self, value: ValueId) -> &[usize] {
        match value.0 {
            0 => &self.input_shape,
            id => &self.nodes[id - 1].output_shape,
        }
    }

    /// The nodes that are layers, each with its position in `nodes`, in execution order.
    pub fn layers(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_layer())
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
    /// Whether the node computes something, and so gets a layer vector. Dropout is the identity at
    /// inference, reshaping and padding only move numbers: their vectors would repeat their input's.
    pub fn is_layer(&self) -> bool {
        !matches!(
            self.operator,
            Operator::Dropout { .. } | Operator::Reshape | Operator::Pad2d { .. }
        )
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
