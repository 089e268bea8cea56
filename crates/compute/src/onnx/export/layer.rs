//! One block as ONNX operators.

use super::convolution::KernelSettings;
use super::writer::{BlockWriter, Operation};
use super::{activation, pad, pool};
use crate::error::{ComputeError, Result};
use scv_domain::graph::{Operator, ParameterRole};

/// Writes a block into the file.
pub(super) fn write(mut writer: BlockWriter<'_>) -> Result<()> {
    let node = writer.node;
    match &node.operator {
        Operator::Conv2d {
            stride,
            padding,
            dilation,
            groups,
        } => {
            let convolution = KernelSettings {
                stride: *stride,
                padding: *padding,
                dilation: *dilation,
                groups: *groups,
            };
            convolution.write(&mut writer)?;
        }
        Operator::ConvTranspose2d {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        } => {
            let convolution = KernelSettings {
                stride: *stride,
                padding: *padding,
                dilation: *dilation,
                groups: *groups,
            };
            convolution.write_transposed(&mut writer, *output_padding)?;
        }
        Operator::MaxPool2d {
            kernel,
            stride,
            padding,
            dilation,
        } => {
            let window = pool::PoolWindow {
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                dilation: *dilation,
            };
            pool::maximum(&mut writer, window)?;
        }
        Operator::AvgPool2d {
            kernel,
            stride,
            padding,
            count_include_pad,
            divisor_override,
        } => {
            let window = pool::PoolWindow {
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                dilation: [1, 1],
            };
            pool::mean(&mut writer, window, *count_include_pad, *divisor_override)?;
        }
        Operator::Tensor(_) => {
            let message = "only networks of blocks can be exported as ONNX files; this network was uploaded as an ONNX \
                           file: download that file";
            return Err(ComputeError::Invalid(message.into()));
        }
        Operator::AdaptiveAvgPool2d => pool::adaptive_mean(&mut writer)?,
        Operator::Pad2d { mode, padding } => {
            let input = writer.input()?;
            let operation = pad::pad(&mut writer, &input, *mode, *padding);
            writer.write_output(operation);
        }
        Operator::BatchNorm2d { eps, .. } => batch_norm(&mut writer, *eps)?,
        Operator::Dropout { p } => dropout(&mut writer, *p)?,
        Operator::Reshape => reshape(&mut writer)?,
        Operator::Linear => linear(&mut writer)?,
        Operator::Softmax { dim } => {
            // ONNX counts the batch as a dimension.
            let operation = Operation::new("Softmax", &writer.inputs).integer("axis", *dim as i64 + 1);
            writer.write_output(operation);
        }
        Operator::Activation(function) => activation::write(&mut writer, *function)?,
        Operator::Add => {
            let operation = Operation::new("Add", &writer.inputs);
            writer.write_output(operation);
        }
    }
    Ok(())
}

/// ONNX requires all four tensors. Without a learned scale and offset they are ones and zeros.
fn batch_norm(writer: &mut BlockWriter<'_>, eps: f64) -> Result<()> {
    let channels = writer.input_shape.first().copied().unwrap_or_default();
    let scale = match writer.write_tensor(ParameterRole::Weight)? {
        Some(weight) => weight,
        None => writer.write_floats("ones", &[channels], &vec![1.0; channels]),
    };
    let offset = match writer.write_tensor(ParameterRole::Bias)? {
        Some(bias) => bias,
        None => writer.write_floats("zeros", &[channels], &vec![0.0; channels]),
    };
    let mean = writer.write_required_tensor(ParameterRole::RunningMean)?;
    let variance = writer.write_required_tensor(ParameterRole::RunningVar)?;
    let inputs = [writer.input()?, scale, offset, mean, variance];
    writer.write_output(Operation::new("BatchNormalization", &inputs).number("epsilon", eps));
    Ok(())
}

/// Written although it has no effect at inference, so that the file shows the network as it was trained.
fn dropout(writer: &mut BlockWriter<'_>, p: f64) -> Result<()> {
    let input = writer.input()?;
    let operation = if p < 1.0 {
        let ratio = writer.write_number("ratio", p);
        Operation::new("Dropout", &[input, ratio])
    } else {
        // ONNX has no dropout with a ratio of 1.
        Operation::new("Identity", &[input])
    };
    writer.write_output(operation);
    Ok(())
}

fn reshape(writer: &mut BlockWriter<'_>) -> Result<()> {
    let input = writer.input()?;
    let operation = match writer.node.output_shape.as_slice() {
        [_] => Operation::new("Flatten", &[input]).integer("axis", 1),
        shape => {
            // A zero keeps the dimension at its position, which is the batch.
            let sizes: Vec<i64> = std::iter::once(0)
                .chain(shape.iter().map(|&length| length as i64))
                .collect();
            let sizes = writer.write_integers("shape", &[sizes.len()], &sizes);
            Operation::new("Reshape", &[input, sizes])
        }
    };
    writer.write_output(operation);
    Ok(())
}

fn linear(writer: &mut BlockWriter<'_>) -> Result<()> {
    if writer.input_shape.len() != 1 {
        let shape = writer.input_shape;
        return Err(ComputeError::Invalid(format!(
            "ONNX's Gemm needs a flat input, not one of shape {shape:?}"
        )));
    }
    let input = writer.input()?;
    let weight = writer.write_required_tensor(ParameterRole::Weight)?;
    let bias = writer.write_tensor(ParameterRole::Bias)?;
    let inputs: Vec<String> = [input, weight].into_iter().chain(bias).collect();
    writer.write_output(Operation::new("Gemm", &inputs).integer("transB", 1));
    Ok(())
}
