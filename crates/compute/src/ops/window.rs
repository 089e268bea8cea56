//! How a window moves over the rows and columns of an image.

use std::ops::Range;

/// A window operation on planes. Pairs are rows, columns.
///
/// Output position `o` reads, at tap `t` of the kernel, the input position
/// `o * stride + t * dilation - padding` if that lies inside the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Height and width of the plane that is read.
    pub(super) input: [usize; 2],
    /// Height and width of the plane that is made.
    pub(super) output: [usize; 2],
    /// Taps.
    pub(super) kernel: [usize; 2],
    /// Step from one output position to the next.
    pub(super) stride: [usize; 2],
    /// Rows and columns around the input.
    pub(super) padding: [usize; 2],
    /// Step from one tap to the next.
    pub(super) dilation: [usize; 2],
}

impl Window {
    /// Taps of the whole kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Positions of the input plane.
    pub(super) fn input_len(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Positions of the output plane.
    pub(super) fn output_len(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether every output position reads just the input position of the same index.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0] && self.input == self.output
    }

    /// Whether no tap of any output position falls outside the input, in front or behind.
    pub(super) fn is_inside(&self) -> bool {
        (0..2).all(|axis| (0..self.kernel[axis]).all(|tap| self.inside(axis, tap) == (0..self.output[axis])))
    }

    /// Whether there is as much padding behind the input as in front of it.
    pub(super) fn is_even(&self) -> bool {
        (0..2).all(|axis| {
            let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let room = (self.input[axis] + 2 * self.padding[axis]).checked_sub(reach);
            room.is_some_and(|room| room / self.stride[axis] + 1 == self.output[axis])
        })
    }

    /// The output positions along an axis for which a tap falls inside the input.
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
    pub(super) fn source(&self, axis: usize, position: usize, tap: usize) -> usize {
        position * self.stride[axis] + tap * self.dilation[axis] - self.padding[axis]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positions_whose_tap_falls_on_the_image_are_inside() {
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
