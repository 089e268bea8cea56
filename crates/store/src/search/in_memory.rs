//! The search in memory: every sketch is compared with the target's, then the rounded vectors of those whose bound reaches the last
//! hit's score, and those whose bound still does are scored.

use std::sync::Arc;

use super::pool::Pool;
use super::scoring::Scoring;
use super::{MAX_UNPROVEN_HITS, PROVEN_LAYERS, SearchScope, SearchTarget, SearchWindow};
use crate::mirror::{Reached, Target, View, take_most_promising};
use crate::{Store, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::similarity::Matches;
use scv_domain::sketch::{FixedSketch, RestCosines};
use scv_domain::vector::{ScoredVector, TargetVector};

/// Minimum number of layers that are listed before there are scores.
const MIN_NEAREST: usize = 64;

/// Layers whose rounded vectors are compared at a time, after which other requests have their turn: at first, and at most. The
/// first ones raise the score that the others must reach.
const PART: (usize, usize) = (1_024, 131_072);

impl Store {
    /// Searches in memory. A target without a vector has no hits.
    pub(super) async fn search_in_memory(
        &self,
        view: View,
        target: SearchTarget<'_>,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        window: &SearchWindow,
    ) -> Result<Matches, StoreError> {
        let basis = self.known_basis(view.basis()).await?;
        let (sketch, vector) = match target {
            SearchTarget::Layer(layer) => {
                let Some((key, sketch)) = view.table.sketch(layer.0, window.measure) else {
                    return Ok(Matches::none());
                };
                (
                    sketch,
                    self.vectors.vector(&self.pool, probe_set, (key, layer.0)).await?,
                )
            }
            SearchTarget::Vector(vector) => {
                let sketch = basis.basis.sketch(vector);
                let sketch = sketch.of(window.measure);
                let sketch = FixedSketch::new(&sketch.short, &sketch.long);
                (sketch, Arc::new(ScoredVector::new(vector.clone())))
            }
        };
        let of_measure = basis.basis.of(window.measure);
        let rest_cosines = RestCosines {
            short: of_measure.short_rest_cosine.into(),
            long: of_measure.long_rest_cosine.into(),
        };
        let vector = TargetVector::new(vector);
        let mut scoring = Scoring::new(&self.vectors, probe_set, &vector, window);
        let mut pool = Pool::new(window);
        let target_of_scan = Target {
            measure: window.measure,
            sketch,
            rest_cosines,
            vector: &vector,
        };
        let scan = view
            .table
            .scan(target_of_scan, scope, MIN_NEAREST.max(2 * window.depth()));
        pool.add(scan.nearest());
        scoring.round(&self.pool, &mut pool).await?;
        let must_prove = window.exact || window.depth() > MAX_UNPROVEN_HITS;
        let mut left_out = scan.reaching(pool.threshold());
        let most = if must_prove { usize::MAX } else { PROVEN_LAYERS };
        let mut promising = take_most_promising(&mut left_out, most);
        let left_out = left_out.iter().map(Reached::bound).reduce(f64::max);
        let mut count = PART.0;
        while !promising.is_empty() {
            let part = take_most_promising(&mut promising, count);
            pool.add(scan.candidates(&part, pool.threshold()));
            count = PART.1.min(4 * count);
            tokio::task::yield_now().await;
        }
        if must_prove || (scoring.may_not_suffice(pool.unscored_count()) && view.table.count(scope) <= PROVEN_LAYERS) {
            scoring.lift_budget();
        }
        drop(scan);
        // Changes of the mirror wait no longer.
        drop(view);
        while scoring.round(&self.pool, &mut pool).await? {}
        let left_out = left_out.filter(|bound| *bound >= pool.threshold());
        let unproven = pool.unscored_bound().into_iter().chain(left_out).reduce(f64::max);
        Ok(pool.page(&pool.top(), &[], target, unproven))
    }
}
