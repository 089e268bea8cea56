//! Normalisation, softmax, and what is left out at inference.

use candle_core::Tensor;

use super::{Lowered, Lowering, axis, broadcast};
use crate::compute::onnx::plan::first_line;
use crate::domain::graph::{Operator, ParameterRole, TensorOperator};

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
    normalised(lowering, (2..rank).collect(), owned)
}

pub(super) fn layer(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.node().output.iter().skip(1).any(|name| !name.is_empty()) {
        return Err("its outputs for training (mean and deviation) are not supported".to_owned());
    }
    let rank = lowering.input(0)?.dims().len();
    let first = axis(lowering.attributes.integer("axis").unwrap_or(-1), rank)?;
    let mut owned = vec![(ParameterRole::Weight, lowering.constant(1)?)];
    if lowering.optional(2).is_some() {
        owned.push((ParameterRole::Bias, lowering.constant(2)?));
    }
    normalised(lowering, (first..rank).collect(), owned)
}

fn normalised(lowering: &mut Lowering<'_>, axes: Vec<usize>, owned: Vec<(ParameterRole, Tensor)>) -> Lowered {
    let x = lowering.input(0)?;
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
    Ok(vec![lowering.layer(operator, x, owned, dims, 0)?])
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

/// Does nothing at inference.
pub(super) fn dropout(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.optional(2).is_some() && lowering.scalar(2)? != Some(0.0) {
        return Err("training mode is not supported: export the network for inference".to_owned());
    }
    if lowering.node().output.get(1).is_some_and(|name| !name.is_empty()) {
        return Err("its second output, the mask, is not supported".to_owned());
    }
    Ok(vec![lowering.input(0)?])
}
