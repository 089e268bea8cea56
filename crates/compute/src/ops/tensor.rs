//! Operations on whole tensors, composed of candle's primitives so that they run and differentiate everywhere.
//!
//! Numbers are in single precision, 64-bit integers, or booleans in bytes. As in ONNX, operands have the same type.

use candle_core::{DType, Result, Tensor};

use super::elementwise;
use super::parameters::parameter;
use super::quantise;
use super::reshaping;
use crate::error::ComputeError;
use crate::weights::Weights;
use scv_domain::graph::{Interpolation, Node, NumberType, ParameterRole, Reduction, TensorOperator};

/// Computes an operation on whole tensors; `dims` is the shape of its output for this batch.
///
/// # Errors
/// A tensor is missing, or candle fails. The caller adds the layer's name.
pub(crate) fn on_tensors(
    node: &Node,
    operator: &TensorOperator,
    inputs: &[Tensor],
    weights: &Weights,
    dims: &[usize],
) -> std::result::Result<Tensor, ComputeError> {
    let value = apply(operator, inputs, dims)?;
    if !matches!(operator, TensorOperator::Normalise { .. }) {
        return Ok(value);
    }
    let owned = |role| weights.get(&node.key(role));
    let value = match owned(ParameterRole::Weight) {
        Some(weight) => value.broadcast_mul(weight)?,
        None => value,
    };
    Ok(match owned(ParameterRole::Bias) {
        Some(bias) => value.broadcast_add(bias)?,
        None => value,
    })
}

/// A constant of the network, repeated for every image if it has a batch dimension.
///
/// # Errors
/// The tensor is missing.
pub(crate) fn constant(node: &Node, weights: &Weights, dims: &[usize]) -> std::result::Result<Tensor, ComputeError> {
    Ok(parameter(node, ParameterRole::Value, weights)?.broadcast_as(dims)?)
}

/// The output of an operation that needs only its inputs.
///
/// # Errors
/// candle fails.
pub(crate) fn apply(operator: &TensorOperator, inputs: &[Tensor], dims: &[usize]) -> Result<Tensor> {
    let Some(x) = inputs.first() else {
        candle_core::bail!("an operation needs at least one input");
    };
    match operator {
        TensorOperator::Constant => Ok(x.clone()),
        TensorOperator::Reshape => x.contiguous()?.reshape(dims),
        TensorOperator::Expand => x.broadcast_as(dims)?.contiguous(),
        TensorOperator::Transpose(axes) => x.permute(axes.as_slice())?.contiguous(),
        TensorOperator::Concat(axis) => concat(inputs, *axis, dims),
        TensorOperator::Slice { starts, steps } => reshaping::slice(x, starts, steps, dims),
        TensorOperator::Gather { axis, indices } => {
            let indices = Tensor::new(indices.as_slice(), x.device())?;
            x.contiguous()?.index_select(&indices, *axis)?.reshape(dims)
        }
        TensorOperator::Pad { mode, before, after } => reshaping::pad(x, *mode, before, after),
        TensorOperator::MatMul => matmul(x, second(inputs)?, dims),
        TensorOperator::Binary(function) => elementwise::binary(*function, x, second(inputs)?, dims),
        TensorOperator::Unary(function) => elementwise::unary(*function, x),
        TensorOperator::Cast(target) => cast(x, *target),
        TensorOperator::Where => {
            let [condition, yes, no] = inputs else {
                candle_core::bail!("`Where` needs three inputs");
            };
            let broadcast = |t: &Tensor| t.broadcast_as(dims)?.contiguous();
            broadcast(condition)?.where_cond(&broadcast(yes)?, &broadcast(no)?)
        }
        TensorOperator::Reduce { function, axes } => reduce(x, *function, axes)?.reshape(dims),
        TensorOperator::Softmax { axes, log } => softmax(x, axes, *log),
        TensorOperator::ArgMax(axis) => x.argmax(*axis)?.to_dtype(DType::I64)?.reshape(dims),
        TensorOperator::Normalise { axes, is_centred, eps } => normalise(x, axes, *is_centred, *eps),
        TensorOperator::LocalResponse {
            size,
            alpha,
            beta,
            bias,
        } => local_response(x, *size, *alpha, *beta, *bias),
        TensorOperator::Resize { axis, interpolation } => resize(x, interpolation, *axis),
        TensorOperator::Quantise { min, max } => quantise::quantise(inputs, *min, *max),
        TensorOperator::Dequantise => quantise::dequantise(inputs),
    }
}

fn second(inputs: &[Tensor]) -> Result<&Tensor> {
    let missing = || candle_core::Error::Msg("an operation needs two inputs".into());
    inputs.get(1).ok_or_else(missing)
}

/// Inputs that are the same for every image are repeated for the batch.
fn concat(inputs: &[Tensor], axis: usize, dims: &[usize]) -> Result<Tensor> {
    let parts = inputs.iter().map(|input| {
        let mut shape = dims.to_vec();
        shape[axis] = input.dims()[axis];
        input.broadcast_as(shape)?.contiguous()
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, axis)
}

/// A vector on the left is a matrix of one row, on the right of one column.
fn matmul(a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let row = if a.rank() == 1 { a.unsqueeze(0)? } else { a.clone() };
    let column = if b.rank() == 1 { b.unsqueeze(1)? } else { b.clone() };
    row.contiguous()?.broadcast_matmul(&column.contiguous()?)?.reshape(dims)
}

fn cast(x: &Tensor, target: NumberType) -> Result<Tensor> {
    match target {
        NumberType::Float => x.to_dtype(DType::F32),
        NumberType::Integer => x.to_dtype(DType::I64),
        NumberType::Boolean => x.ne(&x.zeros_like()?),
    }
}

/// Keeps the reduced dimensions, with length one.
fn reduce(x: &Tensor, function: Reduction, axes: &[usize]) -> Result<Tensor> {
    match function {
        Reduction::Sum => x.sum_keepdim(axes),
        Reduction::Mean => x.mean_keepdim(axes),
        Reduction::Max => extreme(x, axes, |x, axis| x.max_keepdim(axis)),
        Reduction::Min => extreme(x, axes, |x, axis| x.min_keepdim(axis)),
        Reduction::Prod => axes.iter().try_fold(x.clone(), product_keepdim),
        Reduction::L1 => x.abs()?.sum_keepdim(axes),
        Reduction::L2 => x.sqr()?.sum_keepdim(axes)?.sqrt(),
        Reduction::SumSquare => x.sqr()?.sum_keepdim(axes),
        Reduction::LogSum => x.sum_keepdim(axes)?.log(),
        Reduction::LogSumExp => {
            let largest = reduce(&x.detach(), Reduction::Max, axes)?;
            x.broadcast_sub(&largest)?.exp()?.sum_keepdim(axes)?.log()? + largest
        }
    }
}

/// The largest or the smallest number. Equal numbers share the gradient, as with PyTorch's `amax`: candle would give
/// the whole gradient to each of them.
fn extreme(x: &Tensor, axes: &[usize], along: fn(&Tensor, usize) -> Result<Tensor>) -> Result<Tensor> {
    let numbers = x.detach();
    let found = axes.iter().try_fold(numbers.clone(), |x, &axis| along(&x, axis))?;
    if !x.track_op() || !x.dtype().is_float() {
        return Ok(found);
    }
    let is_found = numbers.broadcast_eq(&found)?;
    let count = is_found.to_dtype(x.dtype())?.sum_keepdim(axes)?;
    // Its value is zero, its slope that of the numbers that were found. Infinite numbers are left out: their difference
    // is NaN.
    let finite = (is_found * numbers.abs()?.lt(f32::INFINITY)?)?;
    let change = finite.where_cond(&(x - &numbers)?, &numbers.zeros_like()?)?;
    found + change.sum_keepdim(axes)?.div(&count)?
}

fn product_keepdim(x: Tensor, &axis: &usize) -> Result<Tensor> {
    let mut product = x.narrow(axis, 0, 1)?;
    for position in 1..x.dims()[axis] {
        product = (product * x.narrow(axis, position, 1)?)?;
    }
    Ok(product)
}

fn softmax(x: &Tensor, axes: &[usize], log: bool) -> Result<Tensor> {
    if log {
        return x.broadcast_sub(&reduce(x, Reduction::LogSumExp, axes)?);
    }
    let exponentials = x.broadcast_sub(&reduce(&x.detach(), Reduction::Max, axes)?)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(axes)?)
}

fn normalise(x: &Tensor, axes: &[usize], is_centred: bool, eps: f64) -> Result<Tensor> {
    let centred = if is_centred {
        x.broadcast_sub(&x.mean_keepdim(axes)?)?
    } else {
        x.clone()
    };
    let variance = centred.sqr()?.mean_keepdim(axes)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)
}

fn local_response(x: &Tensor, size: usize, alpha: f64, beta: f64, bias: f64) -> Result<Tensor> {
    let channels = x.dim(1)?;
    let (before, after) = ((size - 1) / 2, size / 2);
    let squares = x.sqr()?.pad_with_zeros(1, before, after)?;
    let mut sum = squares.narrow(1, 0, channels)?;
    for shift in 1..size {
        sum = (sum + squares.narrow(1, shift, channels)?)?;
    }
    let divisor = sum.affine(alpha / size as f64, bias)?.powf(beta)?;
    x / divisor
}

fn resize(x: &Tensor, interpolation: &Interpolation, axis: usize) -> Result<Tensor> {
    let x = x.contiguous()?;
    let mut sum: Option<Tensor> = None;
    for (sources, weights) in interpolation.sources.iter().zip(&interpolation.weights) {
        let read = x.index_select(&Tensor::new(sources.as_slice(), x.device())?, axis)?;
        if weights.iter().all(|&weight| weight == 1.0) {
            return Ok(read);
        }
        let mut dims = vec![1; x.rank()];
        dims[axis] = weights.len();
        let weights = Tensor::new(weights.as_slice(), x.device())?.reshape(dims)?;
        let term = read.broadcast_mul(&weights)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("an interpolation needs at least one tap".into()))
}

#[cfg(test)]
mod tests;
