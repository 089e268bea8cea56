//! Convolutions and their transposes as ONNX operators.

use super::pad::{around, pad};
use super::step::{Operation, Step};
use crate::error::{ComputeError, Result};
use scv_domain::graph::{PadMode, ParameterRole};

/// How a kernel moves. Pairs are rows, columns.
pub(super) struct Convolution {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl Convolution {
    pub fn write(&self, step: &mut Step<'_>) -> Result<()> {
        let input = step.input()?;
        let operation = self.over(step, "Conv", input, self.padding)?;
        step.last(operation);
        Ok(())
    }

    /// ONNX Runtime refuses an output padding that is not below the stride, which PyTorch allows
    /// below the dilation. There the image is lengthened by zeros, which add nothing, and what the
    /// result has too much of is taken off its end.
    pub fn write_transposed(&self, step: &mut Step<'_>, output_padding: [usize; 2]) -> Result<()> {
        let input = step.input()?;
        if (0..2).all(|axis| output_padding[axis] < self.stride[axis]) {
            let operation = self.over(step, "ConvTranspose", input, self.padding)?;
            step.last(operation.sizes("output_padding", &output_padding));
            return Ok(());
        }
        let missing = |axis: usize| output_padding[axis].saturating_sub(self.padding[axis]);
        let zeros = [0, 1].map(|axis| missing(axis).div_ceil(self.stride[axis]));
        let surplus = [0, 1].map(|axis| self.padding[axis] + zeros[axis] * self.stride[axis] - output_padding[axis]);
        let input = if zeros == [0, 0] {
            input
        } else {
            let lengthened = pad(step, &input, PadMode::Constant(0.0), around([0, 0], zeros));
            step.inner("lengthened", lengthened)
        };
        let operation = self.over(step, "ConvTranspose", input, surplus)?;
        step.last(operation);
        Ok(())
    }

    /// The operator over a value, with the weight and the bias that the block may have.
    fn over(&self, step: &mut Step<'_>, op_type: &str, input: String, padding_after: [usize; 2]) -> Result<Operation> {
        let weight = step.required(ParameterRole::Weight)?;
        let bias = step.tensor(ParameterRole::Bias)?;
        let inputs: Vec<String> = [input, weight].into_iter().chain(bias).collect();
        Ok(Operation::new(op_type, &inputs)
            .sizes("kernel_shape", &kernel(step)?)
            .sizes("strides", &self.stride)
            .sizes("pads", &[self.padding, padding_after].concat())
            .sizes("dilations", &self.dilation)
            .integer("group", self.groups as i64))
    }
}

fn kernel(step: &Step<'_>) -> Result<[usize; 2]> {
    let mut parameters = step.node.parameters.iter();
    let weight = parameters.find(|parameter| parameter.role == ParameterRole::Weight);
    match weight.map(|weight| weight.shape.as_slice()) {
        Some(&[_, _, height, width]) => Ok([height, width]),
        _ => Err(ComputeError::Invalid("its weight has no rows and columns".into())),
    }
}
