//! The windows of average pooling.

use std::ops::Range;

use super::window::Window;

/// The windows of an average pooling: for each output position a rectangle of the image, and its divisor.
#[derive(Debug, Clone)]
pub(super) struct Means {
    /// Height and width of the image.
    pub(super) input: [usize; 2],
    /// Rows summed, by output row.
    pub(super) rows: Vec<Range<usize>>,
    /// Columns summed, by output column.
    pub(super) columns: Vec<Range<usize>>,
    /// One over the divisor, by output position.
    pub(super) factors: Vec<f32>,
}

impl Means {
    /// Windows of one size. A window that reaches beyond the padding is cut there. `count_include_pad` says whether the
    /// divisor counts the padding, unless `divisor_override` is set.
    pub(super) fn sliding(window: Window, count_include_pad: bool, divisor_override: Option<usize>) -> Means {
        let axis = |axis: usize| -> Vec<(Range<usize>, usize)> {
            let (length, padding) = (window.input[axis], window.padding[axis]);
            (0..window.output[axis])
                .map(|position| {
                    let start = position * window.stride[axis];
                    let end = (start + window.kernel[axis]).min(length + 2 * padding);
                    let real = start.max(padding).min(length + padding)..end.clamp(padding, length + padding);
                    let real = real.start - padding..real.end.max(real.start) - padding;
                    let divisor = if count_include_pad {
                        end.saturating_sub(start)
                    } else {
                        real.len()
                    };
                    (real, divisor)
                })
                .collect()
        };
        let (rows, columns) = (axis(0), axis(1));
        let divisors = rows
            .iter()
            .flat_map(|(_, row)| columns.iter().map(move |(_, column)| row * column));
        let factors = divisors
            .map(|divisor| 1.0 / divisor_override.unwrap_or(divisor).max(1) as f32)
            .collect();
        let ranges = |axis: Vec<(Range<usize>, usize)>| axis.into_iter().map(|(range, _)| range).collect();
        Means {
            input: window.input,
            rows: ranges(rows),
            columns: ranges(columns),
            factors,
        }
    }

    /// Windows that divide the image into as many parts as there are output positions: output `o`
    /// of `n` covers `floor(o * length / n) .. ceil((o + 1) * length / n)`.
    pub(super) fn adaptive(input: [usize; 2], output: [usize; 2]) -> Means {
        let ranges = |axis: usize| -> Vec<Range<usize>> {
            let (length, parts) = (input[axis], output[axis]);
            (0..parts)
                .map(|part| part * length / parts..((part + 1) * length).div_ceil(parts))
                .collect()
        };
        let (rows, columns) = (ranges(0), ranges(1));
        let sizes = rows
            .iter()
            .flat_map(|row| columns.iter().map(|column| row.len() * column.len()));
        let factors = sizes.map(|size| 1.0 / size.max(1) as f32).collect();
        Means {
            input,
            rows,
            columns,
            factors,
        }
    }

    /// Positions of the image.
    #[inline]
    pub(super) fn input_len(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Calls `visit` with every output position and each input row that it covers, cut to its columns.
    pub(super) fn for_each_run(&self, mut visit: impl FnMut(usize, Range<usize>)) {
        for (row, rows) in self.rows.iter().enumerate() {
            for (column, columns) in self.columns.iter().enumerate() {
                for line in rows.clone() {
                    let start = line * self.input[1];
                    visit(
                        row * self.columns.len() + column,
                        start + columns.start..start + columns.end,
                    );
                }
            }
        }
    }
}
