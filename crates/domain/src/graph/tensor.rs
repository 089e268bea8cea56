//! Operations on whole tensors, as networks from other tools have them between their layers.
//!
//! Dimensions are numbered with the one that counts images, and shapes follow NumPy's rules of broadcasting. What an
//! operation makes has the shape that its node says; reshaping and expanding need no more than that.

/// An operation on whole tensors.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorOperator {
    /// A tensor that the node owns (role `value`), repeated for every image if the node has a batch dimension.
    Constant,
    /// The same numbers in the same order in another shape.
    Reshape,
    /// Dimensions of 1 repeated until the shape is the node's.
    Expand,
    /// Dimensions in another order: the place of each in the input.
    Transpose(Vec<usize>),
    /// Inputs one behind the other along a dimension.
    Concat(usize),
    /// Every `step`-th place of each dimension from `start`; a negative step walks backwards.
    Slice {
        /// First place, by dimension.
        starts: Vec<usize>,
        /// Step, by dimension.
        steps: Vec<i64>,
    },
    /// Places of a dimension, in the order given; the shape of the list takes the place of the dimension.
    Gather {
        /// The dimension.
        axis: usize,
        /// The places.
        indices: Vec<u32>,
    },
    /// Places added in front of and behind each dimension; negative counts take places away.
    Pad {
        /// What the new places hold.
        mode: super::PadMode,
        /// In front, by dimension.
        before: Vec<i64>,
        /// Behind, by dimension.
        after: Vec<i64>,
    },
    /// Product of matrices in the last two dimensions; the others are broadcast.
    MatMul,
    /// A function of two numbers, element by element.
    Binary(BinaryFunction),
    /// A function of each number that is no activation.
    Unary(UnaryFunction),
    /// Numbers of another type.
    Cast(NumberType),
    /// The second input where the first is true, else the third.
    Where,
    /// One number from all places of some dimensions.
    Reduce {
        /// Which number.
        function: Reduction,
        /// The dimensions.
        axes: Vec<usize>,
    },
    /// Softmax over some dimensions together.
    Softmax {
        /// The dimensions.
        axes: Vec<usize>,
        /// Its logarithm.
        log: bool,
    },
    /// Place of the largest number along a dimension, the first of equals.
    ArgMax(usize),
    /// Mean 0 and deviation 1 over some dimensions, then the node's scale and bias, if it has them, broadcast from
    /// the right.
    Normalise {
        /// The dimensions.
        axes: Vec<usize>,
        /// Added to the variance.
        eps: f64,
    },
    /// Division by a power of the mean square over neighbouring channels.
    LocalResponse {
        /// Channels in the window.
        size: usize,
        /// Scale of the sum of squares.
        alpha: f64,
        /// The power.
        beta: f64,
        /// Added before the power is taken.
        bias: f64,
    },
    /// Rows and columns interpolated: for each of the last two dimensions, what is read for every output place.
    Resize(Box<[Interpolation; 2]>),
}

/// Where the numbers of one dimension come from when it is resized.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Interpolation {
    /// By tap and output place: the place that is read.
    pub sources: Vec<Vec<u32>>,
    /// By tap and output place: its weight.
    pub weights: Vec<Vec<f32>>,
}

/// A function of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryFunction {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`, towards zero for whole numbers.
    Div,
    /// What `a / b` leaves, with the sign of `b`.
    Mod,
    /// What `a / b` leaves, with the sign of `a`.
    Fmod,
    /// `a` to the power of `b`
    Pow,
    /// The smaller.
    Min,
    /// The larger.
    Max,
    /// `a` above zero, `b * a` below.
    Prelu,
    /// 1 or 0.
    Equal,
    /// 1 or 0.
    Less,
    /// 1 or 0.
    LessOrEqual,
    /// 1 or 0.
    Greater,
    /// 1 or 0.
    GreaterOrEqual,
    /// Of two truths.
    And,
    /// Of two truths.
    Or,
    /// Of two truths.
    Xor,
}

/// A function of one number.
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
    /// Largest whole number not above.
    Floor,
    /// Smallest whole number not below.
    Ceil,
    /// Nearest whole number, the even one of two.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// Of a truth.
    Not,
}

/// A number made from many.
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

/// Types of numbers inside a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    /// Single precision; half and double precision are computed in it too.
    Float,
    /// Whole numbers.
    Integer,
    /// 1 or 0.
    Truth,
}
