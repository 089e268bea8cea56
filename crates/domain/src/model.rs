//! Models: named series of versions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{AccountId, ModelId};
use super::text::{Description, ModelName, Tag};
use super::version::VersionStatus;

/// A named series of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Key.
    pub id: ModelId,
    /// Unique among models that are not deleted.
    pub name: ModelName,
    /// Free text, possibly empty.
    pub description: Description,
    /// Tags to filter by, sorted and unique.
    pub tags: Vec<Tag>,
    /// Who may see it.
    pub visibility: Visibility,
    /// The owner; `None` if it was registered on a server that is open to everyone.
    pub owner: Option<AccountId>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it last changed: its registration, a change of its fields, or a new version.
    pub updated_at: DateTime<Utc>,
    /// Set while the model is deleted. A deleted model is hidden from lists and searches and can be restored.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Who may see a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Visibility {
    /// Every caller.
    #[default]
    Public,
    /// Its owner and administrators.
    Private,
}

/// A model to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel {
    /// See [`Model::name`].
    pub name: ModelName,
    /// See [`Model::description`].
    pub description: Description,
    /// See [`Model::tags`].
    pub tags: Vec<Tag>,
    /// See [`Model::visibility`].
    pub visibility: Visibility,
    /// See [`Model::owner`].
    pub owner: Option<AccountId>,
}

/// The model that gets a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// One that exists.
    Existing(ModelId),
    /// One that is registered together with the version.
    New(NewModel),
}

/// Changes to a model; fields that are `None` stay unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelChanges {
    /// A new name.
    pub name: Option<ModelName>,
    /// A new description.
    pub description: Option<Description>,
    /// The new tags, which replace all existing ones.
    pub tags: Option<Vec<Tag>>,
    /// A new visibility.
    pub visibility: Option<Visibility>,
}

/// A filter for lists of models.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelFilter {
    /// Part of the name, ignoring case.
    pub name_contains: Option<String>,
    /// Only models with all of these tags.
    pub tags: Vec<String>,
    /// Only models with a version for one of these data sets.
    pub datasets: Vec<String>,
    /// Only models of the account of this name.
    pub owner: Option<String>,
    /// Only models that were registered at this time or later.
    pub created_since: Option<DateTime<Utc>>,
    /// Only models that were registered before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// Minimum accuracy of the best `READY` version on its own data set.
    pub min_accuracy: Option<f64>,
    /// Only models with a version of one of these statuses; empty for any.
    pub statuses: Vec<VersionStatus>,
    /// Whether to list deleted models instead of the others.
    pub deleted: bool,
}

/// The field that a list of models is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ModelOrderField {
    /// When the models were registered.
    #[default]
    CreatedAt,
    /// The names, compared byte by byte.
    Name,
    /// When the models last changed.
    UpdatedAt,
    /// The highest accuracy of a `READY` version on its own data set.
    Accuracy,
    /// The number of trainable parameters of the largest version.
    Size,
}
