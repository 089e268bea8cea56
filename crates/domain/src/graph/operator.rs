//! The operations of graph nodes.

use super::tensor::TensorOperator;

/// The operation of a node, with the semantics of the PyTorch module of the same name.
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
        /// Number of channel groups.
        groups: usize,
    },
    /// The gradient of a convolution with respect to its input; weight `[in, out / groups, kh, kw]`.
    ConvTranspose2d {
        /// Rows, columns.
        stride: [usize; 2],
        /// Rows and columns removed from both sides of the output.
        padding: [usize; 2],
        /// Rows and columns added to one side of the output.
        output_padding: [usize; 2],
        /// Rows, columns.
        dilation: [usize; 2],
        /// Number of channel groups.
        groups: usize,
    },
    /// Maximum over a window; padding is never the maximum.
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
    /// Mean over a window. The output shape reflects the rounding of `ceil_mode`.
    AvgPool2d {
        /// Rows, columns.
        kernel: [usize; 2],
        /// Rows, columns.
        stride: [usize; 2],
        /// Rows, columns.
        padding: [usize; 2],
        /// Whether padded zeros count in the divisor.
        count_include_pad: bool,
        /// Divisor to use instead of the window size.
        divisor_override: Option<usize>,
    },
    /// Mean over windows chosen to give the node's output shape.
    AdaptiveAvgPool2d,
    /// Adds rows and columns; a negative count removes them (constant mode only).
    Pad2d {
        /// How the new elements are filled.
        mode: PadMode,
        /// Left, right, top, bottom: PyTorch's order.
        padding: [i64; 4],
    },
    /// Normalisation per channel; weight, bias (both optional), running mean and variance `[channels]`.
    BatchNorm2d {
        /// Added to the variance.
        eps: f64,
        /// Weight of a new batch in the running statistics; `None` means the cumulative mean.
        momentum: Option<f64>,
    },
    /// Zeroes random values in training; the identity otherwise.
    Dropout {
        /// Probability of zeroing a value.
        p: f64,
    },
    /// Reshapes the value to the node's output shape, keeping the order of its elements.
    Reshape,
    /// `x Wᵀ + b`; weight `[out, in]`, optional bias `[out]`.
    Linear,
    /// Softmax over one dimension.
    Softmax {
        /// The dimension, not counting the batch: 0 is the channel.
        dim: usize,
    },
    /// An element-wise function.
    Activation(Activation),
    /// Sum of two values of the same shape.
    Add,
    /// An operation on whole tensors, which treats the batch dimension like any other.
    Tensor(TensorOperator),
}

impl Operator {
    /// Whether a node with this operator gets a layer vector. Dropout, reshaping and padding do not, because their
    /// vectors would repeat those of their input.
    pub fn is_measured(&self) -> bool {
        !matches!(self, Self::Dropout { .. } | Self::Reshape | Self::Pad2d { .. })
    }
}

/// How padding fills the elements that it adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PadMode {
    /// A constant.
    Constant(f64),
    /// The input mirrored at its border; the border itself is not repeated.
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
        /// Bound above which it is the identity, for numerical stability.
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
        /// Overall scale.
        gamma: f64,
    },
    /// `x` above zero, `alpha * (exp(x / alpha) - 1)` below.
    Celu {
        /// Scale below zero.
        alpha: f64,
    },
    /// `x` above a threshold, 0 at and below it.
    ThresholdedRelu {
        /// The threshold.
        alpha: f64,
    },
    /// `x / (1 + |x|)`
    Softsign,
    /// `x * tanh(log(1 + exp(x)))`
    Mish,
}
