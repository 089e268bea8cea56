//! Compares the exact moments with all permutations, and checks the probabilities.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::vector::reference::Activations;

fn noise(images: usize, features: usize, seed: u64) -> LayerVector {
    Activations::noise(images, features, seed).vector()
}

/// Two layers of noise that share some of their features.
fn pair(images: usize, shared: usize, own: usize, seed: u64) -> [LayerVector; 2] {
    let common = Activations::noise(images, shared, seed).values;
    [1, 2].map(|side| {
        let mut activations = Activations::noise(images, shared + own, 1_000 * seed + side);
        for (row, common) in activations.values.chunks_mut(shared + own).zip(common.chunks(shared)) {
            row[..shared].copy_from_slice(common);
        }
        activations.vector()
    })
}

/// Calls `visit` with every order of `items` (Heap's algorithm).
fn permutations(items: &mut Vec<usize>, length: usize, visit: &mut dyn FnMut(&[usize])) {
    if length <= 1 {
        return visit(items);
    }
    for index in 0..length {
        permutations(items, length - 1, visit);
        let other = if length.is_multiple_of(2) { index } else { 0 };
        items.swap(other, length - 1);
    }
}

#[test]
fn the_moments_are_those_over_all_permutations() {
    for (images, seed) in [(4, 1), (5, 2), (6, 3), (7, 4), (7, 5)] {
        let [a, b] = pair(images, 1, 3, seed).map(|vector| UnitGram::of(&vector));
        let (mut sums, mut count) = ([0.0; 3], 0.0);
        permutations(&mut (0..images).collect(), images, &mut |order| {
            let relabelled = |i: usize, j: usize| f64::from(b.gram[order[i] * images + order[j]]);
            let score: f64 = (0..images * images)
                .map(|at| f64::from(a.gram[at]) * relabelled(at / images, at % images))
                .sum();
            (1..=3).for_each(|power| sums[power as usize - 1] += score.powi(power));
            count += 1.0;
        });
        let [mean, variance, third] = sums.map(|sum| sum / count);
        let moments = Moments::of(&a, &b);
        assert!(mean.abs() < 1e-6, "{images} images: mean {mean}");
        assert!(
            (moments.variance - variance).abs() < 1e-6,
            "{images} images: {moments:?}, variance {variance}"
        );
        let skewness = third / variance.powf(1.5);
        assert!(
            (moments.skewness - skewness).abs() < 1e-4,
            "{images} images: {moments:?}, skewness {skewness}"
        );
    }
}

#[test]
fn probabilities_of_independent_layers_are_uniform() {
    let count = 400;
    let mut found: Vec<[f64; 3]> = (0..count)
        .map(|seed| {
            let (a, b) = (noise(24, 6, 2 * seed), noise(24, 9, 2 * seed + 1));
            let significance = significance(&a, &[&b], 199, &|| false).remove(0);
            [
                significance.permutation_p_value,
                significance.moment_p_value,
                significance.p_value,
            ]
        })
        .collect();
    for which in 0..3 {
        found.sort_by(|a, b| a[which].total_cmp(&b[which]));
        // The largest distance from the uniform distribution: Kolmogorov's bound at a level of 0.001.
        let distance = found
            .iter()
            .enumerate()
            .map(|(rank, p)| (p[which] - (rank as f64 + 0.5) / count as f64).abs());
        let largest = distance.fold(0.0, f64::max);
        assert!(largest < 1.95 / (count as f64).sqrt(), "p-value {which}: {largest}");
    }
}

#[test]
fn the_curve_agrees_with_permutations_where_both_are_accurate() {
    let permutations = 20_000;
    let mut compared = 0;
    for seed in 1..40 {
        let [a, b] = pair(30, 1, 9, seed);
        let found = significance(&a, &[&b], permutations, &|| false).remove(0);
        let p = found.permutation_p_value;
        if !(0.002..0.9).contains(&p) {
            continue;
        }
        let sampling = (p * (1.0 - p) / permutations as f64).sqrt();
        let difference = (found.moment_p_value - p).abs();
        assert!(difference < 4.0 * sampling + 0.1 * p, "{found:?}");
        compared += 1;
    }
    assert!(compared > 10, "only {compared} pairs were in reach");
}

#[test]
fn a_p_value_that_the_permutations_cannot_resolve_comes_from_the_curve_and_is_never_zero() {
    let layer = noise(60, 200, 1);
    let found = significance(&layer, &[&layer], 999, &|| false).remove(0);
    assert_eq!(found.permutation_p_value, 1.0 / 1000.0);
    assert!(found.p_value > 0.0 && found.p_value < 1e-20, "{found:?}");
}

#[test]
fn results_are_reproducible_and_do_not_depend_on_the_other_layers() {
    let layers = [noise(40, 9, 1), noise(40, 9, 2), noise(40, 9, 3)];
    let all: Vec<&LayerVector> = layers.iter().collect();
    let all_results = significance(&layers[0], &all, 500, &|| false);
    for (layer, found) in layers.iter().zip(&all_results) {
        assert_eq!(significance(&layers[0], &[layer], 500, &|| false), [*found]);
    }
}

#[test]
fn an_abandoned_computation_ends_soon() {
    let (a, b) = (noise(10, 5, 1), noise(10, 5, 2));
    let calls = AtomicUsize::new(0);
    let is_abandoned = || calls.fetch_add(1, Ordering::Relaxed) >= 10;
    significance(&a, &[&b], 1_000_000_000, &is_abandoned);
    assert!(calls.into_inner() >= 10);
}
