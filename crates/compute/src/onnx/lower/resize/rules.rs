//! Which places an index is computed from, and how numbers between places are interpolated.

use super::sides::Side;
use crate::onnx::attributes::Attributes;

/// The attributes of a resizing.
pub(super) struct Rules<'a> {
    mode: Mode,
    coordinates: &'a str,
    /// `None` in operator sets that have no rule.
    nearest: Option<&'a str>,
    /// Whether places beyond the border get the weight 0; else they repeat the border.
    exclude_outside: bool,
    /// Whether a smaller result is computed from all places that it covers.
    antialias: bool,
    /// What there is outside of the value, if a region of it is taken.
    pub(super) outside: f32,
}

#[derive(Clone, Copy)]
enum Mode {
    Nearest,
    Linear,
    Cubic {
        /// The slope of the curve at distance 1.
        slope: f32,
    },
}

impl<'a> Rules<'a> {
    /// Reads the attributes; `early` are those of operator sets up to 10.
    ///
    /// # Errors
    /// An attribute has an unknown value.
    pub(super) fn read(attributes: Attributes<'a>, early: bool) -> Result<Self, String> {
        let mode = match attributes.text("mode").unwrap_or("nearest") {
            "nearest" => Mode::Nearest,
            "linear" | "bilinear" => Mode::Linear,
            "cubic" => Mode::Cubic {
                slope: attributes.float("cubic_coeff_a").unwrap_or(-0.75) as f32,
            },
            other => return Err(format!("mode {other:?} is not supported")),
        };
        let coordinates = attributes.text("coordinate_transformation_mode");
        let nearest = attributes.text("nearest_mode").unwrap_or("round_prefer_floor");
        let rules = Self {
            mode,
            coordinates: coordinates.unwrap_or(if early { "asymmetric" } else { "half_pixel" }),
            nearest: (!early).then_some(nearest),
            exclude_outside: attributes.flag("exclude_outside", false),
            antialias: attributes.flag("antialias", false),
            outside: attributes.float("extrapolation_value").unwrap_or(0.0) as f32,
        };
        rules.check()?;
        Ok(rules)
    }

    fn check(&self) -> Result<(), String> {
        let coordinates = [
            "half_pixel",
            "pytorch_half_pixel",
            "half_pixel_symmetric",
            "align_corners",
            "asymmetric",
            "tf_half_pixel_for_nn",
            "tf_crop_and_resize",
        ];
        if !coordinates.contains(&self.coordinates) {
            let given = self.coordinates;
            return Err(format!("coordinate_transformation_mode {given:?} is not supported"));
        }
        Ok(())
    }

    /// Whether a region of the value is taken.
    pub(super) fn crops(&self) -> bool {
        self.coordinates == "tf_crop_and_resize"
    }

    /// Whether a side stays as it is.
    pub(super) fn is_identity(&self, side: &Side) -> bool {
        // As ONNX Runtime does, a filter against aliasing leaves a side of the same size alone, whatever its scale.
        (side.scale == 1.0 || self.antialias)
            && side.size == side.length
            && (!self.crops() || side.region == [0.0, 1.0])
    }

    /// The place in the value that an index of the result has, in the order of operations of ONNX Runtime.
    pub(super) fn source(&self, index: f32, side: &Side) -> f32 {
        let (length, size, scale) = (side.length as f32, side.size as f32, side.scale);
        if scale == 1.0 && !self.crops() {
            return index;
        }
        match self.coordinates {
            "pytorch_half_pixel" if side.size == 1 => 0.0,
            "half_pixel" | "pytorch_half_pixel" => (index + 0.5) / scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = size / (scale * length);
                let centre = length / 2.0;
                centre * (1.0 - adjustment) + (index + 0.5) / scale - 0.5
            }
            "align_corners" if side.size == 1 => 0.0,
            "align_corners" => index * (length - 1.0) / (size - 1.0),
            "tf_half_pixel_for_nn" => (index + 0.5) / scale,
            "tf_crop_and_resize" => {
                let [start, end] = side.region;
                if side.size == 1 {
                    0.5 * (start + end) * (length - 1.0)
                } else {
                    start * (length - 1.0) + index * (end - start) * (length - 1.0) / (size - 1.0)
                }
            }
            _ => index / scale,
        }
    }

    /// The indices that a place is computed from, with their weights.
    ///
    /// # Errors
    /// The rule for the nearest index is unknown.
    pub(super) fn taps(&self, place: f32, side: &Side) -> Result<Vec<(f32, f32)>, String> {
        let last = side.length as f32 - 1.0;
        let shrinks = self.antialias && side.scale < 1.0;
        let mut taps = match self.mode {
            Mode::Nearest => return Ok(vec![(self.nearest_index(place, side.scale < 1.0)?, 1.0)]),
            Mode::Linear if !shrinks => {
                let place = place.clamp(0.0, last);
                let share = place - place.floor();
                return Ok(vec![(place.floor(), 1.0 - share), (place.floor() + 1.0, share)]);
            }
            Mode::Linear => covered(place, side.scale, 1.0, |distance| (1.0 - distance).max(0.0)),
            Mode::Cubic { slope } => {
                let width = if shrinks { side.scale } else { 1.0 };
                covered(place, width, 2.0, |distance| cubic(slope, distance))
            }
        };
        if self.exclude_outside {
            for (index, weight) in &mut taps {
                *weight *= f32::from(u8::from((0.0..=last).contains(index)));
            }
        }
        if self.exclude_outside || shrinks {
            let total: f32 = taps.iter().map(|(_, weight)| weight).sum();
            taps.iter_mut().for_each(|(_, weight)| *weight /= total);
        }
        Ok(taps)
    }

    fn nearest_index(&self, place: f32, shrinks: bool) -> Result<f32, String> {
        Ok(match self.nearest {
            // As ONNX Runtime does.
            None if shrinks => place.ceil(),
            None => place.trunc(),
            Some("floor") => place.floor(),
            Some("ceil") => place.ceil(),
            Some("round_prefer_floor") if place - place.floor() == 0.5 => place.floor(),
            Some("round_prefer_floor" | "round_prefer_ceil") => place.round(),
            Some(other) => return Err(format!("nearest_mode {other:?} is not supported")),
        })
    }
}

/// The indices around a place that a kernel of some reach covers when it is stretched by `1 / scale`.
fn covered(place: f32, scale: f32, reach: f32, kernel: impl Fn(f32) -> f32) -> Vec<(f32, f32)> {
    let first = (-reach / scale).floor() + 1.0;
    let count = (2.0 - 2.0 * first) as usize;
    let indices = (0..count).map(|step| place.floor() + first + step as f32);
    indices
        .map(|index| (index, kernel((place - index).abs() * scale)))
        .collect()
}

/// The weight of an index at some distance, for cubic interpolation with the given slope.
fn cubic(slope: f32, distance: f32) -> f32 {
    match distance {
        ..=1.0 => ((slope + 2.0) * distance - (slope + 3.0)) * distance * distance + 1.0,
        ..2.0 => ((distance - 5.0) * distance + 8.0) * distance * slope - 4.0 * slope,
        _ => 0.0,
    }
}
