//! The definitions of both measures in f64, which the tests compare the closed form with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::layer_vector;
use crate::gram::CentredGram;
use scv_domain::vector::LayerVector;

/// Activations of one layer, one image per row.
#[derive(Debug, Clone)]
pub(crate) struct Activations {
    pub(crate) images: usize,
    pub(crate) features: usize,
    pub(crate) values: Vec<f64>,
}

impl Activations {
    /// Independent standard normal numbers.
    pub(crate) fn noise(images: usize, features: usize, seed: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let values = StandardNormal
            .sample_iter(&mut generator)
            .take(images * features)
            .collect();
        Self {
            images,
            features,
            values,
        }
    }

    /// Activations as those of a rectified network: `hidden` sources that the images share, projected on
    /// `features` random directions.
    pub(crate) fn rectified(images: usize, hidden: usize, features: usize, seed: u64) -> Self {
        let sources = Self::noise(images, hidden, seed);
        let weights = Self::noise(hidden, features, seed + 1);
        sources.times(&weights).map(|value| value.max(0.0))
    }

    /// Their layer vector.
    pub(crate) fn vector(&self) -> LayerVector {
        layer_vector(&CentredGram::of(&self.tensor()).unwrap()).unwrap()
    }

    pub(crate) fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        for value in &mut self.values {
            *value = change(*value);
        }
        self
    }

    /// The matrix product.
    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut values = vec![0.0; self.images * other.features];
        for (row, out) in self.values.chunks(self.features).zip(values.chunks_mut(other.features)) {
            for (factor, other_row) in row.iter().zip(other.values.chunks(other.features)) {
                for (sum, value) in out.iter_mut().zip(other_row) {
                    *sum += factor * value;
                }
            }
        }
        Self {
            images: self.images,
            features: other.features,
            values,
        }
    }

    /// Rotates the features by a random reflection (Householder), which is orthogonal.
    pub(crate) fn reflected(&self, seed: u64) -> Self {
        let normal = Self::noise(self.features, 1, seed);
        let length: f64 = normal.values.iter().map(|value| value * value).sum();
        let along = self.times(&normal);
        let mut values = self.values.clone();
        for (row, along) in values.chunks_mut(self.features).zip(&along.values) {
            for (value, normal) in row.iter_mut().zip(&normal.values) {
                *value -= 2.0 * along * normal / length;
            }
        }
        Self { values, ..self.clone() }
    }

    /// In single precision, like the activations of a network.
    pub(crate) fn tensor(&self) -> Tensor {
        let values: Vec<f32> = self.values.iter().map(|&value| value as f32).collect();
        Tensor::from_vec(values, (self.images, self.features), &Device::Cpu).expect("the shape fits")
    }

    /// `H X Xᵀ H`, the columns centred first.
    pub(crate) fn centred_gram(&self) -> Vec<f64> {
        let n = self.images;
        let mut centred = self.values.clone();
        for column in 0..self.features {
            let mean = (0..n).map(|row| centred[row * self.features + column]).sum::<f64>() / n as f64;
            for row in 0..n {
                centred[row * self.features + column] -= mean;
            }
        }
        let row = |i: usize| &centred[i * self.features..(i + 1) * self.features];
        (0..n * n).map(|at| product(row(at / n), row(at % n))).collect()
    }
}

/// Linear CKA of two centred Grams.
pub(crate) fn cka(a: &[f64], b: &[f64]) -> f64 {
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// Debiased CKA of two centred Grams.
pub(crate) fn debiased_cka(a: &[f64], b: &[f64]) -> f64 {
    cka(&u_centred(a), &u_centred(b))
}

/// U-centring as defined in the literature: the diagonal is set to zero first.
pub(crate) fn u_centred(gram: &[f64]) -> Vec<f64> {
    let n = gram.len().isqrt();
    let mut hollow = gram.to_vec();
    hollow.iter_mut().step_by(n + 1).for_each(|value| *value = 0.0);
    let sums: Vec<f64> = hollow.chunks(n).map(|row| row.iter().sum()).collect();
    let total: f64 = sums.iter().sum();
    let size = n as f64;
    for i in 0..n {
        for j in 0..n {
            hollow[i * n + j] += total / ((size - 1.0) * (size - 2.0)) - (sums[i] + sums[j]) / (size - 2.0);
        }
        hollow[i * n + i] = 0.0;
    }
    hollow
}

pub(crate) fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
