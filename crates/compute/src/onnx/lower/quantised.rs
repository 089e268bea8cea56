//! Operators on quantised values. Each computes with the numbers that the steps stand for, and turns the result into steps.
//!
//! Sums of products are those of whole numbers, which are exact in single precision up to 2²⁴.

use super::arithmetic::{self, pair};
use super::layout::transposed;
use super::lowering::{Lowered, Lowering, first, number};
use super::quantise::{Steps, dequantised, dynamic_steps, output_type, quantised, steps};
use super::{convolution, matrix, normalise, pool, reduce, select};
use crate::onnx::plan::Value;
use crate::onnx::proto::DataType;
use scv_domain::graph::BinaryFunction;

/// The numbers of the quantised value at a position, which its scale and its zero point follow.
fn real(lowering: &mut Lowering<'_>, position: usize) -> Result<Value, String> {
    let x = lowering.input(position)?;
    let steps = steps(lowering, [position + 1, position + 2], x.dims(), None)?;
    dequantised(lowering, x, steps)
}

/// Steps less their zero point.
fn centred(lowering: &mut Lowering<'_>, x: Value, zero_point: Option<Value>) -> Result<Value, String> {
    let steps = Steps {
        scale: number(1.0)?,
        zero_point: zero_point.map_or_else(|| number(0.0), Ok)?,
    };
    dequantised(lowering, x, steps)
}

/// Turns the result into steps of the scale and the zero point at these positions.
fn finished(lowering: &mut Lowering<'_>, value: Value, [scale, zero_point]: [usize; 2]) -> Lowered {
    let element_type = output_type(lowering, zero_point)?;
    let steps = steps(lowering, [scale, zero_point], value.dims(), None)?;
    lowering.set_element_type(0, Some(element_type));
    Ok(vec![quantised(lowering, value, steps, element_type)?])
}

/// Scales sums of products of steps, and turns them into steps of the output.
fn rescaled(lowering: &mut Lowering<'_>, sums: Value, factor: Value, [scale, zero_point]: [usize; 2]) -> Lowered {
    let element_type = output_type(lowering, zero_point)?;
    let scale = steps(lowering, [scale, zero_point], sums.dims(), None)?;
    let factor = pair(lowering, BinaryFunction::Div, factor, scale.scale)?;
    let value = pair(lowering, BinaryFunction::Mul, sums, factor)?;
    let steps = Steps {
        scale: number(1.0)?,
        zero_point: scale.zero_point,
    };
    lowering.set_element_type(0, Some(element_type));
    Ok(vec![quantised(lowering, value, steps, element_type)?])
}

/// An operator of one quantised value: the value, its scale and zero point, and those of the output.
fn of_one(lowering: &mut Lowering<'_>, function: fn(&mut Lowering<'_>) -> Lowered) -> Lowered {
    let x = real(lowering, 0)?;
    if !lowering.attributes.flag("channels_last", false) {
        let y = first(lowering.with_inputs(vec![Some(x)], function)?)?;
        return finished(lowering, y, [3, 4]);
    }
    let rank = x.dims().len();
    let channels_first = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let channels_last = [0].into_iter().chain(2..rank).chain([1]).collect();
    let x = transposed(lowering, x, channels_first)?;
    let y = first(lowering.with_inputs(vec![Some(x)], function)?)?;
    let y = transposed(lowering, y, channels_last)?;
    finished(lowering, y, [3, 4])
}

/// An operator of two quantised values.
fn of_two(lowering: &mut Lowering<'_>, function: BinaryFunction) -> Lowered {
    let (a, b) = (real(lowering, 0)?, real(lowering, 3)?);
    let y = pair(lowering, function, a, b)?;
    finished(lowering, y, [6, 7])
}

pub(super) fn add(lowering: &mut Lowering<'_>) -> Lowered {
    of_two(lowering, BinaryFunction::Add)
}

pub(super) fn mul(lowering: &mut Lowering<'_>) -> Lowered {
    of_two(lowering, BinaryFunction::Mul)
}

pub(super) fn sigmoid(lowering: &mut Lowering<'_>) -> Lowered {
    of_one(lowering, arithmetic::sigmoid)
}

pub(super) fn leaky_relu(lowering: &mut Lowering<'_>) -> Lowered {
    of_one(lowering, arithmetic::leaky_relu)
}

pub(super) fn global_average(lowering: &mut Lowering<'_>) -> Lowered {
    of_one(lowering, pool::global_average)
}

pub(super) fn average_pool(lowering: &mut Lowering<'_>) -> Lowered {
    of_one(lowering, pool::average_pool)
}

pub(super) fn reduce_mean(lowering: &mut Lowering<'_>) -> Lowered {
    of_one(lowering, reduce::mean)
}

/// Its own attribute says which version of the softmax it is.
pub(super) fn softmax(lowering: &mut Lowering<'_>) -> Lowered {
    let file = lowering.opset;
    lowering.opset = lowering.attributes.integer("opset").unwrap_or(file);
    let outputs = of_one(lowering, normalise::softmax);
    lowering.opset = file;
    outputs
}

pub(super) fn concat(lowering: &mut Lowering<'_>) -> Lowered {
    let parts = (2..lowering.inputs.len()).step_by(3);
    let parts = parts.map(|position| real(lowering, position).map(Some));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let y = first(lowering.with_inputs(parts, select::concat)?)?;
    finished(lowering, y, [0, 1])
}

pub(super) fn where_op(lowering: &mut Lowering<'_>) -> Lowered {
    let inputs = vec![
        lowering.optional(0).cloned(),
        Some(real(lowering, 1)?),
        Some(real(lowering, 4)?),
    ];
    let y = first(lowering.with_inputs(inputs, select::where_op)?)?;
    finished(lowering, y, [7, 8])
}

pub(super) fn conv(lowering: &mut Lowering<'_>) -> Lowered {
    let sums = integer_convolution(lowering, [0, 2], [3, 5], Some(8))?;
    // One factor for each channel, or for all.
    let of_kernel = lowering.input(4)?;
    let of_kernel = match of_kernel.dims() {
        &[channels] if channels > 1 => {
            let mut shape = vec![1; sums.dims().len() - 1];
            shape[0] = channels;
            lowering.reshape(of_kernel, shape)?
        }
        _ => lowering.reshape(of_kernel, Vec::new())?,
    };
    let of_input = lowering.input(1)?;
    let of_input = lowering.reshape(of_input, Vec::new())?;
    let factor = pair(lowering, BinaryFunction::Mul, of_input, of_kernel)?;
    rescaled(lowering, sums, factor, [6, 7])
}

pub(super) fn conv_integer(lowering: &mut Lowering<'_>) -> Lowered {
    Ok(vec![integer_convolution(lowering, [0, 2], [1, 3], None)?])
}

/// A convolution of steps. The positions are those of the image and the kernel, each with its zero point, and of the bias.
fn integer_convolution(
    lowering: &mut Lowering<'_>,
    [image, image_zero]: [usize; 2],
    [kernel, kernel_zero]: [usize; 2],
    bias: Option<usize>,
) -> Result<Value, String> {
    let (x, weight) = (lowering.input(image)?, lowering.input(kernel)?);
    let x_zero = lowering.optional(image_zero).cloned();
    let x_zero = x_zero.map(|zero| flat_scalar(lowering, zero)).transpose()?;
    let weight_zero = lowering.optional(kernel_zero).cloned();
    let weight_zero = weight_zero
        .map(|zero| {
            let mut shape = vec![1; weight.dims().len()];
            shape[0] = zero.dims().iter().product();
            lowering.reshape(zero, shape)
        })
        .transpose()?;
    let x = centred(lowering, x, x_zero)?;
    let weight = centred(lowering, weight, weight_zero)?;
    let bias = bias.and_then(|position| lowering.optional(position).cloned());
    let bias = bias.map(|bias| centred(lowering, bias, None)).transpose()?;
    first(lowering.with_inputs(vec![Some(x), Some(weight), bias], convolution::conv)?)
}

/// A zero point with one number keeps its shape if it is one for each image.
fn flat_scalar(lowering: &mut Lowering<'_>, value: Value) -> Result<Value, String> {
    match value.dims().iter().product::<usize>() {
        1 => lowering.reshape(value, Vec::new()),
        _ => Ok(value),
    }
}

pub(super) fn matmul(lowering: &mut Lowering<'_>) -> Lowered {
    let sums = integer_product(lowering, [0, 2], [3, 5])?;
    let (of_rows, of_columns) = (lowering.input(1)?, lowering.input(4)?);
    let of_rows = by_row(lowering, of_rows)?;
    let factor = pair(lowering, BinaryFunction::Mul, of_rows, of_columns)?;
    rescaled(lowering, sums, factor, [6, 7])
}

pub(super) fn matmul_integer(lowering: &mut Lowering<'_>) -> Lowered {
    Ok(vec![integer_product(lowering, [0, 2], [1, 3])?])
}

/// A matrix product of steps. The positions are those of both factors, each with its zero point.
fn integer_product(
    lowering: &mut Lowering<'_>,
    [left, left_zero]: [usize; 2],
    [right, right_zero]: [usize; 2],
) -> Result<Value, String> {
    let (a, b) = (lowering.input(left)?, lowering.input(right)?);
    let a_zero = lowering.optional(left_zero).cloned();
    let a_zero = a_zero.map(|zero| by_row(lowering, zero)).transpose()?;
    let b_zero = lowering.optional(right_zero).cloned();
    let a = centred(lowering, a, a_zero)?;
    let b = centred(lowering, b, b_zero)?;
    first(lowering.with_inputs(vec![Some(a), Some(b)], matrix::matmul)?)
}

/// Numbers for the rows of a matrix, or one for all.
fn by_row(lowering: &mut Lowering<'_>, numbers: Value) -> Result<Value, String> {
    match *numbers.dims() {
        [1] => lowering.reshape(numbers, Vec::new()),
        [rows] => lowering.reshape(numbers, vec![rows, 1]),
        _ => Ok(numbers),
    }
}

/// Without a scale for its output, it returns numbers.
pub(super) fn gemm(lowering: &mut Lowering<'_>) -> Lowered {
    let (a, b) = (lowering.input(0)?, lowering.input(3)?);
    let columns = usize::from(!lowering.attributes.flag("transB", false));
    let a_steps = steps(lowering, [1, 2], a.dims(), None)?;
    let b_steps = steps(lowering, [4, 5], b.dims(), Some(columns))?;
    let a = centred(lowering, a, Some(a_steps.zero_point))?;
    let b = centred(lowering, b, Some(b_steps.zero_point))?;
    let bias = lowering.optional(6).cloned();
    let bias = bias.map(|bias| centred(lowering, bias, None)).transpose()?;
    let inputs = vec![Some(a), Some(b), bias];
    let sums = lowering.with_inputs(inputs, |lowering| matrix::affine(lowering, [1.0, 1.0]))?;
    let sums = first(sums)?;
    let of_columns = lowering.input(4)?;
    let factor = pair(lowering, BinaryFunction::Mul, a_steps.scale, of_columns)?;
    let alpha = number(lowering.attributes.float("alpha").unwrap_or(1.0) as f32)?;
    let factor = pair(lowering, BinaryFunction::Mul, factor, alpha)?;
    if lowering.optional(7).is_none() {
        return Ok(vec![pair(lowering, BinaryFunction::Mul, sums, factor)?]);
    }
    rescaled(lowering, sums, factor, [7, 8])
}

/// The product of two quantised matrices as numbers.
pub(super) fn matmul_to_float(lowering: &mut Lowering<'_>) -> Lowered {
    let (of_rows, of_columns) = (lowering.input(2)?, lowering.input(3)?);
    let sums = integer_product(lowering, [0, 4], [1, 5])?;
    let of_rows = by_row(lowering, of_rows)?;
    let factor = pair(lowering, BinaryFunction::Mul, of_rows, of_columns)?;
    let product = pair(lowering, BinaryFunction::Mul, sums, factor)?;
    biased(lowering, product, 6)
}

/// The same, where the first matrix is quantised by the range of its own numbers.
pub(super) fn dynamic_matmul(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    let found = dynamic_steps(lowering, &x)?;
    let of_input = Steps {
        scale: found.scale.clone(),
        zero_point: found.zero_point.clone(),
    };
    let a = quantised(lowering, x, of_input, DataType::Uint8)?;
    let inputs = vec![
        Some(a),
        lowering.optional(1).cloned(),
        Some(found.scale),
        lowering.optional(2).cloned(),
        Some(found.zero_point),
        lowering.optional(3).cloned(),
        lowering.optional(4).cloned(),
    ];
    lowering.with_inputs(inputs, matmul_to_float)
}

fn biased(lowering: &mut Lowering<'_>, value: Value, position: usize) -> Lowered {
    match lowering.optional(position).cloned() {
        Some(bias) => Ok(vec![pair(lowering, BinaryFunction::Add, value, bias)?]),
        None => Ok(vec![value]),
    }
}
