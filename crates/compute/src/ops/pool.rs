//! Maximum and mean over windows.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::kernels::Kernels;
use super::means::Means;
use super::portable;
use super::slices::{output, values};
use super::window::Window;

/// The maximum of every window of `x [batch, channels, ..]`; padding never wins, NaN always does.
/// The gradient goes to the first maximum of a window.
pub(super) fn maximum(kernels: Kernels, x: &Tensor, window: Window) -> Result<Tensor> {
    match kernels {
        Kernels::Cpu => x.contiguous()?.apply_op1(Maximum(window)),
        Kernels::Portable => portable::maximum(x, &window),
    }
}

/// The mean of every window of `x [batch, channels, ..]`.
pub(super) fn average(kernels: Kernels, x: &Tensor, means: Means) -> Result<Tensor> {
    match kernels {
        Kernels::Cpu => x.contiguous()?.apply_op1(Average(means)),
        Kernels::Portable => portable::average(x, &means),
    }
}

struct Average(Means);

impl CustomOp1 for Average {
    fn name(&self) -> &'static str {
        "average pooling"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, ..) = layout.shape().dims4()?;
        let means = &self.0;
        let mut y = vec![0.0; batch * channels * means.factors.len()];
        let planes = y
            .par_chunks_mut(means.factors.len())
            .zip(values(storage, layout)?.par_chunks(means.input_len()));
        planes.for_each(|(y, x)| {
            means.for_each_run(|position, run| y[position] += x[run].iter().sum::<f32>());
            y.iter_mut().zip(&means.factors).for_each(|(y, factor)| *y *= factor);
        });
        output(y, (batch, channels, means.rows.len(), means.columns.len()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.contiguous()?.apply_op1_no_bwd(&SpreadMeans(&self.0))?))
    }
}

/// The gradient of a mean: an equal share for every position it covers.
struct SpreadMeans<'a>(&'a Means);

impl CustomOp1 for SpreadMeans<'_> {
    fn name(&self) -> &'static str {
        "average pooling gradient"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, ..) = layout.shape().dims4()?;
        let means = self.0;
        let mut dx = vec![0.0; batch * channels * means.input_len()];
        let planes = dx
            .par_chunks_mut(means.input_len())
            .zip(values(storage, layout)?.par_chunks(means.factors.len()));
        planes.for_each(|(dx, dy)| {
            means.for_each_run(|position, run| {
                let share = dy[position] * means.factors[position];
                dx[run].iter_mut().for_each(|dx| *dx += share);
            });
        });
        output(dx, (batch, channels, means.input[0], means.input[1]))
    }
}

struct Maximum(Window);

impl CustomOp1 for Maximum {
    fn name(&self) -> &'static str {
        "maximum pooling"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, ..) = layout.shape().dims4()?;
        let window = &self.0;
        let mut y = vec![f32::NEG_INFINITY; batch * channels * window.output_len()];
        let planes = y
            .par_chunks_mut(window.output_len())
            .zip(values(storage, layout)?.par_chunks(window.input_len()));
        planes.for_each_init(Vec::new, |line, (y, x)| write_maxima(window, x, line, y));
        output(y, (batch, channels, window.output[0], window.output[1]))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&dy.contiguous()?, &ToMaxima(&self.0))?))
    }
}

/// The gradient of a maximum: all of it for the position of the maximum.
struct ToMaxima<'a>(&'a Window);

impl CustomOp2 for ToMaxima<'_> {
    fn name(&self) -> &'static str {
        "maximum pooling gradient"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let window = self.0;
        let (x, dy) = (values(s1, l1)?, values(s2, l2)?);
        let mut dx = vec![0.0; x.len()];
        let planes = dx
            .par_chunks_mut(window.input_len())
            .zip(x.par_chunks(window.input_len()));
        planes
            .zip(dy.par_chunks(window.output_len()))
            .for_each(|((dx, x), dy)| {
                for_each_maximum(window, x, |position, source| dx[source] += dy[position]);
            });
        output(dx, l1.shape().clone())
    }
}

/// Writes the maxima of a plane. For each row of windows, first down the columns into `line`, then along it. A window
/// that is wholly in the padding leaves `y` unchanged.
fn write_maxima(window: &Window, x: &[f32], line: &mut Vec<f32>, y: &mut [f32]) {
    let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    for (row, y) in y.chunks_exact_mut(window.output[1]).enumerate() {
        line.clear();
        line.resize(window.input[1], f32::NEG_INFINITY);
        for tap in taps_inside(window, 0, row) {
            let source = &x[window.source(0, row, tap) * window.input[1]..];
            line.iter_mut()
                .zip(source)
                .for_each(|(line, &x)| *line = larger(*line, x));
        }
        for tap in 0..window.kernel[1] {
            let inside = window.inside(1, tap);
            if inside.is_empty() {
                continue;
            }
            let source = line[window.source(1, inside.start, tap)..]
                .iter()
                .step_by(window.stride[1]);
            y[inside].iter_mut().zip(source).for_each(|(y, &x)| *y = larger(*y, x));
        }
    }
}

/// Calls `visit` with every output position of a plane and the input position of its maximum: the first of equals, or
/// the last NaN, as in PyTorch. A window that is wholly in the padding has none.
fn for_each_maximum(window: &Window, x: &[f32], mut visit: impl FnMut(usize, usize)) {
    for row in 0..window.output[0] {
        let rows = taps_inside(window, 0, row);
        for column in 0..window.output[1] {
            let columns = taps_inside(window, 1, column);
            let mut best: Option<usize> = None;
            for tap_row in rows.clone() {
                for tap_column in columns.clone() {
                    let source =
                        window.source(0, row, tap_row) * window.input[1] + window.source(1, column, tap_column);
                    if best.is_none_or(|best| x[source] > x[best] || x[source].is_nan()) {
                        best = Some(source);
                    }
                }
            }
            if let Some(best) = best {
                visit(row * window.output[1] + column, best);
            }
        }
    }
}

/// The taps of one output position that fall inside the input.
#[inline]
fn taps_inside(window: &Window, axis: usize, position: usize) -> Range<usize> {
    let start = position * window.stride[axis];
    let dilation = window.dilation[axis];
    let first = window.padding[axis].saturating_sub(start).div_ceil(dilation);
    let end = (window.input[axis] + window.padding[axis])
        .saturating_sub(start)
        .div_ceil(dilation)
        .min(window.kernel[axis]);
    first.min(end)..end
}
