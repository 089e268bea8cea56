#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use super::pool::Candidate;
use super::*;
use scv_domain::vector::CkaScores;

const WINDOW: SearchWindow = SearchWindow {
    measure: Measure::Cka,
    exact: false,
    min_score: None,
    after: None,
    limit: 1,
};

fn candidate(layer: i64, estimate: f64) -> Candidate {
    Candidate {
        sketch: uuid::Uuid::from_u128(layer as u128),
        layer,
        layers: 1,
        distance: -estimate,
        estimate,
        bound: estimate + 0.1,
        scores: None,
    }
}

fn scored(layer: i64, cka: f64) -> (i64, CkaScores) {
    let debiased_cka = cka;
    (layer, CkaScores { cka, debiased_cka })
}

#[test]
fn candidates_are_scored_in_the_order_of_their_estimates_until_no_bound_reaches_the_hits() {
    let mut pool = Pool::new(&WINDOW);
    pool.add(vec![candidate(1, 0.2), candidate(2, 0.9)]);
    pool.add(vec![candidate(3, 0.5), candidate(2, 0.9)]);
    assert_eq!(pool.next(2), [2, 3]);
    pool.put_scores(&[2, 3], &[scored(2, 0.8), scored(3, 0.55)]).unwrap();
    assert_eq!(pool.threshold(), 0.55, "of the hit after the page");
    assert!(pool.next(2).is_empty(), "the bound of the last one is 0.3");
    assert_eq!(pool.unscored_bound(), None);
}

#[test]
fn a_search_begins_again_if_a_layer_that_stands_for_others_was_deleted() {
    let mut pool = Pool::new(&WINDOW);
    pool.add(vec![candidate(1, 0.2), candidate(2, 0.9)]);
    let put = pool.put_scores(&[1, 2], &[scored(1, 0.2)]);
    assert!(matches!(put, Err(StoreError::Overtaken)));
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
    assert_eq!(restarting(|| run(3)).await.unwrap(), 3);
    runs.set(0);
    let failed = restarting(|| run(usize::MAX)).await.unwrap_err();
    assert!(failed.to_string().ends_with("try again"), "{failed}");
    assert_eq!(runs.get(), MAX_RESTARTS + 1);
}
