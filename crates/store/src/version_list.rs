//! Lists of versions across models.

use sqlx::QueryBuilder;

use super::listing::{Listing, Position, SortExpression, SortField};
use super::rows::{enum_name, raw};
use super::version::VersionRow;
use super::{Store, StoreError};
use scv_domain::page::{Order, Page, Slice};
use scv_domain::version::{Version, VersionFilter, VersionOrderField};

impl SortField for VersionOrderField {
    const KEY: &'static str = "version_id";

    fn expression(self) -> Option<SortExpression> {
        match self {
            Self::CreatedAt => None,
            Self::Accuracy => Some(SortExpression::Number("accuracy")),
            Self::ParameterCount => Some(SortExpression::Integer("parameter_count")),
            Self::MultiplyAccumulates => Some(SortExpression::Integer("multiply_accumulates")),
        }
    }
}

/// Versions, with what their filters, their order and the viewer's rights depend on.
const VERSIONS_WITH_MODELS: &str =
    "version join model using (model_id) left join evaluation using (version_id, dataset_id)";

impl Store {
    /// One page of the versions that a filter admits, of models that the viewer may see and that are not deleted.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.versions_page", skip_all)]
    pub async fn versions_page(
        &self,
        filter: &VersionFilter,
        order: Order<VersionOrderField>,
        page: &Page<Position<VersionOrderField>>,
    ) -> Result<Slice<(Version, Position<VersionOrderField>)>, StoreError> {
        let listing = Listing { order, page };
        let columns = "version_id, model_id, number, status, format, dataset_id, blocks, weights_key, parameter_count, \
                       multiply_accumulates, train_settings, train_epochs, source, failure, duplicate_of, created_by, \
                       version.created_at";
        let mut query = listing.select(columns, VERSIONS_WITH_MODELS);
        push_filter(&mut query, filter, self.viewer());
        listing.fetch::<VersionRow, _>(query, &self.pool).await
    }

    /// Counts the versions that a filter admits, of models that the viewer may see and that are not deleted.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_matching_versions", skip_all)]
    pub async fn count_matching_versions(&self, filter: &VersionFilter) -> Result<i64, StoreError> {
        let mut query = QueryBuilder::new("select count(*) from ");
        query.push(VERSIONS_WITH_MODELS).push(" where ");
        push_filter(&mut query, filter, self.viewer());
        Ok(query.build_query_scalar().fetch_one(&self.pool).await?)
    }
}

fn push_filter(query: &mut QueryBuilder<sqlx::Postgres>, filter: &VersionFilter, viewer: Option<i64>) {
    query.push("deleted_at is null");
    if let Some(viewer) = viewer {
        query
            .push(" and (private_to is null or private_to = ")
            .push_bind(viewer)
            .push(")");
    }
    if let Some(part) = &filter.model_name_contains {
        query
            .push(" and position(lower(")
            .push_bind(part.clone())
            .push(") in lower(model.name)) > 0");
    }
    if !filter.tags.is_empty() {
        query.push(" and tags @> ").push_bind(filter.tags.clone());
    }
    if !filter.datasets.is_empty() {
        query
            .push(" and dataset_id in (select dataset.dataset_id from dataset where dataset.name = any(")
            .push_bind(filter.datasets.clone())
            .push("))");
    }
    if !filter.statuses.is_empty() {
        let statuses = raw(&filter.statuses, enum_name);
        query.push(" and status = any(").push_bind(statuses).push(")");
    }
    if !filter.formats.is_empty() {
        let formats = raw(&filter.formats, enum_name);
        query.push(" and format = any(").push_bind(formats).push(")");
    }
    if let Some(least) = filter.min_accuracy {
        query.push(" and accuracy >= ").push_bind(least);
    }
    if let Some(since) = filter.created_since {
        query.push(" and version.created_at >= ").push_bind(since);
    }
    if let Some(before) = filter.created_before {
        query.push(" and version.created_at < ").push_bind(before);
    }
}
