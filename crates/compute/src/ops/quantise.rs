//! Quantisation: numbers as whole steps of a scale, and back. The steps are kept in single precision, which holds those of 8 and
//! 16 bits exactly.

use candle_core::{DType, Result, Tensor};

use super::elementwise::round_half_to_even;
use super::slices::{map, with_values};

/// The numbers of `[x, scale, zero point]` as steps.
pub(super) fn quantise(inputs: &[Tensor], min: i32, max: i32) -> Result<Tensor> {
    let [x, scale, zero_point] = floats(inputs)?;
    let (min, max) = (min as f32, max as f32);
    let varies = x.track_op() || scale.track_op() || zero_point.track_op();
    if let (false, Some(scale), Some(zero_point)) = (varies, single(&scale)?, single(&zero_point)?)
        && x.device().is_cpu()
    {
        let steps = with_values(&x, |x| {
            map(x, |x| ((x / scale).round_ties_even() + zero_point).clamp(min, max))
        })?;
        return Tensor::from_vec(steps, x.shape(), x.device());
    }
    let exact = x.broadcast_div(&scale)?;
    let rounded = round_half_to_even(&exact.detach())?
        .broadcast_add(&zero_point)?
        .clamp(min, max)?;
    if !varies {
        return Ok(rounded);
    }
    // Rounding has no slope anywhere, which would end every gradient here. So it counts as if it did nothing.
    let clipped = exact.broadcast_add(&zero_point)?.clamp(min, max)?;
    let rounding = (rounded - clipped.detach())?;
    clipped + rounding
}

/// The numbers that `[steps, scale, zero point]` stand for.
pub(super) fn dequantise(inputs: &[Tensor]) -> Result<Tensor> {
    let [steps, scale, zero_point] = floats(inputs)?;
    if let (Some(scale), Some(zero_point)) = (single(&scale)?, single(&zero_point)?) {
        let centred = if zero_point == 0.0 {
            steps
        } else {
            (steps - f64::from(zero_point))?
        };
        return if scale == 1.0 {
            Ok(centred)
        } else {
            centred * f64::from(scale)
        };
    }
    steps.broadcast_sub(&zero_point)?.broadcast_mul(&scale)
}

fn floats(inputs: &[Tensor]) -> Result<[Tensor; 3]> {
    let [x, scale, zero_point] = inputs else {
        candle_core::bail!("quantisation needs three inputs");
    };
    let float = |tensor: &Tensor| tensor.to_dtype(DType::F32);
    Ok([float(x)?, float(scale)?, float(zero_point)?])
}

/// The number of a tensor with a single one that needs no gradient.
fn single(tensor: &Tensor) -> Result<Option<f32>> {
    if tensor.elem_count() != 1 || tensor.track_op() {
        return Ok(None);
    }
    tensor.flatten_all()?.get(0)?.to_scalar::<f32>().map(Some)
}
