//! How likely a debiased CKA is by chance: if the probe images of one layer were relabelled at random.
//!
//! For U-centred Gram matrices A and B the score is `Σ A(i,j) B(i,j)` over all pairs, divided by their lengths.
//! Relabelling replaces B(i,j) by B(π(i), π(j)). Random permutations π show how often the score is at least as large.
//! What they cannot resolve comes from a Pearson type III curve with the mean, variance and skewness of the score over
//! **all** n! permutations, as Kazi-Aoual et al. (1995) and Josse, Pagès and Husson (2008) do for the RV coefficient,
//! of which debiased CKA is a debiased form.
//!
//! The moments are exact. The k-th is a sum over k pairs of images, grouped by which of them coincide. In each group a
//! sum over A is multiplied by the same sum over B. Because the rows of a U-centred Gram matrix sum to zero and its
//! diagonal is zero, all these sums reduce to three numbers: `Σ A(i,j)²`, `Σ A(i,j)³` and `tr A³`.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use statrs::function::erf::erfc;
use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};

use super::ops::product::{Matrix, MatrixMut, Write, multiply};
use super::vector::debiased_gram_of;
use scv_domain::similarity::Significance;
use scv_domain::vector::LayerVector;

/// The seed of the permutations, always the same, so that results are reproducible.
const SEED: u64 = 0x5eed;

/// Minimum number of permutations that must reach a score for their share to be the p-value.
const MIN_REACHED: usize = 10;

/// Scores that differ by less are equal: rounding of single precision.
const TIE_TOLERANCE: f64 = 1e-6;

/// The smallest skewness of a curve that is distinguished from the normal distribution.
const MIN_SKEWNESS: f64 = 1e-3;

/// The significance of a target's score with each of several layers of the same probe set. Once `is_abandoned` returns
/// true, because no caller waits for the result, it ends soon with meaningless numbers.
pub fn significance(
    target: &LayerVector,
    others: &[&LayerVector],
    permutations: usize,
    is_abandoned: &(dyn Fn() -> bool + Sync),
) -> Vec<Significance> {
    let target = UnitGram::of(target);
    let others: Vec<UnitGram> = others.par_iter().map(|vector| UnitGram::of(vector)).collect();
    let scores: Vec<f64> = others.iter().map(|other| target.score(other)).collect();
    let reached = target.count_reached(&others, &scores, permutations, is_abandoned);
    let each = others.iter().zip(scores).zip(reached);
    each.map(|((other, score), reached)| {
        let permutation_p_value = (1 + reached) as f64 / (1 + permutations) as f64;
        // One of all n! relabellings certainly reaches the score: the identity.
        let min = (-ln_gamma(target.images as f64 + 1.0)).exp().max(f64::MIN_POSITIVE);
        let moment_p_value = Moments::of(&target, other).upper_tail(score).max(min);
        Significance {
            p_value: if reached >= MIN_REACHED {
                permutation_p_value
            } else {
                moment_p_value
            },
            permutation_p_value,
            moment_p_value,
            permutations,
        }
    })
    .collect()
}

/// A U-centred Gram matrix of unit length, with the sums that the moments need.
struct UnitGram {
    images: usize,
    /// n x n.
    gram: Vec<f32>,
    /// `Σ A(i,j)³`
    cubes: f64,
    /// `tr A³`
    triangles: f64,
}

impl UnitGram {
    fn of(vector: &LayerVector) -> Self {
        let images = vector.tail.len();
        let gram: Vec<f32> = debiased_gram_of(vector).iter().map(|&value| value as f32).collect();
        let mut square = vec![0.0; gram.len()];
        let matrix = Matrix::new(&gram, images, images, images);
        let target = MatrixMut::new(&mut square, images, images, images);
        multiply(target, matrix, matrix, Write::Replace);
        Self {
            images,
            cubes: gram.iter().map(|&value| f64::from(value).powi(3)).sum(),
            triangles: dot(&square, &gram),
            gram,
        }
    }

    fn score(&self, other: &Self) -> f64 {
        dot(&self.gram, &other.gram)
    }

    /// How many relabellings of this layer's images reach each score. A relabelled Gram matrix is computed once for all
    /// others.
    fn count_reached(
        &self,
        others: &[Self],
        scores: &[f64],
        permutations: usize,
        is_abandoned: &(dyn Fn() -> bool + Sync),
    ) -> Vec<usize> {
        let n = self.images;
        let none = || vec![0; others.len()];
        let relabelled = |permutation: usize| {
            let mut generator = ChaCha8Rng::seed_from_u64(SEED);
            generator.set_stream(permutation as u64);
            let mut order: Vec<usize> = (0..n).collect();
            order.shuffle(&mut generator);
            let rows = order.iter().map(|&row| &self.gram[row * n..][..n]);
            rows.flat_map(|row| order.iter().map(|&column| row[column]))
                .collect::<Vec<f32>>()
        };
        (0..permutations)
            .into_par_iter()
            .take_any_while(|_| !is_abandoned())
            .fold(none, |mut reached, permutation| {
                let gram = relabelled(permutation);
                for ((reached, other), score) in reached.iter_mut().zip(others).zip(scores) {
                    *reached += usize::from(dot(&gram, &other.gram) >= score - TIE_TOLERANCE);
                }
                reached
            })
            .reduce(none, |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect())
    }
}

/// Variance and skewness of a score over all permutations; its mean is zero.
#[derive(Debug, Clone, Copy)]
struct Moments {
    variance: f64,
    skewness: f64,
}

impl Moments {
    /// Figures that need more images than there are do not occur: fewer than six images have no three disjoint pairs.
    fn of(a: &UnitGram, b: &UnitGram) -> Self {
        let n = a.images as f64;
        let variance = 2.0 / (n * (n - 3.0));
        // For each figure that three pairs can form: in how many ways, from how many images, and its sum over a Gram
        // matrix.
        type Figure = (f64, i32, fn(&UnitGram) -> f64);
        let figures: [Figure; 8] = [
            (4.0, 2, |x| x.cubes),
            (24.0, 3, |x| -x.cubes),
            (8.0, 3, |x| x.triangles),
            (6.0, 4, |x| 2.0 * x.cubes),
            (24.0, 4, |x| x.cubes - x.triangles),
            (8.0, 4, |x| 2.0 * x.cubes),
            (12.0, 5, |x| 2.0 * x.triangles - 4.0 * x.cubes),
            (1.0, 6, |x| 16.0 * x.cubes - 8.0 * x.triangles),
        ];
        let third: f64 = figures
            .iter()
            .filter(|(_, images, _)| *images <= a.images as i32)
            .map(|(ways, images, sum)| {
                let arrangements: f64 = (0..*images).map(|taken| n - f64::from(taken)).product();
                ways * sum(a) * sum(b) / arrangements
            })
            .sum();
        Self {
            variance,
            skewness: third / variance.powf(1.5),
        }
    }

    /// The probability of at least this score under the Pearson type III curve, a shifted gamma distribution.
    fn upper_tail(self, score: f64) -> f64 {
        let z = score / self.variance.sqrt();
        if self.skewness.abs() < MIN_SKEWNESS {
            return 0.5 * erfc(z / std::f64::consts::SQRT_2);
        }
        let shape = 4.0 / (self.skewness * self.skewness);
        // The distance from the start of the curve, or from its end if the skewness is negative, in units of its scale.
        let distance = shape + self.skewness.signum() * z * shape.sqrt();
        let is_right_skewed = self.skewness > 0.0;
        if distance > 0.0 {
            if is_right_skewed {
                gamma_ur(shape, distance)
            } else {
                gamma_lr(shape, distance)
            }
        } else if is_right_skewed {
            1.0
        } else {
            0.0
        }
    }
}

/// The inner product: short parts in single precision, added up in double precision.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const PART: usize = 64;
    let parts = a.chunks(PART).zip(b.chunks(PART));
    parts
        .map(|(a, b)| {
            let (a8, a_rest) = a.as_chunks::<8>();
            let (b8, b_rest) = b.as_chunks::<8>();
            let mut sums = [0.0_f32; 8];
            for (a, b) in a8.iter().zip(b8) {
                for lane in 0..8 {
                    sums[lane] += a[lane] * b[lane];
                }
            }
            let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
            f64::from(sums.iter().sum::<f32>() + rest)
        })
        .sum()
}

#[cfg(test)]
mod tests;
