//! The supported operators, and which of them are layers.

use super::lowering::{Lowered, Lowering};
use super::{
    arithmetic, attention, constants, convolution, einsum, fused, layout, matrix, normalise, pool, quantise, quantised,
    reduce, resize, select,
};
use crate::onnx::file::is_onnx_domain;

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
    /// The product of its output with its scales, which follows as a node of its own. The output itself counts in steps, and these
    /// may differ between images.
    OnceScaled,
}

impl OperatorEntry {
    /// Whether a node gets a layer vector. `computed` is the number of its inputs that depend on the images.
    pub(in crate::onnx) fn is_measured(&self, computed: usize) -> bool {
        match self.measured {
            Measured::Always => true,
            Measured::IfJoining => computed > 1,
            Measured::Never | Measured::OnceScaled => false,
        }
    }
}

/// Finds an operator by its domain and its name.
pub(in crate::onnx) fn find(domain: &str, name: &str) -> Option<&'static OperatorEntry> {
    let operators: &[OperatorEntry] = match domain {
        RUNTIME_DOMAIN => &OF_RUNTIME,
        domain if is_onnx_domain(domain) => &OPERATORS,
        _ => &[],
    };
    operators.iter().find(|entry| entry.name == name)
}

/// The domain of ONNX Runtime's own operators, which its quantiser and its optimiser write.
const RUNTIME_DOMAIN: &str = "com.microsoft";

const fn layer(name: &'static str, kind: &'static str, lower: fn(&mut Lowering<'_>) -> Lowered) -> OperatorEntry {
    OperatorEntry {
        name,
        kind,
        measured: Measured::Always,
        lower,
    }
}

const fn joint(name: &'static str, lower: fn(&mut Lowering<'_>) -> Lowered) -> OperatorEntry {
    joint_of(name, name, lower)
}

const fn scaled_later(
    name: &'static str,
    kind: &'static str,
    lower: fn(&mut Lowering<'_>) -> Lowered,
) -> OperatorEntry {
    OperatorEntry {
        name,
        kind,
        measured: Measured::OnceScaled,
        lower,
    }
}

const fn joint_of(name: &'static str, kind: &'static str, lower: fn(&mut Lowering<'_>) -> Lowered) -> OperatorEntry {
    OperatorEntry {
        name,
        kind,
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

static OPERATORS: [OperatorEntry; 118] = [
    layer("Conv", "Conv2d", convolution::conv),
    layer("ConvTranspose", "ConvTranspose2d", convolution::conv_transpose),
    layer("Gemm", "Linear", matrix::gemm),
    layer("MatMul", "MatMul", matrix::matmul),
    layer("Einsum", "MatMul", einsum::einsum),
    layer("Attention", "Attention", attention::attention),
    layer("QLinearConv", "Conv2d", quantised::conv),
    layer("QLinearMatMul", "MatMul", quantised::matmul),
    scaled_later("ConvInteger", "Conv2d", quantised::conv_integer),
    scaled_later("MatMulInteger", "MatMul", quantised::matmul_integer),
    layer("MaxPool", "MaxPool2d", pool::max_pool),
    layer("AveragePool", "AvgPool2d", pool::average_pool),
    layer("GlobalAveragePool", "GlobalAveragePool", pool::global_average),
    layer("GlobalMaxPool", "GlobalMaxPool", pool::global_max),
    layer("BatchNormalization", "BatchNorm2d", normalise::batch),
    layer("InstanceNormalization", "InstanceNormalization", normalise::instance),
    layer("LayerNormalization", "LayerNormalization", normalise::layer),
    layer("RMSNormalization", "RMSNormalization", normalise::root_mean_square),
    // ONNX Runtime writes it without a domain.
    layer(
        "SimplifiedLayerNormalization",
        "RMSNormalization",
        normalise::root_mean_square,
    ),
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
    layer("Swish", "SiLU", arithmetic::swish),
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
    part("QuantizeLinear", quantise::quantize_linear),
    part("DequantizeLinear", quantise::dequantize_linear),
    part("DynamicQuantizeLinear", quantise::dynamic_quantize_linear),
    part("RotaryEmbedding", attention::rotary_embedding),
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
    part("IsNaN", arithmetic::is_nan),
    part("IsInf", arithmetic::is_infinite),
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
    part("ScatterND", constants::scatter_nd),
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

static OF_RUNTIME: [OperatorEntry; 25] = [
    layer("QGemm", "Linear", quantised::gemm),
    layer("QLinearSigmoid", "Sigmoid", quantised::sigmoid),
    layer("QLinearLeakyRelu", "LeakyReLU", quantised::leaky_relu),
    layer(
        "QLinearGlobalAveragePool",
        "GlobalAveragePool",
        quantised::global_average,
    ),
    layer("QLinearAveragePool", "AvgPool2d", quantised::average_pool),
    layer("QLinearSoftmax", "Softmax", quantised::softmax),
    layer("DynamicQuantizeMatMul", "MatMul", quantised::dynamic_matmul),
    layer("MatMulIntegerToFloat", "MatMul", quantised::matmul_to_float),
    joint_of("QLinearAdd", "Add", quantised::add),
    joint_of("QLinearMul", "Mul", quantised::mul),
    joint_of("QLinearConcat", "Concat", quantised::concat),
    part("QLinearReduceMean", quantised::reduce_mean),
    part("QLinearWhere", quantised::where_op),
    part("QuantizeLinear", quantise::quantize_linear),
    part("DequantizeLinear", quantise::dequantize_linear),
    layer("FusedConv", "Conv2d", fused::conv),
    layer("FusedGemm", "Linear", fused::gemm),
    layer("FusedMatMul", "MatMul", fused::matmul),
    layer("SkipLayerNormalization", "LayerNormalization", fused::skip_layer_norm),
    layer("Gelu", "GELU", arithmetic::gelu),
    layer("BiasGelu", "GELU", fused::bias_gelu),
    layer("FastGelu", "GELU", fused::fast_gelu),
    layer("QuickGelu", "GELU", arithmetic::quick_gelu),
    part("Trilu", layout::triangle),
    part("Pad", select::pad),
];
