//! The significance of a page of hits: all in one call, so that each relabelling is computed once, compared with one
//! call per hit.

use divan::Bencher;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use scv_compute::significance::significance;
use scv_domain::vector::LayerVector;

const IMAGES: usize = 100;
const HITS: usize = 10;
const PERMUTATIONS: usize = 1_000;

fn main() {
    divan::main();
}

/// Random vectors of about unit length: their content does not affect the time.
fn vectors(count: usize) -> Vec<LayerVector> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut numbers = |length: usize| -> Vec<f32> {
        let scale = ((IMAGES * (IMAGES - 1) / 2) as f32 / 3.0).sqrt().recip();
        (0..length)
            .map(|_| scale * random.random_range(-1.0..1.0_f32))
            .collect()
    };
    let one = |_| LayerVector {
        lead: numbers(IMAGES * (IMAGES - 3) / 2),
        tail: numbers(IMAGES),
    };
    (0..count).map(one).collect()
}

#[divan::bench]
fn ten_hits_in_one_call(bencher: Bencher) {
    let vectors = vectors(HITS + 1);
    let hits: Vec<_> = vectors[1..].iter().collect();
    bencher.bench(|| significance(&vectors[0], &hits, PERMUTATIONS, &|| false));
}

#[divan::bench]
fn ten_hits_in_ten_calls(bencher: Bencher) {
    let vectors = vectors(HITS + 1);
    bencher.bench(|| {
        let hits = vectors[1..].iter();
        hits.map(|hit| significance(&vectors[0], &[hit], PERMUTATIONS, &|| false))
            .collect::<Vec<_>>()
    });
}
