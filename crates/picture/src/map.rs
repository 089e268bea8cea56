//! Maps of numbers as colours, such as feature maps and attributions, alone or over the image that they belong to.

use colorous::{RED_BLUE, VIRIDIS};

use super::raster::Raster;
use scv_domain::image::lightness;

/// A colour scale. People with any kind of colour vision can distinguish its colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// From black for the lowest number to white for the highest.
    Grey,
    /// From dark violet for the lowest number through green to yellow for the highest.
    Viridis,
    /// From blue for negative numbers through white for zero to red for positive numbers. The scale ends at the 98th percentile
    /// of the magnitudes, because otherwise a few outliers would leave everything else white.
    Diverging,
}

/// A two-dimensional array of numbers in row-major order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberMap<'a> {
    /// Number of columns.
    pub width: usize,
    /// The numbers.
    pub values: &'a [f32],
    /// The numbers at the ends of the scale. `None`: the range of the map itself.
    pub range: Option<[f32; 2]>,
}

/// Opacity over an image of a number at the end of the scale. Weaker numbers are more transparent.
const MAX_OPACITY: f32 = 0.85;

/// The colour of NaN, which is not in any scale.
const NAN_COLOUR: [u8; 3] = [255, 0, 255];

/// Quantile of the magnitudes at which diverging colours end.
const REACH_QUANTILE: f64 = 0.98;

impl NumberMap<'_> {
    /// Draws the map. A constant map has a single colour; NaN is magenta.
    pub fn raster(&self, colours: Colours) -> Raster {
        let shares = self.shares(colours);
        Raster::new(self.width, shares.map(|share| colour(colours, share)).collect())
    }

    /// Draws the map over a pale grey copy of an image. The map is scaled to the image with bilinear interpolation, and the
    /// image shows through where the numbers are low, or near zero for diverging colours.
    pub fn over(&self, image: &Raster, colours: Colours) -> Raster {
        let shares: Vec<f32> = self.shares(colours).collect();
        let height = shares.len() / self.width.max(1);
        let (rows, columns) = (image.height(), image.width());
        let at = |row: usize, column: usize| {
            let [y, x] = [position(row, rows, height), position(column, columns, self.width)];
            let of_row = |row: usize| {
                let of = |column: usize| shares[row * self.width + column.min(self.width - 1)];
                interpolate(of(x.0), of(x.0 + 1), x.1)
            };
            interpolate(of_row(y.0), of_row((y.0 + 1).min(height - 1)), y.1)
        };
        let blended = image.colours().iter().enumerate().map(|(index, pixel)| {
            let share = at(index / columns, index % columns);
            let opacity = MAX_OPACITY * strength(colours, share);
            let grey = pale(lightness(pixel.map(f32::from)));
            colour(colours, share).map(|channel| (opacity * f32::from(channel) + (1.0 - opacity) * grey).round() as u8)
        });
        Raster::new(columns, blended.collect())
    }

    /// The position of each number on the scale, from 0 to 1.
    fn shares(&self, colours: Colours) -> impl Iterator<Item = f32> {
        let (lowest, highest) = match (colours, self.range) {
            (Colours::Diverging, range) => {
                let reach = range.map_or_else(
                    || reach(self.values),
                    |[lowest, highest]| lowest.abs().max(highest.abs()),
                );
                (-reach, reach)
            }
            (Colours::Grey | Colours::Viridis, Some([lowest, highest])) => (lowest, highest),
            (Colours::Grey | Colours::Viridis, None) => {
                let numbers = || self.values.iter().copied();
                (
                    numbers().fold(f32::INFINITY, f32::min),
                    numbers().fold(f32::NEG_INFINITY, f32::max),
                )
            }
        };
        // In double precision, because the difference may exceed single precision.
        let (lowest, range) = (f64::from(lowest), f64::from(highest) - f64::from(lowest));
        self.values.iter().map(move |value| {
            if value.is_nan() {
                f32::NAN
            } else if range > 0.0 {
                ((f64::from(*value) - lowest) / range).clamp(0.0, 1.0) as f32
            } else if colours == Colours::Diverging {
                0.5
            } else {
                0.0
            }
        })
    }
}

/// The map position of a pixel: an index, and the fraction of the way to the next one, both measured between centres.
fn position(pixel: usize, pixels: usize, length: usize) -> (usize, f32) {
    let at = (pixel as f32 + 0.5) * length as f32 / pixels as f32 - 0.5;
    let at = at.clamp(0.0, (length - 1) as f32);
    (at as usize, at.fract())
}

/// Linear interpolation. At a share of 0, `to` is ignored and may be NaN.
fn interpolate(from: f32, to: f32, share: f32) -> f32 {
    if share > 0.0 {
        from * (1.0 - share) + to * share
    } else {
        from
    }
}

/// The magnitude at which diverging colours end. If all but a few numbers are zero, it is the largest magnitude.
fn reach(values: &[f32]) -> f32 {
    let mut magnitudes: Vec<f32> = values
        .iter()
        .map(|value| value.abs())
        .filter(|it| !it.is_nan())
        .collect();
    magnitudes.sort_by(f32::total_cmp);
    let place = (REACH_QUANTILE * magnitudes.len().saturating_sub(1) as f64).ceil() as usize;
    match magnitudes.get(place).copied().filter(|magnitude| *magnitude > 0.0) {
        Some(magnitude) => magnitude,
        None => magnitudes.last().copied().unwrap_or_default(),
    }
}

/// How far a number is from the neutral end of the scale, from 0 to 1.
fn strength(colours: Colours, share: f32) -> f32 {
    match colours {
        _ if share.is_nan() => 1.0,
        Colours::Grey | Colours::Viridis => share,
        Colours::Diverging => (2.0 * share - 1.0).abs(),
    }
}

/// Maps grey to the range from middle grey to white, so that strong colours stand out.
fn pale(grey: f32) -> f32 {
    (f32::from(u8::MAX) + grey) / 2.0
}

fn colour(colours: Colours, share: f32) -> [u8; 3] {
    let share = f64::from(share.clamp(0.0, 1.0));
    match colours {
        _ if share.is_nan() => NAN_COLOUR,
        Colours::Grey => [(share * 255.0).round() as u8; 3],
        Colours::Viridis => VIRIDIS.eval_continuous(share).as_array(),
        // The scale runs from red to blue.
        Colours::Diverging => RED_BLUE.eval_continuous(1.0 - share).as_array(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, values: &[f32]) -> NumberMap<'_> {
        NumberMap {
            width,
            values,
            range: None,
        }
    }

    #[test]
    fn the_lowest_number_is_dark_and_the_highest_is_light() {
        let raster = map(2, &[-3.0, 1.0, 5.0, 1.0]).raster(Colours::Grey);
        assert_eq!((raster.width(), raster.height()), (2, 2));
        assert_eq!(raster.colours(), [[0; 3], [128; 3], [255; 3], [128; 3]]);
    }

    #[test]
    fn maps_with_the_same_range_can_be_compared() {
        let of = |number: f32| {
            let map = NumberMap {
                range: Some([0.0, 10.0]),
                ..map(1, &[0.0])
            };
            NumberMap {
                values: &[number],
                ..map
            }
            .raster(Colours::Grey)
            .colours()[0]
        };
        assert_eq!([of(0.0), of(5.0), of(10.0)], [[0; 3], [128; 3], [255; 3]]);
    }

    #[test]
    fn zero_is_in_the_middle_of_diverging_colours_however_far_the_numbers_reach() {
        let of = |values: &[f32]| map(values.len(), values).raster(Colours::Diverging).colours().to_vec();
        assert_eq!(of(&[0.0, 4.0, -1.0])[0], of(&[0.0])[0]);
        let [_, above, below] = of(&[0.0, 4.0, -4.0])[..] else {
            unreachable!("three numbers are three colours")
        };
        assert!(above[0] > above[2] && below[2] > below[0], "red is above, blue below");
    }

    #[test]
    fn a_map_over_an_image_has_the_size_of_the_image() {
        let image = Raster::new(4, vec![[0; 3]; 8]);
        let over = map(2, &[0.0, 1.0]).over(&image, Colours::Grey);
        assert_eq!((over.width(), over.height()), (4, 2));
        let row: Vec<u8> = over.colours()[..4].iter().map(|colour| colour[0]).collect();
        assert_eq!(row[0], 128, "the lowest number leaves the image as it is");
        assert!(row[3] > 230, "the highest has its own colour: {row:?}");
    }

    #[test]
    fn nan_has_a_colour_that_no_number_has() {
        let of = |values: &[f32], colours| map(values.len(), values).raster(colours).colours().to_vec();
        for colours in [Colours::Grey, Colours::Viridis, Colours::Diverging] {
            let alone = of(&[f32::NAN, f32::NAN], colours);
            let mixed = of(&[f32::NAN, 1.0, -2.0], colours);
            assert_eq!([alone[0], alone[1], mixed[0]], [NAN_COLOUR; 3]);
            assert_eq!(mixed[1..], of(&[1.0, -2.0], colours)[..]);
            let image = Raster::new(3, vec![[0; 3]; 3]);
            let over = map(3, &[0.5, f32::NAN, 1.0]).over(&image, colours).colours().to_vec();
            assert!(over[1][0] > 200 && over[1][1] < 80, "{over:?}");
            assert!(
                over[0] != over[1] && over[2] != over[1],
                "NaN affects no other pixel: {over:?}"
            );
        }
    }

    #[test]
    fn one_outlier_does_not_leave_the_other_numbers_white() {
        let mut values = vec![1.0; 99];
        values.push(1000.0);
        let colours = map(100, &values).raster(Colours::Diverging).colours().to_vec();
        assert_eq!(colours[0], colours[99]);

        values[..99].fill(0.0);
        let colours = map(100, &values).raster(Colours::Diverging).colours().to_vec();
        assert!(colours[0] != colours[99] && colours[99][0] > colours[99][2]);
    }
}
