//! Operations that move numbers without changing them: slices and padding.

use candle_core::{Result, Tensor};

use super::pad::{extend, repeat};
use scv_domain::graph::PadMode;

/// Every `step`-th position of each dimension, beginning at `start`. The result has the shape `dims`.
pub(super) fn slice(x: &Tensor, starts: &[usize], steps: &[i64], dims: &[usize]) -> Result<Tensor> {
    let mut sliced = x.clone();
    for (axis, ((&start, &step), &length)) in starts.iter().zip(steps).zip(dims).enumerate() {
        if step == 1 {
            sliced = sliced.narrow(axis, start, length)?;
            continue;
        }
        let positions = (0..length as i64).map(|index| (start as i64 + index * step) as u32);
        let positions = Tensor::new(positions.collect::<Vec<_>>(), x.device())?;
        sliced = sliced.contiguous()?.index_select(&positions, axis)?;
    }
    sliced.contiguous()
}

/// Adds positions before and after each dimension, or removes them.
pub(super) fn pad(x: &Tensor, mode: PadMode, before: &[i64], after: &[i64]) -> Result<Tensor> {
    let mut padded = x.clone();
    for (axis, (&before, &after)) in before.iter().zip(after).enumerate() {
        padded = match mode {
            PadMode::Constant(value) => extend(&padded, axis, value, before, after)?,
            PadMode::Reflection | PadMode::Replication => repeat(&padded, axis, mode, before, after)?,
        };
    }
    Ok(padded)
}
