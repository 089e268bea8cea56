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

fn bounds(target: &LayerVector, vector: &LayerVector, measure: Measure) -> Bounds {
    sought(target).bounds(&RoundedVector::new(&ScoredVector::new(vector.clone())), measure)
}

proptest! {
    #[test]
    fn scores_lie_between_the_bounds_of_rounded_vectors(
        one in numbers(), other in numbers(), weight in prop_oneof![Just(0.0_f32), Just(1e-3), Just(0.3), Just(1.0), Just(-1.0)],
    ) {
        if let (Some(a), Some(b)) = (vector(&one), vector(&mixed(&one, &other, weight))) {
            for measure in [Measure::DebiasedCka, Measure::Cka] {
                let (score, Bounds { lower, upper }) = (a.score(&b, measure), bounds(&a, &b, measure));
                prop_assert!((lower..=upper).contains(&score), "{measure:?}: {score} is not in {lower} to {upper}");
            }
        }
    }
}

#[test]
fn the_bounds_of_rounded_vectors_are_tight() {
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
            let Bounds { lower, upper } = bounds(&a, &b, measure);
            assert!(upper - lower < 0.02, "{measure:?}: {lower} to {upper}");
        }
    }
}

#[test]
fn what_rounding_takes_from_the_target_alone_is_within_the_bounds() {
    // Too small beside the others to be left in 16 bits, and the numbers of the other vector are all the same, so exact.
    let small = |index: usize| if index.is_multiple_of(500) { 1.0 } else { 1e-5 };
    let target = vector(&(0..LEAD + PROBES).map(small).collect::<Vec<_>>()).unwrap();
    let other = vector(&[1.0; LEAD + PROBES]).unwrap();
    for measure in [Measure::DebiasedCka, Measure::Cka] {
        let (score, Bounds { lower, upper }) = (target.score(&other, measure), bounds(&target, &other, measure));
        assert!(
            (lower..=upper).contains(&score),
            "{measure:?}: {score} is not in {lower} to {upper}"
        );
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
fn the_score_of_a_vector_without_a_leading_part_has_no_bounds_by_debiased_cka() {
    let empty = LayerVector {
        lead: vec![0.0; LEAD],
        tail: vec![(1.0 / PROBES as f32).sqrt(); PROBES],
    };
    let Bounds { lower, upper } = bounds(&empty, &empty, Measure::DebiasedCka);
    assert!(lower.is_nan() && upper.is_nan(), "{lower} to {upper}");
    let Bounds { lower, upper } = bounds(&empty, &empty, Measure::Cka);
    assert!(
        (0.98..=1.0).contains(&lower) && (1.0..1.02).contains(&upper),
        "{lower} to {upper}"
    );
}
