//! Blocks that other tools write as several operators.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use serde_json::json;

use super::view::{View, is_close};
use super::{Said, block, layer};
use crate::block::{Block, MAX_DIMENSION};
use crate::graph::{
    Activation, BinaryFunction, Operator, PadMode, ParameterRole, Reduction, TensorOperator, UnaryFunction, ValueId,
};

/// The cubic term of the tanh approximation of GELU.
const TANH_CUBE: f64 = 0.044_715;

/// A way to find a pattern that ends with a value.
type Pattern = fn(&View<'_>, ValueId) -> Option<Said>;

const PATTERNS: [Pattern; 8] = [
    silu,
    gelu,
    softplus,
    linear_with_bias,
    mean_with_divisor,
    adaptive_mean,
    padded_maximum,
    lengthened_transpose,
];

/// The pattern that ends with a value, if there is one.
pub(super) fn find(view: &View<'_>, at: ValueId) -> Option<Said> {
    PATTERNS.iter().find_map(|pattern| pattern(view, at))
}

fn said(block: Block, input: ValueId) -> Said {
    Said {
        ways: vec![vec![block]],
        input,
    }
}

fn swapped([a, b]: [ValueId; 2]) -> [[ValueId; 2]; 2] {
    [[a, b], [b, a]]
}

/// `x sigmoid(x)`
fn silu(view: &View<'_>, at: ValueId) -> Option<Said> {
    let sigmoid = Operator::Activation(Activation::Sigmoid);
    let factors = swapped(view.binary(at, BinaryFunction::Mul)?);
    let [x, _] = factors
        .into_iter()
        .find(|[x, gate]| view.operand(*gate, &sigmoid) == Some(*x))?;
    Some(said(block("SiLU", json!({})), x))
}

/// `x (1 + f(x)) / 2`, in any order of the factors.
fn gelu(view: &View<'_>, at: ValueId) -> Option<Said> {
    let product = view.binary(at, BinaryFunction::Mul)?;
    for [inner, third] in swapped(product) {
        let Some([first, second]) = view.binary(inner, BinaryFunction::Mul) else {
            continue;
        };
        for [half, x, raised] in [
            [first, second, third],
            [first, third, second],
            [second, first, third],
            [second, third, first],
            [third, first, second],
            [third, second, first],
        ] {
            if !view.scalar(half).is_some_and(|number| is_close(number, 0.5)) {
                continue;
            }
            let curve = view.with_number(raised, BinaryFunction::Add, 1.0);
            if let Some(tanh) = curve.and_then(|curve| gelu_curve(view, curve, x)) {
                return Some(said(layer::gelu(tanh), x));
            }
        }
    }
    None
}

/// Whether a value is the tanh approximation of `erf(x / √2)`, or that itself; `None` if it is neither.
fn gelu_curve(view: &View<'_>, curve: ValueId, x: ValueId) -> Option<bool> {
    if let Some(scaled) = view.unary(curve, UnaryFunction::Erf) {
        let divided = view.binary(scaled, BinaryFunction::Div);
        let is_divided =
            divided.is_some_and(|[a, b]| a == x && view.scalar(b).is_some_and(|divisor| is_close(divisor, SQRT_2)));
        let is_multiplied = view.with_number(scaled, BinaryFunction::Mul, 1.0 / SQRT_2) == Some(x);
        return (is_divided || is_multiplied).then_some(false);
    }
    let scaled = view.operand(curve, &Operator::Activation(Activation::Tanh))?;
    let sum = view.with_number(scaled, BinaryFunction::Mul, FRAC_2_SQRT_PI / SQRT_2)?;
    let terms = swapped(view.binary(sum, BinaryFunction::Add)?);
    let [_, bend] = terms.into_iter().find(|[term, _]| *term == x)?;
    let cube = view.with_number(bend, BinaryFunction::Mul, TANH_CUBE)?;
    let power = view.binary(cube, BinaryFunction::Pow);
    let is_power = power.is_some_and(|[base, exponent]| base == x && view.scalar(exponent) == Some(3.0));
    let is_product = view.binary(cube, BinaryFunction::Mul).is_some_and(|factors| {
        let square = |value: ValueId| view.binary(value, BinaryFunction::Mul) == Some([x, x]);
        swapped(factors).into_iter().any(|[a, b]| square(a) && b == x)
    });
    (is_power || is_product).then_some(true)
}

/// `softplus(beta x) / beta`, and `x` itself where `beta x` is above a threshold.
fn softplus(view: &View<'_>, at: ValueId) -> Option<Said> {
    let node = view
        .node(at)
        .filter(|node| node.operator == Operator::Tensor(TensorOperator::Where))?;
    let &[is_above, x, curve] = node.inputs.as_slice() else {
        return None;
    };
    let [argument, threshold] = view.binary(is_above, BinaryFunction::Greater)?;
    let beta = match view.with_scalar(argument, BinaryFunction::Mul) {
        Some((operand, beta)) if operand == x => beta,
        _ => return None,
    };
    let [sharp, divisor] = view.binary(curve, BinaryFunction::Div)?;
    let sharp = view.node(sharp)?;
    let is_softplus = matches!(
        sharp.operator,
        Operator::Activation(Activation::Softplus { beta: 1.0, .. })
    );
    let is_same = is_softplus && sharp.inputs == [argument] && view.scalar(divisor) == Some(beta);
    let threshold = view.scalar(threshold).filter(|_| is_same)?;
    Some(said(layer::softplus(beta, threshold), x))
}

/// A product with weights, and then the bias.
fn linear_with_bias(view: &View<'_>, at: ValueId) -> Option<Said> {
    let sum = swapped(view.binary(at, BinaryFunction::Add)?);
    let (product, shape) = sum
        .into_iter()
        .find_map(|[product, bias]| Some((product, view.constant_shape(bias)?)))?;
    let node = view.node(product).filter(|node| node.operator == Operator::Linear)?;
    let has_bias = node
        .parameters
        .iter()
        .any(|parameter| parameter.role == ParameterRole::Bias);
    let (features, rest) = shape.split_last()?;
    let is_row = node.output_shape.last() == Some(features) && rest.iter().all(|&length| length == 1);
    if has_bias || !is_row {
        return None;
    }
    Some(said(layer::linear(node, true).ok()?, node.inputs[0]))
}

/// A mean that is multiplied so that its divisor is another one than the size of the window.
fn mean_with_divisor(view: &View<'_>, at: ValueId) -> Option<Said> {
    let (mean, factor) = view.with_scalar(at, BinaryFunction::Mul)?;
    let node = view.node(mean)?;
    let Operator::AvgPool2d {
        kernel,
        stride,
        count_include_pad,
        padding,
        ..
    } = node.operator
    else {
        return None;
    };
    let divisor = (kernel[0] * kernel[1]) as f64 / factor;
    let is_whole = divisor >= 1.0 && is_close(divisor.round(), divisor);
    // A window that extends beyond the end has a smaller divisor than the others.
    let has_one_divisor = [0, 1].into_iter().all(|axis| {
        let last = node.output_shape[axis + 1].saturating_sub(1) * stride[axis];
        last + kernel[axis] <= view.graph.shape(node.inputs[0])[axis + 1] + 2 * padding[axis]
    });
    if !is_whole || !has_one_divisor || !(count_include_pad || padding == [0, 0]) {
        return None;
    }
    // So other tools pad an image before windows that would extend beyond its end.
    let (input, before) = match padded(view, node.inputs[0], 0.0) {
        Some((input, before, _)) if padding == [0, 0] => (input, before),
        _ => (node.inputs[0], padding),
    };
    let mut pooling = node.clone();
    if let Operator::AvgPool2d { padding, .. } = &mut pooling.operator {
        *padding = before;
    }
    Some(Said {
        ways: layer::avg_pool(&pooling, Some(divisor.round() as usize)),
        input,
    })
}

/// Means over adaptive windows, along rows, along columns, or along both one after the other.
fn adaptive_mean(view: &View<'_>, at: ValueId) -> Option<Said> {
    let last = mean_along(view, at)?;
    if last.axis == 2 {
        return Some(said(layer::adaptive(Some(&last.count), None), last.input));
    }
    match mean_along(view, last.input).filter(|first| first.axis == 2) {
        Some(first) => Some(said(
            layer::adaptive(Some(&first.count), Some(&last.count)),
            first.input,
        )),
        None => Some(said(layer::adaptive(None, Some(&last.count)), last.input)),
    }
}

/// Means over adaptive windows along one dimension.
struct MeanAlong {
    /// 2 for rows, 3 for columns: the batch and the channels come before them.
    axis: usize,
    /// Number of windows.
    count: usize,
    input: ValueId,
}

/// Means along a dimension that are gathered, weighted and summed.
fn mean_along(view: &View<'_>, at: ValueId) -> Option<MeanAlong> {
    let node = view.node(at)?;
    let Operator::Tensor(TensorOperator::Reduce {
        function: Reduction::Sum,
        axes,
    }) = &node.operator
    else {
        return None;
    };
    let factors = swapped(view.binary(node.inputs[0], BinaryFunction::Mul)?);
    let [gathered, weights] = factors
        .into_iter()
        .find(|[_, weights]| view.constant_shape(*weights).is_some())?;
    let gather = view.node(gathered)?;
    let Operator::Tensor(TensorOperator::Gather { axis, indices }) = &gather.operator else {
        return None;
    };
    let input = gather.inputs[0];
    let (from, to) = (view.graph.shape(input), node.output_shape.as_slice());
    let is_image = from.len() == 3 && to.len() == 3 && (2..4).contains(axis) && axes == &[axis + 1];
    if !is_image {
        return None;
    }
    let (length, count) = (from[axis - 1], to[axis - 1]);
    if length.max(count) > MAX_DIMENSION || indices.len() > length + 2 * count {
        return None;
    }
    let weights = view.numbers(weights, indices.len())?;
    are_adaptive_windows([length, count], indices, &weights).then_some(MeanAlong {
        axis: *axis,
        count,
        input,
    })
}

/// Whether windows read the positions of adaptive ones with equal weights, and any others with the weight 0.
fn are_adaptive_windows([length, count]: [usize; 2], positions: &[u32], weights: &[f32]) -> bool {
    let longest = positions.len() / count.max(1);
    if longest == 0 || positions.len() != weights.len() || positions.len() != count * longest {
        return false;
    }
    let windows = positions.chunks(longest).zip(weights.chunks(longest)).enumerate();
    windows.into_iter().all(|(window, (positions, weights))| {
        let expected = window * length / count..((window + 1) * length).div_ceil(count);
        let share = 1.0 / expected.len() as f64;
        let (used, unused) = weights.split_at(expected.len().min(longest));
        let is_read = expected
            .clone()
            .eq(positions.iter().take(used.len()).map(|&position| position as usize));
        is_read
            && used.iter().all(|&weight| is_close(weight.into(), share))
            && unused.iter().all(|&weight| weight == 0.0)
    })
}

/// A maximum over an image that is padded by minus infinity.
fn padded_maximum(view: &View<'_>, at: ValueId) -> Option<Said> {
    let node = view.node(at)?;
    let Operator::MaxPool2d { padding, .. } = node.operator else {
        return None;
    };
    let (input, before, _) = padded(view, node.inputs[0], f64::NEG_INFINITY)?;
    let padding = [before[0] + padding[0], before[1] + padding[1]];
    Some(Said {
        ways: layer::max_pool(node, padding),
        input,
    })
}

/// A transposed convolution of an image that is extended by zeros at its end, which only lengthens its output.
fn lengthened_transpose(view: &View<'_>, at: ValueId) -> Option<Said> {
    let node = view.node(at)?;
    let Operator::ConvTranspose2d { .. } = node.operator else {
        return None;
    };
    let (input, _, _) = padded(view, node.inputs[0], 0.0).filter(|(_, before, _)| *before == [0, 0])?;
    let block = layer::transposed(node, view.graph.shape(input)).ok()?;
    Some(said(block, input))
}

/// The image that a constant is added around, and the rows and columns before and after it.
fn padded(view: &View<'_>, value: ValueId, constant: f64) -> Option<(ValueId, [usize; 2], [usize; 2])> {
    let node = view.node(value)?;
    let Operator::Tensor(TensorOperator::Pad {
        mode: PadMode::Constant(fill),
        before,
        after,
    }) = &node.operator
    else {
        return None;
    };
    let places = |counts: &[i64]| match *counts {
        [0, 0, rows, columns] => Some([usize::try_from(rows).ok()?, usize::try_from(columns).ok()?]),
        _ => None,
    };
    let is_constant = *fill == constant;
    Some((node.inputs[0], places(before)?, places(after)?)).filter(|_| is_constant)
}
