//! Pooling as ONNX operators.
//!
//! `ceil_mode` is never written: runtimes disagree on it. The graph knows how many windows there
//! are, so whatever the last one hangs over the end becomes padding.

use super::pad::{around, pad};
use super::step::{Operation, Step};
use crate::error::{ComputeError, Result};
use scv_domain::graph::PadMode;

/// A window that slides over rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

/// The largest number of each window; padding never wins.
pub(super) fn maximum(step: &mut Step<'_>, window: Window) -> Result<()> {
    let input = step.input()?;
    let (before, after) = (window.padding, window.padding_after(step)?);
    // ONNX Runtime takes only padding that is smaller than the kernel.
    let is_wide = (0..2).any(|axis| after[axis] >= window.kernel[axis]);
    let operation = if is_wide {
        let lowest = PadMode::Constant(f64::NEG_INFINITY);
        let padded = pad(step, &input, lowest, around(before, after));
        let padded = step.inner("padded", padded);
        window.over("MaxPool", &padded, [0, 0], [0, 0])
    } else {
        window.over("MaxPool", &input, before, after)
    };
    step.last(operation.sizes("dilations", &window.dilation));
    Ok(())
}

/// The mean of each window. What hangs over the end never counts in the divisor, unless one is given.
pub(super) fn mean(
    step: &mut Step<'_>,
    window: Window,
    count_include_pad: bool,
    divisor_override: Option<usize>,
) -> Result<()> {
    let input = step.input()?;
    let (before, after) = (window.padding, window.padding_after(step)?);
    let hangs_over = after != before;
    if let Some(divisor) = divisor_override {
        let mean = window.over("AveragePool", &input, before, after);
        let mean = step.inner("mean", mean.integer("count_include_pad", 1));
        let area = (window.kernel[0] * window.kernel[1]) as f64;
        let factor = step.number("factor", area / divisor as f64);
        step.last(Operation::new("Mul", &[mean, factor]));
    } else if count_include_pad && hangs_over && before != [0, 0] {
        let zeros = pad(step, &input, PadMode::Constant(0.0), around(before, before));
        let padded = step.inner("padded", zeros);
        let overhang = [after[0] - before[0], after[1] - before[1]];
        step.last(window.over("AveragePool", &padded, [0, 0], overhang));
    } else {
        let counts = count_include_pad && !hangs_over;
        let mean = window.over("AveragePool", &input, before, after);
        step.last(mean.integer("count_include_pad", counts.into()));
    }
    Ok(())
}

/// Means over windows chosen so that the result has the node's shape.
///
/// Windows of one size are an ordinary pooling. Otherwise, since a window's mean is the mean of the
/// means of its rows, each dimension is taken by itself: the places of every window are gathered,
/// weighted and summed.
pub(super) fn adaptive_mean(step: &mut Step<'_>) -> Result<()> {
    let input = step.input()?;
    let [read, made] = step.planes()?;
    if made == [1, 1] {
        step.last(Operation::new("GlobalAveragePool", &[input]));
    } else if read == made {
        step.last(Operation::new("Identity", &[input]));
    } else if (0..2).all(|axis| read[axis].is_multiple_of(made[axis])) {
        let size = [read[0] / made[0], read[1] / made[1]];
        let window = Window {
            kernel: size,
            stride: size,
            padding: [0, 0],
            dilation: [1, 1],
        };
        step.last(window.over("AveragePool", &input, [0, 0], [0, 0]));
    } else if read[1] == made[1] {
        let means = means_along(step, "row", &input, 0);
        step.last(means);
    } else if read[0] == made[0] {
        let means = means_along(step, "column", &input, 1);
        step.last(means);
    } else {
        let means = means_along(step, "row", &input, 0);
        let rows = step.inner("rows", means);
        let means = means_along(step, "column", &rows, 1);
        step.last(means);
    }
    Ok(())
}

/// The means of adaptive windows along rows (axis 0) or columns (axis 1).
fn means_along(step: &mut Step<'_>, what: &str, input: &str, axis: usize) -> Operation {
    // Batch and channels stand before the rows.
    let dimension = axis + 2;
    let windows = Windows::new(step.input_shape[axis + 1], step.node.output_shape[axis + 1]);
    let [count, longest] = [windows.count, windows.longest];
    let places = step.integers(&format!("{what}_places"), &[count, longest], &windows.places);
    // The weights stand along the window; behind a row's windows its columns follow.
    let dims: &[usize] = if axis == 0 {
        &[count, longest, 1]
    } else {
        &[count, longest]
    };
    let weights = step.floats(&format!("{what}_weights"), dims, &windows.weights);
    let gather = Operation::new("Gather", &[input, &places]).integer("axis", dimension as i64);
    let gathered = step.inner(&format!("{what}_gathered"), gather);
    let weighted = step.inner(
        &format!("{what}_weighted"),
        Operation::new("Mul", &[&gathered, &weights]),
    );
    let axes = step.integers(&format!("{what}_axis"), &[1], &[dimension as i64 + 1]);
    Operation::new("ReduceSum", &[weighted, axes]).integer("keepdims", 0)
}

/// Adaptive windows along one dimension, all written as long as the longest.
struct Windows {
    count: usize,
    longest: usize,
    /// Where each window reads; a shorter one repeats its last place, with the weight 0.
    places: Vec<i64>,
    weights: Vec<f32>,
}

impl Windows {
    fn new(length: usize, count: usize) -> Self {
        let range = |window: usize| window * length / count..((window + 1) * length).div_ceil(count);
        let longest = (0..count).map(|window| range(window).len()).max().unwrap_or_default();
        let mut windows = Self {
            count,
            longest,
            places: Vec::with_capacity(count * longest),
            weights: Vec::with_capacity(count * longest),
        };
        for range in (0..count).map(range) {
            for position in 0..longest {
                let is_inside = position < range.len();
                let place = range.start + position.min(range.len() - 1);
                windows.places.push(place as i64);
                windows
                    .weights
                    .push(if is_inside { 1.0 / range.len() as f32 } else { 0.0 });
            }
        }
        windows
    }
}

impl Window {
    /// Rows and columns to add after the image so that there are as many windows as the node's shape says.
    fn padding_after(&self, step: &Step<'_>) -> Result<[usize; 2]> {
        let [read, made] = step.planes()?;
        Ok([
            self.padding_after_axis(0, read[0], made[0])?,
            self.padding_after_axis(1, read[1], made[1])?,
        ])
    }

    fn padding_after_axis(&self, axis: usize, size: usize, windows: usize) -> Result<usize> {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        let room = (size + 2 * padding).checked_sub(reach);
        if room.map(|room| room / stride + 1) == Some(windows) {
            return Ok(padding);
        }
        let wanted = windows.saturating_sub(1) * stride + reach;
        wanted
            .checked_sub(size + padding)
            .filter(|&after| after >= padding)
            .ok_or_else(|| ComputeError::Invalid(format!("no padding makes {windows} windows of {size} places")))
    }

    /// A pooling with this window and explicit padding.
    fn over(&self, op_type: &str, input: &str, before: [usize; 2], after: [usize; 2]) -> Operation {
        Operation::new(op_type, &[input])
            .sizes("kernel_shape", &self.kernel)
            .sizes("strides", &self.stride)
            .sizes("pads", &[before, after].concat())
    }
}
