//! The gradients of a convolution on the CPU, divided into stripes and pieces like its output.

use rayon::prelude::*;

use super::columns::{Stripe, gather, scatter_add};
use super::depthwise;
use super::product::{Matrix, MatrixMut, Write, multiply};
use super::window::{Convolution, MAX_PARTIAL_SUMS};

impl Convolution {
    /// The gradient of `x` from that of `y` and `w`.
    pub(super) fn input_gradient(&self, dy: &[f32], w: &[f32]) -> Vec<f32> {
        let mut dx = vec![0.0; self.batch * self.inputs * self.window.input_len()];
        if self.group_inputs() == 1 {
            depthwise::input_gradient(self, dy, w, &mut dx);
        } else if self.shared_images() > 1 {
            self.input_gradient_of_small_images(dy, w, &mut dx);
        } else {
            self.input_gradient_of_large_images(dy, w, &mut dx);
        }
        dx
    }

    /// The gradient of `w` from `x` and the gradient of `y`.
    pub(super) fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let mut dw = vec![0.0; self.outputs * self.depth()];
        if self.group_inputs() == 1 {
            depthwise::weight_gradient(self, x, dy, &mut dw);
            return dw;
        }
        let images = self.batch.div_ceil(MAX_PARTIAL_SUMS).max(1);
        let (image_inputs, image_outputs) = (self.image_inputs(), self.image_outputs());
        let partial_sums: Vec<Vec<f32>> = x
            .par_chunks(images * image_inputs)
            .zip(dy.par_chunks(images * image_outputs))
            .map(|(x, dy)| self.partial_weight_gradient(x, dy))
            .collect();
        for partial in partial_sums {
            dw.iter_mut().zip(partial).for_each(|(sum, value)| *sum += value);
        }
        dw
    }

    fn input_gradient_of_large_images(&self, dy: &[f32], w: &[f32], dx: &mut [f32]) {
        let positions = self.window.output_len();
        let (outputs, depth) = (self.group_outputs(), self.depth());
        let piece = self.piece(self.group_inputs());
        let rows_of_piece = piece * self.window.taps();
        dx.par_chunks_mut(piece * self.window.input_len())
            .enumerate()
            .for_each_init(Vec::new, |columns, (index, dx)| {
                let first_input = index * piece;
                let (image, input) = (first_input / self.inputs, first_input % self.inputs);
                let group = input / self.group_inputs();
                let dy = &dy[(image * self.outputs + group * outputs) * positions..][..outputs * positions];
                let first_row = (input % self.group_inputs()) * self.window.taps();
                let weights = &self.group_weights(w, group)[first_row..];
                let weights = Matrix::new(weights, outputs, rows_of_piece, depth).transposed();
                if self.window.is_pointwise() {
                    let target = MatrixMut::new(dx, rows_of_piece, positions, positions);
                    return multiply(
                        target,
                        weights,
                        Matrix::new(dy, outputs, positions, positions),
                        Write::Replace,
                    );
                }
                for rows in self.stripes(rows_of_piece) {
                    let width = rows.len() * self.window.output[1];
                    let start = rows.start * self.window.output[1];
                    columns.resize((rows_of_piece * width).max(columns.len()), 0.0);
                    let target = MatrixMut::new(columns, rows_of_piece, width, width);
                    multiply(
                        target,
                        weights,
                        Matrix::new(&dy[start..], outputs, width, positions),
                        Write::Replace,
                    );
                    scatter_add(
                        columns,
                        &self.window,
                        &Stripe {
                            rows,
                            at: 0,
                            row_step: width,
                        },
                        dx,
                    );
                }
            });
    }

    fn input_gradient_of_small_images(&self, dy: &[f32], w: &[f32], dx: &mut [f32]) {
        let positions = self.window.output_len();
        let images = self.shared_images();
        let (depth, outputs) = (self.depth(), self.group_outputs());
        dx.par_chunks_mut(images * self.image_inputs())
            .zip(dy.par_chunks(images * self.image_outputs()))
            .for_each_init(
                || (Vec::new(), Vec::new()),
                |(columns, gradients), (dx, dy)| {
                    let width = dy.len() / self.outputs;
                    columns.resize(depth * images * positions, 0.0);
                    gradients.resize(outputs * images * positions, 0.0);
                    for group in 0..self.groups {
                        self.join_images(dy, group, gradients);
                        let weights = Matrix::new(self.group_weights(w, group), outputs, depth, depth).transposed();
                        let target = MatrixMut::new(columns, depth, width, width);
                        multiply(
                            target,
                            weights,
                            Matrix::new(gradients, outputs, width, width),
                            Write::Replace,
                        );
                        for (index, dx) in dx.chunks_exact_mut(self.image_inputs()).enumerate() {
                            let length = self.group_inputs() * self.window.input_len();
                            let stripe = self.whole_image(index, width);
                            scatter_add(
                                columns,
                                &self.window,
                                &stripe,
                                &mut dx[group * length..(group + 1) * length],
                            );
                        }
                    }
                },
            );
    }

    /// The weight gradient summed over the images of `x` and `dy`.
    fn partial_weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let positions = self.window.output_len();
        let (depth, outputs) = (self.depth(), self.group_outputs());
        let mut sum = vec![0.0; self.outputs * depth];
        let (mut columns, mut gradients) = (Vec::new(), Vec::new());
        let images = self.shared_images();
        let batches = x
            .chunks(images * self.image_inputs())
            .zip(dy.chunks(images * self.image_outputs()));
        for (x, dy) in batches {
            for (group, sum) in sum.chunks_exact_mut(outputs * depth).enumerate() {
                if images > 1 {
                    let width = dy.len() / self.outputs;
                    columns.resize(depth * images * positions, 0.0);
                    gradients.resize(outputs * images * positions, 0.0);
                    self.gather_images(x, group, &mut columns, width);
                    self.join_images(dy, group, &mut gradients);
                    let columns = Matrix::new(&columns, depth, width, width).transposed();
                    let target = MatrixMut::new(sum, outputs, depth, depth);
                    multiply(
                        target,
                        Matrix::new(&gradients, outputs, width, width),
                        columns,
                        Write::Add,
                    );
                    continue;
                }
                let input = self.group_input(x, group);
                let dy = &dy[group * outputs * positions..];
                for rows in self.stripes(depth) {
                    let width = rows.len() * self.window.output[1];
                    let start = rows.start * self.window.output[1];
                    columns.resize((depth * width).max(columns.len()), 0.0);
                    gather(
                        input,
                        &self.window,
                        &Stripe {
                            rows,
                            at: 0,
                            row_step: width,
                        },
                        &mut columns,
                    );
                    let columns = Matrix::new(&columns, depth, width, width).transposed();
                    let target = MatrixMut::new(sum, outputs, depth, depth);
                    multiply(
                        target,
                        Matrix::new(&dy[start..], outputs, width, positions),
                        columns,
                        Write::Add,
                    );
                }
            }
        }
        sum
    }
}
