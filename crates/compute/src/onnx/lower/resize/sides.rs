//! The dimensions that are resized, and to which sizes.

use super::super::lowering::{Lowering, axis};
use crate::onnx::constant;
use crate::onnx::plan::first_line;

/// One dimension.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) axis: usize,
    pub(super) length: usize,
    pub(super) size: usize,
    /// How many times longer it gets, as the file says.
    pub(super) scale: f32,
    /// The part of it to take, from 0 to 1.
    pub(super) region: [f32; 2],
}

/// Sizes and scales of all dimensions that the file names, whichever of the two it gives.
///
/// # Errors
/// Neither fits the value.
pub(super) fn sides(lowering: &Lowering<'_>, dims: &[usize]) -> Result<Vec<Side>, String> {
    let axes = match lowering.attributes.integers("axes") {
        Some(given) => given
            .iter()
            .map(|&given| axis(given, dims.len()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..dims.len()).collect(),
    };
    let mut sides: Vec<Side> = axes
        .iter()
        .map(|&axis| Side {
            axis,
            length: dims[axis],
            size: dims[axis],
            scale: 1.0,
            region: [0.0, 1.0],
        })
        .collect();
    set_regions(lowering, &mut sides)?;
    let scales = given_scales(lowering)?;
    if scales.is_empty() {
        set_sizes(lowering, &mut sides)?;
        return Ok(sides);
    }
    if scales.len() != sides.len() || !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return Err(format!("scales {scales:?} do not match an input of shape {dims:?}"));
    }
    for (side, scale) in sides.iter_mut().zip(scales) {
        side.scale = scale;
        // In single precision, 3.5 times a little less than 2 is 7.
        side.size = ((scale * side.length as f32) as usize).max(1);
    }
    Ok(sides)
}

fn set_regions(lowering: &Lowering<'_>, sides: &mut [Side]) -> Result<(), String> {
    if lowering.attributes.text("coordinate_transformation_mode") != Some("tf_crop_and_resize") {
        return Ok(());
    }
    let regions = constant::floats(&lowering.constant(1)?).map_err(|error| first_line(&error))?;
    let count = sides.len();
    if regions.len() != 2 * count || regions.iter().any(|bound| !bound.is_finite()) {
        return Err(format!("roi has {} numbers for {count} dimensions", regions.len()));
    }
    for (index, side) in sides.iter_mut().enumerate() {
        side.region = [regions[index], regions[count + index]];
    }
    Ok(())
}

fn set_sizes(lowering: &Lowering<'_>, sides: &mut [Side]) -> Result<(), String> {
    let given = lowering.integers(3)?.ok_or("neither scales nor sizes are given")?;
    if given.len() != sides.len() || given.iter().any(|&size| size <= 0) {
        return Err(format!("sizes {given:?} do not match {} dimensions", sides.len()));
    }
    let factors = sides
        .iter()
        .zip(&given)
        .map(|(side, &size)| size as f32 / side.length as f32);
    let common = match lowering
        .attributes
        .text("keep_aspect_ratio_policy")
        .unwrap_or("stretch")
    {
        "stretch" => None,
        "not_larger" => Some(factors.fold(f32::INFINITY, f32::min)),
        "not_smaller" => Some(factors.fold(0.0, f32::max)),
        other => return Err(format!("keep_aspect_ratio_policy {other:?} is not supported")),
    };
    for (side, &size) in sides.iter_mut().zip(&given) {
        // A batch size that the file fixes does not change.
        if side.axis == 0 && lowering.plan.fixed_batch.is_some() {
            continue;
        }
        let length = side.length as f32;
        side.size = common.map_or(size as usize, |scale| (scale * length).round() as usize);
        side.scale = common.unwrap_or(side.size as f32 / length);
    }
    Ok(())
}

/// Upsample and Resize-10 have the scales as their second input; later versions have a region of interest, scales and
/// sizes.
fn given_scales(lowering: &Lowering<'_>) -> Result<Vec<f32>, String> {
    let early = lowering.opset < 11 || lowering.node().op_type == "Upsample";
    let position = if early { 1 } else { 2 };
    match (lowering.attributes.floats("scales"), lowering.optional(position)) {
        (Some(scales), _) => Ok(scales.to_vec()),
        (None, Some(_)) => constant::floats(&lowering.constant(position)?).map_err(|error| first_line(&error)),
        (None, None) => Ok(Vec::new()),
    }
}
