//! Resizing of images.

use super::lowering::{Lowered, Lowering, axis};
use crate::onnx::plan::first_line;
use crate::onnx::{constant, limit};
use scv_domain::graph::{Interpolation, TensorOperator};

/// How positions of the output map to the input, and how numbers between positions are interpolated.
struct Rules<'a> {
    mode: Mode,
    coordinates: &'a str,
    nearest: &'a str,
    /// Whether positions beyond the border get the weight 0; else they repeat the border.
    exclude_outside: bool,
}

#[derive(Clone, Copy)]
enum Mode {
    Nearest,
    Linear,
    Cubic {
        /// The slope of the curve at distance 1.
        slope: f64,
    },
}

pub(super) fn resize(lowering: &mut Lowering<'_>) -> Lowered {
    let text = |name: &str, default: &'static str| lowering.attributes.text(name).unwrap_or(default).to_owned();
    let old = lowering.opset < 11;
    let default = if old { "asymmetric" } else { "half_pixel" };
    let coordinates = text("coordinate_transformation_mode", default);
    let nearest = text("nearest_mode", if old { "floor" } else { "round_prefer_floor" });
    let mode = match text("mode", "nearest").as_str() {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" => Mode::Cubic {
            slope: lowering.attributes.float("cubic_coeff_a").unwrap_or(-0.75),
        },
        other => return Err(format!("mode {other:?} is not supported")),
    };
    if lowering.attributes.flag("antialias", false) {
        return Err("antialias is not supported".to_owned());
    }
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    if rank < 2 || value.dims().contains(&0) {
        return Err("its input is not an image".to_owned());
    }
    let (scales, sizes) = sizes(lowering, value.dims())?;
    if sizes[..rank - 2] != value.dims()[..rank - 2] {
        return Err("only height and width can be resized".to_owned());
    }
    for &size in &sizes[rank - 2..] {
        limit::check_extent("a side", i64::try_from(size).unwrap_or(i64::MAX))?;
    }
    let rules = Rules {
        mode,
        coordinates: &coordinates,
        nearest: &nearest,
        exclude_outside: lowering.attributes.flag("exclude_outside", false),
    };
    let axes = [rank - 2, rank - 1].map(|axis| rules.interpolation(value.dims()[axis], sizes[axis], scales[axis]));
    let [rows, columns] = axes;
    let operator = TensorOperator::Resize(Box::new([rows?, columns?]));
    Ok(vec![lowering.tensor(operator, vec![value], sizes)?])
}

/// Scales and sizes of all dimensions, whichever of the two is given for some of them.
fn sizes(lowering: &Lowering<'_>, dims: &[usize]) -> Result<(Vec<f64>, Vec<usize>), String> {
    let axes = match lowering.attributes.integers("axes") {
        Some(given) => given
            .iter()
            .map(|&given| axis(given, dims.len()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..dims.len()).collect(),
    };
    let (mut scales, mut sizes) = (vec![1.0; dims.len()], dims.to_vec());
    let given = given_scales(lowering)?;
    if !given.is_empty() {
        if given.len() != axes.len() || !given.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
            return Err(format!("scales {given:?} do not match an input of shape {dims:?}"));
        }
        for (&axis, &scale) in axes.iter().zip(&given) {
            scales[axis] = f64::from(scale);
            sizes[axis] = (dims[axis] as f64 * scales[axis]).floor().max(1.0) as usize;
        }
        return Ok((scales, sizes));
    }
    let given = lowering.integers(3)?.ok_or("neither scales nor sizes are given")?;
    if given.len() != axes.len() || given.iter().any(|&size| size <= 0) {
        return Err(format!("sizes {given:?} do not match an input of shape {dims:?}"));
    }
    let factors = axes
        .iter()
        .zip(&given)
        .map(|(&axis, &size)| size as f64 / dims[axis] as f64);
    let common = match lowering
        .attributes
        .text("keep_aspect_ratio_policy")
        .unwrap_or("stretch")
    {
        "stretch" => None,
        "not_larger" => Some(factors.fold(f64::INFINITY, f64::min)),
        "not_smaller" => Some(factors.fold(0.0, f64::max)),
        other => return Err(format!("keep_aspect_ratio_policy {other:?} is not supported")),
    };
    for (&axis, &size) in axes.iter().zip(&given) {
        // A batch size that the file fixes does not change.
        if axis == 0 && lowering.plan.fixed_batch.is_some() {
            continue;
        }
        sizes[axis] = common.map_or(size as usize, |scale| (scale * dims[axis] as f64).round() as usize);
        scales[axis] = common.unwrap_or(sizes[axis] as f64 / dims[axis] as f64);
    }
    Ok((scales, sizes))
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

impl Rules<'_> {
    fn interpolation(&self, length: usize, size: usize, scale: f64) -> Result<Interpolation, String> {
        let taps = match self.mode {
            Mode::Nearest => 1,
            Mode::Linear => 2,
            Mode::Cubic { .. } => 4,
        };
        let mut interpolation = Interpolation {
            sources: vec![Vec::with_capacity(size); taps],
            weights: vec![Vec::with_capacity(size); taps],
        };
        let last = length as f64 - 1.0;
        for position in 0..size {
            let at = self.source(position as f64, length as f64, size as f64, scale)?;
            for (tap, (position, weight)) in self.taps(at, last)?.into_iter().enumerate() {
                interpolation.sources[tap].push(position.clamp(0.0, last) as u32);
                interpolation.weights[tap].push(weight as f32);
            }
        }
        Ok(interpolation)
    }

    /// The input positions that an output position is computed from, with their weights.
    fn taps(&self, at: f64, last: f64) -> Result<Vec<(f64, f64)>, String> {
        let slope = match self.mode {
            Mode::Nearest => return Ok(vec![(self.rounded(at)?, 1.0)]),
            Mode::Linear => {
                let at = at.clamp(0.0, last);
                let share = at - at.floor();
                return Ok(vec![(at.floor(), 1.0 - share), (at.floor() + 1.0, share)]);
            }
            Mode::Cubic { slope } => slope,
        };
        let mut taps: Vec<(f64, f64)> = (-1..3)
            .map(|step| at.floor() + f64::from(step))
            .map(|position| (position, cubic(slope, (at - position).abs())))
            .collect();
        if self.exclude_outside {
            for (position, weight) in &mut taps {
                *weight *= f64::from(u8::from((0.0..=last).contains(position)));
            }
            let total: f64 = taps.iter().map(|(_, weight)| weight).sum();
            taps.iter_mut().for_each(|(_, weight)| *weight /= total);
        }
        Ok(taps)
    }

    fn source(&self, position: f64, length: f64, size: f64, scale: f64) -> Result<f64, String> {
        Ok(match self.coordinates {
            "half_pixel" => (position + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if size > 1.0 => (position + 0.5) / scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "half_pixel_symmetric" => {
                let adjustment = size / (scale * length);
                let centre = length / 2.0;
                centre * (1.0 - adjustment) + (position + 0.5) / scale - 0.5
            }
            "align_corners" if size > 1.0 => position * (length - 1.0) / (size - 1.0),
            "align_corners" => 0.0,
            "asymmetric" => position / scale,
            "tf_half_pixel_for_nn" => (position + 0.5) / scale,
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

/// The weight of a position at some distance, for cubic interpolation with the given slope.
fn cubic(slope: f64, distance: f64) -> f64 {
    match distance {
        ..=1.0 => ((slope + 2.0) * distance - (slope + 3.0)) * distance * distance + 1.0,
        ..2.0 => ((distance - 5.0) * distance + 8.0) * distance * slope - 4.0 * slope,
        _ => 0.0,
    }
}
