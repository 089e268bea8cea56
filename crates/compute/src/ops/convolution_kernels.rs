//! Convolution on the CPU: columns of the input in stripes that fit the cache, one product a stripe.
//!
//! A convolution pairs inputs `x`, weights `w` and outputs `y` in one sum over all taps; output, input
//! gradient and weight gradient are that sum with one of the three left out, and so are those of a
//! transposed convolution. How the work is cut depends on shapes alone, never on the number of
//! threads, and every number is summed in one fixed order: equal inputs give equal bits.

use std::ops::Range;

use rayon::prelude::*;

use super::columns::{Stripe, gather};
use super::depthwise;
use super::product::{Matrix, MatrixMut, Write, multiply};
use super::window::Window;

/// Numbers of a stripe's columns: a quarter of a megabyte, which the second-level cache holds.
const STRIPE_NUMBERS: usize = 64 * 1024;
/// Fewest columns of a stripe: the product packs the weights anew for each.
const STRIPE_COLUMNS: usize = 64;
/// Images too small to fill a product of this many columns are run together.
const SHARED_COLUMNS: usize = 256;
/// Pieces that a small batch is cut into along its channels, so that one image keeps some cores busy.
const PIECES: usize = 16;
/// Fewest channels of such a piece.
const PIECE_CHANNELS: usize = 32;
/// Most partial sums of a weight gradient.
pub(super) const PARTIAL_SUMS: usize = 8;

/// The shapes of a convolution: `x [batch, inputs, ..]`, `w [outputs, inputs / groups, ..]`,
/// `y [batch, outputs, ..]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Convolution {
    /// Images.
    pub(super) batch: usize,
    /// Channels of `x`.
    pub(super) inputs: usize,
    /// Channels of `y`.
    pub(super) outputs: usize,
    /// Channel groups.
    pub(super) groups: usize,
    /// How the kernel moves over `x`.
    pub(super) window: Window,
}

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

    /// Input channels of a group.
    pub(super) fn group_inputs(&self) -> usize {
        self.inputs / self.groups
    }

    /// Output channels of a group.
    pub(super) fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    /// Products summed for one output number: the rows of the columns.
    pub(super) fn depth(&self) -> usize {
        self.group_inputs() * self.window.taps()
    }

    pub(super) fn image_inputs(&self) -> usize {
        self.inputs * self.window.input_len()
    }

    pub(super) fn image_outputs(&self) -> usize {
        self.outputs * self.window.output_len()
    }

    /// The part of an image's input channels that a group reads.
    pub(super) fn group_input<'a>(&self, image: &'a [f32], group: usize) -> &'a [f32] {
        let length = self.group_inputs() * self.window.input_len();
        &image[group * length..(group + 1) * length]
    }

    pub(super) fn group_weights<'a>(&self, w: &'a [f32], group: usize) -> &'a [f32] {
        let length = self.group_outputs() * self.depth();
        &w[group * length..(group + 1) * length]
    }

    /// Images that share one product; 1 if an image is large enough by itself.
    pub(super) fn shared_images(&self) -> usize {
        SHARED_COLUMNS
            .div_ceil(self.window.output_len().max(1))
            .min((self.batch / PARTIAL_SUMS).max(1))
    }

    /// The output rows of an image in stripes.
    pub(super) fn stripes(&self, depth: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let [rows, width] = self.window.output;
        let columns = (STRIPE_NUMBERS / depth.max(1)).max(STRIPE_COLUMNS);
        let step = columns.div_ceil(width.max(1)).clamp(1, rows.max(1));
        (0..rows)
            .step_by(step)
            .map(move |start| start..(start + step).min(rows))
    }

    /// Channels of a piece when `channels` of a group are cut so that a small batch has enough pieces.
    pub(super) fn piece(&self, channels: usize) -> usize {
        let pieces = PIECES / (self.batch * self.groups).max(1);
        let fewest = PIECE_CHANNELS.min(channels);
        (fewest..=channels)
            .find(|&piece| channels.is_multiple_of(piece) && channels / piece <= pieces.max(1))
            .unwrap_or(channels)
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
                        self.part_images(results, group, y);
                    }
                },
            );
    }

    /// All columns of an image, as the `index`-th of several beside each other.
    pub(super) fn whole_image(&self, index: usize, row_step: usize) -> Stripe {
        Stripe {
            rows: 0..self.window.output[0],
            at: index * self.window.output_len(),
            row_step,
        }
    }

    /// The columns of several images beside each other, `width` in all.
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

    /// A group's channels of several images, from image by image to channel by channel.
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

    /// The other way: from channel by channel to image by image.
    fn part_images(&self, joined: &[f32], group: usize, images: &mut [f32]) {
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
