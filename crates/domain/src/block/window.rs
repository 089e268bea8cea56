//! Output sizes of sliding windows. The formulas are those of PyTorch's documentation.

use super::draft::Draft;

/// A window that slides over rows and columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

impl Window {
    /// The window described by a block's parameters; a kind without `dilation` has dilation 1.
    pub fn of(draft: &Draft<'_>, padding: [usize; 2], has_dilation: bool) -> Option<Self> {
        let dilation = if has_dilation { draft.pair("dilation")? } else { [1, 1] };
        let [kernel, stride] = [draft.pair("kernel_size")?, draft.pair("stride")?];
        Some(Self {
            kernel,
            stride,
            padding,
            dilation,
        })
    }

    /// Rows and columns from the first to the last element that the window covers.
    pub fn span(&self) -> [usize; 2] {
        per_axis(|axis| span(self.kernel[axis], self.dilation[axis]))
    }

    /// `⌊(size + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1`, if the window fits.
    pub fn convolved(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        try_per_axis(|axis| {
            let room = (size[axis] + 2 * self.padding[axis]).checked_sub(self.span()[axis])?;
            Some(room / self.stride[axis] + 1)
        })
    }

    /// Like a convolution, but with `ceil_mode` the last window may extend past the end, as long as
    /// it starts inside the image or the padding before it.
    pub fn pooled(&self, size: [usize; 2], ceil_mode: bool) -> Option<[usize; 2]> {
        try_per_axis(|axis| {
            let stride = self.stride[axis];
            let overhang = if ceil_mode { stride - 1 } else { 0 };
            let padded = size[axis] + 2 * self.padding[axis] + overhang;
            let count = padded.checked_sub(self.span()[axis])? / stride + 1;
            let starts_outside = (count - 1) * stride >= size[axis] + self.padding[axis];
            Some(if ceil_mode && starts_outside { count - 1 } else { count })
        })
    }

    /// `(size − 1) stride − 2 padding + dilation (kernel − 1) + output padding + 1`, if above zero.
    pub fn transposed(&self, size: [usize; 2], output_padding: [usize; 2]) -> Option<[usize; 2]> {
        try_per_axis(|axis| {
            let full = size[axis].checked_sub(1)? * self.stride[axis] + self.span()[axis];
            let kept = (full + output_padding[axis]).checked_sub(2 * self.padding[axis])?;
            (kept > 0).then_some(kept)
        })
    }
}

/// Elements from the first to the last that a dilated kernel covers.
pub(super) fn span(kernel: usize, dilation: usize) -> usize {
    dilation * (kernel - 1) + 1
}

/// Computes a value for rows and for columns.
pub(super) fn per_axis<T>(of: impl Fn(usize) -> T) -> [T; 2] {
    [of(0), of(1)]
}

fn try_per_axis(of: impl Fn(usize) -> Option<usize>) -> Option<[usize; 2]> {
    Some([of(0)?, of(1)?])
}
