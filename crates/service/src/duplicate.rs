//! Versions that compute, layer by layer, what one of the library computes already.

use std::sync::Arc;

use super::{Library, ServiceError};
use scv_compute::cka_matrix::cka_matrix;
use scv_domain::access::Access;
use scv_domain::id::{AccountId, LayerId, ProbeSetId, VersionId};
use scv_domain::vector::{LayerVector, Measure, SketchedVector};
use scv_store::{Candidates, SearchScope, SearchTarget, SearchWindow};

/// What every layer of either version must score with its best match in the other. Two trainings of one network from
/// different seeds stay far below in most layers; a copy in half precision lies above in all.
const EQUAL: f64 = 0.999;

/// Layers near the last one of the new version that are looked at.
const CANDIDATES: usize = 100;

impl Library {
    /// The oldest version all of whose layers have their equals among some layers, and the other way round, of those that an
    /// account sees. Versions of deleted models do not count.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn original_of(
        &self,
        seen_by: Option<AccountId>,
        probe_set: ProbeSetId,
        layers: &[&SketchedVector],
    ) -> Result<Option<VersionId>, ServiceError> {
        let scope = SearchScope {
            viewer: Access::of_reader(seen_by).viewer(),
            ..SearchScope::default()
        };
        // The last layers depend on all others: few that are no duplicates agree in them.
        let Some(last) = layers.last() else {
            return Ok(None);
        };
        let window = SearchWindow {
            measure: Measure::DebiasedCka,
            candidates: Candidates::Indexed(CANDIDATES),
            after: None,
            limit: CANDIDATES,
        };
        let near = self
            .store
            .search(SearchTarget::Vector(last), probe_set, &scope, &window)
            .await?;
        let equal: Vec<LayerId> = near
            .hits
            .iter()
            .filter(|hit| hit.debiased_cka >= EQUAL)
            .map(|hit| hit.layer)
            .collect();
        let mut versions: Vec<VersionId> = self
            .store
            .layers_by_id(&equal)
            .await?
            .iter()
            .map(|layer| layer.version_id)
            .collect();
        versions.sort();
        versions.dedup();
        if versions.is_empty() {
            return Ok(None);
        }
        let own: Arc<Vec<LayerVector>> = Arc::new(layers.iter().map(|layer| layer.vector.clone()).collect());
        for version in versions {
            // Another export of a network may have some more layers, but one of twice as many is something else.
            if self.store.count_version_vectors(probe_set, version, &[]).await? > 2 * own.len() {
                continue;
            }
            let others = self.store.version_vectors(probe_set, version, &[]).await?;
            let own = Arc::clone(&own);
            let matrix = tokio::task::spawn_blocking(move || {
                let own: Vec<_> = own.iter().collect();
                let others: Vec<_> = others.iter().map(|(_, vector)| vector).collect();
                cka_matrix(&own, &others, Measure::DebiasedCka)
            });
            if matrix.await.map_err(ServiceError::internal)?.worst_best_match() >= EQUAL {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}
