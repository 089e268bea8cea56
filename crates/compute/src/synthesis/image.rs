//! The image that a search varies, by what it varies.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use super::SynthesisTask;
use scv_domain::image::{ImageShape, Images};
use scv_domain::synthesis::Parametrisation;

/// An image of numbers from 0 to 1, and what it is made from.
pub(super) struct Canvas {
    shape: ImageShape,
    variable: Var,
    waves: Option<Waves>,
    /// From uncorrelated colours to those of images, `[3, 3]`.
    colours: Option<Tensor>,
}

impl Canvas {
    /// An image for a search, made from numbers of a deviation.
    pub(super) fn new(
        task: &SynthesisTask,
        deviation: f32,
        generator: &mut ChaCha8Rng,
        device: &Device,
    ) -> Result<Self> {
        let shape = task.network.image_shape();
        let (waves, dims) = match task.settings.parametrisation {
            Parametrisation::Pixels => (None, vec![shape.channels, shape.height, shape.width]),
            Parametrisation::Fourier => {
                let waves = Waves::new(shape.height, shape.width, device)?;
                let dims = vec![2, shape.channels, shape.height, waves.frequencies];
                (Some(waves), dims)
            }
        };
        let draw = |_| {
            let number: f32 = StandardNormal.sample(generator);
            deviation * number
        };
        let first: Vec<f32> = (0..dims.iter().product()).map(draw).collect();
        let colours = task
            .covariance
            .filter(|_| shape.channels == 3)
            .map(|covariance| mixing(&covariance));
        Ok(Self {
            shape,
            variable: Var::from_vec(first, dims, device)?,
            waves,
            colours: colours.map(|mixing| Tensor::new(&mixing, device)).transpose()?,
        })
    }

    /// What is varied.
    pub(super) fn variable(&self) -> &Var {
        &self.variable
    }

    /// `[1, channels, height, width]`, from 0 to 1.
    pub(super) fn image(&self) -> Result<Tensor> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let raw = match &self.waves {
            None => self.variable.as_tensor().clone(),
            Some(waves) => waves.image(&self.variable)?,
        };
        let raw = match &self.colours {
            None => raw,
            Some(mixing) => mixing.matmul(&raw.reshape((channels, height * width))?)?,
        };
        // The logistic function, by tanh, whose gradient candle has.
        let shares = (((raw * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        shares.reshape((1, channels, height, width))
    }

    /// The image as it is shown; none if a gradient has made NaN of it.
    pub(super) fn pixels(&self) -> Result<Option<Images>> {
        let shares = self.image()?.detach().flatten_all()?.to_vec1::<f32>()?;
        let pixel = |share: &f32| (!share.is_nan()).then(|| (share * 255.0).round().clamp(0.0, 255.0) as u8);
        let pixels = shares.iter().map(pixel).collect::<Option<Arc<[u8]>>>();
        Ok(pixels.map(|pixels| Images {
            shape: self.shape,
            pixels,
        }))
    }
}

/// The lower triangle whose product with its transpose is the covariance (Cholesky), made so that no colour is varied more
/// than by one: uncorrelated numbers become colours that vary together as those of images do.
fn mixing(covariance: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let mut lower = [[0.0f32; 3]; 3];
    for row in 0..3 {
        for column in 0..=row {
            let known: f32 = (0..column).map(|k| lower[row][k] * lower[column][k]).sum();
            let rest = covariance[row][column] - known;
            lower[row][column] = match row == column {
                // Colours that are all alike, as in grey images, leave nothing.
                true => rest.max(1e-6).sqrt(),
                false => rest / lower[column][column],
            };
        }
    }
    let length = |row: &[f32; 3]| row.iter().map(|number| number * number).sum::<f32>().sqrt();
    let longest = lower.iter().map(length).fold(1e-6, f32::max);
    lower.map(|row| row.map(|number| number / longest))
}

/// The inverse of the discrete Fourier transform of real images, as products with matrices: so that gradients follow it.
struct Waves {
    /// Frequencies from left to right, half of them: the others mirror these.
    frequencies: usize,
    /// How freely each coefficient varies, `[height, frequencies]`.
    scale: Tensor,
    /// Cosines and sines from top to bottom, `[height, height]`.
    down: [Tensor; 2],
    /// Cosines and sines from left to right, `[frequencies, width]`, frequencies that stand for two counted twice.
    across: [Tensor; 2],
}

impl Waves {
    fn new(height: usize, width: usize, device: &Device) -> Result<Self> {
        let frequencies = width / 2 + 1;
        let turn = |frequency: usize, place: usize, length: usize| {
            2.0 * std::f64::consts::PI * (frequency * place % length) as f64 / length as f64
        };
        let matrix = |rows: usize, columns: usize, number: &dyn Fn(usize, usize) -> f64| {
            let numbers = (0..rows * columns).map(|index| number(index / columns, index % columns) as f32);
            Tensor::from_vec(numbers.collect::<Vec<_>>(), (rows, columns), device)
        };
        let twice = |frequency: usize| match frequency == 0 || 2 * frequency == width {
            true => 1.0,
            false => 2.0,
        };
        let scale = |row: usize, column: usize| {
            let vertical = row.min(height - row) as f64 / height as f64;
            let horizontal = column as f64 / width as f64;
            let least = 1.0 / height.max(width) as f64;
            // As after a transform that keeps lengths, and a quarter of it.
            1.0 / vertical.hypot(horizontal).max(least) / (4.0 * ((height * width) as f64).sqrt())
        };
        Ok(Self {
            frequencies,
            scale: matrix(height, frequencies, &scale)?,
            down: [
                matrix(height, height, &|y, k| turn(k, y, height).cos())?,
                matrix(height, height, &|y, k| turn(k, y, height).sin())?,
            ],
            across: [
                matrix(frequencies, width, &|k, x| twice(k) * turn(k, x, width).cos())?,
                matrix(frequencies, width, &|k, x| twice(k) * turn(k, x, width).sin())?,
            ],
        })
    }

    /// From real and imaginary coefficients, `[2, channels, height, frequencies]`, to `[channels, height, width]`.
    fn image(&self, coefficients: &Tensor) -> Result<Tensor> {
        let scaled = coefficients.broadcast_mul(&self.scale)?;
        let (real, imaginary) = (scaled.get(0)?, scaled.get(1)?);
        let [cosines, sines] = &self.down;
        let product = |matrix: &Tensor, numbers: &Tensor| matrix.broadcast_matmul(numbers);
        let down_real = (product(cosines, &real)? - product(sines, &imaginary)?)?;
        let down_imaginary = (product(sines, &real)? + product(cosines, &imaginary)?)?;
        let [cosines, sines] = &self.across;
        down_real.broadcast_matmul(cosines)? - down_imaginary.broadcast_matmul(sines)?
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn mixed_colours_vary_together_as_the_covariance_says() {
        let covariance = [[0.06, 0.05, 0.04], [0.05, 0.07, 0.05], [0.04, 0.05, 0.08]];
        let mixing = mixing(&covariance);
        let product = |a: usize, b: usize| (0..3).map(|k| mixing[a][k] * mixing[b][k]).sum::<f32>();
        let factor = product(2, 2) / covariance[2][2];
        for (a, row) in covariance.iter().enumerate() {
            for (b, expected) in row.iter().enumerate() {
                assert!((product(a, b) - factor * expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn one_coefficient_is_one_wave() {
        for (height, width) in [(6, 8), (5, 7), (4, 5)] {
            let waves = Waves::new(height, width, &Device::Cpu).unwrap();
            let (row, column) = (height - 1, 1);
            let mut coefficients = vec![0f32; 2 * height * waves.frequencies];
            coefficients[row * waves.frequencies + column] = 1.0;
            let coefficients = Tensor::from_vec(coefficients, (2, 1, height, waves.frequencies), &Device::Cpu).unwrap();
            let image = waves
                .image(&coefficients)
                .unwrap()
                .get(0)
                .unwrap()
                .to_vec2::<f32>()
                .unwrap();
            let scale = waves.scale.to_vec2::<f32>().unwrap()[row][column];
            for (y, line) in image.iter().enumerate() {
                for (x, value) in line.iter().enumerate() {
                    let turns = row as f64 * y as f64 / height as f64 + column as f64 * x as f64 / width as f64;
                    let expected = 2.0 * f64::from(scale) * (2.0 * std::f64::consts::PI * turns).cos();
                    assert!(
                        (f64::from(*value) - expected).abs() < 1e-5,
                        "{height}x{width} at {y}, {x}"
                    );
                }
            }
        }
    }
}
