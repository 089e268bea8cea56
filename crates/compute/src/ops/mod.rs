//! The operators of the graph over candle tensors, forward and gradient, as PyTorch defines them.
//!
//! Every operator that does real work exists twice. On the CPU it is a custom operation of ours with
//! its own gradient: candle's convolution is slow there, and the gradient of its maximum pooling is
//! wrong. On other devices it is composed of candle's differentiable primitives. The compositions
//! run on the CPU too, so the tests can compare the two with each other and with PyTorch. Elementwise
//! functions and operations on whole tensors are compositions everywhere. A few have a faster way on
//! the CPU, which is taken where no gradient is needed.

mod activation;
mod channels;
mod columns;
mod convolution;
mod convolution_gradients;
mod convolution_kernels;
mod depthwise;
mod elementwise;
mod erf;
mod kernels;
mod linear;
mod loss;
mod means;
mod normalise;
mod pad;
mod parameters;
mod pool;
mod portable;
pub(crate) mod product;
mod quantise;
mod reshaping;
mod slices;
mod tensor;
mod window;

use candle_core::Tensor;

use crate::error::{ComputeError, Result};
use crate::weights::Weights;
use scv_domain::graph::{Node, Operator, ParameterRole};

pub(crate) use kernels::Kernels;
pub(crate) use loss::{cross_entropy, predictions};
pub(crate) use normalise::{Moments, batch_moments, dropout, normalise_batch};
pub(crate) use parameters::{parameter, scale_and_shift};
pub(crate) use tensor::{apply, on_tensors};

use means::Means;
use window::Window;

/// Computes one node in inference mode from its inputs; `dims` is the shape of its output for this batch.
///
/// # Errors
/// A weight is missing, or candle fails. The caller adds the layer's name.
pub(crate) fn forward(
    kernels: Kernels,
    node: &Node,
    inputs: &[Tensor],
    weights: &Weights,
    dims: &[usize],
) -> Result<Tensor> {
    let x = match inputs.first() {
        Some(x) => x.contiguous()?,
        None => return tensor::constant(node, weights, dims),
    };
    Ok(match &node.operator {
        Operator::Conv2d {
            stride,
            padding,
            dilation,
            groups,
        } => {
            let weight = parameter(node, ParameterRole::Weight, weights)?;
            let plane = Plane {
                input: plane(x.dims())?,
                output: plane(dims)?,
            };
            let window = plane.window(kernel(weight)?, *stride, *padding, *dilation);
            let y = convolution::convolve(kernels, &x, weight, window, *groups)?;
            add_bias(kernels, y, node, weights)?
        }
        Operator::ConvTranspose2d {
            stride,
            padding,
            dilation,
            groups,
            ..
        } => {
            let weight = parameter(node, ParameterRole::Weight, weights)?;
            // The window is that of the convolution whose gradient this is: its input is our output.
            let plane = Plane {
                input: plane(dims)?,
                output: plane(x.dims())?,
            };
            let window = plane.window(kernel(weight)?, *stride, *padding, *dilation);
            let y = convolution::convolve_transposed(kernels, &x, weight, window, *groups)?;
            add_bias(kernels, y, node, weights)?
        }
        Operator::MaxPool2d {
            kernel,
            stride,
            padding,
            dilation,
        } => {
            let plane = Plane {
                input: plane(x.dims())?,
                output: plane(dims)?,
            };
            pool::maximum(kernels, &x, plane.window(*kernel, *stride, *padding, *dilation))?
        }
        Operator::AvgPool2d {
            kernel,
            stride,
            padding,
            count_include_pad,
            divisor_override,
        } => {
            let plane = Plane {
                input: plane(x.dims())?,
                output: plane(dims)?,
            };
            let window = plane.window(*kernel, *stride, *padding, [1, 1]);
            pool::average(
                kernels,
                &x,
                Means::sliding(window, *count_include_pad, *divisor_override),
            )?
        }
        Operator::AdaptiveAvgPool2d => pool::average(kernels, &x, Means::adaptive(plane(x.dims())?, plane(dims)?))?,
        Operator::Pad2d { mode, padding } => pad::pad(&x, *mode, *padding)?,
        Operator::BatchNorm2d { eps, .. } => {
            let (weight, bias) = scale_and_shift(node, weights, &x)?;
            let mean = parameter(node, ParameterRole::RunningMean, weights)?;
            let variance = parameter(node, ParameterRole::RunningVar, weights)?;
            let scale = (weight / (variance + *eps)?.sqrt()?)?;
            let shift = (bias - (mean * &scale)?)?;
            channels::affine(kernels, &x, &scale, &shift)?
        }
        Operator::Dropout { .. } => x,
        Operator::Reshape => x.reshape(dims)?,
        Operator::Linear => linear(kernels, &x, node, weights, dims)?,
        Operator::Softmax { dim } => softmax(&x, dim + 1)?,
        Operator::Activation(activation) => activation::apply(kernels, &x, *activation)?,
        Operator::Tensor(operator) => return on_tensors(node, operator, inputs, weights, dims),
        Operator::Add => {
            (x + inputs
                .get(1)
                .ok_or_else(|| ComputeError::Invalid("an addition needs two inputs".into()))?)?
        }
    })
}

/// Heights and widths of the input and the output of a window operation.
struct Plane {
    input: [usize; 2],
    output: [usize; 2],
}

impl Plane {
    fn window(&self, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2]) -> Window {
        Window {
            input: self.input,
            output: self.output,
            kernel,
            stride,
            padding,
            dilation,
        }
    }
}

/// Height and width, the last two dimensions.
fn plane(dims: &[usize]) -> Result<[usize; 2]> {
    match dims {
        [.., height, width] => Ok([*height, *width]),
        _ => Err(ComputeError::Invalid(format!("{dims:?} has no rows and columns"))),
    }
}

fn kernel(weight: &Tensor) -> Result<[usize; 2]> {
    let (_, _, height, width) = weight.dims4()?;
    Ok([height, width])
}

fn add_bias(kernels: Kernels, y: Tensor, node: &Node, weights: &Weights) -> Result<Tensor> {
    match weights.get(&node.key(ParameterRole::Bias)) {
        Some(bias) => Ok(channels::shift(kernels, &y, bias)?),
        None => Ok(y),
    }
}

fn linear(kernels: Kernels, x: &Tensor, node: &Node, weights: &Weights, dims: &[usize]) -> Result<Tensor> {
    let weight = parameter(node, ParameterRole::Weight, weights)?;
    let inputs = weight.dim(1)?;
    let rows = x.elem_count() / inputs.max(1);
    let x = x.reshape((rows, inputs))?;
    let bias = weights.get(&node.key(ParameterRole::Bias));
    if kernels == Kernels::Cpu
        && let Some(y) = linear::of_many_rows(&x, weight, bias)?
    {
        return Ok(y.reshape(dims)?);
    }
    let y = x.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    Ok(y.reshape(dims)?)
}

/// Composed of primitives, because candle's `softmax_last_dim` silently drops the gradient.
fn softmax(x: &Tensor, dim: usize) -> candle_core::Result<Tensor> {
    let exponentials = x.broadcast_sub(&x.detach().max_keepdim(dim)?)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(dim)?)
}

#[cfg(test)]
mod tests;
