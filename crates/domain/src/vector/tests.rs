#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

/// Probe images of the vectors, and the lengths of their two parts. The first part is longer than a block of multiples.
const PROBES: usize = 40;
const LEAD: usize = PROBES * (PROBES - 3) / 2;

/// Numbers of very different sizes, of which some are absent, so that rounding has the most to lose.
fn numbers() -> impl Strategy<Value = Vec<f32>> {
    let number = prop_oneof![
        Just(0.0_f32),
        -1.0..1.0_f32,
        -1e-3..1e-3_f32,
        Just(1.0_f32),
        Just(1e-30_f32),
        Just(-50.0_f32),
    ];
    proptest::collection::vec(number, LEAD + PROBES)
}

fn vector(numbers: &[f32]) -> Option<LayerVector> {
    let norm = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let unit: Vec<f32> = numbers.iter().map(|x| (f64::from(*x) / norm) as f32).collect();
    let (lead, tail) = unit.split_at(LEAD);
    let vector = LayerVector {
        lead: lead.into(),
        tail: tail.into(),
    };
    (norm > 1e-3 && vector.lead_norm() > 0.0).then_some(vector)
}

/// A vector that is as far from another one as a weight says.
fn mixed(one: &[f32], other: &[f32], weight: f32) -> Vec<f32> {
    one.iter()
        .zip(other)
        .map(|(a, b)| a * (1.0 - weight) + b * weight)
        .collect()
}

fn sought(vector: &LayerVector) -> TargetVector {
    TargetVector::new(Arc::new(ScoredVector::new(vector.clone())))
}

proptest! {
    #[test]
    fn no_score_exceeds_the_bound_of_rounded_vectors(
        one in numbers(), other in numbers(), weight in prop_oneof![Just(0.0_f32), Just(1e-3), Just(0.3), Just(1.0), Just(-1.0)],
    ) {
        if let (Some(a), Some(b)) = (vector(&one), vector(&mixed(&one, &other, weight))) {
            let (target, scored) = (sought(&a), ScoredVector::new(b.clone()));
            for measure in [Measure::DebiasedCka, Measure::Cka] {
                let (score, bound) = (a.score(&b, measure), target.bound(&scored, measure));
                prop_assert!(score <= bound, "{measure:?}: {score} > {bound}");
            }
        }
    }
}

#[test]
fn the_bound_of_rounded_vectors_is_tight() {
    // The same share of every number: nothing is small beside the greatest of its block.
    let noise = |seed: u64| -> Vec<f32> {
        let mut state = seed;
        let numbers = (0..LEAD + PROBES).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        });
        numbers.collect()
    };
    for seed in 1..50 {
        let (a, b) = (vector(&noise(seed)).unwrap(), vector(&noise(seed + 100)).unwrap());
        for measure in [Measure::DebiasedCka, Measure::Cka] {
            let excess = sought(&a).bound(&ScoredVector::new(b.clone()), measure) - a.score(&b, measure);
            assert!((0.0..0.01).contains(&excess), "{measure:?}: {excess}");
        }
    }
}

#[test]
fn a_target_scores_as_its_vector_does() {
    let [a, b] = [0.3_f32, 0.7].map(|step| {
        let numbers: Vec<f32> = (0..LEAD + PROBES).map(|index| (index as f32 * step).sin()).collect();
        vector(&numbers).unwrap()
    });
    assert_eq!(sought(&a).scores(&ScoredVector::new(b.clone())), a.cka_scores(&b));
}

#[test]
fn of_a_vector_without_a_leading_part_nothing_is_ruled_out() {
    let empty = LayerVector {
        lead: vec![0.0; LEAD],
        tail: vec![(1.0 / PROBES as f32).sqrt(); PROBES],
    };
    let bound = sought(&empty).bound(&ScoredVector::new(empty.clone()), Measure::DebiasedCka);
    assert!(bound.is_nan());
    let bound = sought(&empty).bound(&ScoredVector::new(empty), Measure::Cka);
    assert!((1.0..1.01).contains(&bound), "{bound}");
}
