//! Models.

use async_graphql::{Context, Enum, ID, InputObject, Object};
use chrono::{DateTime, Utc};

use super::connection::{ListConnection, Total, connection, empty_slice, page};
use super::cost::page_cost;
use super::error::{ApiError, Result};
use super::id::GlobalId;
use super::loader::{AccountNameOf, BestAccuracyOf, ChosenVersion, VersionCount, VersionsPage, load};
use super::number::check_range;
use super::plain::ListEntry;
use super::version::{Version, VersionStatus};
use scv_domain::model as domain;
use scv_domain::page::Order;
use scv_domain::version::VersionChoice;

/// A named series of versions of a network.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Model(pub domain::Model);

impl ListEntry for Model {}

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

    /// Tags to filter by, sorted.
    async fn tags(&self) -> Vec<&str> {
        self.0.tags.iter().map(|tag| tag.as_str()).collect()
    }

    /// Who may see it.
    async fn visibility(&self) -> Visibility {
        self.0.visibility.into()
    }

    /// The account that owns the model. Null if the model was registered while the server required no token: it then
    /// belongs to everyone.
    async fn owner(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        match self.0.owner {
            Some(owner) => load(ctx, AccountNameOf(owner)).await,
            None => Ok(None),
        }
    }

    /// When it was registered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed: its registration, a change of its fields, or a new version.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// The highest accuracy of a READY version on the test split of its own data set, 0 to 1. Null if none was evaluated
    /// there.
    async fn best_accuracy(&self, ctx: &Context<'_>) -> Result<Option<f64>> {
        load(ctx, BestAccuracyOf(self.0.id)).await
    }

    /// When it was deleted; null if it is not deleted.
    async fn deleted_at(&self) -> Option<DateTime<Utc>> {
        self.0.deleted_at
    }

    /// Its versions, by number.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn versions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Version>> {
        let page = page(first, after, last, before)?;
        let slice = load(ctx, VersionsPage(self.0.id, page.clone()))
            .await?
            .unwrap_or_else(|| empty_slice(&page));
        Ok(connection(
            slice,
            Total::Versions(VersionCount(self.0.id)),
            |version| version.number,
            Version,
        ))
    }

    /// A version by its number or by an alias: `latest` is the READY version with the highest number, `best` the
    /// version with the highest accuracy on its own data set.
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
                    "unknown alias {other:?}: use `latest` or `best`"
                )));
            }
            _ => return Err(ApiError::bad_input("specify exactly one of `number` and `alias`")),
        };
        Ok(load(ctx, ChosenVersion(self.0.id, choice)).await?.map(Version))
    }
}

/// Who may see a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Visibility")]
pub enum Visibility {
    /// Everyone who can access the server.
    Public,
    /// Its owner and administrators. Others can learn only that its name is taken.
    Private,
}

/// Which models to list.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ModelFilter {
    /// Part of the name; case is ignored.
    name_contains: Option<String>,
    /// Only models with all of these tags.
    #[graphql(default)]
    tags: Vec<String>,
    /// Only models with a version for one of these data sets, by name. Empty: any.
    #[graphql(default)]
    datasets: Vec<String>,
    /// Only models that belong to the account of this name.
    owner: Option<String>,
    /// Only models that were registered at this time or later.
    created_since: Option<DateTime<Utc>>,
    /// Only models that were registered before this time.
    created_before: Option<DateTime<Utc>>,
    /// Only models with a READY version of at least this accuracy on its own data set, 0 to 1.
    min_accuracy: Option<f64>,
    /// Only models with a version in one of these states. Empty: any.
    #[graphql(default)]
    statuses: Vec<VersionStatus>,
    /// List the deleted models instead of the others.
    #[graphql(default)]
    deleted: bool,
}

impl TryFrom<ModelFilter> for domain::ModelFilter {
    type Error = ApiError;

    fn try_from(filter: ModelFilter) -> Result<Self> {
        check_range("filter.minAccuracy", filter.min_accuracy, 0.0)?;
        Ok(Self {
            name_contains: filter.name_contains,
            tags: filter.tags,
            datasets: filter.datasets,
            owner: filter.owner,
            created_since: filter.created_since,
            created_before: filter.created_before,
            min_accuracy: filter.min_accuracy,
            statuses: filter.statuses.into_iter().map(Into::into).collect(),
            deleted: filter.deleted,
        })
    }
}

/// The order of a list of models.
#[derive(Debug, Clone, Copy, Default, InputObject)]
pub struct ModelOrder {
    /// The field to order by.
    #[graphql(default)]
    field: ModelOrderField,
    /// The direction.
    #[graphql(default)]
    direction: OrderDirection,
}

impl From<ModelOrder> for Order<domain::ModelOrderField> {
    fn from(order: ModelOrder) -> Self {
        Self {
            field: order.field.into(),
            descending: order.direction == OrderDirection::Desc,
        }
    }
}

/// The field that a list of models is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
#[graphql(remote = "domain::ModelOrderField")]
pub enum ModelOrderField {
    /// Time of registration.
    #[default]
    CreatedAt,
    /// Name, compared byte by byte.
    Name,
    /// Time of the last change: the registration of the model, a change of its fields, or a new version.
    UpdatedAt,
    /// The highest accuracy of a READY version on its own data set. Models without one come last in either direction.
    Accuracy,
    /// Number of trainable parameters of the largest version. Models without versions come last in either direction.
    Size,
}

/// The direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
pub enum OrderDirection {
    /// Ascending: smallest first.
    #[default]
    Asc,
    /// Descending: largest first.
    Desc,
}
