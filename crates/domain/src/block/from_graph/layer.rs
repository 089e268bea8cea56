//! Single nodes as blocks.

use serde_json::{Value, json};

use super::block;
use super::view::View;
use crate::block::Block;
use crate::block::error::format_shape;
use crate::graph::{Activation, Node, Operator, PadMode, ParameterRole, Reduction, TensorOperator, ValueId};

/// Softplus is the identity from here on in single precision, so no greater threshold makes a difference.
const SOFTPLUS_IS_IDENTITY: f64 = 17.0;

/// The ways to express a node that reads one value as blocks.
///
/// # Errors
/// Why it cannot be expressed as blocks.
pub(super) fn ways(view: &View<'_>, at: ValueId, input: ValueId) -> Result<Vec<Vec<Block>>, String> {
    let node = view.node(at).ok_or("it is the image")?;
    let (from, to) = (view.graph.shape(input), node.output_shape.as_slice());
    let one = |block: Block| Ok(vec![vec![block]]);
    match &node.operator {
        Operator::Conv2d { .. } => convolution(node, from),
        Operator::ConvTranspose2d { .. } => transposed(node, from).map(|block| vec![vec![block]]),
        Operator::MaxPool2d { padding, .. } => Ok(max_pool(node, *padding)),
        Operator::AvgPool2d { divisor_override, .. } => Ok(avg_pool(node, *divisor_override)),
        Operator::AdaptiveAvgPool2d => one(adaptive(to.get(1), to.get(2))),
        Operator::Pad2d { mode, padding } => one(pad(*mode, *padding)),
        Operator::BatchNorm2d { eps, .. } => {
            let affine = shape_of(node, ParameterRole::Weight).is_some();
            one(block("BatchNorm2d", json!({ "eps": number(*eps), "affine": affine })))
        }
        Operator::Dropout { p } => one(block("Dropout", json!({ "p": number(*p) }))),
        Operator::Linear => one(linear(node, shape_of(node, ParameterRole::Bias).is_some())?),
        Operator::Softmax { dim } => one(block("Softmax", json!({ "dim": dim + 1 }))),
        Operator::Activation(function) => one(activation(*function)?),
        Operator::Reshape | Operator::Tensor(TensorOperator::Reshape) => reshape(from, to),
        Operator::Tensor(operator) => tensor(operator, from, to),
        Operator::Add => Err("it adds a value to a constant".to_owned()),
    }
}

fn tensor(operator: &TensorOperator, from: &[usize], to: &[usize]) -> Result<Vec<Vec<Block>>, String> {
    match operator {
        TensorOperator::Softmax { axes, log: false } if axes.len() == 1 => {
            Ok(vec![vec![block("Softmax", json!({ "dim": axes[0] }))]])
        }
        TensorOperator::Reduce {
            function: Reduction::Mean,
            axes,
        } if from.len() == 3 && (axes == &[2, 3] || axes == &[3, 2]) => {
            let mean = adaptive(Some(&1), Some(&1));
            Ok(vec![vec![mean.clone()], vec![mean, block("Flatten", json!({}))]])
        }
        TensorOperator::Pad { mode, before, after } => match (before.as_slice(), after.as_slice()) {
            (&[0, 0, top, left], &[0, 0, bottom, right]) => Ok(vec![vec![pad(*mode, [left, right, top, bottom])]]),
            _ => Err("blocks pad only rows and columns".to_owned()),
        },
        TensorOperator::Transpose(order) => Err(format!("blocks do not reorder dimensions, here to {order:?}")),
        TensorOperator::Binary(function) => Err(format!("blocks have no {function:?} with a constant")),
        _ => Err(format!(
            "no block takes {} to {} in this way",
            format_shape(from),
            format_shape(to)
        )),
    }
}

/// A convolution. Padding that differs between the sides becomes a block of its own: at the end, the least and the most that give
/// the output shape.
fn convolution(node: &Node, from: &[usize]) -> Result<Vec<Vec<Block>>, String> {
    let (
        Operator::Conv2d {
            stride,
            padding,
            dilation,
            groups,
        },
        Some(&[out_channels, _, rows, columns]),
        &[_, height, width],
        &[_, out_rows, out_columns],
    ) = (
        &node.operator,
        shape_of(node, ParameterRole::Weight),
        from,
        node.output_shape.as_slice(),
    )
    else {
        return Err("it is not a convolution of an image".to_owned());
    };
    let bias = shape_of(node, ParameterRole::Bias).is_some();
    let conv = |padding: [usize; 2]| {
        block(
            "Conv2d",
            json!({
                "out_channels": out_channels, "kernel_size": pair([rows, columns]), "stride": pair(*stride),
                "padding": pair(padding), "dilation": pair(*dilation), "groups": groups, "bias": bias,
            }),
        )
    };
    let (kernel, size, windows) = ([rows, columns], [height, width], [out_rows, out_columns]);
    let reach_beyond = [0, 1].map(|axis| {
        let reach = windows[axis].saturating_sub(1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1;
        reach as i64 - (size[axis] + padding[axis]) as i64
    });
    let [top, left] = padding.map(|before| before as i64);
    let least = reach_beyond.map(|reach| reach.max(0));
    let most = [0, 1].map(|axis| reach_beyond[axis] + stride[axis] as i64 - 1);
    let padded = |[bottom, right]: [i64; 2]| {
        let padding = pad(PadMode::Constant(0.0), [left, right, top, bottom]);
        vec![padding, conv([0, 0])]
    };
    Ok(vec![vec![conv(*padding)], padded(least), padded(most)])
}

/// A transposed convolution of an image of a given shape. What its output has beyond the full windows is output padding.
pub(super) fn transposed(node: &Node, from: &[usize]) -> Result<Block, String> {
    let (
        Operator::ConvTranspose2d {
            stride,
            padding,
            dilation,
            groups,
            ..
        },
        Some(&[_, depth, rows, columns]),
        &[_, height, width],
        &[_, out_rows, out_columns],
    ) = (
        &node.operator,
        shape_of(node, ParameterRole::Weight),
        from,
        node.output_shape.as_slice(),
    )
    else {
        return Err("it is not a transposed convolution of an image".to_owned());
    };
    let (kernel, size, output) = ([rows, columns], [height, width], [out_rows, out_columns]);
    let output_padding = [0, 1].map(|axis| {
        let full = size[axis].saturating_sub(1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1;
        (output[axis] + 2 * padding[axis]).saturating_sub(full)
    });
    Ok(block(
        "ConvTranspose2d",
        json!({
            "out_channels": depth * groups, "kernel_size": pair(kernel), "stride": pair(*stride),
            "padding": pair(*padding), "output_padding": pair(output_padding), "dilation": pair(*dilation),
            "groups": groups, "bias": shape_of(node, ParameterRole::Bias).is_some(),
        }),
    ))
}

/// Maximum pooling with a padding. The last window may extend beyond the end or not: the output shape decides.
pub(super) fn max_pool(node: &Node, padding: [usize; 2]) -> Vec<Vec<Block>> {
    let Operator::MaxPool2d {
        kernel,
        stride,
        dilation,
        ..
    } = node.operator
    else {
        return Vec::new();
    };
    let own_stride = (stride != kernel).then(|| pair(stride));
    let ceil_modes = [false, true].map(|ceil_mode| {
        let parameters = json!({
            "kernel_size": pair(kernel), "stride": own_stride, "padding": pair(padding), "dilation": pair(dilation),
            "ceil_mode": ceil_mode,
        });
        vec![block("MaxPool2d", parameters)]
    });
    ceil_modes.into()
}

/// Mean pooling, with a divisor other than the size of the window if one is given.
pub(super) fn avg_pool(node: &Node, divisor: Option<usize>) -> Vec<Vec<Block>> {
    let Operator::AvgPool2d {
        kernel,
        stride,
        padding,
        count_include_pad,
        ..
    } = node.operator
    else {
        return Vec::new();
    };
    let has_padding = padding != [0, 0];
    let own_stride = (stride != kernel).then(|| pair(stride));
    let ceil_modes = [false, true].map(|ceil_mode| {
        let parameters = json!({
            "kernel_size": pair(kernel), "stride": own_stride, "padding": pair(padding), "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad || !has_padding, "divisor_override": divisor,
        });
        vec![block("AvgPool2d", parameters)]
    });
    ceil_modes.into()
}

/// Means over windows that give this many rows and columns; `None` keeps those of the input.
pub(super) fn adaptive(rows: Option<&usize>, columns: Option<&usize>) -> Block {
    let size = if rows == columns {
        json!(rows)
    } else {
        json!([rows, columns])
    };
    block("AdaptiveAvgPool2d", json!({ "output_size": size }))
}

/// A linear layer with or without a bias.
///
/// # Errors
/// It has no weight.
pub(super) fn linear(node: &Node, bias: bool) -> Result<Block, String> {
    let weight = shape_of(node, ParameterRole::Weight).ok_or("it has no weight")?;
    Ok(block("Linear", json!({ "out_features": weight[0], "bias": bias })))
}

/// Padding: left, right, top, bottom.
fn pad(mode: PadMode, padding: [i64; 4]) -> Block {
    let padding = match padding {
        [side, ..] if padding == [side; 4] => json!(side),
        sides => json!(sides),
    };
    match mode {
        PadMode::Constant(0.0) => block("ZeroPad2d", json!({ "padding": padding })),
        PadMode::Constant(value) => block("ConstantPad2d", json!({ "padding": padding, "value": number(value) })),
        PadMode::Reflection => block("ReflectionPad2d", json!({ "padding": padding })),
        PadMode::Replication => block("ReplicationPad2d", json!({ "padding": padding })),
    }
}

/// Flattening of all dimensions, or of some.
fn reshape(from: &[usize], to: &[usize]) -> Result<Vec<Vec<Block>>, String> {
    if from == to {
        return Ok(vec![Vec::new()]);
    }
    let rank = from.len();
    let mut ways = vec![vec![block("Flatten", json!({}))]];
    for start in 0..rank {
        for end in start + 1..rank {
            // The batch is dimension 0.
            ways.push(vec![block(
                "Flatten",
                json!({ "start_dim": start + 1, "end_dim": end + 1 }),
            )]);
        }
    }
    let flattened = |way: &Vec<Block>| super::shape_after(way, from).is_ok_and(|shape| shape == to);
    ways.retain(flattened);
    if ways.is_empty() {
        let (from, to) = (format_shape(from), format_shape(to));
        return Err(format!("blocks only flatten values; it reshapes {from} to {to}"));
    }
    Ok(ways)
}

fn activation(function: Activation) -> Result<Block, String> {
    let plain = |kind: &str| Ok(block(kind, json!({})));
    match function {
        Activation::Relu => plain("ReLU"),
        Activation::Silu => plain("SiLU"),
        Activation::Sigmoid => plain("Sigmoid"),
        Activation::Tanh => plain("Tanh"),
        Activation::LeakyRelu { negative_slope } => {
            Ok(block("LeakyReLU", json!({ "negative_slope": number(negative_slope) })))
        }
        Activation::Elu { alpha } => Ok(block("ELU", json!({ "alpha": number(alpha) }))),
        Activation::Gelu { tanh } => Ok(gelu(tanh)),
        Activation::Hardtanh { min: 0.0, max: 6.0 } => plain("ReLU6"),
        Activation::Hardtanh { min: 0.0, max } if max >= f64::from(f32::MAX) => plain("ReLU"),
        Activation::Hardtanh { min, max } if min.is_finite() && max.is_finite() => Ok(block(
            "Hardtanh",
            json!({ "min_val": number(min), "max_val": number(max) }),
        )),
        Activation::Softplus { beta, threshold } => Ok(softplus(beta, threshold)),
        other => Err(format!("no block computes {other:?}")),
    }
}

/// GELU, exact or with the tanh approximation.
pub(super) fn gelu(tanh: bool) -> Block {
    block("GELU", json!({ "approximate": if tanh { "tanh" } else { "none" } }))
}

/// Softplus with a sharpness and a threshold.
pub(super) fn softplus(beta: f64, threshold: f64) -> Block {
    if threshold >= SOFTPLUS_IS_IDENTITY {
        return block("Softplus", json!({ "beta": number(beta) }));
    }
    block(
        "Softplus",
        json!({ "beta": number(beta), "threshold": number(threshold) }),
    )
}

/// The shape of one of a node's tensors.
fn shape_of(node: &Node, role: ParameterRole) -> Option<&[usize]> {
    let mut parameters = node.parameters.iter();
    let found = parameters.find(|parameter| parameter.role == role);
    found.map(|parameter| parameter.shape.as_slice())
}

/// Rows and columns; one number if they are equal.
fn pair(numbers: [usize; 2]) -> Value {
    match numbers {
        [rows, columns] if rows == columns => json!(rows),
        both => json!(both),
    }
}

/// A number as it was written before it became single precision.
fn number(value: f64) -> Value {
    json!((value as f32).to_string().parse().unwrap_or(value))
}
