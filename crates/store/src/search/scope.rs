//! The layers that a search may return.

use sqlx::{Postgres, QueryBuilder};

use scv_domain::id::{AccountId, DatasetId, ModelId, VersionId};

/// The layers that a search may return, with its names resolved to keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchScope {
    /// Excludes the model of the target.
    pub own_model: Option<ModelId>,
    /// Excludes this version.
    pub except_version: Option<VersionId>,
    /// Minimum accuracy of the version.
    pub min_accuracy: Option<f64>,
    /// The accuracy of the version must exceed this one.
    pub better_than: Option<f64>,
    /// Only versions for one of these data sets.
    pub datasets: Option<Vec<DatasetId>>,
    /// Only layers of one of these kinds. Empty: any kind.
    pub layer_kinds: Vec<String>,
    /// Only these models. Empty: any model.
    pub models: Vec<ModelId>,
    /// Excludes these models.
    pub exclude_models: Vec<ModelId>,
    /// Only models that have all of these tags.
    pub tags: Vec<String>,
    /// The account whose private models are included in addition to public models. `None`: all models.
    pub viewer: Option<AccountId>,
}

impl SearchScope {
    /// Whether it admits only a part of the library. Excluding one model or version does not count.
    pub fn is_narrow(&self) -> bool {
        let rest = Self {
            own_model: self.own_model,
            except_version: self.except_version,
            ..Self::default()
        };
        *self != rest
    }
}

/// The condition that a scope puts on layers, in parentheses.
pub(crate) fn push_condition(query: &mut QueryBuilder<Postgres>, scope: &SearchScope) {
    query.push("(searchable");
    if let Some(own) = scope.own_model {
        query.push(" and model_id <> ").push_bind(own.0);
    }
    if let Some(version) = scope.except_version {
        query.push(" and version_id <> ").push_bind(version.0);
    }
    if let Some(least) = scope.min_accuracy {
        query.push(" and accuracy >= ").push_bind(least);
    }
    if let Some(bound) = scope.better_than {
        query.push(" and accuracy > ").push_bind(bound);
    }
    if let Some(datasets) = &scope.datasets {
        query
            .push(" and dataset_id = any(")
            .push_bind(datasets.iter().map(|id| id.0).collect::<Vec<_>>())
            .push(")");
    }
    if !scope.layer_kinds.is_empty() {
        query
            .push(" and layer_kind = any(")
            .push_bind(scope.layer_kinds.clone())
            .push(")");
    }
    if !scope.models.is_empty() {
        query
            .push(" and model_id = any(")
            .push_bind(scope.models.iter().map(|id| id.0).collect::<Vec<_>>())
            .push(")");
    }
    if !scope.exclude_models.is_empty() {
        let excluded: Vec<_> = scope.exclude_models.iter().map(|id| id.0).collect();
        query.push(" and model_id <> all(").push_bind(excluded).push(")");
    }
    if !scope.tags.is_empty() {
        query.push(" and tags @> ").push_bind(scope.tags.clone());
    }
    if let Some(viewer) = scope.viewer {
        query
            .push(" and (private_to is null or private_to = ")
            .push_bind(viewer.0)
            .push(")");
    }
    query.push(")");
}
