#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use super::pool::{Pool, Wanted};
use super::*;
use scv_domain::sketch::Prospect;
use scv_domain::vector::CkaScores;

const WINDOW: SearchWindow = SearchWindow {
    measure: Measure::Cka,
    exact: false,
    min_score: None,
    after: None,
    limit: 1,
};

/// A candidate whose score is the estimate, give or take an eighth.
fn candidate(layer: i64, estimate: f32) -> Candidate {
    candidate_of(layer, layer, estimate)
}

fn candidate_of(vector: i64, layer: i64, estimate: f32) -> Candidate {
    Candidate::single(key(vector), layer, prospect(estimate))
}

fn prospect(estimate: f32) -> Prospect {
    let (lower, upper) = (estimate - 0.125, estimate + 0.125);
    Prospect { estimate, lower, upper }
}

fn key(layer: i64) -> uuid::Uuid {
    uuid::Uuid::from_u128(layer as u128)
}

fn scores(cka: f64) -> CkaScores {
    let debiased_cka = cka;
    CkaScores { cka, debiased_cka }
}

fn layers(wanted: &Wanted) -> Vec<i64> {
    wanted.layers.iter().map(|(_, layer)| *layer).collect()
}

#[test]
fn candidates_are_scored_in_the_order_of_their_estimates_until_no_bound_reaches_the_hits() {
    let mut pool = Pool::new(&WINDOW);
    pool.add(vec![candidate(1, 0.25), candidate(2, 1.0)]);
    pool.add(vec![candidate(3, 0.5), candidate(2, 1.0)]);
    let next = pool.next(2);
    assert_eq!(layers(&next), [2, 3]);
    pool.put(&next, &[scores(0.9), scores(0.55)]);
    assert_eq!(pool.threshold(), 0.55, "of the hit after the page");
    assert!(layers(&pool.next(2)).is_empty(), "the bound of the last one is 0.375");
    assert_eq!(pool.unscored_bound(), None);
}

#[test]
fn bounds_rule_candidates_out_before_anything_is_scored() {
    let mut pool = Pool::new(&WINDOW);
    pool.add(
        [1.0, 0.75, 0.625, 0.25]
            .into_iter()
            .zip(1..)
            .map(|(estimate, layer)| candidate(layer, estimate))
            .collect(),
    );
    assert_eq!(pool.threshold(), 0.625, "the second one scores no less");
    assert_eq!(layers(&pool.next(9)), [1, 2, 3], "the bound of the last one is 0.375");
    assert_eq!(pool.unscored_count(), 3);
    // A later listing knows more of one of them.
    pool.add(vec![Candidate::single(
        key(3),
        3,
        Prospect {
            estimate: 0.5,
            lower: 0.5,
            upper: 0.5,
        },
    )]);
    assert_eq!(layers(&pool.next(9)), [1, 2]);
}

#[test]
fn the_threshold_is_the_score_of_the_layer_after_the_page_however_many_have_it() {
    let window = SearchWindow { limit: 3, ..WINDOW };
    let mut pool = Pool::new(&window);
    let mut copied = candidate(1, 0.9);
    let wide = prospect(0.9);
    copied.add_copy(11, wide);
    copied.add_copy(12, wide);
    pool.add(vec![copied]);
    assert_eq!(pool.threshold(), f64::NEG_INFINITY, "three of four layers are known");
    pool.add(vec![candidate(2, 0.8), candidate(3, 0.7), candidate(4, 0.6)]);
    let next = pool.next(4);
    assert_eq!(layers(&next), [1, 2, 3, 4]);
    pool.put(&next, &[scores(0.7), scores(f64::NAN), scores(0.8), scores(0.2)]);
    assert_eq!(pool.threshold(), 0.7, "of one of its three layers");
    // More layers of a candidate that has its score.
    let mut again = candidate_of(3, 31, 0.7);
    for layer in [3, 32, 33] {
        again.add_copy(layer, prospect(0.7));
    }
    pool.add(vec![again]);
    assert_eq!(pool.threshold(), 0.8);
    let of_top = pool.top();
    assert_eq!(
        of_top.iter().map(|candidate| candidate.layer()).collect::<Vec<_>>(),
        [3]
    );
}

#[test]
fn the_threshold_is_never_below_the_minimum_score() {
    let window = SearchWindow {
        min_score: Some(0.95),
        ..WINDOW
    };
    let mut pool = Pool::new(&window);
    pool.add(vec![candidate(1, 1.0), candidate(2, 0.9), candidate(3, 0.75)]);
    assert_eq!(pool.threshold(), 0.95);
    assert_eq!(layers(&pool.next(9)), [1, 2], "the bound of the last one is 0.875");
}

#[test]
fn a_candidate_has_all_layers_of_its_listings() {
    let window = SearchWindow { limit: 9, ..WINDOW };
    let mut pool = Pool::new(&window);
    pool.add(vec![candidate(1, 0.9)]);
    let mut again = candidate_of(1, 7, 0.9);
    for layer in [1, 8] {
        again.add_copy(layer, prospect(0.9));
    }
    pool.add(vec![again]);
    let next = pool.next(1);
    pool.put(&next, &[scores(0.9)]);
    let page = pool.page(&pool.top(), &[], SearchTarget::Layer(LayerId(99)), None);
    assert_eq!(page.hits.iter().map(|hit| hit.layer.0).collect::<Vec<_>>(), [1, 7, 8]);
}

#[tokio::test]
async fn a_search_begins_again_a_few_times_and_then_fails() {
    let runs = Cell::new(0);
    let run = |succeeds_at: usize| {
        runs.set(runs.get() + 1);
        let run = runs.get();
        async move {
            if run == succeeds_at {
                Ok(run)
            } else {
                Err(StoreError::Overtaken)
            }
        }
    };
    assert_eq!(restarting(|_| run(3)).await.unwrap(), 3);
    runs.set(0);
    let failed = restarting(|_| run(usize::MAX)).await.unwrap_err();
    assert!(failed.to_string().contains("try again."), "{failed}");
    assert!(
        failed.to_string().ends_with("restore the database from a backup"),
        "{failed}"
    );
    assert_eq!(runs.get(), MAX_RESTARTS + 1);
}
