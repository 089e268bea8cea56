//! The image that is optimised, and the numbers that it is made from.

use bytes::Bytes;
use candle_core::{Device, Result, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use scv_domain::image::{ImageShape, Images};
use scv_domain::synthesis::Parametrisation;

/// An image of numbers from 0 to 1, and what it is made from.
pub(super) struct Canvas {
    shape: ImageShape,
    variable: Var,
    waves: Option<Waves>,
    /// From uncorrelated colours to those of real images, `[3, 3]`.
    colours: Option<Tensor>,
}

impl Canvas {
    /// A random image, from normal numbers with a standard deviation of `deviation`. `covariance` is that of the
    /// colours of real images.
    pub(super) fn new(
        shape: ImageShape,
        parametrisation: Parametrisation,
        covariance: Option<[[f32; 3]; 3]>,
        deviation: f32,
        generator: &mut ChaCha8Rng,
        device: &Device,
    ) -> Result<Self> {
        let (waves, dims) = match parametrisation {
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
        let colours = covariance
            .filter(|_| shape.channels == 3)
            .map(|covariance| mixing(&covariance));
        Ok(Self {
            shape,
            variable: Var::from_vec(first, dims, device)?,
            waves,
            colours: colours.map(|mixing| Tensor::new(&mixing, device)).transpose()?,
        })
    }

    /// The variable to optimise.
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
        // The logistic function through tanh, which candle differentiates.
        let pixels = (((raw * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        pixels.reshape((1, channels, height, width))
    }

    /// The image in 8-bit pixels; `None` if a gradient has turned it into NaN.
    pub(super) fn pixels(&self) -> Result<Option<Images>> {
        let values = self.image()?.detach().flatten_all()?.to_vec1::<f32>()?;
        let pixel = |value: &f32| (!value.is_nan()).then(|| (value * 255.0).round().clamp(0.0, 255.0) as u8);
        let pixels = values.iter().map(pixel).collect::<Option<Bytes>>();
        Ok(pixels.map(|pixels| Images {
            shape: self.shape,
            pixels,
        }))
    }
}

/// The Cholesky factor of the covariance: the lower triangle whose product with its transpose is the covariance. It is
/// scaled so that its longest row has length one. It turns uncorrelated numbers into colours that vary together as
/// those of real images do.
fn mixing(covariance: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let mut lower = [[0.0f32; 3]; 3];
    for row in 0..3 {
        for column in 0..=row {
            let known: f32 = (0..column).map(|k| lower[row][k] * lower[column][k]).sum();
            let rest = covariance[row][column] - known;
            lower[row][column] = if row == column {
                // Nothing is left where all colours are the same, as in grey images.
                rest.max(1e-6).sqrt()
            } else {
                rest / lower[column][column]
            };
        }
    }
    let length = |row: &[f32; 3]| row.iter().map(|number| number * number).sum::<f32>().sqrt();
    let longest = lower.iter().map(length).fold(1e-6, f32::max);
    lower.map(|row| row.map(|number| number / longest))
}

/// The inverse discrete Fourier transform of real images, as matrix products, so that it is differentiable.
struct Waves {
    /// Horizontal frequencies, half of them: the others mirror these.
    frequencies: usize,
    /// The scale of each coefficient, `[height, frequencies]`.
    scale: Tensor,
    /// Vertical cosines and sines, `[height, height]`.
    down: [Tensor; 2],
    /// Horizontal cosines and sines, `[frequencies, width]`. A frequency that represents two counts twice.
    across: [Tensor; 2],
}

impl Waves {
    fn new(height: usize, width: usize, device: &Device) -> Result<Self> {
        let frequencies = width / 2 + 1;
        let angle = |frequency: usize, position: usize, length: usize| {
            2.0 * std::f64::consts::PI * (frequency * position % length) as f64 / length as f64
        };
        let matrix = |rows: usize, columns: usize, number: &dyn Fn(usize, usize) -> f64| {
            let numbers = (0..rows * columns).map(|index| number(index / columns, index % columns) as f32);
            Tensor::from_vec(numbers.collect::<Vec<_>>(), (rows, columns), device)
        };
        let count = |frequency: usize| {
            let is_its_own_mirror = frequency == 0 || 2 * frequency == width;
            if is_its_own_mirror { 1.0 } else { 2.0 }
        };
        let scale = |row: usize, column: usize| {
            let vertical = row.min(height - row) as f64 / height as f64;
            let horizontal = column as f64 / width as f64;
            let min = 1.0 / height.max(width) as f64;
            // The scale of an orthonormal transform, divided by four.
            1.0 / vertical.hypot(horizontal).max(min) / (4.0 * ((height * width) as f64).sqrt())
        };
        Ok(Self {
            frequencies,
            scale: matrix(height, frequencies, &scale)?,
            down: [
                matrix(height, height, &|y, k| angle(k, y, height).cos())?,
                matrix(height, height, &|y, k| angle(k, y, height).sin())?,
            ],
            across: [
                matrix(frequencies, width, &|k, x| count(k) * angle(k, x, width).cos())?,
                matrix(frequencies, width, &|k, x| count(k) * angle(k, x, width).sin())?,
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
