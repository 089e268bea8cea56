//! How likely a debiased CKA is if it says nothing: if the probe images of one layer were relabelled at random.
//!
//! For U-centred Grams A and B the score is `Σ A(i,j) B(i,j)` over all pairs, divided by their lengths; relabelling puts
//! B(π(i), π(j)) in the place of B(i,j). Random permutations π count how often that gives as much. What they cannot
//! resolve comes from a Pearson type III curve with the mean, variance and skewness that the score has over **all** n!
//! permutations, as Kazi-Aoual et al. (1995) and Josse, Pagès and Husson (2008) do for the RV coefficient, which CKA is a
//! debiased form of.
//!
//! The moments are exact. The k-th is a sum over k pairs of images, grouped by which of them coincide; in each group a sum
//! over A meets the same sum over B, and since the rows of a U-centred Gram sum to zero and its diagonal is zero, all
//! these sums come down to three numbers: `Σ A(i,j)²`, `Σ A(i,j)³` and `tr A³`.

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

/// Draws the permutations: the same ones every time, so that an answer can be had again.
const SEED: u64 = 0x5eed;

/// Permutations that have to reach a score before their count is trusted to say how rare that is.
const RESOLVED: usize = 10;

/// Scores this near each other are equal: rounding of single precision.
const TIE: f64 = 1e-6;

/// Least skewness of a curve that is told from the normal one.
const MIN_SKEWNESS: f64 = 1e-3;

/// The significance of a target's score with each of several layers of the same probe set. Once `is_abandoned` says that nobody
/// waits for it any more, it ends soon, with numbers that mean nothing.
pub fn significance(
    target: &LayerVector,
    others: &[&LayerVector],
    permutations: usize,
    is_abandoned: &(dyn Fn() -> bool + Sync),
) -> Vec<Significance> {
    let target = Subject::of(target);
    let others: Vec<Subject> = others.par_iter().map(|vector| Subject::of(vector)).collect();
    let scores: Vec<f64> = others.iter().map(|other| target.score(other)).collect();
    let reached = target.count_reached(&others, &scores, permutations, is_abandoned);
    let each = others.iter().zip(scores).zip(reached);
    each.map(|((other, score), reached)| {
        let permutation_p_value = (1 + reached) as f64 / (1 + permutations) as f64;
        // One of all n! relabellings reaches the score for certain: that which changes nothing.
        let least = (-ln_gamma(target.images as f64 + 1.0)).exp().max(f64::MIN_POSITIVE);
        let moment_p_value = Moments::of(&target, other).upper_tail(score).max(least);
        Significance {
            p_value: match reached >= RESOLVED {
                true => permutation_p_value,
                false => moment_p_value,
            },
            permutation_p_value,
            moment_p_value,
            permutations,
        }
    })
    .collect()
}

/// A U-centred Gram of unit length with what the moments need of it.
struct Subject {
    images: usize,
    /// n x n.
    gram: Vec<f32>,
    /// `Σ A(i,j)³`
    cubes: f64,
    /// `tr A³`
    triangles: f64,
}

impl Subject {
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

    /// How many relabellings of this layer's images reach each score. The relabelled Gram is made once for all others.
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
                    *reached += usize::from(dot(&gram, &other.gram) >= score - TIE);
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
    /// Of fewer than six images, no three pairs are apart: figures that take more images than there are do not arise.
    fn of(a: &Subject, b: &Subject) -> Self {
        let n = a.images as f64;
        let variance = 2.0 / (n * (n - 3.0));
        // By the figure that three pairs make: in how many ways it arises, its images, and its sum over a Gram.
        type Figure = (f64, i32, fn(&Subject) -> f64);
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

    /// The probability of a score of at least this under the Pearson type III curve, a shifted gamma distribution.
    fn upper_tail(self, score: f64) -> f64 {
        let z = score / self.variance.sqrt();
        if self.skewness.abs() < MIN_SKEWNESS {
            return 0.5 * erfc(z / std::f64::consts::SQRT_2);
        }
        let shape = 4.0 / (self.skewness * self.skewness);
        // Where the curve begins, or ends if its skewness is negative, in units of its own scale.
        let place = shape + self.skewness.signum() * z * shape.sqrt();
        match (place > 0.0, self.skewness > 0.0) {
            (true, true) => gamma_ur(shape, place),
            (true, false) => gamma_lr(shape, place),
            (false, true) => 1.0,
            (false, false) => 0.0,
        }
    }
}

/// In parts that single precision holds, added up in double.
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
