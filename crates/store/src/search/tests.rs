#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use super::pool::Pool;
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
    Candidate::single(key(layer), layer, estimate, estimate + 0.1)
}

fn key(layer: i64) -> uuid::Uuid {
    uuid::Uuid::from_u128(layer as u128)
}

fn scores(cka: f64) -> CkaScores {
    let debiased_cka = cka;
    CkaScores { cka, debiased_cka }
}

#[test]
fn candidates_are_scored_in_the_order_of_their_estimates_until_no_bound_reaches_the_hits() {
    let mut pool = Pool::new(&WINDOW);
    pool.add(vec![candidate(1, 0.2), candidate(2, 0.9)]);
    pool.add(vec![candidate(3, 0.5), candidate(2, 0.9)]);
    let next = pool.next(2);
    assert_eq!(next, [(key(2), 2), (key(3), 3)]);
    pool.put_scores(&next, &[scores(0.8), scores(0.55)]);
    assert_eq!(pool.threshold(), 0.55, "of the hit after the page");
    assert!(pool.next(2).is_empty(), "the bound of the last one is 0.3");
    assert_eq!(pool.unscored_bound(), None);
}

#[test]
fn a_candidate_has_all_layers_of_its_listings() {
    let window = SearchWindow { limit: 9, ..WINDOW };
    let mut pool = Pool::new(&window);
    pool.add(vec![candidate(1, 0.9)]);
    let mut again = Candidate::single(key(1), 7, 0.9, 1.0);
    again.add_copy(1);
    again.add_copy(8);
    pool.add(vec![again]);
    pool.put_scores(&[(key(1), 1)], &[scores(0.9)]);
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
