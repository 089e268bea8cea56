//! A small move, scaling and turn of an image, as a product that gradients follow.

use candle_core::{Result, Tensor};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use scv_domain::synthesis::{Padding, SynthesisSettings};

/// Which point of an image each pixel shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Transformation {
    /// Pixels down and to the right.
    pub(super) moved: [f64; 2],
    /// Size of things, 1 as it was.
    pub(super) scale: f64,
    /// In radians.
    pub(super) turned: f64,
    /// What comes in from outside.
    pub(super) padding: Padding,
}

impl Transformation {
    /// Draws one as large as the settings allow.
    pub(super) fn draw(settings: &SynthesisSettings, generator: &mut ChaCha8Rng) -> Self {
        let mut within = |reach: f64| match reach > 0.0 {
            true => generator.random_range(-reach..=reach),
            false => 0.0,
        };
        Self {
            moved: [within(settings.jitter), within(settings.jitter)],
            scale: 1.0 + within(settings.scale),
            turned: within(settings.rotation).to_radians(),
            padding: settings.padding,
        }
    }

    /// Applies it to `[1, channels, height, width]`, for which 0 is the mean colour.
    pub(super) fn apply(&self, image: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = image.dims4()?;
        let corners = self.corners(height, width);
        let flat = image.reshape((channels, height * width))?;
        let mut sum: Option<Tensor> = None;
        for (places, weights) in corners {
            let places = Tensor::from_vec(places, height * width, image.device())?;
            let weights = Tensor::from_vec(weights, (1, height * width), image.device())?;
            let part = flat.index_select(&places, 1)?.broadcast_mul(&weights)?;
            sum = Some(match sum {
                None => part,
                Some(sum) => (sum + part)?,
            });
        }
        match sum {
            None => Ok(image.clone()),
            Some(sum) => sum.reshape((1, channels, height, width)),
        }
    }

    /// The place that is seen at a place of a row or column, which may lie outside; none where nothing but the mean is seen.
    fn place(&self, at: i64, length: usize) -> Option<usize> {
        let last = length as i64 - 1;
        let seen = match self.padding {
            Padding::Mean => Some(at).filter(|at| (0..=last).contains(at)),
            Padding::Edge => Some(at.clamp(0, last)),
            Padding::Reflection => {
                let there = at.rem_euclid((2 * last).max(1));
                Some(there.min(2 * last - there))
            }
        };
        seen.map(|at| at as usize)
    }

    /// For each pixel the four that lie around the point that it shows, and what each counts (bilinear).
    fn corners(&self, height: usize, width: usize) -> [(Vec<u32>, Vec<f32>); 4] {
        let (sine, cosine) = self.turned.sin_cos();
        let middle = [(height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0];
        std::array::from_fn(|corner| {
            let [down, right] = [corner / 2, corner % 2];
            let at = |index: usize| {
                let (y, x) = ((index / width) as f64 - middle[0], (index % width) as f64 - middle[1]);
                let [y, x] = [y - self.moved[0], x - self.moved[1]];
                let source_y = (cosine * y - sine * x) / self.scale + middle[0];
                let source_x = (sine * y + cosine * x) / self.scale + middle[1];
                let share = |at: f64, next: usize| match next {
                    0 => 1.0 - (at - at.floor()),
                    _ => at - at.floor(),
                };
                let row = self.place(source_y.floor() as i64 + down as i64, height);
                let column = self.place(source_x.floor() as i64 + right as i64, width);
                match row.zip(column) {
                    Some((row, column)) => (
                        (row * width + column) as u32,
                        (share(source_y, down) * share(source_x, right)) as f32,
                    ),
                    None => (0, 0.0),
                }
            };
            (0..height * width).map(at).unzip()
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use candle_core::Device;

    use super::*;

    fn applied(transformation: Transformation, image: &[[f32; 3]; 3]) -> Vec<Vec<f32>> {
        let image = Tensor::new(image, &Device::Cpu).unwrap().reshape((1, 1, 3, 3)).unwrap();
        let moved = transformation.apply(&image).unwrap();
        moved.reshape((3, 3)).unwrap().to_vec2::<f32>().unwrap()
    }

    const STILL: Transformation = Transformation {
        moved: [0.0, 0.0],
        scale: 1.0,
        turned: 0.0,
        padding: Padding::Mean,
    };
    const IMAGE: [[f32; 3]; 3] = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];

    #[test]
    fn nothing_is_changed_by_standing_still() {
        assert_eq!(applied(STILL, &IMAGE), IMAGE);
    }

    #[test]
    fn what_moves_leaves_zeros_behind_it() {
        let down = Transformation {
            moved: [1.0, 0.0],
            ..STILL
        };
        assert_eq!(applied(down, &IMAGE), [[0.0; 3], IMAGE[0], IMAGE[1]]);
        let half = Transformation {
            moved: [0.0, 0.5],
            ..STILL
        };
        assert_eq!(applied(half, &IMAGE)[0], [0.5, 1.5, 2.5]);
    }

    #[test]
    fn what_comes_in_from_outside_is_the_mean_the_edge_or_the_image_mirrored() {
        let moved = |padding, down: f64| {
            let moved = Transformation {
                moved: [down, 0.0],
                padding,
                ..STILL
            };
            let image = applied(moved, &IMAGE);
            [image[0][0], image[1][0], image[2][0]]
        };
        assert_eq!(moved(Padding::Mean, 2.0), [0.0, 0.0, 1.0]);
        assert_eq!(moved(Padding::Edge, 2.0), [1.0, 1.0, 1.0]);
        assert_eq!(moved(Padding::Reflection, 2.0), [7.0, 4.0, 1.0]);
        assert_eq!(moved(Padding::Reflection, -5.0), [4.0, 7.0, 4.0]);
    }

    #[test]
    fn a_quarter_turn_goes_about_the_middle() {
        let quarter = Transformation {
            turned: std::f64::consts::FRAC_PI_2,
            ..STILL
        };
        let turned = applied(quarter, &IMAGE);
        assert!((turned[1][1] - 5.0).abs() < 1e-5);
        let mut corners = [turned[0][0], turned[0][2], turned[2][0], turned[2][2]].map(f32::round);
        corners.sort_by(f32::total_cmp);
        assert_eq!(corners, [1.0, 3.0, 7.0, 9.0]);
        assert_ne!(turned[0][0].round(), 1.0);
    }

    #[test]
    fn twice_as_large_shows_half_as_much() {
        let twice = Transformation { scale: 2.0, ..STILL };
        assert_eq!(applied(twice, &IMAGE)[1], [4.5, 5.0, 5.5]);
    }
}
