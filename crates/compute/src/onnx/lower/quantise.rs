//! Quantisation: numbers become whole steps of a scale, and steps become numbers again.
//!
//! Steps are kept in single precision, which holds those of 8 and 16 bits exactly. The image may pass through them with gradients.

use super::arithmetic::pair;
use super::lowering::{Lowered, Lowering, axis, number};
use crate::onnx::limit;
use crate::onnx::plan::Value;
use crate::onnx::proto::DataType;
use scv_domain::graph::{BinaryFunction, NumberType, Reduction, TensorOperator, UnaryFunction};

/// A scale with its zero point, in shapes that broadcast to the value they belong to.
pub(super) struct Steps {
    pub(super) scale: Value,
    pub(super) zero_point: Value,
}

/// Reads a scale and a zero point, which may be left out. `along` is the dimension that each has numbers for, if they have several.
///
/// # Errors
/// They do not fit the shape.
pub(super) fn steps(
    lowering: &mut Lowering<'_>,
    [scale, zero_point]: [usize; 2],
    dims: &[usize],
    along: Option<usize>,
) -> Result<Steps, String> {
    let scale = lowering.input(scale)?;
    let scale = aligned(lowering, scale, dims, along)?;
    let zero_point = match lowering.optional(zero_point).cloned() {
        Some(given) => aligned(lowering, given, dims, along)?,
        None => number(0.0)?,
    };
    Ok(Steps { scale, zero_point })
}

/// Brings one number, numbers for a dimension, or numbers for blocks of it into a shape that broadcasts.
fn aligned(lowering: &mut Lowering<'_>, value: Value, dims: &[usize], along: Option<usize>) -> Result<Value, String> {
    let given = value.dims().to_vec();
    let misfit = || format!("a scale or zero point of shape {given:?} does not fit a value of shape {dims:?}");
    if given.iter().product::<usize>() == 1 {
        return lowering.reshape(value, Vec::new());
    }
    let along = along.filter(|&along| along < dims.len()).ok_or_else(misfit)?;
    if given.len() == 1 && given[0] == dims[along] {
        let mut shape = vec![1; dims.len() - along];
        shape[0] = given[0];
        return lowering.reshape(value, shape);
    }
    let fits = |(index, (&given, &dim)): (usize, (&usize, &usize))| given == dim || index == along;
    if given.len() != dims.len() || given.contains(&0) || !given.iter().zip(dims).enumerate().all(fits) {
        return Err(misfit());
    }
    let block = match lowering.attributes.integer("block_size").unwrap_or(0) {
        0 => dims[along].div_ceil(given[along]),
        size => limit::check_extent("block_size", size)?.max(1),
    };
    if dims[along].div_ceil(block) != given[along] {
        return Err(misfit());
    }
    let indices = (0..dims[along]).map(|index| (index / block) as u32).collect();
    let gather = TensorOperator::Gather { axis: along, indices };
    lowering.tensor(gather, vec![value], dims.to_vec())
}

/// Turns numbers into steps of an element type.
///
/// # Errors
/// It is a type that SCV does not quantise to.
pub(super) fn quantised(
    lowering: &mut Lowering<'_>,
    x: Value,
    steps: Steps,
    element_type: DataType,
) -> Result<Value, String> {
    let (min, max) = match element_type {
        DataType::Uint8 => (0, 255),
        DataType::Int8 => (-128, 127),
        DataType::Uint16 => (0, 65_535),
        DataType::Int16 => (-32_768, 32_767),
        DataType::Uint4 => (0, 15),
        DataType::Int4 => (-8, 7),
        other => {
            return Err(format!(
                "quantisation to {other:?} is not supported: quantise to 8 or 16 bits"
            ));
        }
    };
    let dims = x.dims().to_vec();
    let operator = TensorOperator::Quantise { min, max };
    let inputs = vec![x, steps.scale, steps.zero_point];
    lowering.tensor_of(NumberType::Float, operator, inputs, dims)
}

/// Turns steps into the numbers that they stand for.
///
/// # Errors
/// The value is too large.
pub(super) fn dequantised(lowering: &mut Lowering<'_>, x: Value, steps: Steps) -> Result<Value, String> {
    let dims = x.dims().to_vec();
    let inputs = vec![x, steps.scale, steps.zero_point];
    lowering.tensor_of(NumberType::Float, TensorOperator::Dequantise, inputs, dims)
}

/// The element type of a quantised output: that of its zero point, else the one that an attribute names, else bytes.
///
/// # Errors
/// The element type is not known.
pub(super) fn output_type(lowering: &Lowering<'_>, zero_point: usize) -> Result<DataType, String> {
    if lowering.optional(zero_point).is_some() {
        let known = lowering.element_type(zero_point);
        return known
            .ok_or_else(|| "the element type of its zero point is not known: it must be a constant".to_owned());
    }
    match lowering.attributes.integer("output_dtype").unwrap_or(0) {
        0 => Ok(DataType::Uint8),
        given => i32::try_from(given)
            .ok()
            .and_then(|given| DataType::try_from(given).ok())
            .ok_or_else(|| format!("quantisation to type {given} is not supported")),
    }
}

fn axis_of(lowering: &Lowering<'_>, rank: usize) -> Result<Option<usize>, String> {
    match lowering.attributes.integer("axis") {
        // The default matters only for values that have this dimension.
        None => Ok(Some(1)),
        Some(given) if rank > 0 => axis(given, rank).map(Some),
        Some(_) => Ok(None),
    }
}

pub(super) fn quantize_linear(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    let element_type = output_type(lowering, 2)?;
    let along = axis_of(lowering, x.dims().len())?;
    let steps = steps(lowering, [1, 2], x.dims(), along)?;
    lowering.set_element_type(0, Some(element_type));
    Ok(vec![quantised(lowering, x, steps, element_type)?])
}

pub(super) fn dequantize_linear(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    let along = axis_of(lowering, x.dims().len())?;
    let steps = steps(lowering, [1, 2], x.dims(), along)?;
    Ok(vec![dequantised(lowering, x, steps)?])
}

/// Finds scale and zero point in the numbers themselves.
pub(super) fn dynamic_quantize_linear(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    let Steps { scale, zero_point } = dynamic_steps(lowering, &x)?;
    for position in [0, 2] {
        lowering.set_element_type(position, Some(DataType::Uint8));
    }
    let steps = Steps {
        scale: scale.clone(),
        zero_point: zero_point.clone(),
    };
    let y = quantised(lowering, x, steps, DataType::Uint8)?;
    Ok(vec![y, scale, zero_point])
}

/// The scale and the zero point of bytes that cover all numbers of an image, and zero.
///
/// The range is that of each image alone, whatever batch it is in: ONNX takes that of the whole batch, and so the same image would
/// have other values in another batch.
pub(super) fn dynamic_steps(lowering: &mut Lowering<'_>, x: &Value) -> Result<Steps, String> {
    let by_image = lowering.plan.batch > 1 && x.dims().first() == Some(&lowering.plan.batch);
    let axes: Vec<usize> = (usize::from(by_image)..x.dims().len()).collect();
    let shape = if by_image {
        [&[lowering.plan.batch], vec![1; axes.len()].as_slice()].concat()
    } else {
        Vec::new()
    };
    let mut bound = |function: Reduction, with_zero: BinaryFunction| {
        let axes = axes.clone();
        let reduce = TensorOperator::Reduce { function, axes };
        let bound = lowering.tensor(reduce, vec![x.clone()], shape.clone())?;
        pair(lowering, with_zero, bound, number(0.0)?)
    };
    let max = bound(Reduction::Max, BinaryFunction::Max)?;
    let min = bound(Reduction::Min, BinaryFunction::Min)?;
    let range = pair(lowering, BinaryFunction::Sub, max, min.clone())?;
    let scale = pair(lowering, BinaryFunction::Div, range, number(255.0)?)?;
    // An image of zeros has no range.
    let is_zero = pair(lowering, BinaryFunction::Equal, scale.clone(), number(0.0)?)?;
    let inputs = vec![is_zero, number(1.0)?, scale];
    let scale = lowering.tensor_of(NumberType::Float, TensorOperator::Where, inputs, shape.clone())?;
    let below = lowering.tensor(TensorOperator::Unary(UnaryFunction::Neg), vec![min], shape)?;
    let steps = Steps {
        scale: scale.clone(),
        zero_point: number(0.0)?,
    };
    let zero_point = quantised(lowering, below, steps, DataType::Uint8)?;
    Ok(Steps { scale, zero_point })
}
