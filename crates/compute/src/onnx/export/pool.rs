//! Pooling as ONNX operators.
//!
//! `ceil_mode` is never written, because runtimes disagree on it. The graph knows the number of windows, so the part of
//! the last window that extends beyond the end becomes padding.

use super::pad::{around, pad};
use super::writer::{BlockWriter, Operation};
use crate::error::{ComputeError, Result};
use scv_domain::graph::PadMode;

/// A window that slides over rows and columns.
#[derive(Clone, Copy)]
pub(super) struct PoolWindow {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

/// The maximum of each window; padding never counts.
pub(super) fn maximum(writer: &mut BlockWriter<'_>, window: PoolWindow) -> Result<()> {
    let input = writer.input()?;
    let (before, after) = (window.padding, window.padding_after(writer)?);
    // ONNX Runtime takes only padding that is smaller than the kernel.
    let is_wide = (0..2).any(|axis| after[axis] >= window.kernel[axis]);
    let operation = if is_wide {
        let lowest = PadMode::Constant(f64::NEG_INFINITY);
        let padded = pad(writer, &input, lowest, around(before, after));
        let padded = writer.write_intermediate("padded", padded);
        window.operation("MaxPool", &padded, [0, 0], [0, 0])
    } else {
        window.operation("MaxPool", &input, before, after)
    };
    writer.write_output(operation.sizes("dilations", &window.dilation));
    Ok(())
}

/// The mean of each window. The part that extends beyond the end never counts in the divisor, unless `divisor_override`
/// is given.
pub(super) fn mean(
    writer: &mut BlockWriter<'_>,
    window: PoolWindow,
    count_include_pad: bool,
    divisor_override: Option<usize>,
) -> Result<()> {
    let input = writer.input()?;
    let (before, after) = (window.padding, window.padding_after(writer)?);
    let overhangs = after != before;
    if let Some(divisor) = divisor_override {
        let mean = window.operation("AveragePool", &input, before, after);
        let mean = writer.write_intermediate("mean", mean.integer("count_include_pad", 1));
        let area = (window.kernel[0] * window.kernel[1]) as f64;
        let factor = writer.write_number("factor", area / divisor as f64);
        writer.write_output(Operation::new("Mul", &[mean, factor]));
    } else if count_include_pad && overhangs && before != [0, 0] {
        let zeros = pad(writer, &input, PadMode::Constant(0.0), around(before, before));
        let padded = writer.write_intermediate("padded", zeros);
        let overhang = [after[0] - before[0], after[1] - before[1]];
        writer.write_output(window.operation("AveragePool", &padded, [0, 0], overhang));
    } else {
        let counts = count_include_pad && !overhangs;
        let mean = window.operation("AveragePool", &input, before, after);
        writer.write_output(mean.integer("count_include_pad", counts.into()));
    }
    Ok(())
}

/// Means over windows that are chosen so that the output has the node's shape.
///
/// If all windows have the same size, this is an ordinary pooling. Otherwise each dimension is pooled separately,
/// because the mean of a window is the mean of the means of its rows: the positions of every window are gathered,
/// weighted and summed.
pub(super) fn adaptive_mean(writer: &mut BlockWriter<'_>) -> Result<()> {
    let input = writer.input()?;
    let [from, to] = writer.plane_sizes()?;
    if to == [1, 1] {
        writer.write_output(Operation::new("GlobalAveragePool", &[input]));
    } else if from == to {
        writer.write_output(Operation::new("Identity", &[input]));
    } else if (0..2).all(|axis| from[axis].is_multiple_of(to[axis])) {
        let size = [from[0] / to[0], from[1] / to[1]];
        let window = PoolWindow {
            kernel: size,
            stride: size,
            padding: [0, 0],
            dilation: [1, 1],
        };
        writer.write_output(window.operation("AveragePool", &input, [0, 0], [0, 0]));
    } else if from[1] == to[1] {
        let means = means_along(writer, "row", &input, 0);
        writer.write_output(means);
    } else if from[0] == to[0] {
        let means = means_along(writer, "column", &input, 1);
        writer.write_output(means);
    } else {
        let means = means_along(writer, "row", &input, 0);
        let rows = writer.write_intermediate("rows", means);
        let means = means_along(writer, "column", &rows, 1);
        writer.write_output(means);
    }
    Ok(())
}

/// The means of adaptive windows along rows (axis 0) or columns (axis 1).
fn means_along(writer: &mut BlockWriter<'_>, what: &str, input: &str, axis: usize) -> Operation {
    // Batch and channels come before the rows.
    let dimension = axis + 2;
    let windows = Windows::new(writer.input_shape[axis + 1], writer.node.output_shape[axis + 1]);
    let [count, longest] = [windows.count, windows.longest];
    let positions = writer.write_integers(&format!("{what}_places"), &[count, longest], &windows.positions);
    // The weights run along the window. If the windows are of rows, the columns come after them.
    let dims: &[usize] = if axis == 0 {
        &[count, longest, 1]
    } else {
        &[count, longest]
    };
    let weights = writer.write_floats(&format!("{what}_weights"), dims, &windows.weights);
    let gather = Operation::new("Gather", &[input, &positions]).integer("axis", dimension as i64);
    let gathered = writer.write_intermediate(&format!("{what}_gathered"), gather);
    let weighted = writer.write_intermediate(
        &format!("{what}_weighted"),
        Operation::new("Mul", &[&gathered, &weights]),
    );
    let axes = writer.write_integers(&format!("{what}_axis"), &[1], &[dimension as i64 + 1]);
    Operation::new("ReduceSum", &[weighted, axes]).integer("keepdims", 0)
}

/// Adaptive windows along one dimension, all padded to the length of the longest.
struct Windows {
    count: usize,
    longest: usize,
    /// The positions that each window reads. A shorter window repeats its last position, with the weight 0.
    positions: Vec<i64>,
    weights: Vec<f32>,
}

impl Windows {
    fn new(length: usize, count: usize) -> Self {
        let range = |window: usize| window * length / count..((window + 1) * length).div_ceil(count);
        let longest = (0..count).map(|window| range(window).len()).max().unwrap_or_default();
        let mut windows = Self {
            count,
            longest,
            positions: Vec::with_capacity(count * longest),
            weights: Vec::with_capacity(count * longest),
        };
        for range in (0..count).map(range) {
            for offset in 0..longest {
                let is_inside = offset < range.len();
                let position = range.start + offset.min(range.len() - 1);
                windows.positions.push(position as i64);
                windows
                    .weights
                    .push(if is_inside { 1.0 / range.len() as f32 } else { 0.0 });
            }
        }
        windows
    }
}

impl PoolWindow {
    /// Rows and columns to add after the image so that the number of windows matches the node's shape.
    fn padding_after(&self, writer: &BlockWriter<'_>) -> Result<[usize; 2]> {
        let [from, to] = writer.plane_sizes()?;
        Ok([
            self.padding_after_axis(0, from[0], to[0])?,
            self.padding_after_axis(1, from[1], to[1])?,
        ])
    }

    fn padding_after_axis(&self, axis: usize, size: usize, windows: usize) -> Result<usize> {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        let room = (size + 2 * padding).checked_sub(reach);
        if room.map(|room| room / stride + 1) == Some(windows) {
            return Ok(padding);
        }
        let needed = windows.saturating_sub(1) * stride + reach;
        needed
            .checked_sub(size + padding)
            .filter(|&after| after >= padding)
            .ok_or_else(|| ComputeError::Invalid(format!("no padding gives {windows} windows over {size} positions")))
    }

    /// A pooling with this window and explicit padding.
    fn operation(&self, op_type: &str, input: &str, before: [usize; 2], after: [usize; 2]) -> Operation {
        Operation::new(op_type, &[input])
            .sizes("kernel_shape", &self.kernel)
            .sizes("strides", &self.stride)
            .sizes("pads", &[before, after].concat())
    }
}
