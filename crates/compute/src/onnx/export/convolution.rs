//! Convolutions and transposed convolutions as ONNX operators.

use super::pad::{around, pad};
use super::writer::{BlockWriter, Operation};
use crate::error::{ComputeError, Result};
use scv_domain::graph::{PadMode, ParameterRole};

/// How a kernel moves over an image. Pairs are rows, columns.
pub(super) struct KernelSettings {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl KernelSettings {
    pub fn write(&self, writer: &mut BlockWriter<'_>) -> Result<()> {
        let input = writer.input()?;
        let operation = self.operation(writer, "Conv", input, self.padding)?;
        writer.write_output(operation);
        Ok(())
    }

    /// ONNX Runtime requires an output padding below the stride; PyTorch also allows one below the dilation. In that
    /// case the image is extended by zeros, which add nothing, and the surplus is cut off the end of the result.
    pub fn write_transposed(&self, writer: &mut BlockWriter<'_>, output_padding: [usize; 2]) -> Result<()> {
        let input = writer.input()?;
        if (0..2).all(|axis| output_padding[axis] < self.stride[axis]) {
            let operation = self.operation(writer, "ConvTranspose", input, self.padding)?;
            writer.write_output(operation.sizes("output_padding", &output_padding));
            return Ok(());
        }
        let missing = |axis: usize| output_padding[axis].saturating_sub(self.padding[axis]);
        let zeros = [0, 1].map(|axis| missing(axis).div_ceil(self.stride[axis]));
        let surplus = [0, 1].map(|axis| self.padding[axis] + zeros[axis] * self.stride[axis] - output_padding[axis]);
        let input = if zeros == [0, 0] {
            input
        } else {
            let lengthened = pad(writer, &input, PadMode::Constant(0.0), around([0, 0], zeros));
            writer.write_intermediate("lengthened", lengthened)
        };
        let operation = self.operation(writer, "ConvTranspose", input, surplus)?;
        writer.write_output(operation);
        Ok(())
    }

    /// The operator applied to `input`, with the block's weight and bias, if it has one.
    fn operation(
        &self,
        writer: &mut BlockWriter<'_>,
        op_type: &str,
        input: String,
        padding_after: [usize; 2],
    ) -> Result<Operation> {
        let weight = writer.write_required_tensor(ParameterRole::Weight)?;
        let bias = writer.write_tensor(ParameterRole::Bias)?;
        let inputs: Vec<String> = [input, weight].into_iter().chain(bias).collect();
        Ok(Operation::new(op_type, &inputs)
            .sizes("kernel_shape", &kernel(writer)?)
            .sizes("strides", &self.stride)
            .sizes("pads", &[self.padding, padding_after].concat())
            .sizes("dilations", &self.dilation)
            .integer("group", self.groups as i64))
    }
}

fn kernel(writer: &BlockWriter<'_>) -> Result<[usize; 2]> {
    let mut parameters = writer.node.parameters.iter();
    let weight = parameters.find(|parameter| parameter.role == ParameterRole::Weight);
    match weight.map(|weight| weight.shape.as_slice()) {
        Some(&[_, _, height, width]) => Ok([height, width]),
        _ => Err(ComputeError::Invalid("its weight has no rows and columns".into())),
    }
}
