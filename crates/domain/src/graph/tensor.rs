//! Operations on whole tensors, which imported networks have between their layers.
//!
//! Dimension indices include the batch dimension, and shapes follow NumPy's broadcasting rules. The output shape is
//! that of the node, so reshaping and expanding need no further parameters.

/// An operation on whole tensors.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorOperator {
    /// A tensor of the node (role `value`), repeated for every image if the node has a batch dimension.
    Constant,
    /// The same elements in the same order in another shape.
    Reshape,
    /// Dimensions of size 1 repeated to the output shape.
    Expand,
    /// Dimensions in another order: the input index of each output dimension.
    Transpose(Vec<usize>),
    /// Inputs concatenated along a dimension.
    Concat(usize),
    /// Every `step`-th element of each dimension from `start`; a negative step goes backwards.
    Slice {
        /// First index, by dimension.
        starts: Vec<usize>,
        /// Step, by dimension.
        steps: Vec<i64>,
    },
    /// Elements along a dimension, in the order of the indices; the output shape has the shape of the indices in place
    /// of the dimension.
    Gather {
        /// The dimension.
        axis: usize,
        /// The indices.
        indices: Vec<u32>,
    },
    /// Elements added before and after each dimension; negative counts remove elements.
    Pad {
        /// How the new elements are filled.
        mode: super::PadMode,
        /// Number of elements added before, by dimension.
        before: Vec<i64>,
        /// Number of elements added after, by dimension.
        after: Vec<i64>,
    },
    /// Matrix product over the last two dimensions; the others are broadcast.
    MatMul,
    /// An element-wise function of two inputs.
    Binary(BinaryFunction),
    /// An element-wise function of one input that is not an activation.
    Unary(UnaryFunction),
    /// Conversion to another type.
    Cast(NumberType),
    /// The second input where the first is true, else the third.
    Where,
    /// A reduction over some dimensions.
    Reduce {
        /// The reduction.
        function: Reduction,
        /// The dimensions.
        axes: Vec<usize>,
    },
    /// Softmax over some dimensions jointly.
    Softmax {
        /// The dimensions.
        axes: Vec<usize>,
        /// Whether to take the logarithm.
        log: bool,
    },
    /// Index of the maximum along a dimension; the first one if elements tie.
    ArgMax(usize),
    /// Normalisation to deviation 1 over some dimensions, then the node's scale and bias, if any, aligned to the last dimensions.
    Normalise {
        /// The dimensions.
        axes: Vec<usize>,
        /// Whether the mean becomes 0; otherwise the deviation is that from 0.
        is_centred: bool,
        /// Added to the variance.
        eps: f64,
    },
    /// Local response normalisation: division by a power of the mean square over neighbouring channels.
    LocalResponse {
        /// Number of channels in the window.
        size: usize,
        /// Scale of the sum of squares.
        alpha: f64,
        /// The exponent.
        beta: f64,
        /// Added before exponentiation.
        bias: f64,
    },
    /// Interpolation along a dimension.
    Resize {
        /// The dimension.
        axis: usize,
        /// What each output index is computed from.
        interpolation: Box<Interpolation>,
    },
    /// Numbers as steps of a scale: divided by the second input, rounded to the nearest integer with ties to the even one, moved
    /// by the third input, and clipped. The gradient is that of the numbers before they are rounded.
    Quantise {
        /// The smallest number of steps.
        min: i32,
        /// The largest number of steps.
        max: i32,
    },
    /// The inverse without the rounding: the first input less the third, times the second.
    Dequantise,
}

/// The interpolation of one dimension: each output index is a weighted sum of input elements, its taps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Interpolation {
    /// The input index, by tap and output index.
    pub sources: Vec<Vec<u32>>,
    /// The weight of the input element, by tap and output index.
    pub weights: Vec<Vec<f32>>,
}

/// An element-wise function of two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryFunction {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`, rounded towards zero for integers.
    Div,
    /// The remainder of `a / b` with the sign of `b`.
    Mod,
    /// The remainder of `a / b` with the sign of `a`.
    Fmod,
    /// `a` to the power of `b`
    Pow,
    /// The smaller.
    Min,
    /// The larger.
    Max,
    /// `a` above zero, `b * a` below.
    Prelu,
    /// `a == b`, as 1 or 0.
    Equal,
    /// `a < b`, as 1 or 0.
    Less,
    /// `a <= b`, as 1 or 0.
    LessOrEqual,
    /// `a > b`, as 1 or 0.
    Greater,
    /// `a >= b`, as 1 or 0.
    GreaterOrEqual,
    /// Logical and.
    And,
    /// Logical or.
    Or,
    /// Logical exclusive or.
    Xor,
}

/// An element-wise function of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryFunction {
    /// `-x`
    Neg,
    /// `|x|`
    Abs,
    /// `e` to the power of `x`
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// Error function.
    Erf,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Largest integer not above `x`.
    Floor,
    /// Smallest integer not below `x`.
    Ceil,
    /// Nearest integer; ties go to the even one.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// Logical not.
    Not,
}

/// A reduction of many elements to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Sum.
    Sum,
    /// Mean.
    Mean,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// Product.
    Prod,
    /// Sum of magnitudes.
    L1,
    /// Root of the sum of squares.
    L2,
    /// Sum of squares.
    SumSquare,
    /// Logarithm of the sum.
    LogSum,
    /// Logarithm of the sum of exponentials.
    LogSumExp,
}

/// Element types of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    /// Single-precision floating point; half and double precision are computed in it too.
    Float,
    /// Integers.
    Integer,
    /// 1 or 0.
    Boolean,
}
