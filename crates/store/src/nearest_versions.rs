//! The versions that are likely to be most similar to another one, by the sketches of all their layers.

use sqlx::{Postgres, QueryBuilder};

use super::search::{layers, push_condition, sketch_column, sketches};
use super::template::fill;
use super::{SearchScope, Store, StoreError};
use scv_domain::id::{ProbeSetId, VersionId};
use scv_domain::vector::Measure;

/// Number of nearest layers that are considered for each layer of the target.
const MAX_NEAREST_LAYERS: i64 = 100;

const NEAREST_VERSIONS: &str = include_str!("../sql/nearest_versions.sql");

const ADMITTED_VERSIONS: &str =
    "select distinct version_id from {layers} where {scope} order by version_id limit {limit}";

const COUNT_ADMITTED_VERSIONS: &str = "select count(distinct version_id) from {layers} where {scope}";

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
        let query = fill(ADMITTED_VERSIONS, &mut |query, placeholder| match placeholder {
            "layers" => _ = query.push(layers(probe_set)),
            "scope" => push_condition(query, scope),
            "limit" => _ = query.push_bind(limit as i64),
            other => unreachable!("{other}"),
        });
        self.versions(query).await
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
        let mut query = fill(COUNT_ADMITTED_VERSIONS, &mut |query, placeholder| match placeholder {
            "layers" => _ = query.push(layers(probe_set)),
            "scope" => push_condition(query, scope),
            other => unreachable!("{other}"),
        });
        let count: i64 = query
            .build_query_scalar()
            .persistent(false)
            .fetch_one(&self.pool)
            .await?;
        Ok(count as usize)
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
        let query = fill(NEAREST_VERSIONS, &mut |query, placeholder| match placeholder {
            "sketch" => _ = query.push(sketch_column(measure)),
            "layers" => _ = query.push(layers(probe_set)),
            "sketches" => _ = query.push(sketches(probe_set)),
            "version" => _ = query.push_bind(version.0),
            "kinds" if scope.layer_kinds.is_empty() => _ = query.push("true"),
            "kinds" => {
                query
                    .push("layer_kind = any(")
                    .push_bind(scope.layer_kinds.clone())
                    .push(")");
            }
            "scope" => push_condition(query, scope),
            "near" => _ = query.push_bind(MAX_NEAREST_LAYERS),
            "limit" => _ = query.push_bind(limit as i64),
            other => unreachable!("{other}"),
        });
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
