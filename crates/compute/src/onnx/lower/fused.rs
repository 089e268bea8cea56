//! Operators of ONNX Runtime that join several of ONNX, as its optimiser writes them.

use super::arithmetic::{activated, pair};
use super::convolution;
use super::layout::transposed;
use super::lowering::{Lowered, Lowering, first, number};
use super::{matrix, normalise};
use crate::onnx::plan::Value;
use scv_domain::graph::{Activation, BinaryFunction};

/// A convolution, then a sum with another value, then an activation.
pub(super) fn conv(lowering: &mut Lowering<'_>) -> Lowered {
    let inputs = (0..3).map(|position| lowering.optional(position).cloned()).collect();
    let mut y = first(lowering.with_inputs(inputs, convolution::conv)?)?;
    if let Some(other) = lowering.optional(3).cloned() {
        y = pair(lowering, BinaryFunction::Add, y, other)?;
    }
    closed(lowering, y)
}

/// A matrix product and an activation.
pub(super) fn gemm(lowering: &mut Lowering<'_>) -> Lowered {
    let y = first(matrix::gemm(lowering)?)?;
    closed(lowering, y)
}

/// Applies the activation that the attributes name.
fn closed(lowering: &mut Lowering<'_>, value: Value) -> Lowered {
    let Some(name) = lowering.attributes.text("activation").filter(|name| !name.is_empty()) else {
        return Ok(vec![value]);
    };
    let settings = lowering.attributes.floats("activation_params").unwrap_or_default();
    let setting = |index: usize, name: &str, default: f64| {
        let listed = settings.get(index).map(|&number| f64::from(number));
        listed.or_else(|| lowering.attributes.float(name)).unwrap_or(default)
    };
    let function = match name {
        "Relu" => Activation::Relu,
        "Tanh" => Activation::Tanh,
        "Sigmoid" => Activation::Sigmoid,
        "HardSwish" => Activation::HardSwish,
        "LeakyRelu" => Activation::LeakyRelu {
            negative_slope: setting(0, "activation_alpha", 0.01),
        },
        "HardSigmoid" => Activation::HardSigmoid {
            alpha: setting(0, "activation_alpha", 0.2),
            beta: setting(1, "activation_beta", 0.5),
        },
        "Clip" => Activation::Hardtanh {
            min: setting(0, "activation_min", f64::from(f32::NEG_INFINITY)),
            max: setting(1, "activation_max", f64::from(f32::INFINITY)),
        },
        other => return Err(format!("activation {other:?} is not supported")),
    };
    Ok(vec![activated(lowering, value, function)?])
}

/// A matrix product of transposed factors, scaled.
pub(super) fn matmul(lowering: &mut Lowering<'_>) -> Lowered {
    let mut factors = Vec::with_capacity(2);
    for (position, [name, of_batch]) in [["transA", "transBatchA"], ["transB", "transBatchB"]]
        .into_iter()
        .enumerate()
    {
        let mut factor = lowering.input(position)?;
        let rank = factor.dims().len();
        if lowering.attributes.flag(of_batch, false) && rank > 2 {
            // Its first dimension belongs behind those that count matrices.
            let order = (1..rank - 1).chain([0, rank - 1]).collect();
            factor = transposed(lowering, factor, order)?;
        }
        if lowering.attributes.flag(name, false) && rank > 1 {
            let order = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            factor = transposed(lowering, factor, order)?;
        }
        factors.push(Some(factor));
    }
    let y = first(lowering.with_inputs(factors, matrix::matmul)?)?;
    match lowering.attributes.float("alpha").unwrap_or(1.0) {
        1.0 => Ok(vec![y]),
        alpha => Ok(vec![pair(lowering, BinaryFunction::Mul, y, number(alpha as f32)?)?]),
    }
}

/// A sum, then an activation.
pub(super) fn bias_gelu(lowering: &mut Lowering<'_>) -> Lowered {
    let y = with_bias(lowering)?;
    Ok(vec![activated(lowering, y, Activation::Gelu { tanh: false })?])
}

/// The same with the approximation by the hyperbolic tangent. The bias may be left out.
pub(super) fn fast_gelu(lowering: &mut Lowering<'_>) -> Lowered {
    let y = with_bias(lowering)?;
    Ok(vec![activated(lowering, y, Activation::Gelu { tanh: true })?])
}

fn with_bias(lowering: &mut Lowering<'_>) -> Result<Value, String> {
    let x = lowering.input(0)?;
    match lowering.optional(1).cloned() {
        Some(bias) => pair(lowering, BinaryFunction::Add, x, bias),
        None => Ok(x),
    }
}

/// A sum of two values and a bias, then a layer normalisation. The fourth output is the sum.
pub(super) fn skip_layer_norm(lowering: &mut Lowering<'_>) -> Lowered {
    let (x, skip) = (lowering.input(0)?, lowering.input(1)?);
    let mut sum = pair(lowering, BinaryFunction::Add, x, skip)?;
    if let Some(bias) = lowering.optional(4).cloned() {
        sum = pair(lowering, BinaryFunction::Add, sum, bias)?;
    }
    let inputs = vec![
        Some(sum.clone()),
        lowering.optional(2).cloned(),
        lowering.optional(3).cloned(),
    ];
    let y = first(lowering.with_inputs(inputs, normalise::layer)?)?;
    Ok(vec![y.clone(), y.clone(), y, sum])
}
