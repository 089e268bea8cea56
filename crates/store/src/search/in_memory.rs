//! The search in memory: every sketch is compared with the target's, and those whose bound reaches the last hit's score are
//! scored.

use std::sync::Arc;

use super::pool::Pool;
use super::scoring::Scoring;
use super::{MAX_UNPROVEN_HITS, PROVEN_LAYERS, SearchScope, SearchTarget, SearchWindow};
use crate::mirror::View;
use crate::{Store, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::similarity::Matches;
use scv_domain::sketch::{FixedSketch, RestCosines};
use scv_domain::vector::ScoredVector;

/// Minimum number of layers that are listed before there are scores.
const MIN_NEAREST: usize = 64;

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
        let mut scoring = Scoring::new(&self.vectors, probe_set, vector, window);
        let mut pool = Pool::new(window);
        let scan = view.table.scan(window.measure, sketch, rest_cosines, scope);
        pool.add(scan.nearest(MIN_NEAREST.max(2 * window.depth())));
        scoring.round(&self.pool, &mut pool).await?;
        let reached = scan.reaching(pool.threshold());
        let must_prove = window.exact
            || window.depth() > MAX_UNPROVEN_HITS
            || (scoring.may_not_suffice(reached.len()) && view.table.count(scope) <= PROVEN_LAYERS);
        if must_prove {
            scoring.lift_budget();
        }
        let (candidates, left_out) = scan.most_promising(reached, scoring.remaining());
        drop(scan);
        // Changes of the mirror wait no longer.
        drop(view);
        pool.add(candidates);
        while scoring.round(&self.pool, &mut pool).await? {}
        let left_out = left_out.filter(|bound| *bound >= pool.threshold());
        let unproven = pool.unscored_bound().into_iter().chain(left_out).reduce(f64::max);
        Ok(pool.page(&pool.top(), &[], target, unproven))
    }
}
