//! Images made larger or smaller.

use super::{Lowered, Lowering};
use crate::compute::onnx::plan::first_line;
use crate::compute::onnx::{constant, limit};
use crate::domain::graph::{Interpolation, TensorOperator};

/// How a file wants places of the result to be found in the input.
struct Rules<'a> {
    linear: bool,
    coordinates: &'a str,
    nearest: &'a str,
}

pub(super) fn resize(lowering: &mut Lowering<'_>) -> Lowered {
    let text = |name: &str, default: &'static str| lowering.attributes.text(name).unwrap_or(default).to_owned();
    let mode = text("mode", "nearest");
    let old = lowering.opset < 11;
    let coordinates = text(
        "coordinate_transformation_mode",
        if old { "asymmetric" } else { "half_pixel" },
    );
    let nearest = text("nearest_mode", if old { "floor" } else { "round_prefer_floor" });
    let linear = match mode.as_str() {
        "nearest" => false,
        "linear" | "bilinear" => true,
        other => return Err(format!("mode {other:?} is not supported: nearest and linear are")),
    };
    for (name, unsupported) in [("antialias", 1), ("exclude_outside", 1)] {
        if lowering.attributes.integer(name) == Some(unsupported) {
            return Err(format!("{name} is not supported"));
        }
    }
    if lowering.attributes.find("axes").is_some() || text("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err("axes and keep_aspect_ratio_policy are not supported".to_owned());
    }
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    if rank < 2 {
        return Err("its input is no image".to_owned());
    }
    let (scales, sizes) = sizes(lowering, value.dims())?;
    if sizes[..rank - 2] != value.dims()[..rank - 2] {
        return Err("only rows and columns can be resized".to_owned());
    }
    if value.dims().contains(&0) {
        return Err("its input is empty".to_owned());
    }
    limit::shape(&sizes, lowering.plan.batch)?;
    let rules = Rules {
        linear,
        coordinates: &coordinates,
        nearest: &nearest,
    };
    let axes = [rank - 2, rank - 1].map(|axis| rules.interpolation(value.dims()[axis], sizes[axis], scales[axis]));
    let [rows, columns] = axes;
    let operator = TensorOperator::Resize(Box::new([rows?, columns?]));
    Ok(vec![lowering.tensor(operator, vec![value], sizes)?])
}

/// Scales and sizes, whichever of the two is given.
fn sizes(lowering: &Lowering<'_>, dims: &[usize]) -> Result<(Vec<f64>, Vec<usize>), String> {
    // Inputs: of Upsample and Resize-10 the scales, of later ones a region of interest, scales and sizes.
    let position = if lowering.opset < 11 || lowering.node().op_type == "Upsample" {
        1
    } else {
        2
    };
    let given = match lowering.attributes.floats("scales") {
        Some(scales) => scales.to_vec(),
        None => match lowering.optional(position) {
            Some(_) => constant::floats(&lowering.constant(position)?).map_err(|error| first_line(&error))?,
            None => Vec::new(),
        },
    };
    if !given.is_empty() {
        if given.len() != dims.len() || !given.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
            return Err(format!("scales {given:?} do not fit {dims:?}"));
        }
        let scales: Vec<f64> = given.iter().map(|&scale| f64::from(scale)).collect();
        let sizes = dims
            .iter()
            .zip(&scales)
            .map(|(&dim, scale)| (dim as f64 * scale).floor().max(1.0) as usize);
        return Ok((scales.clone(), sizes.collect()));
    }
    let mut sizes = lowering.integers(3)?.ok_or("neither scales nor sizes are given")?;
    if sizes.len() != dims.len() || sizes.iter().any(|&size| size <= 0) {
        return Err(format!("sizes {sizes:?} do not fit {dims:?}"));
    }
    if lowering.plan.fixed_batch.is_some() {
        sizes[0] = dims[0] as i64;
    }
    let sizes: Vec<usize> = sizes.iter().map(|&size| size as usize).collect();
    let scales = dims.iter().zip(&sizes).map(|(&dim, &size)| size as f64 / dim as f64);
    Ok((scales.collect(), sizes))
}

impl Rules<'_> {
    fn interpolation(&self, length: usize, size: usize, scale: f64) -> Result<Interpolation, String> {
        let mut interpolation = Interpolation::default();
        for place in 0..size {
            let at = self.source(place as f64, length as f64, size as f64, scale)?;
            let last = length as f64 - 1.0;
            if self.linear {
                let at = at.clamp(0.0, last);
                let below = at.floor();
                interpolation
                    .sources
                    .push([below as u32, (below + 1.0).min(last) as u32]);
                interpolation.weights.push((at - below) as f32);
            } else {
                let chosen = self.rounded(at)?.clamp(0.0, last) as u32;
                interpolation.sources.push([chosen; 2]);
                interpolation.weights.push(0.0);
            }
        }
        Ok(interpolation)
    }

    fn source(&self, place: f64, length: f64, size: f64, scale: f64) -> Result<f64, String> {
        Ok(match self.coordinates {
            "half_pixel" => (place + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if size > 1.0 => (place + 0.5) / scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "half_pixel_symmetric" => {
                let adjustment = size / (scale * length);
                let centre = length / 2.0;
                centre * (1.0 - adjustment) + (place + 0.5) / scale - 0.5
            }
            "align_corners" if size > 1.0 => place * (length - 1.0) / (size - 1.0),
            "align_corners" => 0.0,
            "asymmetric" => place / scale,
            other => return Err(format!("coordinate_transformation_mode {other:?} is not supported")),
        })
    }

    fn rounded(&self, at: f64) -> Result<f64, String> {
        Ok(match self.nearest {
            "floor" => at.floor(),
            "ceil" => at.ceil(),
            "round_prefer_floor" => (at - 0.5).ceil(),
            "round_prefer_ceil" => (at + 0.5).floor(),
            other => return Err(format!("nearest_mode {other:?} is not supported")),
        })
    }
}
