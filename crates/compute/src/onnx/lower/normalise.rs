//! Normalisation, softmax, and what is left out at inference.

use candle_core::Tensor;

use super::{Lowered, Lowering, axis, broadcast};
use crate::onnx::limit;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{Operator, ParameterRole, TensorOperator};

pub(super) fn batch(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.attributes.flag("training_mode", false) {
        return Err("training mode is not supported: export the network for inference".to_owned());
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
        return Err("its input is no image".to_owned());
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
    Ok(vec![normalised(lowering, x, (2..rank).collect(), owned)?])
}

pub(super) fn layer(lowering: &mut Lowering<'_>) -> Lowered {
    let rank = lowering.input(0)?.dims().len();
    let first = axis(lowering.attributes.integer("axis").unwrap_or(-1), rank)?;
    let mut owned = vec![(ParameterRole::Weight, lowering.constant(1)?)];
    if lowering.optional(2).is_some() {
        owned.push((ParameterRole::Bias, lowering.constant(2)?));
    }
    let x = lowering.input(0)?;
    Ok(vec![normalised(lowering, x, (first..rank).collect(), owned)?])
}

/// Groups of channels become the second dimension, and are normalised over all behind it.
pub(super) fn group(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    let dims = x.dims().to_vec();
    let groups = limit::places("num_groups", lowering.attributes.integer("num_groups").unwrap_or(0))?;
    let (batch, channels) = match dims.as_slice() {
        [batch, channels, _, ..] if groups > 0 && channels % groups == 0 => (*batch, *channels),
        _ => return Err(format!("{dims:?} does not divide into {groups} groups of channels")),
    };
    let rest: usize = dims[2..].iter().product();
    let grouped = lowering.reshape(x, vec![batch, groups, channels / groups, rest])?;
    // Operator set 18 has a scale and a bias for each group, later ones for each channel.
    let by_group = lowering.opset < 21;
    let affine = |position: usize| -> Result<Tensor, String> {
        let tensor = lowering.constant(position)?;
        let wanted = if by_group { groups } else { channels };
        if tensor.elem_count() != wanted {
            return Err(format!(
                "input {position} has {} numbers, not {wanted}",
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
    let normal = normalised(lowering, grouped, vec![2, 3], owned)?;
    Ok(vec![lowering.reshape(normal, dims)?])
}

fn normalised(
    lowering: &mut Lowering<'_>,
    x: Value,
    axes: Vec<usize>,
    owned: Vec<(ParameterRole, Tensor)>,
) -> Result<Value, String> {
    let operator = Operator::Tensor(TensorOperator::Normalise {
        axes,
        eps: lowering.attributes.float("epsilon").unwrap_or(1e-5),
    });
    let dims = x.dims().to_vec();
    for (_, tensor) in &owned {
        if broadcast(&dims, tensor.dims())? != dims {
            return Err(format!(
                "scale or bias of shape {:?} do not fit {dims:?}",
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
            .ok_or("size must be above zero, and not beyond all channels")?,
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

/// Before operator set 13 it is taken over all dimensions from the given one on, together.
fn softmax_or_log(lowering: &mut Lowering<'_>, log: bool) -> Lowered {
    let x = lowering.input(0)?;
    let rank = x.dims().len();
    let together = lowering.opset < 13;
    let default = if together { 1 } else { -1 };
    let first = axis(lowering.attributes.integer("axis").unwrap_or(default), rank)?;
    let axes = if together { (first..rank).collect() } else { vec![first] };
    let dims = x.dims().to_vec();
    Ok(vec![lowering.tensor(
        TensorOperator::Softmax { axes, log },
        vec![x],
        dims,
    )?])
}

/// Does nothing at inference. The mask that it can make besides is for training.
pub(super) fn dropout(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.optional(2).is_some() && lowering.scalar(2)? != Some(0.0) {
        return Err("training mode is not supported: export the network for inference".to_owned());
    }
    Ok(vec![lowering.input(0)?])
}
