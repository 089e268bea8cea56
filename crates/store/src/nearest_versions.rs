//! The versions that are likely to be most similar to another one, by the sketches of all their layers.

use std::collections::HashMap;

use super::search::{VISITED_LAYERS, Visited, nearest_cells, ordering, restarting};
use super::{SearchScope, Store, StoreError};
use scv_domain::id::{ProbeSetId, VersionId};
use scv_domain::vector::Measure;

/// Number of nearest layers that are considered for each layer of the target.
const MAX_NEAREST_LAYERS: i64 = 100;

impl Store {
    /// Up to `limit` versions with layers in a scope, ordered by key.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.admitted_versions", skip_all)]
    pub async fn admitted_versions(
        &self,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        limit: usize,
    ) -> Result<Vec<VersionId>, StoreError> {
        restarting(|_| async move {
            let (_, mut statements) = self.statements(probe_set, scope).await?;
            statements.versions(limit).await
        })
        .await
    }

    /// Counts the versions with layers in a scope.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_admitted_versions", skip_all)]
    pub async fn count_admitted_versions(
        &self,
        probe_set: ProbeSetId,
        scope: &SearchScope,
    ) -> Result<usize, StoreError> {
        restarting(|_| async move {
            let (_, mut statements) = self.statements(probe_set, scope).await?;
            statements.count_versions().await
        })
        .await
    }

    /// The versions in a scope whose layers are nearest to those of a version, best first. They are ranked by the sum, over the
    /// layers of that version, of the similarity to the nearest layer, as estimated from the sketches.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.nearest_versions", skip_all)]
    pub async fn nearest_versions(
        &self,
        version: VersionId,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        measure: Measure,
        limit: usize,
    ) -> Result<Vec<VersionId>, StoreError> {
        restarting(|_| async move {
            let (stored, mut statements) = self.statements(probe_set, scope).await?;
            let (basis, all) = (stored.basis.of(measure), stored.layer_count);
            let mut totals: HashMap<i64, f64> = HashMap::new();
            for sketch in statements.version_sketches(version, measure).await? {
                let visited = match basis.has_cells() && !scope.is_narrow() {
                    true => Visited::Cells(nearest_cells(
                        basis,
                        &basis.surroundings(&sketch),
                        VISITED_LAYERS,
                        all,
                        all,
                    )),
                    false => Visited::All,
                };
                let ordering = ordering(basis, &sketch);
                let near = statements.nearest_versions(measure, &ordering, &visited, MAX_NEAREST_LAYERS);
                for (version, estimate) in near.await? {
                    *totals.entry(version).or_default() += estimate;
                }
            }
            let mut ranked: Vec<_> = totals.into_iter().collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            Ok(ranked
                .into_iter()
                .take(limit)
                .map(|(version, _)| VersionId(version))
                .collect())
        })
        .await
    }
}
