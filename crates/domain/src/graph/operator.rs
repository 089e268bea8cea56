//! What the nodes of a graph compute.

use super::tensor::TensorOperator;

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
    /// An operation on whole tensors, the batch dimension counted like any other.
    Tensor(TensorOperator),
}

impl Operator {
    /// Whether a block of this operator gets a layer vector. Dropout is the identity at inference, reshaping and
    /// padding only move numbers: their vectors would repeat their input's.
    pub fn is_measured(&self) -> bool {
        !matches!(self, Self::Dropout { .. } | Self::Reshape | Self::Pad2d { .. })
    }
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
    /// `max(0, min(1, alpha * x + beta))`
    HardSigmoid {
        /// Slope.
        alpha: f64,
        /// Value at 0.
        beta: f64,
    },
    /// `x * max(0, min(1, x / 6 + 1 / 2))`
    HardSwish,
    /// `gamma * x` above zero, `gamma * alpha * (exp(x) - 1)` below.
    Selu {
        /// Scale below zero.
        alpha: f64,
        /// Scale of all.
        gamma: f64,
    },
    /// `x` above zero, `alpha * (exp(x / alpha) - 1)` below.
    Celu {
        /// Scale below zero.
        alpha: f64,
    },
    /// `x` above a bound, 0 at and below it.
    ThresholdedRelu {
        /// The bound.
        alpha: f64,
    },
    /// `x / (1 + |x|)`
    Softsign,
    /// `x * tanh(log(1 + exp(x)))`
    Mish,
}
