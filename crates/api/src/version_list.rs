//! Which versions a list across models contains, and their order.

use async_graphql::{Enum, InputObject};
use chrono::{DateTime, Utc};

use super::error::{ApiError, Result};
use super::model::OrderDirection;
use super::number::check_range;
use super::version::{ModelFormat, VersionStatus};
use scv_domain::page::Order;
use scv_domain::version as domain;

/// Which versions to list. Conditions that are left out admit every version.
#[derive(Debug, Clone, Default, InputObject)]
pub struct VersionFilter {
    /// Part of the model's name; case is ignored.
    model_name_contains: Option<String>,
    /// Only versions of models with all of these tags.
    #[graphql(default)]
    tags: Vec<String>,
    /// Only versions for one of these data sets, by name. Empty: any.
    #[graphql(default)]
    datasets: Vec<String>,
    /// Only versions in one of these states. Empty: any.
    #[graphql(default)]
    statuses: Vec<VersionStatus>,
    /// Only versions of one of these formats. Empty: any.
    #[graphql(default)]
    formats: Vec<ModelFormat>,
    /// Minimum accuracy on the version's own data set, 0 to 1.
    min_accuracy: Option<f64>,
    /// Only versions that were registered at this time or later.
    created_since: Option<DateTime<Utc>>,
    /// Only versions that were registered before this time.
    created_before: Option<DateTime<Utc>>,
}

impl TryFrom<VersionFilter> for domain::VersionFilter {
    type Error = ApiError;

    fn try_from(filter: VersionFilter) -> Result<Self> {
        check_range("filter.minAccuracy", filter.min_accuracy, 0.0)?;
        Ok(Self {
            model_name_contains: filter.model_name_contains,
            tags: filter.tags,
            datasets: filter.datasets,
            statuses: filter.statuses.into_iter().map(Into::into).collect(),
            formats: filter.formats.into_iter().map(Into::into).collect(),
            min_accuracy: filter.min_accuracy,
            created_since: filter.created_since,
            created_before: filter.created_before,
        })
    }
}

/// The order of a list of versions.
#[derive(Debug, Clone, Copy, Default, InputObject)]
pub struct VersionOrder {
    /// The field to order by.
    #[graphql(default)]
    field: VersionOrderField,
    /// The direction.
    #[graphql(default)]
    direction: OrderDirection,
}

impl From<VersionOrder> for Order<domain::VersionOrderField> {
    fn from(order: VersionOrder) -> Self {
        Self {
            field: order.field.into(),
            descending: order.direction == OrderDirection::Desc,
        }
    }
}

/// The field that a list of versions is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
#[graphql(remote = "domain::VersionOrderField")]
pub enum VersionOrderField {
    /// Time of registration.
    #[default]
    CreatedAt,
    /// Accuracy on the version's own data set. Versions that were not evaluated come last in either direction.
    Accuracy,
    /// Number of trainable parameters.
    ParameterCount,
    /// Number of multiply-accumulate operations for one image.
    MultiplyAccumulates,
}
