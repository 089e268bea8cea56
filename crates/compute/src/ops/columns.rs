//! The columns of a convolution: the numbers that every output position reads, laid out for a matrix product.

use std::ops::Range;

use super::window::Window;

/// Where the columns of some output rows of one image are in a matrix with one row per channel and tap.
#[derive(Clone)]
pub(super) struct Stripe {
    /// Output rows whose positions are the columns.
    pub(super) rows: Range<usize>,
    /// The first column.
    pub(super) at: usize,
    /// Numbers from one matrix row to the next.
    pub(super) row_step: usize,
}

/// Writes the numbers that the output positions of a stripe read; positions outside the image read zero.
///
/// `image` holds whole planes; the matrix has `window.taps()` rows per plane.
pub(super) fn gather(image: &[f32], window: &Window, stripe: &Stripe, matrix: &mut [f32]) {
    let width = window.output[1];
    if window.kernel[1] > width && window.is_inside() {
        return gather_by_position(image, window, stripe, matrix);
    }
    for (channel, plane) in image.chunks_exact(window.input_len()).enumerate() {
        for tap_row in 0..window.kernel[0] {
            let rows_inside = window.inside(0, tap_row);
            for tap_column in 0..window.kernel[1] {
                let inside = window.inside(1, tap_column);
                let tap = (channel * window.kernel[0] + tap_row) * window.kernel[1] + tap_column;
                let start = tap * stripe.row_step + stripe.at;
                let target = &mut matrix[start..start + stripe.rows.len() * width];
                for (row, line) in stripe.rows.clone().zip(target.chunks_exact_mut(width)) {
                    if !rows_inside.contains(&row) || inside.is_empty() {
                        line.fill(0.0);
                        continue;
                    }
                    line[..inside.start].fill(0.0);
                    line[inside.end..].fill(0.0);
                    let source_row = window.source(0, row, tap_row) * window.input[1];
                    let source = &plane[source_row..source_row + window.input[1]];
                    copy_line(
                        &mut line[inside.clone()],
                        &source[window.source(1, inside.start, tap_column)..],
                        window.stride[1],
                    );
                }
            }
        }
    }
}

/// The same for few wide windows, such as those that divide an image into patches: there, a line of taps is longer than
/// a line of positions.
fn gather_by_position(image: &[f32], window: &Window, stripe: &Stripe, matrix: &mut [f32]) {
    let [height, width] = window.kernel;
    for (channel, plane) in image.chunks_exact(window.input_len()).enumerate() {
        for tap_row in 0..height {
            let first_tap = (channel * height + tap_row) * width;
            for (index, row) in stripe.rows.clone().enumerate() {
                let line = &plane[window.source(0, row, tap_row) * window.input[1]..][..window.input[1]];
                for column in 0..window.output[1] {
                    let at = stripe.at + index * window.output[1] + column;
                    let target = matrix[first_tap * stripe.row_step + at..]
                        .iter_mut()
                        .step_by(stripe.row_step);
                    let source = line[window.source(1, column, 0)..].iter().step_by(window.dilation[1]);
                    for (value, source) in target.take(width).zip(source) {
                        *value = *source;
                    }
                }
            }
        }
    }
}

/// Adds the columns of a stripe to the positions they are read from: the gradient of [`gather`].
pub(super) fn scatter_add(matrix: &[f32], window: &Window, stripe: &Stripe, image: &mut [f32]) {
    let width = window.output[1];
    for (channel, plane) in image.chunks_exact_mut(window.input_len()).enumerate() {
        for tap_row in 0..window.kernel[0] {
            let rows_inside = window.inside(0, tap_row);
            for tap_column in 0..window.kernel[1] {
                let inside = window.inside(1, tap_column);
                if inside.is_empty() {
                    continue;
                }
                let tap = (channel * window.kernel[0] + tap_row) * window.kernel[1] + tap_column;
                let start = tap * stripe.row_step + stripe.at;
                let source = &matrix[start..start + stripe.rows.len() * width];
                for (row, line) in stripe.rows.clone().zip(source.chunks_exact(width)) {
                    if !rows_inside.contains(&row) {
                        continue;
                    }
                    let first =
                        window.source(0, row, tap_row) * window.input[1] + window.source(1, inside.start, tap_column);
                    let target = &mut plane[first..];
                    for (target, value) in target.iter_mut().step_by(window.stride[1]).zip(&line[inside.clone()]) {
                        *target += value;
                    }
                }
            }
        }
    }
}

fn copy_line(line: &mut [f32], source: &[f32], stride: usize) {
    if stride == 1 {
        line.copy_from_slice(&source[..line.len()]);
        return;
    }
    for (value, source) in line.iter_mut().zip(source.iter().step_by(stride)) {
        *value = *source;
    }
}
