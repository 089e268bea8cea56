use half::f16;
use proptest::prelude::*;

use super::*;

const LENGTH: usize = 120;

const COSINES: RestCosines = RestCosines { short: 0.5, long: 0.5 };

/// Orthonormal rows: the first coordinates, mixed by reflections.
fn orthonormal(count: usize, reflections: &[Vec<f32>]) -> Vec<f32> {
    let mut rows: Vec<Vec<f64>> = (0..count)
        .map(|row| (0..LENGTH).map(|column| f64::from(u8::from(row == column))).collect())
        .collect();
    for reflection in reflections {
        let squares: f64 = reflection.iter().map(|&x| f64::from(x).powi(2)).sum();
        for row in rows.iter_mut().filter(|_| squares > 0.0) {
            let product: f64 = row.iter().zip(reflection).map(|(a, &b)| a * f64::from(b)).sum();
            for (x, &b) in row.iter_mut().zip(reflection) {
                *x -= 2.0 * product / squares * f64::from(b);
            }
        }
    }
    rows.concat().into_iter().map(|x| x as f32).collect()
}

fn score(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// The inner product of two sketches as PostgreSQL computes it: from half precision, in single precision.
fn stored_product(a: &[f32], b: &[f32]) -> f64 {
    let rounded = |x: f32| f16::from_f32(x).to_f32();
    f64::from(a.iter().zip(b).map(|(&a, &b)| rounded(a) * rounded(b)).sum::<f32>())
}

fn vector() -> impl Strategy<Value = Vec<f32>> {
    // Long, short and absent coordinates together, so that rounding has the most to lose.
    let coordinate = prop_oneof![Just(0.0_f32), -1.0..1.0_f32, -1e-4..1e-4_f32, Just(1.0_f32)];
    proptest::collection::vec(coordinate, LENGTH).prop_filter("not zero", |v| v.iter().any(|x| *x != 0.0))
}

/// A vector, and one that is nearly the same, the opposite or another one.
fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (
        vector(),
        vector(),
        prop_oneof![Just(0.0_f32), Just(1e-3), Just(0.1), Just(-1.0), Just(1e3)],
    )
        .prop_map(|(a, other, weight)| {
            let mixed: Vec<f32> = a
                .iter()
                .zip(&other)
                .map(|(a, b)| a * (1.0 - weight.min(1.0)) + b * weight)
                .collect();
            let is_zero = mixed.iter().all(|x| *x == 0.0);
            (a, if is_zero { other } else { mixed })
        })
}

fn basis(directions: Vec<f32>, centres: Vec<f32>, rest_cosine: f32) -> MeasureBasis {
    let cell_shares = vec![0.0; centres.len() / SHORT_LENGTH * RINGS];
    MeasureBasis {
        directions,
        centres,
        cell_shares,
        short_rest_cosine: rest_cosine,
        long_rest_cosine: rest_cosine,
    }
}

/// The estimates and bounds of narrow sketches.
fn narrow(
    columns: &SketchColumns,
    first_block: usize,
    wanted: &[[bool; LANES]],
    target: &FixedSketch,
) -> (Vec<f32>, Vec<f32>) {
    let mut estimates = Vec::new();
    let bounds = columns.narrow_bounds(first_block, wanted, target, COSINES, |block| estimates.extend(block));
    (estimates, bounds.concat())
}

proptest! {
    #[test]
    fn no_score_exceeds_the_bound_of_two_stored_sketches(
        (a, b) in pair(), count in 0..=LENGTH, reflections in proptest::collection::vec(vector(), 0..3),
    ) {
        let basis = basis(orthonormal(count, &reflections), Vec::new(), 1.0);
        let [of_a, of_b] = [&a, &b].map(|x| basis.sketch(&[x]));
        for (of_a, of_b) in [(of_a.short, of_b.short), (of_a.long, of_b.long)] {
            let bound = stored_product(&of_a, &of_b) + BOUND_SLACK;
            prop_assert!(score(&a, &b) <= bound, "{} > {bound}", score(&a, &b));
        }
    }

    #[test]
    fn no_score_exceeds_the_bound_of_the_cell_that_a_layer_lies_in(
        (a, b) in pair(), count in 0..=LENGTH, reflections in proptest::collection::vec(vector(), 0..3),
        around in proptest::collection::vec(vector(), 1..6), rest_cosine in 0.0..1.0_f32,
    ) {
        let directions = orthonormal(count, &reflections);
        let without_cells = basis(directions.clone(), Vec::new(), rest_cosine);
        // A centre may be the target itself.
        let centres = around.iter().chain([&a]).flat_map(|x| without_cells.sketch(&[x]).short);
        let basis = basis(directions, centres.collect(), rest_cosine);
        let cell = basis.sketch(&[&b]).cell;
        let target: Vec<f32> = basis.sketch(&[&a]).short.iter().map(|&x| f16::from_f32(x).to_f32()).collect();
        let reaching = basis.reaching_cells(&basis.surroundings(&target), score(&a, &b));
        let bound = reaching.iter().find(|reaching| reaching.cell == cell).map(|reaching| reaching.bound);
        prop_assert!(bound.is_some_and(|bound| score(&a, &b).min(1.0) <= bound), "{cell}: {bound:?}");
    }

    #[test]
    fn the_score_is_never_beyond_the_bounds_of_stored_sketches_in_fixed_point(
        (a, b) in pair(), count in 0..=LENGTH, reflections in proptest::collection::vec(vector(), 0..3),
    ) {
        let basis = basis(orthonormal(count, &reflections), Vec::new(), 0.5);
        let [of_a, of_b] = [&a, &b].map(|vector| {
            let stored = |numbers: &[f32]| numbers.iter().map(|x| f16::from_f32(*x).to_f32()).collect::<Vec<_>>();
            let sketch = basis.sketch(&[vector.as_slice()]);
            FixedSketch::new(&stored(&sketch.short), &stored(&sketch.long))
        });
        let mut columns = SketchColumns::default();
        columns.push(&of_b);
        let (estimates, bounds) = narrow(&columns, 0, &[[true; LANES]], &of_a);
        let (narrow_estimate, narrow_bound) = (estimates[0], bounds[0]);
        let (_, long) = columns.reaching(0..1, &of_a, COSINES, -2.0)[0];
        prop_assert!(score(&a, &b) <= f64::from(narrow_bound), "{} > {narrow_bound}", score(&a, &b));
        let all = f64::from(long.lower)..=f64::from(long.upper);
        prop_assert!(all.contains(&score(&a, &b)), "{} is not in {long:?}", score(&a, &b));
        prop_assert!(narrow_estimate <= narrow_bound);
        prop_assert_eq!(columns.reaching(0..1, &of_a, COSINES, long.upper.into()), [(0, long)]);
        prop_assert_eq!(columns.reaching(0..1, &of_a, COSINES, f64::from(long.upper) + 1e-6), []);
    }
}

#[test]
fn narrow_sketches_are_compared_in_every_slot_that_is_wanted() {
    let basis = basis(orthonormal(LENGTH, &[]), Vec::new(), 0.5);
    let sketches: Vec<FixedSketch> = (0..50)
        .map(|seed| {
            let vector: Vec<f32> = (0..LENGTH)
                .map(|index| ((index * seed + seed) as f32).sin() + 0.1)
                .collect();
            let sketch = basis.sketch(&[&vector]);
            FixedSketch::new(&sketch.short, &sketch.long)
        })
        .collect();
    let alone = |sketch: &FixedSketch, target: &FixedSketch| {
        let mut columns = SketchColumns::default();
        columns.push(sketch);
        let (estimates, bounds) = narrow(&columns, 0, &[[true; LANES]], target);
        (estimates[0], bounds[0])
    };
    let mut columns = SketchColumns::default();
    sketches.iter().rev().for_each(|sketch| columns.push(sketch));
    sketches
        .iter()
        .enumerate()
        .for_each(|(slot, sketch)| columns.set(slot, sketch));
    // From the second block on. One is wanted in part, one not at all, and the last one is not full.
    let is_wanted =
        |slot: usize| (slot < 2 * LANES && slot.is_multiple_of(3)) || (3 * LANES..sketches.len()).contains(&slot);
    let wanted: Vec<[bool; LANES]> = (1..4)
        .map(|block| std::array::from_fn(|lane| is_wanted(block * LANES + lane)))
        .collect();
    let (estimates, bounds) = narrow(&columns, 1, &wanted, &sketches[7]);
    assert_eq!((estimates.len(), bounds.len()), (3 * LANES, 3 * LANES));
    for ((slot, estimate), bound) in (LANES..).zip(estimates).zip(bounds) {
        match is_wanted(slot) {
            true => assert_eq!((estimate, bound), alone(&sketches[slot], &sketches[7]), "{slot}"),
            false => assert!(estimate.is_nan() && bound.is_nan(), "{slot}"),
        }
    }
    assert_eq!(columns.get(20), sketches[20]);
}

#[test]
fn sketches_are_compared_across_the_chunks_that_they_lie_in() {
    let basis = basis(orthonormal(LENGTH, &[]), Vec::new(), 0.5);
    let sketch = |seed: usize| {
        let vector: Vec<f32> = (0..LENGTH)
            .map(|index| ((index * seed + seed) as f32).sin() + 0.1)
            .collect();
        let sketch = basis.sketch(&[&vector]);
        FixedSketch::new(&sketch.short, &sketch.long)
    };
    // More than two chunks, in which every hundredth slot has a sketch of its own.
    let (mut columns, usual) = (SketchColumns::default(), sketch(1));
    (0..10_000).for_each(|_| columns.push(&usual));
    let special = (0..10_000).step_by(100).map(|slot| (slot, sketch(slot + 2)));
    let special: Vec<(usize, FixedSketch)> = special.collect();
    special.iter().for_each(|(slot, sketch)| columns.set(*slot, sketch));
    let target = sketch(7);
    let alone = |sketch: &FixedSketch| {
        let mut columns = SketchColumns::default();
        columns.push(sketch);
        let (estimates, bounds) = narrow(&columns, 0, &[[true; LANES]], &target);
        (
            estimates[0],
            bounds[0],
            columns.reaching(0..1, &target, COSINES, -2.0)[0].1,
        )
    };
    let first = 20 * LANES;
    let (estimates, bounds) = narrow(&columns, 20, &vec![[true; LANES]; 10_000 / LANES - 20], &target);
    assert_eq!((estimates.len(), bounds.len()), (10_000 - first, 10_000 - first));
    let reaching = columns.reaching(first..10_000, &target, COSINES, -2.0);
    for (slot, sketch) in special.iter().filter(|(slot, _)| *slot >= first) {
        let found = (estimates[slot - first], bounds[slot - first], reaching[slot - first].1);
        assert_eq!(found, alone(sketch), "{slot}");
        assert_eq!(columns.get(*slot), *sketch);
    }
}

#[test]
fn a_sketch_is_a_unit_vector_of_the_coordinates_and_the_length_of_the_rest() {
    let basis = basis(orthonormal(2, &[]), Vec::new(), 1.0);
    let mut vector = vec![0.0; LENGTH];
    (vector[0], vector[1], vector[7]) = (2.0, 4.0, 4.0);
    let sketch = basis.sketch(&[&vector[..50], &vector[50..]]);
    let close = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-5;
    for (numbers, directions) in [(&sketch.short, SHORT_DIRECTIONS), (&sketch.long, MAX_DIRECTIONS)] {
        assert!(close(numbers[0], 1.0 / 3.0) && close(numbers[1], 2.0 / 3.0));
        assert!(close(numbers[directions], 2.0 / 3.0), "{numbers:?}");
        assert!(numbers[2..directions].iter().all(|x| *x == 0.0));
        assert_eq!(numbers.len(), directions + 1);
    }
}

#[test]
fn the_rest_of_a_short_sketch_has_what_the_long_one_knows_beyond() {
    let basis = basis(orthonormal(SHORT_DIRECTIONS + 8, &[]), Vec::new(), 1.0);
    let mut vector = vec![0.0; LENGTH];
    (vector[0], vector[SHORT_DIRECTIONS + 3], vector[SHORT_DIRECTIONS + 20]) = (1.0, 2.0, 2.0);
    let sketch = basis.sketch(&[&vector]);
    let close = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-5;
    assert!(
        close(sketch.short[SHORT_DIRECTIONS], (8.0_f64 / 9.0).sqrt()),
        "{:?}",
        sketch.short
    );
    assert!(close(sketch.long[SHORT_DIRECTIONS + 3], 2.0 / 3.0));
    assert!(close(sketch.long[MAX_DIRECTIONS], 2.0 / 3.0), "{:?}", sketch.long);
}

#[test]
fn many_vectors_get_the_sketches_that_each_gets_alone() {
    let directions = orthonormal(50, &[(0..LENGTH).map(|x| x as f32 - 7.0).collect()]);
    let basis = SketchBasis {
        debiased: basis(directions.clone(), Vec::new(), 1.0),
        cka: basis(orthonormal(20, &[]), Vec::new(), 1.0),
    };
    let vectors: Vec<_> = (1..6)
        .map(|number| LayerVector {
            lead: (0..LENGTH).map(|x| (x * number % 11) as f32 - 5.0).collect(),
            tail: Vec::new(),
        })
        .collect();
    let alone: Vec<_> = vectors.iter().map(|vector| basis.sketch(vector)).collect();
    assert_eq!(basis.sketches(&vectors.iter().collect::<Vec<_>>()), alone);
    assert_eq!(basis.sketches(&[]), []);
}

#[test]
fn the_basis_without_directions_knows_nothing_and_excludes_nothing() {
    let empty = SketchBasis::empty();
    let vector = LayerVector {
        lead: vec![0.6, 0.0],
        tail: vec![0.8],
    };
    let sketch = empty.sketch(&vector);
    assert_eq!((sketch.debiased.cell, sketch.cka.cell), (0, 0));
    assert!((sketch.cka.long[MAX_DIRECTIONS] - 1.0).abs() < 1e-5);
    assert!(!empty.cka.has_cells() && empty.cka.surroundings(&sketch.cka.short).is_empty());
}

#[test]
fn the_nearest_cells_come_first_and_each_is_listed_once() {
    let without_cells = basis(orthonormal(3, &[]), Vec::new(), 0.5);
    let axes: Vec<Vec<f32>> = (0..3)
        .map(|axis| (0..LENGTH).map(|x| f32::from(u8::from(x == axis))).collect())
        .collect();
    let centres: Vec<f32> = axes
        .iter()
        .flat_map(|axis| without_cells.sketch(&[axis]).short)
        .collect();
    let mut basis = basis(without_cells.directions, centres, 0.5);
    (basis.cell_shares[0], basis.cell_shares[8]) = (0.4, 0.6);
    let mut target = vec![0.0; LENGTH];
    (target[0], target[1]) = (0.3, 1.0);
    let surroundings = basis.surroundings(&basis.sketch(&[&target]).short);
    let mut cells = basis.nearest_cells(&surroundings, 1.5);
    assert!(
        cells[..RINGS].iter().all(|cell| (8..16).contains(cell)),
        "around the second axis: {cells:?}"
    );
    assert_eq!(basis.nearest_cells(&surroundings, 0.5), cells[..RINGS]);
    cells.sort_unstable();
    assert_eq!(cells, (0..24).collect::<Vec<_>>());
    let reaching = basis.reaching_cells(&surroundings, -1.0);
    assert_eq!(reaching.len(), 24, "every cell can hold some layer");
    assert!(basis.reaching_cells(&surroundings, 0.9).len() < 24);
}
