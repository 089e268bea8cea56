//! The cost of a layer vector in closed form, compared with the direct way: the n x n Gram matrix in
//! an orthonormal basis, rotated by the orthogonal factor of a QR decomposition so that the leading coordinates
//! come first. Run with `cargo bench --bench layer_vector`.

use std::sync::LazyLock;

use candle_core::{Device, Tensor};
use divan::{Bencher, black_box};
use scv_compute::gram::CentredGram;
use scv_compute::vector::layer_vector;
use scv_domain::sketch::{MAX_DIRECTIONS, MeasureBasis, SketchBasis};

const IMAGES: usize = 100;

fn main() {
    divan::main();
}

/// Pseudo-random numbers, the same in every run.
fn activations(images: usize, features: usize) -> Tensor {
    let values: Vec<f32> = (0..images * features)
        .map(|at| ((at as f64 * 12.9898).sin() * 43_758.5).fract() as f32)
        .collect();
    Tensor::from_vec(values, (images, features), &Device::Cpu).expect("the shape fits")
}

fn gram(images: usize) -> CentredGram {
    CentredGram::of(&activations(images, 512)).expect("there are enough images")
}

#[divan::bench(args = [100, 1_000])]
fn closed_form(bencher: Bencher<'_, '_>, images: usize) {
    let gram = gram(images);
    bencher.bench_local(|| layer_vector(black_box(&gram)));
}

/// The baseline, with its basis computed beforehand: two products with Q and one with the rotation.
#[divan::bench(sample_count = 20)]
fn rotated_by_qr(bencher: Bencher<'_, '_>) {
    static ROTATION: LazyLock<Rotation> = LazyLock::new(|| Rotation::new(IMAGES));
    let gram = gram(IMAGES);
    let unit = gram.unit().expect("the layer varies");
    let rotation = &*ROTATION;
    let lead = &rotation.vector(&unit)[..IMAGES * (IMAGES - 3) / 2];
    let lead_norm = lead.iter().map(|value| value * value).sum::<f64>().sqrt();
    let closed_form = layer_vector(&gram).expect("the layer varies");
    assert!(
        (lead_norm - closed_form.lead_norm()).abs() < 1e-6,
        "both ways must split the Gram matrix in the same way"
    );
    bencher.bench_local(|| rotation.vector(black_box(&unit)));
}

/// Computing the basis of the baseline: every start would pay for it, or it would take 196 MB on disk.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn basis_of_the_qr_rotation() -> Rotation {
    Rotation::new(IMAGES)
}

#[divan::bench(args = [512, 65_536, 802_816])]
fn gram_of_features(bencher: Bencher<'_, '_>, features: usize) {
    let activations = activations(IMAGES, features);
    bencher.bench_local(|| CentredGram::of(black_box(&activations)));
}

/// With all directions by either measure.
#[divan::bench(args = [100, 1_000])]
fn sketch_of_a_layer(bencher: Bencher<'_, '_>, images: usize) {
    let vector = layer_vector(&gram(images)).expect("the layer varies");
    let basis = |length: usize| MeasureBasis {
        directions: vec![(length as f32).sqrt().recip(); length * MAX_DIRECTIONS],
        ..SketchBasis::empty().cka
    };
    let basis = SketchBasis {
        debiased: basis(vector.lead.len()),
        cka: basis(vector.lead.len() + vector.tail.len()),
    };
    bencher.bench_local(|| basis.sketch(black_box(&vector)));
}

/// The basis by its definition, as explicit matrices.
struct Rotation {
    images: usize,
    /// n - 1 orthonormal rows orthogonal to the ones vector (Helmert).
    rows: Vec<f64>,
    /// Reflectors of the QR decomposition of the coordinates of the n diagonals.
    reflectors: Vec<Vec<f64>>,
    /// The rotation as one matrix, dim x dim.
    matrix: Vec<f64>,
}

impl Rotation {
    fn new(images: usize) -> Self {
        let rows = helmert(images);
        let mut rotation = Self {
            images,
            rows,
            reflectors: Vec::new(),
            matrix: Vec::new(),
        };
        for image in 0..images {
            let mut diagonal = vec![0.0; images * images];
            for i in 0..images {
                for j in 0..images {
                    let entry = |at: usize| f64::from(at == image) - 1.0 / images as f64;
                    diagonal[i * images + j] = entry(i) * entry(j);
                }
            }
            let mut reflector = rotation.coordinates(&diagonal);
            rotation.reflect(&mut reflector);
            reflector[..image].fill(0.0);
            let length = reflector.iter().map(|value| value * value).sum::<f64>().sqrt();
            reflector[image] += length.copysign(reflector[image]);
            let length = reflector.iter().map(|value| value * value).sum::<f64>().sqrt();
            reflector.iter_mut().for_each(|value| *value /= length);
            rotation.reflectors.push(reflector);
        }
        let size = images * (images - 1) / 2;
        let mut matrix = vec![0.0; size * size];
        for (at, row) in matrix.chunks_mut(size).enumerate() {
            row[at] = 1.0;
            rotation.reflect(row);
        }
        // Each row is the product of the reflectors applied to a unit vector.
        rotation.matrix = matrix;
        rotation
    }

    fn vector(&self, gram: &[f64]) -> Vec<f64> {
        let coordinates = self.coordinates(gram);
        let mut vector = vec![0.0; coordinates.len()];
        for (value, row) in coordinates.iter().zip(self.matrix.chunks(coordinates.len())) {
            for (sum, entry) in vector.iter_mut().zip(row) {
                *sum += value * entry;
            }
        }
        vector.rotate_left(self.images);
        vector
    }

    fn reflect(&self, vector: &mut [f64]) {
        for reflector in &self.reflectors {
            let along: f64 = reflector.iter().zip(vector.iter()).map(|(a, b)| a * b).sum();
            vector
                .iter_mut()
                .zip(reflector)
                .for_each(|(value, part)| *value -= 2.0 * along * part);
        }
    }

    /// The upper triangle of `Q K Qᵀ`, with the numbers off the diagonal times √2.
    fn coordinates(&self, gram: &[f64]) -> Vec<f64> {
        let n = self.images;
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut coordinates = Vec::with_capacity(n * (n - 1) / 2);
        for (i, row) in self.rows.chunks(n).enumerate() {
            let transformed: Vec<f64> = gram.chunks(n).map(|gram_row| product(gram_row, row)).collect();
            for (j, other) in self.rows.chunks(n).enumerate().skip(i) {
                coordinates.push(product(&transformed, other) * if i == j { 1.0 } else { 2.0_f64.sqrt() });
            }
        }
        coordinates
    }
}

fn helmert(n: usize) -> Vec<f64> {
    let mut rows = vec![0.0; (n - 1) * n];
    for (row, k) in rows.chunks_mut(n).zip(1..) {
        let length = ((k * (k + 1)) as f64).sqrt();
        row[..k].fill(1.0 / length);
        row[k] = -(k as f64) / length;
    }
    rows
}
