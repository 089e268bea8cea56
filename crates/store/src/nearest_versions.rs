//! The versions that are likely to be most like another, by the sketches of all their layers.

use sqlx::{Postgres, QueryBuilder};

use super::search::{push_layers, push_scope, push_sketches, sketch_column};
use super::{SearchScope, Store, StoreError};
use scv_domain::id::{ProbeSetId, VersionId};
use scv_domain::vector::Measure;

/// Layers near each of the target's that are looked at.
const NEAR: i64 = 100;

impl Store {
    /// The versions with layers in a scope, in the order of their keys, at most `limit`.
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
        let mut query = QueryBuilder::new("select distinct version_id");
        push_layers(&mut query, probe_set);
        push_scope(&mut query, scope);
        query.push(" order by version_id limit ").push_bind(limit as i64);
        self.versions(query).await
    }

    /// How many versions have layers in a scope.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_admitted_versions", skip_all)]
    pub async fn count_admitted_versions(
        &self,
        probe_set: ProbeSetId,
        scope: &SearchScope,
    ) -> Result<usize, StoreError> {
        let mut query = QueryBuilder::new("select count(distinct version_id)");
        push_layers(&mut query, probe_set);
        push_scope(&mut query, scope);
        let count: i64 = query
            .build_query_scalar()
            .persistent(false)
            .fetch_one(&self.pool)
            .await?;
        Ok(count as usize)
    }

    /// The versions in a scope whose layers are nearest to those of a version, best first: by the sum over its layers of the
    /// likeness of the nearest layer, as far as the sketches tell.
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
        let sketch = sketch_column(measure);
        let mut query = QueryBuilder::new("with target as materialized (select layer_id, ");
        query.push(sketch).push(" as sketch");
        push_layers(&mut query, probe_set);
        push_sketches(&mut query, probe_set);
        query.push(" where version_id = ").push_bind(version.0);
        if !scope.layer_kinds.is_empty() {
            query
                .push(" and layer_kind = any(")
                .push_bind(scope.layer_kinds.clone())
                .push(")");
        }
        query.push(
            "), nearest as (select target.layer_id, near.version_id, min(near.distance) as distance from target ",
        );
        query.push("cross join lateral (select version_id, ").push(sketch);
        query.push(" <-> target.sketch as distance");
        push_layers(&mut query, probe_set);
        push_sketches(&mut query, probe_set);
        push_scope(&mut query, scope);
        query
            .push(" order by ")
            .push(sketch)
            .push(" <-> target.sketch limit ")
            .push_bind(NEAR);
        // Of unit vectors at a distance d the product is 1 - d²/2.
        query.push(
            ") as near group by target.layer_id, near.version_id)
             select version_id from nearest group by version_id order by sum(1 - distance ^ 2 / 2) desc, version_id limit ",
        );
        query.push_bind(limit as i64);
        self.versions(query).await
    }

    async fn versions(&self, mut query: QueryBuilder<Postgres>) -> Result<Vec<VersionId>, StoreError> {
        let ids: Vec<i64> = query
            .build_query_scalar()
            .persistent(false)
            .fetch_all(&self.pool)
            .await?;
        Ok(ids.into_iter().map(VersionId).collect())
    }
}
