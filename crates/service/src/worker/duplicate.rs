//! Duplicates: versions that compute, layer by layer, the same as a version of the library.

use std::sync::Arc;

use super::JobRunner;
use crate::ServiceError;
use scv_compute::cka_matrix::cka_matrix;
use scv_domain::access::Access;
use scv_domain::id::{AccountId, LayerId, ProbeSetId, VersionId};
use scv_domain::vector::{LayerVector, Measure};
use scv_store::{SearchScope, SearchTarget, SearchWindow};

/// The score that every layer of either version must reach with its best match in the other. Two trainings of one network
/// from different seeds stay far below it in most layers; a copy in half precision is above it in all.
const MIN_DUPLICATE_SCORE: f64 = 0.999;

/// Candidates for a duplicate: the layers most similar to the last one of the new version.
const CANDIDATES: usize = 100;

impl JobRunner {
    /// The oldest version that some layers are a duplicate of: each of them has its equal in that version, and each layer of
    /// that version has its equal among them. Only versions that an account sees count, and none of a deleted model.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn original_of(
        &self,
        seen_by: Option<AccountId>,
        probe_set: ProbeSetId,
        layers: &[&LayerVector],
    ) -> Result<Option<VersionId>, ServiceError> {
        let scope = SearchScope {
            viewer: Access::reader(seen_by).viewer(),
            ..SearchScope::default()
        };
        // The last layers depend on all others: few versions that are not duplicates agree in them.
        let Some(last) = layers.last() else {
            return Ok(None);
        };
        let window = SearchWindow {
            measure: Measure::DebiasedCka,
            exact: false,
            min_score: Some(MIN_DUPLICATE_SCORE),
            after: None,
            limit: CANDIDATES,
        };
        let store = &self.library.store;
        let near = store
            .search(
                SearchTarget::Vector(last),
                probe_set,
                &scope,
                &window,
                store.generation().await?,
            )
            .await?;
        let equal: Vec<LayerId> = near.hits.iter().map(|hit| hit.layer).collect();
        let mut versions: Vec<VersionId> = store
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
        let own: Arc<Vec<LayerVector>> = Arc::new(layers.iter().map(|&layer| layer.clone()).collect());
        for version in versions {
            // Another export of a network may have a few more layers, but one of twice as many is another network.
            if store.count_version_vectors(probe_set, version, &[]).await? > 2 * own.len() {
                continue;
            }
            let others = store.version_vectors(probe_set, version, &[]).await?;
            let own = Arc::clone(&own);
            let matrix = tokio::task::spawn_blocking(move || {
                let own: Vec<_> = own.iter().collect();
                let others: Vec<_> = others.iter().map(|(_, vector)| vector).collect();
                cka_matrix(&own, &others, Measure::DebiasedCka)
            });
            if matrix.await.map_err(ServiceError::internal)?.worst_best_match() >= MIN_DUPLICATE_SCORE {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}
