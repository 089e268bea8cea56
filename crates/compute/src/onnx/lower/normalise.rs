//! Normalisation, softmax and dropout.

use candle_core::{DType, Device, Tensor};

use super::arithmetic::pair;
use super::lowering::{Lowered, Lowering, axis, broadcast, number};
use crate::onnx::limit;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{BinaryFunction, Operator, ParameterRole, Reduction, TensorOperator, UnaryFunction};

pub(super) fn batch(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.attributes.flag("training_mode", false) {
        return Err("training mode is not supported: export the network for inference".to_owned());
    }
    // Older operator sets have no such attribute, but outputs for the statistics of the batch.
    if lowering.opset < 14 && (1..5).any(|position| lowering.has_output(position)) {
        return Err("it was exported for training: export the network for inference".to_owned());
    }
    let x = lowering.input(0)?;
    let channels = *x.dims().get(1).ok_or("its input has no channels")?;
    let roles = [
        ParameterRole::Weight,
        ParameterRole::Bias,
        ParameterRole::RunningMean,
        ParameterRole::RunningVar,
    ];
    let mut owned = Vec::with_capacity(4);
    for (role, position) in roles.into_iter().zip(1..) {
        let tensor = lowering.constant(position)?;
        if tensor.elem_count() != channels {
            return Err(format!(
                "input {position} has {} numbers for {channels} channels",
                tensor.elem_count()
            ));
        }
        owned.push((role, tensor.flatten_all().map_err(|error| first_line(&error))?));
    }
    let operator = Operator::BatchNorm2d {
        eps: lowering.attributes.float("epsilon").unwrap_or(1e-5),
        momentum: None,
    };
    let dims = x.dims().to_vec();
    Ok(vec![lowering.layer(operator, x, owned, dims, 0)?])
}

pub(super) fn instance(lowering: &mut Lowering<'_>) -> Lowered {
    let rank = lowering.input(0)?.dims().len();
    if rank < 3 {
        return Err("its input is not an image".to_owned());
    }
    let by_channel = |tensor: Tensor| {
        let mut dims = vec![1; rank - 1];
        dims[0] = tensor.elem_count();
        tensor.reshape(dims).map_err(|error| first_line(&error))
    };
    let owned = vec![
        (ParameterRole::Weight, by_channel(lowering.constant(1)?)?),
        (ParameterRole::Bias, by_channel(lowering.constant(2)?)?),
    ];
    let x = lowering.input(0)?;
    Ok(vec![normalised(
        lowering,
        x,
        Over::deviation((2..rank).collect()),
        owned,
    )?])
}

/// Which dimensions are normalised, and in which way.
struct Over {
    axes: Vec<usize>,
    is_centred: bool,
}

impl Over {
    /// To mean 0 and deviation 1.
    fn deviation(axes: Vec<usize>) -> Self {
        Self { axes, is_centred: true }
    }
}

/// Its second and third outputs are the mean, and one over the deviation.
pub(super) fn layer(lowering: &mut Lowering<'_>) -> Lowered {
    let axes = last_axes(lowering)?;
    let owned = scale_and_bias(lowering)?;
    let x = lowering.input(0)?;
    let moments = if lowering.has_output(1) || lowering.has_output(2) {
        moments(lowering, &x, &axes)?
    } else {
        Vec::new()
    };
    let y = normalised(lowering, x, Over::deviation(axes), owned)?;
    Ok([vec![y], moments].concat())
}

/// Division by the root of the mean square.
pub(super) fn root_mean_square(lowering: &mut Lowering<'_>) -> Lowered {
    let axes = last_axes(lowering)?;
    let owned = scale_and_bias(lowering)?;
    let x = lowering.input(0)?;
    let over = Over {
        axes,
        is_centred: false,
    };
    Ok(vec![normalised(lowering, x, over, owned)?])
}

fn last_axes(lowering: &Lowering<'_>) -> Result<Vec<usize>, String> {
    let rank = lowering.input(0)?.dims().len();
    let first = axis(lowering.attributes.integer("axis").unwrap_or(-1), rank)?;
    Ok((first..rank).collect())
}

fn scale_and_bias(lowering: &Lowering<'_>) -> Result<Vec<(ParameterRole, Tensor)>, String> {
    let mut owned = vec![(ParameterRole::Weight, lowering.constant(1)?)];
    if lowering.optional(2).is_some() {
        owned.push((ParameterRole::Bias, lowering.constant(2)?));
    }
    Ok(owned)
}

/// The mean, and one over the deviation.
fn moments(lowering: &mut Lowering<'_>, x: &Value, axes: &[usize]) -> Result<Vec<Value>, String> {
    let mut dims = x.dims().to_vec();
    axes.iter().for_each(|&axis| dims[axis] = 1);
    let reduce = |axes: &[usize]| TensorOperator::Reduce {
        function: Reduction::Mean,
        axes: axes.to_vec(),
    };
    let eps = lowering.attributes.float("epsilon").unwrap_or(1e-5);
    let mean = lowering.tensor(reduce(axes), vec![x.clone()], dims.clone())?;
    let centred = pair(lowering, BinaryFunction::Sub, x.clone(), mean.clone())?;
    let squares = pair(lowering, BinaryFunction::Mul, centred.clone(), centred)?;
    let variance = lowering.tensor(reduce(axes), vec![squares], dims.clone())?;
    let raised = pair(lowering, BinaryFunction::Add, variance, number(eps as f32)?)?;
    let deviation = lowering.tensor(TensorOperator::Unary(UnaryFunction::Sqrt), vec![raised], dims.clone())?;
    let inverse = lowering.tensor(TensorOperator::Unary(UnaryFunction::Reciprocal), vec![deviation], dims)?;
    Ok(vec![mean, inverse])
}

/// The groups become the second dimension; each is normalised over all dimensions after it.
pub(super) fn group(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    let dims = x.dims().to_vec();
    let groups = limit::check_extent("num_groups", lowering.attributes.integer("num_groups").unwrap_or(0))?;
    let (batch, channels) = match dims.as_slice() {
        [batch, channels, _, ..] if groups > 0 && channels % groups == 0 => (*batch, *channels),
        _ => {
            return Err(format!(
                "the channels of {dims:?} cannot be divided into {groups} groups"
            ));
        }
    };
    let rest: usize = dims[2..].iter().product();
    let grouped = lowering.reshape(x, vec![batch, groups, channels / groups, rest])?;
    // Operator sets 18 to 20 have a scale and a bias per group, later ones per channel.
    let by_group = lowering.opset < 21;
    let affine = |position: usize| -> Result<Tensor, String> {
        let tensor = lowering.constant(position)?;
        let expected = if by_group { groups } else { channels };
        if tensor.elem_count() != expected {
            return Err(format!(
                "input {position} has {} numbers, not {expected}",
                tensor.elem_count()
            ));
        }
        let shape = if by_group {
            (groups, 1, 1)
        } else {
            (groups, channels / groups, 1)
        };
        tensor.reshape(shape).map_err(|error| first_line(&error))
    };
    let owned = vec![(ParameterRole::Weight, affine(1)?), (ParameterRole::Bias, affine(2)?)];
    let normal = normalised(lowering, grouped, Over::deviation(vec![2, 3]), owned)?;
    Ok(vec![lowering.reshape(normal, dims)?])
}

fn normalised(
    lowering: &mut Lowering<'_>,
    x: Value,
    over: Over,
    owned: Vec<(ParameterRole, Tensor)>,
) -> Result<Value, String> {
    let operator = Operator::Tensor(TensorOperator::Normalise {
        axes: over.axes,
        is_centred: over.is_centred,
        eps: lowering.attributes.float("epsilon").unwrap_or(1e-5),
    });
    let dims = x.dims().to_vec();
    for (_, tensor) in &owned {
        if broadcast(&dims, tensor.dims())? != dims {
            return Err(format!(
                "a scale or bias of shape {:?} does not fit {dims:?}",
                tensor.dims()
            ));
        }
    }
    lowering.layer(operator, x, owned, dims, 0)
}

pub(super) fn local_response(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    let channels = *x.dims().get(1).ok_or("its input has no channels")?;
    let size = lowering
        .attributes
        .integer("size")
        .and_then(|size| usize::try_from(size).ok());
    let operator = TensorOperator::LocalResponse {
        size: size
            .filter(|size| (1..=2 * channels).contains(size))
            .ok_or("size must be at least 1 and at most twice the number of channels")?,
        alpha: lowering.attributes.float("alpha").unwrap_or(1e-4),
        beta: lowering.attributes.float("beta").unwrap_or(0.75),
        bias: lowering.attributes.float("bias").unwrap_or(1.0),
    };
    let dims = x.dims().to_vec();
    Ok(vec![lowering.tensor(operator, vec![x], dims)?])
}

pub(super) fn softmax(lowering: &mut Lowering<'_>) -> Lowered {
    softmax_or_log(lowering, false)
}

pub(super) fn log_softmax(lowering: &mut Lowering<'_>) -> Lowered {
    softmax_or_log(lowering, true)
}

/// Before operator set 13, the softmax runs over all dimensions from the given one onwards.
fn softmax_or_log(lowering: &mut Lowering<'_>, log: bool) -> Lowered {
    let x = lowering.input(0)?;
    let rank = x.dims().len();
    let runs_to_end = lowering.opset < 13;
    let default = if runs_to_end { 1 } else { -1 };
    let first = axis(lowering.attributes.integer("axis").unwrap_or(default), rank)?;
    let axes = if runs_to_end {
        (first..rank).collect()
    } else {
        vec![first]
    };
    let dims = x.dims().to_vec();
    Ok(vec![lowering.tensor(
        TensorOperator::Softmax { axes, log },
        vec![x],
        dims,
    )?])
}

/// Has no effect at inference: its optional second output, the mask, keeps every number.
pub(super) fn dropout(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.optional(2).is_some() && lowering.scalar(2)? != Some(0.0) {
        return Err("training mode is not supported: export the network for inference".to_owned());
    }
    let x = lowering.input(0)?;
    if !lowering.has_output(1) {
        return Ok(vec![x]);
    }
    lowering.plan.constant_budget.charge(x.dims(), 0)?;
    let mask = Tensor::ones(x.dims(), DType::U8, &Device::Cpu).map_err(|error| first_line(&error))?;
    Ok(vec![x, Value::Constant(mask)])
}
