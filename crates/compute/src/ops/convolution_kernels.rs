//! Convolution on the CPU: columns of the input in stripes that fit the cache, one product per stripe.
//!
//! A convolution combines inputs `x`, weights `w` and outputs `y` in one sum over all taps. The output, the input
//! gradient and the weight gradient are that sum with one of the three left out, and so are those of a
//! transposed convolution. How the work is divided depends on shapes alone, never on the number of
//! threads, and every number is summed in one fixed order: equal inputs give equal bits.

use rayon::prelude::*;

use super::columns::{Stripe, gather};
use super::depthwise;
use super::product::{Matrix, MatrixMut, Write, multiply};
use super::window::Convolution;

impl Convolution {
    /// `y` from `x` and `w`.
    pub(super) fn output(&self, x: &[f32], w: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; self.batch * self.outputs * self.window.output_len()];
        if self.group_inputs() == 1 {
            depthwise::output(self, x, w, &mut y);
        } else if self.shared_images() > 1 {
            self.output_of_small_images(x, w, &mut y);
        } else {
            self.output_of_large_images(x, w, &mut y);
        }
        y
    }

    fn output_of_large_images(&self, x: &[f32], w: &[f32], y: &mut [f32]) {
        let positions = self.window.output_len();
        let depth = self.depth();
        let piece = self.piece(self.group_outputs());
        y.par_chunks_mut(piece * positions)
            .enumerate()
            .for_each_init(Vec::new, |columns, (index, y)| {
                let first_output = index * piece;
                let (image, output) = (first_output / self.outputs, first_output % self.outputs);
                let image = &x[image * self.image_inputs()..][..self.image_inputs()];
                let input = self.group_input(image, output / self.group_outputs());
                let weights = Matrix::new(&w[output * depth..], piece, depth, depth);
                if self.window.is_pointwise() {
                    let target = MatrixMut::new(y, piece, positions, positions);
                    return multiply(
                        target,
                        weights,
                        Matrix::new(input, depth, positions, positions),
                        Write::Replace,
                    );
                }
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
                        columns,
                    );
                    let target = MatrixMut::new(&mut y[start..], piece, width, positions);
                    multiply(
                        target,
                        weights,
                        Matrix::new(columns, depth, width, width),
                        Write::Replace,
                    );
                }
            });
    }

    fn output_of_small_images(&self, x: &[f32], w: &[f32], y: &mut [f32]) {
        let positions = self.window.output_len();
        let images = self.shared_images();
        let (depth, outputs) = (self.depth(), self.group_outputs());
        y.par_chunks_mut(images * self.image_outputs())
            .zip(x.par_chunks(images * self.image_inputs()))
            .for_each_init(
                || (Vec::new(), Vec::new()),
                |(columns, results), (y, x)| {
                    let width = y.len() / self.outputs;
                    columns.resize(depth * images * positions, 0.0);
                    results.resize(outputs * images * positions, 0.0);
                    for group in 0..self.groups {
                        self.gather_images(x, group, columns, width);
                        let weights = Matrix::new(self.group_weights(w, group), outputs, depth, depth);
                        let target = MatrixMut::new(results, outputs, width, width);
                        multiply(
                            target,
                            weights,
                            Matrix::new(columns, depth, width, width),
                            Write::Replace,
                        );
                        self.split_images(results, group, y);
                    }
                },
            );
    }

    /// All columns of an image, as the `index`-th of several images side by side.
    pub(super) fn whole_image(&self, index: usize, row_step: usize) -> Stripe {
        Stripe {
            rows: 0..self.window.output[0],
            at: index * self.window.output_len(),
            row_step,
        }
    }

    /// The columns of several images side by side, `width` in all.
    pub(super) fn gather_images(&self, x: &[f32], group: usize, columns: &mut [f32], width: usize) {
        for (index, image) in x.chunks_exact(self.image_inputs()).enumerate() {
            gather(
                self.group_input(image, group),
                &self.window,
                &self.whole_image(index, width),
                columns,
            );
        }
    }

    /// Reorders a group's channels of several images, from image by image to channel by channel.
    pub(super) fn join_images(&self, images: &[f32], group: usize, joined: &mut [f32]) {
        let positions = self.window.output_len();
        let width = images.len() / self.outputs;
        for (index, image) in images.chunks_exact(self.image_outputs()).enumerate() {
            let channels = &image[group * self.group_outputs() * positions..];
            for (channel, line) in joined.chunks_mut(width).enumerate().take(self.group_outputs()) {
                let source = &channels[channel * positions..][..positions];
                line[index * positions..][..positions].copy_from_slice(source);
            }
        }
    }

    /// The inverse: from channel by channel to image by image.
    fn split_images(&self, joined: &[f32], group: usize, images: &mut [f32]) {
        let positions = self.window.output_len();
        let width = images.len() / self.outputs;
        for (index, image) in images.chunks_exact_mut(self.image_outputs()).enumerate() {
            let channels = &mut image[group * self.group_outputs() * positions..];
            for (channel, line) in joined.chunks(width).enumerate().take(self.group_outputs()) {
                let target = &mut channels[channel * positions..][..positions];
                target.copy_from_slice(&line[index * positions..][..positions]);
            }
        }
    }
}
