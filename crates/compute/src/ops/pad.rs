//! Rows and columns added to images, or removed. Composed of primitives on every device.

use candle_core::{Result, Tensor};

use scv_domain::graph::PadMode;

/// Pads the last two dimensions of `x`: left, right, top, bottom.
pub(super) fn pad(x: &Tensor, mode: PadMode, padding: [i64; 4]) -> Result<Tensor> {
    let [left, right, top, bottom] = padding;
    let PadMode::Constant(value) = mode else {
        let x = repeat(x, x.rank() - 2, mode, top, bottom)?;
        return repeat(&x, x.rank() - 1, mode, left, right);
    };
    let x = extend(x, x.rank() - 2, value, top, bottom)?;
    extend(&x, x.rank() - 1, value, left, right)
}

/// Adds positions with `value` before and after a dimension; a negative count removes positions.
pub(super) fn extend(x: &Tensor, dim: usize, value: f64, before: i64, after: i64) -> Result<Tensor> {
    let cut = |count: i64| count.min(0).unsigned_abs() as usize;
    let length = x.dim(dim)?;
    let Some(kept) = length.checked_sub(cut(before) + cut(after)).filter(|&kept| kept > 0) else {
        candle_core::bail!("padding by {before} and {after} leaves nothing of {length} positions");
    };
    let mut parts = Vec::with_capacity(3);
    parts.extend(filled(x, dim, value, before)?);
    parts.push(x.narrow(dim, cut(before), kept)?);
    parts.extend(filled(x, dim, value, after)?);
    match parts.as_slice() {
        [only] => only.contiguous(),
        parts => Tensor::cat(parts, dim),
    }
}

fn filled(x: &Tensor, dim: usize, value: f64, count: i64) -> Result<Option<Tensor>> {
    if count <= 0 {
        return Ok(None);
    }
    let mut dims = x.dims().to_vec();
    dims[dim] = count as usize;
    Tensor::full(value as f32, dims, x.device())?
        .to_dtype(x.dtype())
        .map(Some)
}

/// Adds positions that repeat others, by an index of the source of each position.
pub(super) fn repeat(x: &Tensor, dim: usize, mode: PadMode, before: i64, after: i64) -> Result<Tensor> {
    if before == 0 && after == 0 {
        return Ok(x.clone());
    }
    let length = x.dim(dim)? as i64;
    let source = |position: i64| match mode {
        PadMode::Reflection if position < 0 => -position,
        PadMode::Reflection if position >= length => 2 * (length - 1) - position,
        _ => position.clamp(0, length - 1),
    };
    let sources: Vec<i64> = (-before..length + after).map(source).collect();
    if sources.iter().any(|source| !(0..length).contains(source)) {
        candle_core::bail!("reflection by {before} and {after} needs more than {length} positions");
    }
    let sources: Vec<u32> = sources.into_iter().map(|source| source as u32).collect();
    let count = sources.len();
    x.contiguous()?
        .index_select(&Tensor::from_vec(sources, count, x.device())?, dim)
}
