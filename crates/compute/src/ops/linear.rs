//! Linear layers over many rows, such as one row per patch and image.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::product::{Matrix, MatrixMut, Write, multiply};
use super::slices::with_values;

/// Rows of a piece: enough that packing the weights again for it costs little.
const PIECE: usize = 128;

/// Minimum number of rows that are worth dividing into pieces. For fewer rows, candle divides the product along the
/// other dimension.
const MIN_ROWS: usize = 4 * PIECE;

/// `x weightᵀ + bias` for `x [rows, inputs]` and `weight [outputs, inputs]`; `None` if there are few rows or a gradient
/// is needed.
pub(super) fn of_many_rows(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Tensor>> {
    let (rows, inputs) = x.dims2()?;
    let outputs = weight.dim(0)?;
    let tracked = x.track_op() || weight.track_op() || bias.is_some_and(Tensor::track_op);
    if tracked || rows < MIN_ROWS || inputs == 0 || outputs == 0 {
        return Ok(None);
    }
    let bias = match bias {
        Some(bias) => bias.broadcast_as(outputs)?.to_vec1::<f32>()?,
        None => vec![0.0; outputs],
    };
    // The product packs its right matrix row by row: transposed once here, not in every piece.
    let weight = weight.t()?.contiguous()?;
    let y = with_values(x, |x| {
        with_values(&weight, |weight| {
            let weight = Matrix::new(weight, inputs, outputs, outputs);
            let mut y = vec![0.0; rows * outputs];
            y.par_chunks_mut(PIECE * outputs)
                .zip(x.par_chunks(PIECE * inputs))
                .for_each(|(y, x)| {
                    let rows = x.len() / inputs;
                    y.chunks_exact_mut(outputs).for_each(|y| y.copy_from_slice(&bias));
                    let target = MatrixMut::new(y, rows, outputs, outputs);
                    multiply(target, Matrix::new(x, rows, inputs, inputs), weight, Write::Add);
                });
            y
        })
    })??;
    Tensor::from_vec(y, (rows, outputs), x.device()).map(Some)
}
