//! Models.

use async_graphql::{Context, Enum, ID, InputObject, Object};
use chrono::{DateTime, Utc};

use super::connection::{ListConnection, Total, connection, empty, page};
use super::error::{ApiError, Result};
use super::id::GlobalId;
use super::limits::page_cost;
use super::loader::{ChosenVersion, NameOf, VersionCount, VersionsPage, load};
use super::version::Version;
use scv_domain::model as domain;
use scv_domain::version::VersionChoice;

/// A named line of versions.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Model(pub domain::Model);

#[Object(use_type_description)]
impl Model {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Unique among models that are not deleted.
    async fn name(&self) -> &str {
        self.0.name.as_str()
    }

    /// Free text, possibly empty.
    async fn description(&self) -> &str {
        self.0.description.as_str()
    }

    /// Words to filter by, sorted.
    async fn tags(&self) -> Vec<&str> {
        self.0.tags.iter().map(|tag| tag.as_str()).collect()
    }

    /// Who may see it.
    async fn visibility(&self) -> Visibility {
        self.0.visibility.into()
    }

    /// The account whose it is; null if it was registered at a server that answers anybody, and then it is everybody's.
    async fn owner(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        match self.0.owner {
            Some(owner) => load(ctx, NameOf(owner)).await,
            None => Ok(None),
        }
    }

    /// When it was registered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was deleted; null while it is not.
    async fn deleted_at(&self) -> Option<DateTime<Utc>> {
        self.0.deleted_at
    }

    /// Its versions, by number.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn versions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Version>> {
        let page = page(first, after, last, before)?;
        let slice = load(ctx, VersionsPage(self.0.id, page.clone()))
            .await?
            .unwrap_or_else(|| empty(&page));
        Ok(connection(
            slice,
            Total::Versions(VersionCount(self.0.id)),
            |version| version.number,
            Version,
        ))
    }

    /// One version: by its number, or by an alias. `latest` is the READY version with the highest number,
    /// `best` the one most accurate on its own data set.
    async fn version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of the version, from 1.")] number: Option<i32>,
        #[graphql(desc = "`latest` or `best`.")] alias: Option<String>,
    ) -> Result<Option<Version>> {
        let choice = match (number, alias.as_deref()) {
            (Some(number), None) => VersionChoice::Number(number),
            (None, Some("latest")) => VersionChoice::Latest,
            (None, Some("best")) => VersionChoice::Best,
            (None, Some(other)) => {
                return Err(ApiError::bad_input(format!(
                    "there is no alias {other:?}: use `latest` or `best`"
                )));
            }
            _ => return Err(ApiError::bad_input("give `number` or `alias`, and only one of them")),
        };
        Ok(load(ctx, ChosenVersion(self.0.id, choice)).await?.map(Version))
    }
}

/// Who may see a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Visibility")]
pub enum Visibility {
    /// Everyone who reaches the server.
    Public,
    /// Its owner and administrators. Others learn no more of it than that its name is taken.
    Private,
}

/// Which models to list.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ModelFilter {
    /// Part of the name, in any case.
    name_contains: Option<String>,
    /// All of these tags.
    #[graphql(default)]
    tags: Vec<String>,
    /// With a version of one of these data sets, by name.
    #[graphql(default)]
    datasets: Vec<String>,
    /// Deleted models in place of the others.
    #[graphql(default)]
    deleted: bool,
}

impl From<ModelFilter> for domain::ModelFilter {
    fn from(filter: ModelFilter) -> Self {
        Self {
            name_contains: filter.name_contains,
            tags: filter.tags,
            datasets: filter.datasets,
            deleted: filter.deleted,
        }
    }
}

/// The order of a list of models.
#[derive(Debug, Clone, Copy, Default, InputObject)]
pub struct ModelOrder {
    /// What is compared.
    #[graphql(default)]
    field: ModelOrderField,
    /// Which way.
    #[graphql(default)]
    direction: OrderDirection,
}

impl From<ModelOrder> for domain::ModelOrder {
    fn from(order: ModelOrder) -> Self {
        Self {
            field: order.field.into(),
            descending: order.direction == OrderDirection::Desc,
        }
    }
}

/// What a list of models is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
#[graphql(remote = "domain::ModelOrderField")]
pub enum ModelOrderField {
    /// When they were registered.
    #[default]
    CreatedAt,
    /// Their names, byte by byte.
    Name,
}

/// Which way a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
pub enum OrderDirection {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}
