use std::sync::Arc;

use pgvector::HalfVector;
use uuid::Uuid;

use super::scan::{Reached, Scan, Target, take_most_promising};
use super::table::{StoredLayer, Table};
use crate::search::{Candidate, SearchScope};
use scv_domain::id::{AccountId, DatasetId, ModelId, VersionId};
use scv_domain::sketch::{FixedSketch, LONG_LENGTH, RestCosines, SHORT_LENGTH};
use scv_domain::vector::{LayerVector, Measure, RoundedVector, ScoredVector, TargetVector};

/// Probe images, and the length of the leading part of a vector.
const PROBES: usize = 40;
const LEAD: usize = PROBES * (PROBES - 3) / 2;

const REST_COSINES: RestCosines = RestCosines { short: 0.5, long: 0.5 };

/// A long sketch of unit length with given coordinates, and the short one that belongs to it.
fn sketches(coordinates: impl Fn(usize) -> f32) -> (Vec<f32>, Vec<f32>) {
    let mut long: Vec<f32> = (0..LONG_LENGTH).map(coordinates).collect();
    let length = long.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    long.iter_mut().for_each(|x| *x /= length);
    let (leading, other) = long.split_at(SHORT_LENGTH - 1);
    let rest = other.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    let short = [leading, &[rest]].concat();
    (short, long)
}

/// Numbers from -1 to 1 that look random.
fn noise(seed: u64, index: usize) -> f32 {
    let mut state = (seed << 32 ^ index as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((state ^ (state >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn layer(layer_id: i64, coordinates: impl Fn(usize) -> f32) -> StoredLayer {
    let (short, long) = sketches(coordinates);
    let half = |numbers: &[f32]| HalfVector::from_f32_slice(numbers);
    StoredLayer {
        layer_id,
        sketch_id: Uuid::from_u128(layer_id as u128),
        model_id: layer_id,
        version_id: layer_id,
        dataset_id: 1,
        searchable: true,
        layer_kind: "conv2d".to_owned(),
        tags: Vec::new(),
        private_to: None,
        accuracy: None,
        debiased_short: half(&short),
        debiased_long: half(&long),
        cka_short: half(&short),
        cka_long: half(&long),
    }
}

/// A unit vector of noise.
fn vector(seed: u64) -> ScoredVector {
    let mut lead: Vec<f32> = (0..LEAD + PROBES).map(|index| noise(seed, index)).collect();
    let length = lead.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    lead.iter_mut().for_each(|x| *x /= length);
    let tail = lead.split_off(LEAD);
    ScoredVector::new(LayerVector { lead, tail })
}

fn target_vector(seed: u64) -> TargetVector {
    TargetVector::new(Arc::new(vector(seed)))
}

/// A layer of a table as a target, by CKA.
fn target<'a>(table: &Table, layer: i64, vector: &'a TargetVector) -> Target<'a> {
    let (_, sketch) = table.sketch(layer, Measure::Cka).expect("it is there");
    Target {
        measure: Measure::Cka,
        sketch,
        rest_cosines: REST_COSINES,
        vector,
    }
}

fn listed(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by_key(Candidate::layer);
    candidates
}

fn table(layers: impl IntoIterator<Item = StoredLayer>) -> Table {
    let mut table = Table::with_capacity(0);
    layers.into_iter().for_each(|layer| table.put(layer));
    table
}

#[test]
fn layers_that_tie_are_listed_together() {
    let twin = |id| StoredLayer {
        sketch_id: Uuid::max(),
        ..layer(id, |index| noise(1, index))
    };
    let table = table(
        (1..40)
            .map(twin)
            .chain((40..200).map(|id| layer(id, move |index| noise(id as u64, index)))),
    );
    let (vector, scope) = (target_vector(1), SearchScope::default());
    let nearest = table.scan(target(&table, 1, &vector), &scope, 3).nearest();
    assert_eq!(nearest.len(), 1, "{nearest:?}");
    assert_eq!(nearest[0].layer_count(), 39);
}

#[test]
fn of_many_layers_the_most_promising_are_taken_with_what_ties_with_them() {
    // Two layers have each sketch.
    let table = table((1..=500).map(|id| layer(id, move |index| noise(id as u64 / 2, index))));
    let (vector, scope) = (target_vector(1), SearchScope::default());
    let scan = table.scan(target(&table, 1, &vector), &scope, 1);
    let mut others = scan.reaching(-2.0);
    assert_eq!(others.len(), 500);
    let taken = take_most_promising(&mut others, 20);
    assert!((20..=21).contains(&taken.len()), "{}", taken.len());
    assert_eq!(taken.len() + others.len(), 500);
    let estimates = |of: &[Reached]| of.iter().map(Reached::estimate).collect::<Vec<_>>();
    let least = estimates(&taken).into_iter().fold(f32::INFINITY, f32::min);
    assert!(estimates(&others).into_iter().all(|estimate| estimate < least));
    assert_eq!(take_most_promising(&mut others, 500).len(), 500 - taken.len());
    assert!(others.is_empty());
}

#[test]
fn rounded_vectors_narrow_the_bounds_of_their_layers_and_rule_layers_out() {
    // Sketches that tell nothing: all is in the rest.
    let only_rest = |index: usize| f32::from(u8::from(index + 1 == LONG_LENGTH));
    let mut layers = table((1..=9).map(|id| layer(id, only_rest)));
    let (first, scope) = (target_vector(1), SearchScope::default());
    let rounded = |seed| RoundedVector::new(&vector(seed));
    let candidates = |table: &Table, score| {
        let scan = table.scan(target(table, 1, &first), &scope, 1);
        listed(scan.candidates(&scan.reaching(-2.0), score))
    };
    assert_eq!(candidates(&layers, 0.5).len(), 9, "sketches rule none out");
    for id in 1..=8 {
        layers.put_rounded(&[(Uuid::from_u128(id), id as i64)], rounded(id as u64));
    }
    let bytes = layers.byte_count();
    // Layers that have another vector, or are not there.
    layers.put_rounded(&[(Uuid::from_u128(1), 9)], rounded(9));
    layers.put_rounded(&[(Uuid::from_u128(10), 10)], rounded(10));
    assert_eq!(layers.byte_count(), bytes);
    let known = candidates(&layers, -2.0);
    for (candidate, seed) in known.iter().zip(1..=8) {
        let score = first.scores(&vector(seed)).cka;
        let (lower, upper) = candidate.bounds();
        assert!(
            lower <= score && score <= upper && upper - lower < 0.02,
            "{score}: {candidate:?}"
        );
    }
    let ids = |found: Vec<Candidate>| found.iter().map(Candidate::layer).collect::<Vec<_>>();
    assert_eq!(
        ids(candidates(&layers, 0.5)),
        [1, 9],
        "of the last one no vector is known"
    );
    layers.put(StoredLayer {
        sketch_id: Uuid::from_u128(99),
        ..layer(2, only_rest)
    });
    assert_eq!(ids(candidates(&layers, 0.5)), [1, 2, 9], "it has another vector now");
    layers.clear_rounded();
    assert_eq!(candidates(&layers, 0.5).len(), 9);
    assert_eq!(layers.byte_count(), (9 * Table::LAYER_BYTES) as u64);
}

#[test]
fn a_rounded_vector_is_counted_once_however_many_layers_share_it() {
    let twin = |id| StoredLayer {
        sketch_id: Uuid::max(),
        ..layer(id, |index| noise(1, index))
    };
    let hidden = StoredLayer {
        searchable: false,
        ..layer(4, |index| noise(4, index))
    };
    let mut table = table([twin(1), twin(2), layer(3, |index| noise(3, index)), hidden]);
    let empty = table.byte_count();
    let unread = table.unread();
    assert_eq!(unread, [(Uuid::max(), 1), (Uuid::max(), 2), (Uuid::from_u128(3), 3)]);
    let shared = RoundedVector::new(&vector(1));
    let bytes = shared.byte_count() as u64;
    table.put_rounded(&unread[..2], shared);
    assert_eq!(table.byte_count(), empty + bytes);
    assert_eq!(table.unread(), unread[2..]);
    table.put_rounded(&unread[2..], RoundedVector::new(&vector(3)));
    assert_eq!((table.byte_count(), table.unread().len()), (empty + 2 * bytes, 0));
    table.retain(&[2, 3, 4].into());
    assert_eq!(table.byte_count(), empty + 2 * bytes, "another layer has the vector");
    table.retain(&[3, 4].into());
    assert_eq!(table.byte_count(), empty + bytes);
}

#[test]
fn what_is_known_of_one_copy_of_a_vector_is_known_of_all() {
    let only_rest = |index: usize| f32::from(u8::from(index + 1 == LONG_LENGTH));
    let twin = |id| StoredLayer {
        sketch_id: Uuid::max(),
        ..layer(id, only_rest)
    };
    let table = table([twin(1), twin(2), twin(3)]);
    table.put_rounded(&[(Uuid::max(), 2)], RoundedVector::new(&vector(2)));
    for measure in [Measure::Cka, Measure::DebiasedCka] {
        let (first, scope) = (target_vector(1), SearchScope::default());
        let target = Target {
            measure,
            ..target(&table, 1, &first)
        };
        let scan = table.scan(target, &scope, 1);
        let found = scan.candidates(&scan.reaching(-2.0), -2.0);
        let (lower, upper) = found[0].bounds();
        let score = first.scores(&vector(2)).of(measure);
        assert!(
            lower <= score && score <= upper && upper - lower < 0.02,
            "{score}: {found:?}"
        );
        assert_eq!((found.len(), found[0].layer_count()), (1, 3));
    }
}

#[test]
fn a_scan_in_several_threads_finds_what_one_thread_finds() {
    let table = table((1..=500).map(|id| {
        // Every fifth layer has the vector of the one before.
        let seed = if id % 5 == 0 { id - 1 } else { id };
        StoredLayer {
            sketch_id: Uuid::from_u128(seed as u128),
            ..layer(id, move |index| noise(seed as u64, index))
        }
    }));
    let narrow = SearchScope {
        exclude_models: vec![ModelId(7)],
        ..SearchScope::default()
    };
    for scope in [SearchScope::default(), narrow] {
        let vector = target_vector(3);
        let scan = |part_layers| Scan::new(&table, target(&table, 3, &vector), &scope, 20, part_layers);
        let (one, several) = (scan(1_000), scan(100));
        assert_eq!(listed(several.nearest()), listed(one.nearest()));
        let reached = |scan: &Scan<'_>| listed(scan.candidates(&scan.reaching(0.0), 0.0));
        assert!(reached(&one).len() > 50);
        assert_eq!(reached(&several), reached(&one));
    }
}

#[test]
fn a_layer_that_is_put_again_replaces_what_was_known_of_it() {
    let mut table = table((1..=3).map(|id| layer(id, |index| noise(1, index))));
    table.put(StoredLayer {
        searchable: false,
        ..layer(2, |index| noise(2, index))
    });
    let moved = table.sketch(2, Measure::DebiasedCka).map(|(_, sketch)| sketch);
    let (short, long) = sketches(|index| noise(2, index));
    let rounded = |numbers: &[f32]| {
        HalfVector::from_f32_slice(numbers)
            .to_vec()
            .into_iter()
            .map(f32::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(moved, Some(FixedSketch::new(&rounded(&short), &rounded(&long))));
    assert_eq!(table.count(&SearchScope::default()), 2);
}

#[test]
fn layers_that_are_gone_are_not_found_and_come_back_when_they_are_put_again() {
    let mut table = table((1..=3).map(|id| layer(id, |index| noise(1, index))));
    table.retain(&[1, 3].into());
    assert_eq!(table.count(&SearchScope::default()), 2);
    assert!(table.sketch(2, Measure::Cka).is_none());
    table.put(layer(2, |index| noise(1, index)));
    assert_eq!(table.count(&SearchScope::default()), 3);
    assert!(table.sketch(2, Measure::Cka).is_some());
}

#[test]
fn each_part_of_a_scope_admits_what_it_names() {
    let one = StoredLayer {
        model_id: 10,
        version_id: 100,
        dataset_id: 5,
        layer_kind: "linear".to_owned(),
        tags: vec!["a".to_owned(), "b".to_owned()],
        private_to: Some(7),
        accuracy: Some(0.9),
        ..layer(1, |index| noise(1, index))
    };
    let table = table([one, layer(2, |index| noise(2, index))]);
    let all = SearchScope::default();
    let only_two = [
        SearchScope {
            own_model: Some(ModelId(10)),
            ..all.clone()
        },
        SearchScope {
            except_version: Some(VersionId(100)),
            ..all.clone()
        },
        SearchScope {
            datasets: Some(vec![DatasetId(1)]),
            ..all.clone()
        },
        SearchScope {
            layer_kinds: vec!["conv2d".to_owned()],
            ..all.clone()
        },
        SearchScope {
            models: vec![ModelId(2), ModelId(3)],
            ..all.clone()
        },
        SearchScope {
            exclude_models: vec![ModelId(10)],
            ..all.clone()
        },
        SearchScope {
            viewer: Some(AccountId(8)),
            ..all.clone()
        },
    ];
    let only_one = [
        SearchScope {
            min_accuracy: Some(0.9),
            ..all.clone()
        },
        SearchScope {
            better_than: Some(0.8),
            ..all.clone()
        },
        SearchScope {
            tags: vec!["b".to_owned()],
            ..all.clone()
        },
    ];
    let none = [
        SearchScope {
            better_than: Some(0.9),
            ..all.clone()
        },
        SearchScope {
            tags: vec!["b".to_owned(), "c".to_owned()],
            ..all.clone()
        },
        SearchScope {
            datasets: Some(Vec::new()),
            ..all.clone()
        },
    ];
    let found = |scope: &SearchScope| {
        let vector = target_vector(2);
        let scan = table.scan(target(&table, 2, &vector), scope, 1);
        let found = listed(scan.candidates(&scan.reaching(-2.0), -2.0));
        found.iter().map(Candidate::layer).collect::<Vec<_>>()
    };
    assert_eq!(found(&all), [1, 2]);
    assert_eq!(
        found(&SearchScope {
            viewer: Some(AccountId(7)),
            ..all.clone()
        }),
        [1, 2]
    );
    only_two
        .iter()
        .for_each(|scope| assert_eq!(found(scope), [2], "{scope:?}"));
    only_one
        .iter()
        .for_each(|scope| assert_eq!(found(scope), [1], "{scope:?}"));
    none.iter()
        .for_each(|scope| assert_eq!(found(scope), [0; 0], "{scope:?}"));
}

#[test]
fn a_private_layer_without_an_owner_is_for_nobody_but_those_who_see_everything() {
    let of_nobody = StoredLayer {
        private_to: Some(0),
        ..layer(1, |index| noise(1, index))
    };
    let table = table([of_nobody, layer(2, |index| noise(2, index))]);
    let seen_by = |viewer: Option<i64>| {
        let viewer = viewer.map(AccountId);
        table.count(&SearchScope {
            viewer,
            ..SearchScope::default()
        })
    };
    assert_eq!([seen_by(None), seen_by(Some(7)), seen_by(Some(-1))], [2, 1, 1]);
}
