//! One block as ONNX operators.

use super::convolution::Convolution;
use super::step::{Operation, Step};
use super::{activation, pad, pool};
use crate::error::{ComputeError, Result};
use scv_domain::graph::{Operator, ParameterRole};

/// Writes a block into the file.
pub(super) fn write(mut step: Step<'_>) -> Result<()> {
    let node = step.node;
    match &node.operator {
        Operator::Conv2d {
            stride,
            padding,
            dilation,
            groups,
        } => {
            let convolution = Convolution {
                stride: *stride,
                padding: *padding,
                dilation: *dilation,
                groups: *groups,
            };
            convolution.write(&mut step)?;
        }
        Operator::ConvTranspose2d {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        } => {
            let convolution = Convolution {
                stride: *stride,
                padding: *padding,
                dilation: *dilation,
                groups: *groups,
            };
            convolution.write_transposed(&mut step, *output_padding)?;
        }
        Operator::MaxPool2d {
            kernel,
            stride,
            padding,
            dilation,
        } => {
            let window = pool::Window {
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                dilation: *dilation,
            };
            pool::maximum(&mut step, window)?;
        }
        Operator::AvgPool2d {
            kernel,
            stride,
            padding,
            count_include_pad,
            divisor_override,
        } => {
            let window = pool::Window {
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                dilation: [1, 1],
            };
            pool::mean(&mut step, window, *count_include_pad, *divisor_override)?;
        }
        Operator::Tensor(_) => {
            let message = "only networks of blocks are written as ONNX files: this one came as one, so take that";
            return Err(ComputeError::Invalid(message.into()));
        }
        Operator::AdaptiveAvgPool2d => pool::adaptive_mean(&mut step)?,
        Operator::Pad2d { mode, padding } => {
            let input = step.input()?;
            let operation = pad::pad(&mut step, &input, *mode, *padding);
            step.last(operation);
        }
        Operator::BatchNorm2d { eps, .. } => batch_norm(&mut step, *eps)?,
        Operator::Dropout { p } => dropout(&mut step, *p)?,
        Operator::Reshape => reshape(&mut step)?,
        Operator::Linear => linear(&mut step)?,
        Operator::Softmax { dim } => {
            // ONNX counts the batch as a dimension.
            let operation = Operation::new("Softmax", &step.inputs).integer("axis", *dim as i64 + 1);
            step.last(operation);
        }
        Operator::Activation(function) => activation::write(&mut step, *function)?,
        Operator::Add => {
            let operation = Operation::new("Add", &step.inputs);
            step.last(operation);
        }
    }
    Ok(())
}

/// ONNX wants all four tensors; without a learned scale and offset these are ones and zeros.
fn batch_norm(step: &mut Step<'_>, eps: f64) -> Result<()> {
    let channels = step.input_shape.first().copied().unwrap_or_default();
    let scale = match step.tensor(ParameterRole::Weight)? {
        Some(weight) => weight,
        None => step.floats("ones", &[channels], &vec![1.0; channels]),
    };
    let offset = match step.tensor(ParameterRole::Bias)? {
        Some(bias) => bias,
        None => step.floats("zeros", &[channels], &vec![0.0; channels]),
    };
    let mean = step.required(ParameterRole::RunningMean)?;
    let variance = step.required(ParameterRole::RunningVar)?;
    let inputs = [step.input()?, scale, offset, mean, variance];
    step.last(Operation::new("BatchNormalization", &inputs).number("epsilon", eps));
    Ok(())
}

/// Kept although it does nothing at inference, so that the file shows the network as it was trained.
fn dropout(step: &mut Step<'_>, p: f64) -> Result<()> {
    let input = step.input()?;
    let operation = if p < 1.0 {
        let ratio = step.number("ratio", p);
        Operation::new("Dropout", &[input, ratio])
    } else {
        // ONNX knows no dropout of everything.
        Operation::new("Identity", &[input])
    };
    step.last(operation);
    Ok(())
}

fn reshape(step: &mut Step<'_>) -> Result<()> {
    let input = step.input()?;
    let operation = match step.node.output_shape.as_slice() {
        [_] => Operation::new("Flatten", &[input]).integer("axis", 1),
        shape => {
            // A zero keeps the dimension that stands in its place: the batch.
            let sizes: Vec<i64> = std::iter::once(0)
                .chain(shape.iter().map(|&length| length as i64))
                .collect();
            let sizes = step.integers("shape", &[sizes.len()], &sizes);
            Operation::new("Reshape", &[input, sizes])
        }
    };
    step.last(operation);
    Ok(())
}

fn linear(step: &mut Step<'_>) -> Result<()> {
    if step.input_shape.len() != 1 {
        let shape = step.input_shape;
        return Err(ComputeError::Invalid(format!(
            "ONNX's Gemm reads one row of numbers, not {shape:?}"
        )));
    }
    let input = step.input()?;
    let weight = step.required(ParameterRole::Weight)?;
    let bias = step.tensor(ParameterRole::Bias)?;
    let inputs: Vec<String> = [input, weight].into_iter().chain(bias).collect();
    step.last(Operation::new("Gemm", &inputs).integer("transB", 1));
    Ok(())
}
