//! Operations that move numbers and change none: slices and borders.

use candle_core::{Result, Tensor};

use super::pad::{extend, repeat};
use scv_domain::graph::PadMode;

/// Every `step`-th place of each dimension from `start`, as many as `dims` says.
pub(super) fn slice(x: &Tensor, starts: &[usize], steps: &[i64], dims: &[usize]) -> Result<Tensor> {
    let mut sliced = x.clone();
    for (axis, ((&start, &step), &length)) in starts.iter().zip(steps).zip(dims).enumerate() {
        if step == 1 {
            sliced = sliced.narrow(axis, start, length)?;
            continue;
        }
        let places = (0..length as i64).map(|place| (start as i64 + place * step) as u32);
        let places = Tensor::new(places.collect::<Vec<_>>(), x.device())?;
        sliced = sliced.contiguous()?.index_select(&places, axis)?;
    }
    sliced.contiguous()
}

/// Places added in front of and behind each dimension, or taken away.
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
