//! Models: names under which versions are kept.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{AccountId, ModelId};
use super::text::{Description, ModelName, Tag};

/// A named line of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Key.
    pub id: ModelId,
    /// Unique among models that are not deleted.
    pub name: ModelName,
    /// Free text, possibly empty.
    pub description: Description,
    /// Words to filter by, sorted, without repetition.
    pub tags: Vec<Tag>,
    /// Who may see it.
    pub visibility: Visibility,
    /// Whose it is; nobody's if it was registered at a server that answers anybody.
    pub owner: Option<AccountId>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// Set while it is deleted: hidden from lists and searches, and restorable.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Who may see a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Visibility {
    /// Everyone who reaches the server.
    #[default]
    Public,
    /// Its owner and administrators.
    Private,
}

/// A model to be registered.
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

/// Changes to a model; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelChanges {
    /// A new name.
    pub name: Option<ModelName>,
    /// A new description.
    pub description: Option<Description>,
    /// All tags anew.
    pub tags: Option<Vec<Tag>>,
    /// A new visibility.
    pub visibility: Option<Visibility>,
}

/// Which models to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct ModelFilter {
    /// Part of the name, in any case.
    pub name_contains: Option<String>,
    /// All of these tags.
    pub tags: Vec<String>,
    /// With a version of one of these data sets.
    pub datasets: Vec<String>,
    /// Deleted models in place of the others.
    pub deleted: bool,
}

/// The order of a list of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ModelOrder {
    /// What is compared.
    pub field: ModelOrderField,
    /// Largest first.
    pub descending: bool,
}

/// What a list of models is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ModelOrderField {
    /// When they were registered.
    #[default]
    CreatedAt,
    /// Their names, byte by byte.
    Name,
}
