//! A small shift, scaling and rotation of an image, as a differentiable product.

use candle_core::{Result, Tensor};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use scv_domain::synthesis::{Padding, SynthesisSettings};

/// Which point of an image each pixel shows after the transformation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Transformation {
    /// Pixels down and to the right.
    pub(super) shift: [f64; 2],
    /// Magnification; 1 keeps the size.
    pub(super) scale: f64,
    /// In radians.
    pub(super) rotation: f64,
    /// What is seen outside the image.
    pub(super) padding: Padding,
}

impl Transformation {
    /// Draws a transformation within the limits of the settings.
    pub(super) fn draw(settings: &SynthesisSettings, generator: &mut ChaCha8Rng) -> Self {
        let mut within = |limit: f64| {
            if limit > 0.0 {
                generator.random_range(-limit..=limit)
            } else {
                0.0
            }
        };
        Self {
            shift: [within(settings.jitter), within(settings.jitter)],
            scale: 1.0 + within(settings.scale),
            rotation: within(settings.rotation).to_radians(),
            padding: settings.padding,
        }
    }

    /// Applies it to `[1, channels, height, width]`, in which 0 is the mean colour.
    pub(super) fn apply(&self, image: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = image.dims4()?;
        let corners = self.corners(height, width);
        let flat = image.reshape((channels, height * width))?;
        let mut sum: Option<Tensor> = None;
        for (pixels, weights) in corners {
            let pixels = Tensor::from_vec(pixels, height * width, image.device())?;
            let weights = Tensor::from_vec(weights, (1, height * width), image.device())?;
            let part = flat.index_select(&pixels, 1)?.broadcast_mul(&weights)?;
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

    /// The index that is shown for an index of a row or column, which may be outside; `None` where the mean is shown.
    fn source(&self, at: i64, length: usize) -> Option<usize> {
        let last = length as i64 - 1;
        let source = match self.padding {
            Padding::Mean => Some(at).filter(|at| (0..=last).contains(at)),
            Padding::Edge => Some(at.clamp(0, last)),
            Padding::Reflection => {
                let wrapped = at.rem_euclid((2 * last).max(1));
                Some(wrapped.min(2 * last - wrapped))
            }
        };
        source.map(|at| at as usize)
    }

    /// For each pixel, the four pixels around the point that it shows, with their bilinear weights.
    fn corners(&self, height: usize, width: usize) -> [(Vec<u32>, Vec<f32>); 4] {
        let (sine, cosine) = self.rotation.sin_cos();
        let middle = [(height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0];
        std::array::from_fn(|corner| {
            let [down, right] = [corner / 2, corner % 2];
            let at = |index: usize| {
                let (y, x) = ((index / width) as f64 - middle[0], (index % width) as f64 - middle[1]);
                let [y, x] = [y - self.shift[0], x - self.shift[1]];
                let source_y = (cosine * y - sine * x) / self.scale + middle[0];
                let source_x = (sine * y + cosine * x) / self.scale + middle[1];
                let weight = |at: f64, next: usize| match next {
                    0 => 1.0 - (at - at.floor()),
                    _ => at - at.floor(),
                };
                let row = self.source(source_y.floor() as i64 + down as i64, height);
                let column = self.source(source_x.floor() as i64 + right as i64, width);
                match row.zip(column) {
                    Some((row, column)) => (
                        (row * width + column) as u32,
                        (weight(source_y, down) * weight(source_x, right)) as f32,
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
        let transformed = transformation.apply(&image).unwrap();
        transformed.reshape((3, 3)).unwrap().to_vec2::<f32>().unwrap()
    }

    const IDENTITY: Transformation = Transformation {
        shift: [0.0, 0.0],
        scale: 1.0,
        rotation: 0.0,
        padding: Padding::Mean,
    };
    const IMAGE: [[f32; 3]; 3] = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];

    #[test]
    fn the_identity_changes_nothing() {
        assert_eq!(applied(IDENTITY, &IMAGE), IMAGE);
    }

    #[test]
    fn a_shift_leaves_zeros_behind() {
        let down = Transformation {
            shift: [1.0, 0.0],
            ..IDENTITY
        };
        assert_eq!(applied(down, &IMAGE), [[0.0; 3], IMAGE[0], IMAGE[1]]);
        let half = Transformation {
            shift: [0.0, 0.5],
            ..IDENTITY
        };
        assert_eq!(applied(half, &IMAGE)[0], [0.5, 1.5, 2.5]);
    }

    #[test]
    fn outside_the_image_is_the_mean_the_edge_or_the_mirrored_image() {
        let shifted = |padding, down: f64| {
            let shift = Transformation {
                shift: [down, 0.0],
                padding,
                ..IDENTITY
            };
            let image = applied(shift, &IMAGE);
            [image[0][0], image[1][0], image[2][0]]
        };
        assert_eq!(shifted(Padding::Mean, 2.0), [0.0, 0.0, 1.0]);
        assert_eq!(shifted(Padding::Edge, 2.0), [1.0, 1.0, 1.0]);
        assert_eq!(shifted(Padding::Reflection, 2.0), [7.0, 4.0, 1.0]);
        assert_eq!(shifted(Padding::Reflection, -5.0), [4.0, 7.0, 4.0]);
    }

    #[test]
    fn a_quarter_turn_rotates_about_the_centre() {
        let quarter = Transformation {
            rotation: std::f64::consts::FRAC_PI_2,
            ..IDENTITY
        };
        let rotated = applied(quarter, &IMAGE);
        assert!((rotated[1][1] - 5.0).abs() < 1e-5);
        let mut corners = [rotated[0][0], rotated[0][2], rotated[2][0], rotated[2][2]].map(f32::round);
        corners.sort_by(f32::total_cmp);
        assert_eq!(corners, [1.0, 3.0, 7.0, 9.0]);
        assert_ne!(rotated[0][0].round(), 1.0);
    }

    #[test]
    fn twice_the_scale_shows_half_as_much() {
        let twice = Transformation { scale: 2.0, ..IDENTITY };
        assert_eq!(applied(twice, &IMAGE)[1], [4.5, 5.0, 5.5]);
    }
}
