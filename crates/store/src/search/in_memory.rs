//! The search in memory: every sketch is compared with the target's, and those whose bound reaches the last hit's score are
//! scored.

use std::sync::Arc;

use super::pool::Pool;
use super::scoring::Scoring;
use super::{MAX_UNPROVEN_HITS, PROVEN_LAYERS, SearchScope, SearchTarget, SearchWindow};
use crate::mirror::{RestCosines, Table};
use crate::{Store, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::similarity::Matches;
use scv_domain::sketch::FixedSketch;
use scv_domain::vector::ScoredVector;

/// Minimum number of layers that are listed before there are scores.
const MIN_LISTED: usize = 64;

impl Store {
    /// Searches in memory. A target without a vector has no hits.
    pub(super) async fn search_in_memory(
        &self,
        basis: i64,
        table: &Table,
        target: SearchTarget<'_>,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        window: &SearchWindow,
    ) -> Result<Matches, StoreError> {
        let basis = self.known_basis(basis).await?;
        let (sketch, vector) = match target {
            SearchTarget::Layer(layer) => {
                let Some((key, sketch)) = table.sketch(layer.0, window.measure) else {
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
        let scan = table.scan(window.measure, sketch, rest_cosines, scope);
        let mut scoring = Scoring::new(&self.vectors, probe_set, vector, window);
        let mut pool = Pool::new(window);
        pool.add(scan.nearest(MIN_LISTED.max(2 * window.depth())));
        scoring.round(&self.pool, &mut pool).await?;
        pool.add(scan.reaching(pool.threshold()));
        let must_prove = window.exact
            || window.depth() > MAX_UNPROVEN_HITS
            || (pool.open() > scoring.remaining(&pool) && table.count(scope) <= PROVEN_LAYERS);
        if must_prove {
            scoring.lift_budget();
        }
        while scoring.round(&self.pool, &mut pool).await? {}
        Ok(pool.page(&pool.top(), &[], target, pool.unscored_bound()))
    }
}
