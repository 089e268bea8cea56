//! How a window moves over the rows and columns of an image, and the shapes of a convolution.

use std::ops::Range;

/// Numbers of a stripe's columns: a quarter of a megabyte, which the second-level cache holds.
const STRIPE_NUMBERS: usize = 64 * 1024;
/// Minimum number of columns of a stripe: the product packs the weights again for each.
const MIN_STRIPE_COLUMNS: usize = 64;
/// Images too small to fill a product of this many columns share one.
const MIN_SHARED_COLUMNS: usize = 256;
/// Pieces that a small batch is divided into along its channels, so that even one image uses several cores.
const PIECES: usize = 16;
/// Minimum number of channels of such a piece.
const MIN_PIECE_CHANNELS: usize = 32;
/// Maximum number of partial sums of a weight gradient.
pub(super) const MAX_PARTIAL_SUMS: usize = 8;

/// A window operation on planes. Pairs are rows, columns.
///
/// Output position `o` reads, at tap `t` of the kernel, the input position
/// `o * stride + t * dilation - padding` if that is inside the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Height and width of the plane that is read.
    pub(super) input: [usize; 2],
    /// Height and width of the plane that is written.
    pub(super) output: [usize; 2],
    /// Rows and columns of taps.
    pub(super) kernel: [usize; 2],
    /// Step from one output position to the next.
    pub(super) stride: [usize; 2],
    /// Rows and columns around the input.
    pub(super) padding: [usize; 2],
    /// Step from one tap to the next.
    pub(super) dilation: [usize; 2],
}

// Functions that inner loops call are marked `#[inline]`, because an incremental build compiles each module separately.
impl Window {
    /// Number of taps.
    #[inline]
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Positions of the input plane.
    #[inline]
    pub(super) fn input_len(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Positions of the output plane.
    #[inline]
    pub(super) fn output_len(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether every output position reads only the input position with the same index.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0] && self.input == self.output
    }

    /// Whether no tap of any output position falls outside the input, on any side.
    pub(super) fn is_inside(&self) -> bool {
        (0..2).all(|axis| (0..self.kernel[axis]).all(|tap| self.inside(axis, tap) == (0..self.output[axis])))
    }

    /// Whether there is as much padding after the input as before it.
    pub(super) fn is_symmetric(&self) -> bool {
        (0..2).all(|axis| {
            let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let room = (self.input[axis] + 2 * self.padding[axis]).checked_sub(reach);
            room.is_some_and(|room| room / self.stride[axis] + 1 == self.output[axis])
        })
    }

    /// The output positions along an axis for which a tap falls inside the input.
    #[inline]
    pub(super) fn inside(&self, axis: usize, tap: usize) -> Range<usize> {
        let offset = tap * self.dilation[axis];
        let stride = self.stride[axis];
        let first = self.padding[axis].saturating_sub(offset).div_ceil(stride);
        let end = (self.input[axis] + self.padding[axis])
            .saturating_sub(offset)
            .div_ceil(stride)
            .min(self.output[axis]);
        first.min(end)..end
    }

    /// The input position that a tap of an output position reads; it must be [`Window::inside`].
    #[inline]
    pub(super) fn source(&self, axis: usize, position: usize, tap: usize) -> usize {
        position * self.stride[axis] + tap * self.dilation[axis] - self.padding[axis]
    }
}

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
    /// Input channels of a group.
    #[inline]
    pub(super) fn group_inputs(&self) -> usize {
        self.inputs / self.groups
    }

    /// Output channels of a group.
    #[inline]
    pub(super) fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    /// Products summed for one output number: the rows of the matrix of columns.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.group_inputs() * self.window.taps()
    }

    #[inline]
    pub(super) fn image_inputs(&self) -> usize {
        self.inputs * self.window.input_len()
    }

    #[inline]
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
        MIN_SHARED_COLUMNS
            .div_ceil(self.window.output_len().max(1))
            .min((self.batch / MAX_PARTIAL_SUMS).max(1))
    }

    /// The output rows of an image in stripes.
    pub(super) fn stripes(&self, depth: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let [rows, width] = self.window.output;
        let columns = (STRIPE_NUMBERS / depth.max(1)).max(MIN_STRIPE_COLUMNS);
        let step = columns.div_ceil(width.max(1)).clamp(1, rows.max(1));
        (0..rows)
            .step_by(step)
            .map(move |start| start..(start + step).min(rows))
    }

    /// Channels per piece, if `channels` of a group are divided so that a small batch has enough pieces.
    pub(super) fn piece(&self, channels: usize) -> usize {
        let pieces = PIECES / (self.batch * self.groups).max(1);
        let min = MIN_PIECE_CHANNELS.min(channels);
        (min..=channels)
            .find(|&piece| channels.is_multiple_of(piece) && channels / piece <= pieces.max(1))
            .unwrap_or(channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positions_whose_tap_is_on_the_image_are_inside() {
        for (input, output, kernel, stride, padding, dilation) in [
            (7, 4, 3, 2, 1, 1),
            (5, 5, 3, 1, 1, 1),
            (9, 3, 2, 3, 0, 2),
            (4, 4, 5, 2, 4, 1),
            (1, 2, 3, 1, 1, 3),
        ] {
            let window = Window {
                input: [input; 2],
                output: [output; 2],
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [padding; 2],
                dilation: [dilation; 2],
            };
            for tap in 0..kernel {
                let expected: Vec<usize> = (0..output)
                    .filter(|position| (padding..padding + input).contains(&(position * stride + tap * dilation)))
                    .collect();
                assert_eq!(window.inside(1, tap).collect::<Vec<_>>(), expected);
            }
        }
    }
}
