//! The supported operators, and which of them are layers.

use super::lowering::{Lowered, Lowering};
use super::{arithmetic, constants, convolution, layout, matrix, normalise, pool, reduce, resize, select};

/// A supported operator.
pub(in crate::onnx) struct OperatorEntry {
    /// Its name in ONNX.
    pub(in crate::onnx) name: &'static str,
    /// The kind of layer: the name in the block language if there is one, else the ONNX name.
    pub(in crate::onnx) kind: &'static str,
    /// Whether its output gets a layer vector.
    pub(in crate::onnx) measured: Measured,
    pub(in crate::onnx) lower: fn(&mut Lowering<'_>) -> Lowered,
}

/// Which outputs get a layer vector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::onnx) enum Measured {
    /// Every output.
    Always,
    /// Only if the operator joins several values that depend on the images, such as the branches of a residual block.
    IfJoining,
    /// None: the operator only moves or selects numbers, or is a part of a larger function.
    Never,
}

impl OperatorEntry {
    /// Whether a node gets a layer vector. `computed` is the number of its inputs that depend on the images.
    pub(in crate::onnx) fn is_measured(&self, computed: usize) -> bool {
        match self.measured {
            Measured::Always => true,
            Measured::IfJoining => computed > 1,
            Measured::Never => false,
        }
    }
}

/// Finds an operator by its name.
pub(in crate::onnx) fn find(name: &str) -> Option<&'static OperatorEntry> {
    OPERATORS.iter().find(|entry| entry.name == name)
}

const fn layer(name: &'static str, kind: &'static str, lower: fn(&mut Lowering<'_>) -> Lowered) -> OperatorEntry {
    OperatorEntry {
        name,
        kind,
        measured: Measured::Always,
        lower,
    }
}

const fn joint(name: &'static str, lower: fn(&mut Lowering<'_>) -> Lowered) -> OperatorEntry {
    OperatorEntry {
        name,
        kind: name,
        measured: Measured::IfJoining,
        lower,
    }
}

const fn part(name: &'static str, lower: fn(&mut Lowering<'_>) -> Lowered) -> OperatorEntry {
    OperatorEntry {
        name,
        kind: name,
        measured: Measured::Never,
        lower,
    }
}

static OPERATORS: [OperatorEntry; 102] = [
    layer("Conv", "Conv2d", convolution::conv),
    layer("ConvTranspose", "ConvTranspose2d", convolution::conv_transpose),
    layer("Gemm", "Linear", matrix::gemm),
    layer("MatMul", "MatMul", matrix::matmul),
    layer("MaxPool", "MaxPool2d", pool::max_pool),
    layer("AveragePool", "AvgPool2d", pool::average_pool),
    layer("GlobalAveragePool", "GlobalAveragePool", pool::global_average),
    layer("GlobalMaxPool", "GlobalMaxPool", pool::global_max),
    layer("BatchNormalization", "BatchNorm2d", normalise::batch),
    layer("InstanceNormalization", "InstanceNormalization", normalise::instance),
    layer("LayerNormalization", "LayerNormalization", normalise::layer),
    layer("GroupNormalization", "GroupNormalization", normalise::group),
    layer("LRN", "LRN", normalise::local_response),
    layer("Softmax", "Softmax", normalise::softmax),
    layer("LogSoftmax", "LogSoftmax", normalise::log_softmax),
    layer("Relu", "ReLU", arithmetic::relu),
    layer("LeakyRelu", "LeakyReLU", arithmetic::leaky_relu),
    layer("PRelu", "PRelu", arithmetic::prelu),
    layer("Elu", "ELU", arithmetic::elu),
    layer("Selu", "Selu", arithmetic::selu),
    layer("Celu", "Celu", arithmetic::celu),
    layer("Gelu", "GELU", arithmetic::gelu),
    layer("Sigmoid", "Sigmoid", arithmetic::sigmoid),
    layer("HardSigmoid", "HardSigmoid", arithmetic::hard_sigmoid),
    layer("HardSwish", "HardSwish", arithmetic::hard_swish),
    layer("Tanh", "Tanh", arithmetic::tanh),
    layer("Softplus", "Softplus", arithmetic::softplus),
    layer("Softsign", "Softsign", arithmetic::softsign),
    layer("Mish", "Mish", arithmetic::mish),
    layer("ThresholdedRelu", "ThresholdedRelu", arithmetic::thresholded_relu),
    layer("Clip", "Hardtanh", arithmetic::clip),
    joint("Add", arithmetic::add),
    joint("Mul", arithmetic::mul),
    joint("Sum", arithmetic::sum),
    joint("Concat", select::concat),
    part("Sub", arithmetic::sub),
    part("Div", arithmetic::div),
    part("Pow", arithmetic::pow),
    part("Mod", arithmetic::modulo),
    part("Max", arithmetic::max),
    part("Min", arithmetic::min),
    part("Mean", arithmetic::mean),
    part("Neg", arithmetic::neg),
    part("Abs", arithmetic::abs),
    part("Exp", arithmetic::exp),
    part("Log", arithmetic::log),
    part("Sqrt", arithmetic::sqrt),
    part("Reciprocal", arithmetic::reciprocal),
    part("Erf", arithmetic::erf),
    part("Sin", arithmetic::sin),
    part("Cos", arithmetic::cos),
    part("Floor", arithmetic::floor),
    part("Ceil", arithmetic::ceil),
    part("Round", arithmetic::round),
    part("Sign", arithmetic::sign),
    part("Not", arithmetic::not),
    part("Equal", arithmetic::equal),
    part("Less", arithmetic::less),
    part("LessOrEqual", arithmetic::less_or_equal),
    part("Greater", arithmetic::greater),
    part("GreaterOrEqual", arithmetic::greater_or_equal),
    part("And", arithmetic::and),
    part("Or", arithmetic::or),
    part("Xor", arithmetic::xor),
    part("Identity", layout::identity),
    part("Constant", constants::constant_node),
    part("Shape", constants::shape),
    part("Size", constants::size),
    part("Reshape", layout::reshape),
    part("Flatten", layout::flatten),
    part("Squeeze", layout::squeeze),
    part("Unsqueeze", layout::unsqueeze),
    part("Transpose", layout::transpose),
    part("Expand", layout::expand),
    part("Tile", layout::tile),
    part("Trilu", layout::triangle),
    part("CastLike", layout::cast_like),
    part("ConstantOfShape", constants::constant_of_shape),
    part("Range", constants::range),
    part("DepthToSpace", layout::depth_to_space),
    part("SpaceToDepth", layout::space_to_depth),
    part("Cast", layout::cast),
    part("Dropout", normalise::dropout),
    part("Split", select::split),
    part("Slice", select::slice),
    part("Gather", select::gather),
    part("Where", select::where_op),
    part("Pad", select::pad),
    part("Resize", resize::resize),
    part("Upsample", resize::resize),
    part("ArgMax", reduce::arg_max),
    part("ArgMin", reduce::arg_min),
    part("ReduceSum", reduce::sum),
    part("ReduceMean", reduce::mean),
    part("ReduceMax", reduce::max),
    part("ReduceMin", reduce::min),
    part("ReduceProd", reduce::prod),
    part("ReduceL1", reduce::l1),
    part("ReduceL2", reduce::l2),
    part("ReduceSumSquare", reduce::sum_square),
    part("ReduceLogSum", reduce::log_sum),
    part("ReduceLogSumExp", reduce::log_sum_exp),
];
