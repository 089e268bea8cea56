#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::Device;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

const LEAD: usize = 700;
const TAIL: usize = 20;

/// Vectors in the span of a few random ones, with a little noise.
fn vectors(count: usize, span: usize, noise: f32, seed: u64) -> Vec<LayerVector> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let axes: Vec<Vec<f32>> = (0..span)
        .map(|_| (0..LEAD + TAIL).map(|_| random.random_range(-1.0..1.0)).collect())
        .collect();
    let mut vectors = Vec::new();
    for _ in 0..count {
        let mut numbers: Vec<f32> = (0..LEAD + TAIL)
            .map(|_| noise * random.random_range(-1.0..1.0_f32))
            .collect();
        for axis in &axes {
            let weight = random.random_range(-1.0..1.0_f32);
            numbers
                .iter_mut()
                .zip(axis)
                .for_each(|(number, axis)| *number += weight * axis);
        }
        let numbers = unit(&[&numbers]);
        vectors.push(LayerVector {
            lead: numbers[..LEAD].to_vec(),
            tail: numbers[LEAD..].to_vec(),
        });
    }
    vectors
}

fn fit(sample: Vec<LayerVector>) -> SketchBasis {
    FitDirections { sample }
        .run(&DeviceContext::new(Device::Cpu), &Control::unwatched())
        .unwrap()
}

fn assert_orthonormal(directions: &[f32], length: usize) {
    let rows: Vec<&[f32]> = directions.chunks_exact(length).collect();
    for (i, a) in rows.iter().enumerate() {
        for (j, b) in rows.iter().enumerate() {
            let product: f64 = a.iter().zip(*b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            assert!(
                (product - f64::from(u8::from(i == j))).abs() < 1e-6,
                "{i} {j}: {product}"
            );
        }
    }
}

#[test]
fn directions_are_orthonormal_and_hold_what_the_vectors_share() {
    let sample = vectors(500, 10, 0.01, 1);
    let basis = fit(sample);
    assert_orthonormal(&basis.debiased.directions, LEAD);
    assert_orthonormal(&basis.cka.directions, LEAD + TAIL);
    for vector in vectors(500, 10, 0.01, 1).iter().take(50) {
        let sketch = basis.sketch(vector);
        for rest in [&sketch.debiased, &sketch.cka].map(|sketch| sketch.long[MAX_DIRECTIONS]) {
            assert!(rest < 0.1, "{rest}");
        }
    }
}

#[test]
fn there_are_no_more_directions_than_independent_vectors() {
    let one = vectors(1, 1, 0.0, 2).pop().unwrap();
    for sample in [vec![one.clone()], vec![one.clone(); 300]] {
        let basis = fit(sample);
        assert_eq!(basis.debiased.directions.len(), LEAD);
        assert!(basis.sketch(&one).debiased.long[MAX_DIRECTIONS] < 0.01);
    }
    assert_eq!(fit(Vec::new()), SketchBasis::empty());
}

#[test]
fn a_fit_to_the_same_vectors_gives_the_same_directions() {
    assert_eq!(fit(vectors(100, 5, 0.1, 3)), fit(vectors(100, 5, 0.1, 3)));
}

#[test]
fn rests_of_neighbours_are_alike_if_they_share_more_than_the_directions_hold() {
    // In groups that differ little, around more independent vectors than there are directions.
    let mut groups = Vec::new();
    for vector in vectors(400, 400, 0.0, 4) {
        groups.extend((0..=NEIGHBOURS).map(|member| {
            let mut near = vector.clone();
            near.lead[member] += 0.02;
            near
        }));
    }
    let (alike, unlike) = (fit(groups).debiased, fit(vectors(1_000, 1, 2.0, 5)).debiased);
    for (alike, unlike) in [
        (alike.short_rest_cosine, unlike.short_rest_cosine),
        (alike.long_rest_cosine, unlike.long_rest_cosine),
    ] {
        assert!(alike > 0.9 && unlike < 0.2, "{alike} {unlike}");
    }
}

#[test]
fn centres_stand_where_sketches_crowd_and_shares_add_up() {
    let basis = fit(vectors(300, 8, 0.01, 6)).debiased;
    let crowds = vectors(4, 8, 0.01, 6);
    let mut sketches = Vec::new();
    for copy in 0..100 {
        let mut vector = crowds[copy % 4].clone();
        vector.lead[copy] += 1e-3;
        sketches.extend(basis.sketch(&[&vector.lead]).short);
    }
    let fit = FitCentres {
        basis,
        sketches: sketches.clone(),
        centres: 4,
    };
    let fitted = fit
        .run(&DeviceContext::new(Device::Cpu), &Control::unwatched())
        .unwrap();
    assert_eq!(fitted.centres.len(), 4 * SHORT_LENGTH);
    assert!(
        (fitted.cell_shares.iter().sum::<f32>() - 1.0).abs() < 1e-5,
        "{:?}",
        fitted.cell_shares
    );
    let own: Vec<i32> = sketches
        .chunks_exact(SHORT_LENGTH)
        .map(|sketch| fitted.cell(sketch))
        .collect();
    let mut distinct = own.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "each crowd has a cell of its own: {own:?}");
}

#[test]
fn without_sketches_there_are_no_centres() {
    let basis = SketchBasis::empty().debiased;
    let fit = FitCentres {
        basis: basis.clone(),
        sketches: Vec::new(),
        centres: 10,
    };
    assert_eq!(
        fit.run(&DeviceContext::new(Device::Cpu), &Control::unwatched())
            .unwrap(),
        basis
    );
}
