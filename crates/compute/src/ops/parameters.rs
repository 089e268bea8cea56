//! The tensors that a node owns.

use candle_core::Tensor;

use crate::error::{ComputeError, Result};
use crate::weights::Weights;
use scv_domain::graph::{Node, ParameterRole};

/// A tensor that a node needs.
///
/// # Errors
/// It is missing.
pub(crate) fn parameter<'a>(node: &Node, role: ParameterRole, weights: &'a Weights) -> Result<&'a Tensor> {
    let key = node.key(role);
    weights
        .get(&key)
        .ok_or_else(|| ComputeError::Invalid(format!("tensor {key} is missing")))
}

/// Weight and bias of a normalisation over the channels of `x`: ones and zeros where it has none.
pub(crate) fn scale_and_shift(node: &Node, weights: &Weights, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let channels = x.dim(1)?;
    let weight = match weights.get(&node.key(ParameterRole::Weight)) {
        Some(weight) => weight.clone(),
        None => Tensor::ones(channels, x.dtype(), x.device())?,
    };
    let bias = match weights.get(&node.key(ParameterRole::Bias)) {
        Some(bias) => bias.clone(),
        None => Tensor::zeros(channels, x.dtype(), x.device())?,
    };
    Ok((weight, bias))
}
