//! Colour scales of heat maps.

use colorous::VIRIDIS;

use scv_domain::cka_matrix::CkaMatrix;

/// A colour scale for numbers up to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Linear from a number to 1, from dark to light.
    Linear {
        /// Lower end of the scale, at most 0.
        from: f64,
    },
    /// Logarithmic from a number to 1, from light to dark; white for 0 and below. For shares where small ones matter.
    Logarithmic {
        /// Lower end of the scale, a power of ten below 1.
        from: f64,
    },
}

impl Scale {
    /// A scale from 0 to 1, or from the lowest number if it is negative.
    pub fn linear(matrix: &CkaMatrix) -> Self {
        let lowest = matrix.rows().flatten().copied().fold(0.0, f64::min);
        Self::Linear {
            from: (lowest * 10.0).floor() / 10.0,
        }
    }

    /// A scale that begins at the power of ten below the lowest positive number, but not below 0.0001.
    pub fn logarithmic(matrix: &CkaMatrix) -> Self {
        let shares = matrix.rows().flatten().copied().filter(|share| *share > 0.0);
        let power = shares.fold(0.1, f64::min).log10().floor();
        Self::Logarithmic {
            from: 10_f64.powf(power.max(-4.0)),
        }
    }

    /// The position of a number on the colour bar, from 0 to 1. `None` if it is drawn white.
    fn place(self, number: f64) -> Option<f64> {
        let place = match self {
            Self::Linear { from } => (number - from) / (1.0 - from),
            Self::Logarithmic { .. } if number <= 0.0 => return None,
            Self::Logarithmic { from } => 1.0 - number.log10() / from.log10(),
        };
        Some(place.clamp(0.0, 1.0))
    }

    /// The colour of a position on the colour bar.
    pub(super) fn colour_at(self, place: f64) -> [u8; 3] {
        let place = match self {
            Self::Linear { .. } => place,
            Self::Logarithmic { .. } => 1.0 - place,
        };
        VIRIDIS.eval_continuous(place).as_array()
    }

    /// The colour of a number.
    pub(super) fn colour(self, number: f64) -> [u8; 3] {
        self.place(number).map_or([u8::MAX; 3], |place| self.colour_at(place))
    }

    /// The ticks of the colour bar with their positions. Zero always has a tick, unless it is drawn white.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Linear { from } => {
                let quarters = (-4..=4).map(|quarter| f64::from(quarter) / 4.0);
                let within = quarters.filter(|number| *number >= from);
                within
                    .filter_map(|number| Some((self.place(number)?, format!("{number:.2}"))))
                    .collect()
            }
            Self::Logarithmic { from } => {
                let powers = from.log10().round() as i32..=0;
                let shares = powers.map(|power| 10_f64.powi(power));
                shares
                    .filter_map(|share| Some((self.place(share)?, format!("{}%", (share * 1e4).round() / 1e2))))
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scores: &[f64]) -> CkaMatrix {
        CkaMatrix::new(scores.len(), scores.to_vec())
    }

    #[test]
    fn the_linear_scale_extends_below_zero_for_negative_numbers_and_marks_zero() {
        assert_eq!(Scale::linear(&of(&[0.5])), Scale::Linear { from: 0.0 });
        let below = Scale::linear(&of(&[-0.33, 0.5]));
        assert_eq!(below, Scale::Linear { from: -0.4 });
        let ticks: Vec<String> = below.ticks().into_iter().map(|(_, tick)| tick).collect();
        assert_eq!(ticks, ["-0.25", "0.00", "0.25", "0.50", "0.75", "1.00"]);
    }

    #[test]
    fn the_logarithmic_scale_distinguishes_a_few_per_thousand_from_zero() {
        let scale = Scale::logarithmic(&of(&[0.0, 0.002, 0.98]));
        let ticks: Vec<_> = scale.ticks();
        assert_eq!(ticks[0], (0.0, "0.1%".to_owned()));
        assert_eq!(
            ticks.iter().map(|(_, tick)| tick.as_str()).collect::<Vec<_>>()[1..],
            ["1%", "10%", "100%"]
        );
        assert_eq!(scale.colour(0.0), [255; 3]);
        let lightness = |share| scale.colour(share).into_iter().map(u32::from).sum::<u32>();
        assert!(lightness(0.002) > lightness(0.02) && lightness(0.02) > lightness(0.98));
        assert_ne!(scale.colour(0.002), [255; 3]);
    }
}
