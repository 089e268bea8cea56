//! The centred Gram matrix of a layer, accumulated on the device that holds its activations.
//!
//! For n probe images and p features, `K = H X Xᵀ H` with `H = I - 1 1ᵀ / n`. It has to keep the
//! digits that CKA needs for p up to a few million, from activations in single precision:
//!
//! - Features are processed in chunks. Each chunk is divided by its largest magnitude, unless that is ordinary, so that
//!   no square overflows or vanishes. Its column means are subtracted before anything is multiplied, so
//!   that a large mean costs no digits.
//! - The product of a chunk is computed in f32 and added up in f64. Rounding errors of the means are
//!   the same for all rows of a column, so the second centring, in f64, removes them.

use candle_core::{DType, Tensor};

use super::error::ComputeError;
use scv_domain::vector::{Degenerate, MIN_PROBES};

mod on_cpu;
mod sums;

use sums::Sums;

/// The smallest share of the activations' sum of squares that must be left after centring: below it,
/// the rest may be rounding of the constant part.
const MIN_VARIED_SHARE: f64 = 1e-12;

/// The centred Gram matrix of one layer on n probe images.
#[derive(Debug, Clone)]
pub struct CentredGram {
    images: usize,
    values: Vec<f64>,
    raw_square_sum: f64,
}

impl CentredGram {
    /// Accumulates the Gram matrix of activations `[n, ...]`, one image per row, on their device.
    ///
    /// # Errors
    /// [`ComputeError::TooFewProbes`] below [`MIN_PROBES`] images; a failure of the device.
    pub fn of(activations: &Tensor) -> Result<Self, ComputeError> {
        let images = activations.dims().first().copied().unwrap_or(0);
        if images < MIN_PROBES {
            return Err(ComputeError::TooFewProbes {
                given: images,
                needed: MIN_PROBES,
            });
        }
        let flat = activations.reshape((images, ()))?.to_dtype(DType::F32)?;
        let sums = if flat.device().is_cpu() {
            on_cpu::sums(&flat.contiguous()?)?
        } else {
            Sums::of(&flat)?
        };
        // The squares of a column about its mean, and n times the square of that mean.
        let trace: f64 = sums.gram.iter().step_by(images + 1).sum();
        let raw_square_sum = trace + images as f64 * sums.squared_means;
        Ok(Self::centre(images, sums.gram, raw_square_sum))
    }

    /// Centres any symmetric n x n matrix; `raw_square_sum` is the sum of squares of the activations
    /// that it was computed from.
    fn centre(images: usize, mut values: Vec<f64>, raw_square_sum: f64) -> Self {
        symmetrise(&mut values, images);
        let means: Vec<f64> = values
            .chunks(images)
            .map(|row| row.iter().sum::<f64>() / images as f64)
            .collect();
        let mean = means.iter().sum::<f64>() / images as f64;
        for (row, row_mean) in values.chunks_mut(images).zip(&means) {
            for (value, column_mean) in row.iter_mut().zip(&means) {
                *value -= row_mean + column_mean - mean;
            }
        }
        Self {
            images,
            values,
            raw_square_sum,
        }
    }

    /// The number of probe images, n.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The n x n matrix divided by its Frobenius norm, row after row.
    ///
    /// # Errors
    /// The reason why the layer has no direction: NaN or infinity, or the same activations for all images.
    pub fn unit(&self) -> Result<Vec<f64>, Degenerate> {
        let norm = self.values.iter().map(|value| value * value).sum::<f64>().sqrt();
        if !norm.is_finite() || !self.raw_square_sum.is_finite() {
            return Err(Degenerate::NotFinite);
        }
        let trace: f64 = self.values.iter().step_by(self.images + 1).sum();
        if norm == 0.0 || trace <= MIN_VARIED_SHARE * self.raw_square_sum {
            return Err(Degenerate::Constant);
        }
        Ok(self.values.iter().map(|value| value / norm).collect())
    }
}

fn symmetrise(values: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..i {
            let mean = f64::midpoint(values[i * n + j], values[j * n + i]);
            values[i * n + j] = mean;
            values[j * n + i] = mean;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use candle_core::Device;

    use super::*;
    use crate::vector::reference::{Activations, cka, debiased_cka};

    fn reason(values: Vec<f32>, images: usize) -> Result<Vec<f64>, Degenerate> {
        let activations = Tensor::from_vec(values, (images, ()), &Device::Cpu).unwrap();
        CentredGram::of(&activations).unwrap().unit()
    }

    #[test]
    fn three_probe_images_are_too_few() {
        let activations = Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap();
        let error = CentredGram::of(&activations).unwrap_err();
        assert!(
            matches!(error, ComputeError::TooFewProbes { given: 3, needed: 4 }),
            "{error}"
        );
    }

    #[test]
    fn a_layer_with_the_same_activations_for_all_images_is_constant() {
        assert_eq!(reason(vec![0.0; 40], 8), Err(Degenerate::Constant));
        assert_eq!(reason(vec![0.1; 40], 8), Err(Degenerate::Constant));
        let row: Vec<f32> = (0..50_000).map(|feature| (feature as f32).sin() * 1e4).collect();
        assert_eq!(reason(row.repeat(8), 8), Err(Degenerate::Constant));
    }

    #[test]
    fn nan_and_infinity_are_found_at_any_position() {
        for culprit in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 17_000, 39_999] {
                let mut values: Vec<f32> = (0..40_000).map(|value| (value as f32).cos()).collect();
                values[at] = culprit;
                assert_eq!(reason(values, 4), Err(Degenerate::NotFinite), "{culprit} at {at}");
            }
            assert_eq!(reason(vec![culprit; 20], 4), Err(Degenerate::NotFinite));
        }
    }

    #[test]
    fn activations_of_any_magnitude_give_the_same_matrix() {
        let plain = Activations::noise(8, 30, 1);
        let unit = CentredGram::of(&plain.tensor()).unwrap().unit().unwrap();
        for scale in [1e-36, 1e-25, 1e25, 1e37] {
            let scaled = plain.clone().map(|value| value * scale);
            let other = CentredGram::of(&scaled.tensor()).unwrap().unit().unwrap();
            assert!(
                unit.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6),
                "at {scale:e}"
            );
        }
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "the error is worth quoting")]
    fn two_million_features_with_a_large_mean_keep_their_digits() {
        let (images, features) = (8, 2_000_000);
        let sources = [1, 5].map(|seed| Activations::rectified(images, 6, 1_000, seed));
        // Two thirds of the variation is shared, so that the similarity is far from both 0 and 1.
        let widened = |seed: u64, mean: f64, own: usize| {
            let mut wide = Activations::noise(images, features, seed);
            for (image, row) in wide.values.chunks_mut(features).enumerate() {
                for (feature, value) in row.iter_mut().enumerate() {
                    let source = &sources[if feature % 3 == 0 { own } else { 0 }];
                    let signal = source.values[image * 1_000 + feature % 1_000];
                    let scale = if own == 0 { 1.0 } else { 1.0 + (feature % 7) as f64 };
                    // Rounded here, so that both computations read the same numbers.
                    *value = f64::from((mean + 0.3 * *value + scale * signal) as f32);
                }
            }
            wide
        };
        let (a, b) = (widened(2, 1_000.0, 0), widened(3, -50.0, 1));
        let gram = |side: &Activations| CentredGram::of(&side.tensor()).unwrap().unit().unwrap();
        let (k, l) = (gram(&a), gram(&b));
        let (exact_k, exact_l) = (a.centred_gram(), b.centred_gram());
        let [whole, debiased] = [cka(&exact_k, &exact_l), debiased_cka(&exact_k, &exact_l)];
        let errors = [(cka(&k, &l) - whole).abs(), (debiased_cka(&k, &l) - debiased).abs()];
        println!(
            "2,000,000 features about 1,000: CKA {whole:.4}, error {:.1e}; debiased {debiased:.4}, error {:.1e}",
            errors[0], errors[1]
        );
        assert!(errors.iter().all(|&error| error < 1e-5));
    }

    #[test]
    fn both_ways_of_summing_agree() {
        for (images, features) in [(9, 1), (9, 300), (9, 40_000), (70, 2_000)] {
            let mut activations = Activations::noise(images, features, 4).map(|value| 5.0 + value);
            activations.values[0] = -300.0;
            let activations = activations.tensor();
            let (tensors, cpu) = (Sums::of(&activations).unwrap(), on_cpu::sums(&activations).unwrap());
            let trace: f64 = cpu.gram.iter().step_by(images + 1).sum();
            assert!(
                tensors
                    .gram
                    .iter()
                    .zip(&cpu.gram)
                    .all(|(a, b)| (a - b).abs() < 1e-6 * trace)
            );
            assert!((tensors.squared_means - cpu.squared_means).abs() < 1e-5 * cpu.squared_means);
        }
    }

    #[test]
    fn maps_are_flattened_image_by_image() {
        let flat = Activations::noise(6, 24, 3).tensor();
        let maps = flat.reshape((6, 2, 3, 4)).unwrap();
        assert_eq!(
            CentredGram::of(&flat).unwrap().unit(),
            CentredGram::of(&maps).unwrap().unit()
        );
    }
}
