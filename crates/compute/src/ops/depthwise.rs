//! Convolution where every group reads one channel: direct loops, because the matrix product would be too small.

use rayon::prelude::*;

use super::window::{Convolution, Window};

/// Sums that stay in the first-level cache while all taps are added to them.
const PIECE: usize = 1024;

/// `y` from `x` and `w`.
pub(super) fn output(shape: &Convolution, x: &[f32], w: &[f32], y: &mut [f32]) {
    let window = &shape.window;
    y.par_chunks_mut(window.output_len())
        .enumerate()
        .for_each_init(Scratch::default, |scratch, (index, y)| {
            let (image, output) = (index / shape.outputs, index % shape.outputs);
            let x = &x[(image * shape.inputs + output / shape.group_outputs()) * window.input_len()..]
                [..window.input_len()];
            let taps = &w[output * window.taps()..][..window.taps()];
            if window.stride == [1, 1] {
                return scratch.slide(window, x, taps, y);
            }
            for_each_line(window, |tap, line| {
                let (source, target) = (&x[line.input..], &mut y[line.output..][..line.length]);
                if window.stride[1] == 1 {
                    target.iter_mut().zip(source).for_each(|(y, x)| *y += taps[tap] * x);
                } else {
                    target
                        .iter_mut()
                        .zip(source.iter().step_by(window.stride[1]))
                        .for_each(|(y, x)| *y += taps[tap] * x);
                }
            });
        });
}

/// A plane with its padding written out, so that a tap reads one long line for all output rows together. The sums for
/// the padding between the rows are discarded at the end.
#[derive(Default)]
struct Scratch {
    padded: Vec<f32>,
    sums: Vec<f32>,
}

impl Scratch {
    /// One output plane of a window that moves by single steps.
    fn slide(&mut self, window: &Window, x: &[f32], taps: &[f32], y: &mut [f32]) {
        let reach = [0, 1].map(|axis| (window.kernel[axis] - 1) * window.dilation[axis]);
        let [height, width] = [0, 1].map(|axis| window.output[axis] + reach[axis]);
        self.padded.clear();
        self.padded.resize(height * width, 0.0);
        let rows = self.padded.chunks_exact_mut(width).skip(window.padding[0]);
        for (row, x) in rows.zip(x.chunks_exact(window.input[1])) {
            // Where the windows end before the input does, the rest of the input is not read.
            row.iter_mut()
                .skip(window.padding[1])
                .zip(x)
                .for_each(|(padded, x)| *padded = *x);
        }
        let length = (window.output[0] - 1) * width + window.output[1];
        self.sums.clear();
        self.sums.resize(length, 0.0);
        for (piece, sums) in self.sums.chunks_mut(PIECE).enumerate() {
            for (index, tap) in taps.iter().enumerate() {
                let (row, column) = (index / window.kernel[1], index % window.kernel[1]);
                let offset = row * window.dilation[0] * width + column * window.dilation[1];
                let source = &self.padded[piece * PIECE + offset..];
                sums.iter_mut().zip(source).for_each(|(sum, x)| *sum += tap * x);
            }
        }
        for (y, sums) in y.chunks_exact_mut(window.output[1]).zip(self.sums.chunks(width)) {
            y.copy_from_slice(&sums[..window.output[1]]);
        }
    }
}

/// The gradient of `x` from that of `y` and `w`.
pub(super) fn input_gradient(shape: &Convolution, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    let window = &shape.window;
    let outputs = shape.group_outputs();
    dx.par_chunks_mut(window.input_len())
        .enumerate()
        .for_each(|(index, dx)| {
            let (image, input) = (index / shape.inputs, index % shape.inputs);
            for output in input * outputs..(input + 1) * outputs {
                let dy = &dy[(image * shape.outputs + output) * window.output_len()..][..window.output_len()];
                let taps = &w[output * window.taps()..][..window.taps()];
                for_each_line(window, |tap, line| {
                    let (source, target) = (&dy[line.output..][..line.length], &mut dx[line.input..]);
                    if window.stride[1] == 1 {
                        target.iter_mut().zip(source).for_each(|(dx, dy)| *dx += taps[tap] * dy);
                    } else {
                        target
                            .iter_mut()
                            .step_by(window.stride[1])
                            .zip(source)
                            .for_each(|(dx, dy)| *dx += taps[tap] * dy);
                    }
                });
            }
        });
}

/// The gradient of `w` from `x` and the gradient of `y`.
pub(super) fn weight_gradient(shape: &Convolution, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let window = &shape.window;
    dw.par_chunks_mut(window.taps()).enumerate().for_each(|(output, dw)| {
        for image in 0..shape.batch {
            let input = image * shape.inputs + output / shape.group_outputs();
            let x = &x[input * window.input_len()..][..window.input_len()];
            let dy = &dy[(image * shape.outputs + output) * window.output_len()..][..window.output_len()];
            for_each_line(window, |tap, line| {
                let gradient = &dy[line.output..][..line.length];
                let read = x[line.input..].iter().step_by(window.stride[1]);
                dw[tap] += gradient.iter().zip(read).map(|(dy, x)| dy * x).sum::<f32>();
            });
        }
    });
}

/// A run of output positions in one row and the first input position that a tap reads for it.
struct Line {
    input: usize,
    output: usize,
    length: usize,
}

/// Calls `visit` with every tap and every output row it reaches, in a fixed order.
fn for_each_line(window: &Window, mut visit: impl FnMut(usize, Line)) {
    for tap_row in 0..window.kernel[0] {
        for tap_column in 0..window.kernel[1] {
            let columns = window.inside(1, tap_column);
            if columns.is_empty() {
                continue;
            }
            for row in window.inside(0, tap_row) {
                let input =
                    window.source(0, row, tap_row) * window.input[1] + window.source(1, columns.start, tap_column);
                let output = row * window.output[1] + columns.start;
                visit(
                    tap_row * window.kernel[1] + tap_column,
                    Line {
                        input,
                        output,
                        length: columns.len(),
                    },
                );
            }
        }
    }
}
