//! Models.

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::listing::{Listing, Position, SortExpression, SortField};
use super::rows::{RowContext, enum_name, raw};
use super::{Store, StoreError, Tx};
use scv_domain::id::{AccountId, ModelId};
use scv_domain::model::{Model, ModelChanges, ModelFilter, ModelOrderField, NewModel};
use scv_domain::page::{Order, Page, Slice};
use scv_domain::text::Tag;

#[derive(sqlx::FromRow)]
struct ModelRow {
    model_id: i64,
    name: String,
    description: String,
    tags: Vec<String>,
    visibility: String,
    owner_id: Option<i64>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

impl TryFrom<ModelRow> for Model {
    type Error = StoreError;

    fn try_from(row: ModelRow) -> Result<Self, StoreError> {
        let row_context = RowContext {
            table: "model",
            row: row.model_id,
        };
        Ok(Self {
            id: ModelId(row.model_id),
            name: row_context.text("name", row.name)?,
            description: row_context.text("description", row.description)?,
            tags: row
                .tags
                .into_iter()
                .map(|tag| row_context.text("tags", tag))
                .collect::<Result<_, _>>()?,
            visibility: row_context.enum_value("visibility", &row.visibility)?,
            owner: row.owner_id.map(AccountId),
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
        })
    }
}

impl SortField for ModelOrderField {
    const KEY: &'static str = "model_id";

    fn expression(self) -> Option<SortExpression> {
        match self {
            Self::CreatedAt => None,
            Self::Name => Some(SortExpression::Text("name collate \"C\"")),
            Self::UpdatedAt => Some(SortExpression::Time("updated_at")),
            Self::Accuracy => Some(SortExpression::Number("best_accuracy")),
            Self::Size => Some(SortExpression::Integer("size")),
        }
    }

    fn has_every_row(self) -> bool {
        matches!(self, Self::Name | Self::UpdatedAt)
    }
}

impl Store {
    /// Models by key that the viewer may see, including deleted ones.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.models_by_id", skip_all)]
    pub async fn models_by_id(&self, ids: &[ModelId]) -> Result<Vec<Model>, StoreError> {
        sqlx::query_as!(
            ModelRow,
            "select model_id, name, description, tags, visibility, owner_id, created_at, updated_at, deleted_at
               from model
              where model_id = any($1)
                and ($2::bigint is null or private_to is null or private_to = $2)",
            &raw(ids, |id| id.0),
            self.viewer(),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Model::try_from)
        .collect()
    }

    /// The model of a name, unless it is deleted or the viewer may not see it.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.model_by_name", skip_all)]
    pub async fn model_by_name(&self, name: &str) -> Result<Option<Model>, StoreError> {
        sqlx::query_as!(
            ModelRow,
            "select model_id, name, description, tags, visibility, owner_id, created_at, updated_at, deleted_at
               from model
              where name = $1
                and deleted_at is null
                and ($2::bigint is null or private_to is null or private_to = $2)",
            name,
            self.viewer(),
        )
        .fetch_optional(&self.pool)
        .await?
        .map(Model::try_from)
        .transpose()
    }

    /// One page of the models that a filter admits and the viewer may see.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.models_page", skip_all)]
    pub async fn models_page(
        &self,
        filter: &ModelFilter,
        order: Order<ModelOrderField>,
        page: &Page<Position<ModelOrderField>>,
    ) -> Result<Slice<(Model, Position<ModelOrderField>)>, StoreError> {
        let tables = match order.field {
            ModelOrderField::Accuracy => {
                "model left join (select model_id, max(accuracy) as best_accuracy
                                    from version
                                    join evaluation using (version_id, dataset_id)
                                   where status = 'READY'
                                   group by model_id) as best using (model_id)"
            }
            ModelOrderField::Size => {
                "model left join (select model_id, max(parameter_count) as size
                                    from version
                                   group by model_id) as largest using (model_id)"
            }
            _ => "model",
        };
        let listing = Listing { order, page };
        let columns = "model_id, name, description, tags, visibility, owner_id, created_at, updated_at, deleted_at";
        let mut query = listing.select(columns, tables);
        push_filter(&mut query, filter, self.viewer());
        listing.fetch::<ModelRow, _>(query, &self.pool).await
    }

    /// Counts the models that a filter admits and the viewer may see.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_models", skip_all)]
    pub async fn count_models(&self, filter: &ModelFilter) -> Result<i64, StoreError> {
        let mut query = QueryBuilder::new("select count(*) from model where ");
        push_filter(&mut query, filter, self.viewer());
        Ok(query.build_query_scalar().fetch_one(&self.pool).await?)
    }

    /// The highest accuracy of a `READY` version of each model on its own data set. Models without one are left out.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.best_accuracies", skip_all)]
    pub async fn best_accuracies(&self, models: &[ModelId]) -> Result<Vec<(ModelId, f64)>, StoreError> {
        let rows = sqlx::query!(
            r#"select model_id, max(accuracy) as "accuracy!"
                 from version
                 join evaluation using (version_id, dataset_id)
                where model_id = any($1)
                  and status = 'READY'
                group by model_id"#,
            &raw(models, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (ModelId(row.model_id), row.accuracy))
            .collect())
    }
}

fn push_filter(query: &mut QueryBuilder<sqlx::Postgres>, filter: &ModelFilter, viewer: Option<i64>) {
    query.push(if filter.deleted {
        "deleted_at is not null"
    } else {
        "deleted_at is null"
    });
    if let Some(viewer) = viewer {
        query
            .push(" and (private_to is null or private_to = ")
            .push_bind(viewer)
            .push(")");
    }
    if let Some(part) = &filter.name_contains {
        query
            .push(" and position(lower(")
            .push_bind(part.clone())
            .push(") in lower(name)) > 0");
    }
    if !filter.tags.is_empty() {
        query.push(" and tags @> ").push_bind(filter.tags.clone());
    }
    if !filter.datasets.is_empty() {
        query
            .push(" and exists (select from version join dataset using (dataset_id) where version.model_id = model.model_id and dataset.name = any(")
            .push_bind(filter.datasets.clone())
            .push("))");
    }
    if let Some(owner) = &filter.owner {
        query
            .push(" and owner_id = (select account_id from account where account.name = ")
            .push_bind(owner.clone())
            .push(")");
    }
    if let Some(since) = filter.created_since {
        query.push(" and created_at >= ").push_bind(since);
    }
    if let Some(before) = filter.created_before {
        query.push(" and created_at < ").push_bind(before);
    }
    if let Some(least) = filter.min_accuracy {
        query
            .push(
                " and exists (select from version join evaluation using (version_id, dataset_id)
                               where version.model_id = model.model_id and status = 'READY' and accuracy >= ",
            )
            .push_bind(least)
            .push(")");
    }
    if !filter.statuses.is_empty() {
        query
            .push(" and exists (select from version where version.model_id = model.model_id and status = any(")
            .push_bind(raw(&filter.statuses, enum_name))
            .push("))");
    }
}

impl Tx {
    /// Registers a model.
    ///
    /// # Errors
    /// [`super::error::Conflict::ModelName`], or the database fails.
    pub async fn insert_model(&mut self, model: &NewModel) -> Result<Model, StoreError> {
        sqlx::query_as!(
            ModelRow,
            "insert into model (name, description, tags, visibility, owner_id)
             values ($1, $2, $3, $4, $5)
             returning model_id, name, description, tags, visibility, owner_id, created_at, updated_at, deleted_at",
            model.name.as_str(),
            model.description.as_str(),
            &names(&model.tags),
            enum_name(model.visibility),
            model.owner.map(|owner| owner.0),
        )
        .fetch_one(self.connection())
        .await?
        .try_into()
    }

    /// Updates a model that is not deleted, and its searchable rows. `None` if there is no such model.
    ///
    /// # Errors
    /// [`super::error::Conflict::ModelName`], or the database fails.
    pub async fn update_model(&mut self, id: ModelId, changes: &ModelChanges) -> Result<Option<Model>, StoreError> {
        let tags = changes.tags.as_deref().map(names);
        self.lock_sketches().await?;
        let row = sqlx::query_as!(
            ModelRow,
            "update model
                set name        = coalesce($2, name),
                    description = coalesce($3, description),
                    tags        = coalesce($4, tags),
                    visibility  = coalesce($5, visibility),
                    updated_at  = case when num_nonnulls($2::text, $3::text, $4::text[], $5::text) > 0 then now() else updated_at end
              where model_id = $1
                and deleted_at is null
             returning model_id, name, description, tags, visibility, owner_id, created_at, updated_at, deleted_at",
            id.0,
            changes.name.as_ref().map(|name| name.as_str()),
            changes.description.as_ref().map(|text| text.as_str()),
            tags.as_deref(),
            changes.visibility.map(enum_name),
        )
        .fetch_optional(self.connection())
        .await?;
        if row.is_some() && (changes.tags.is_some() || changes.visibility.is_some()) {
            sqlx::query!(
                "update layer_sketch
                    set tags = model.tags, private_to = model.private_to, changed = pg_current_xact_id()
                   from model
                  where model.model_id = $1
                    and layer_sketch.model_id = $1",
                id.0,
            )
            .execute(self.connection())
            .await?;
        }
        row.map(Model::try_from).transpose()
    }

    /// Hides a model from lists and searches, or shows it again. `None` if there is no model in the other state.
    ///
    /// # Errors
    /// [`super::error::Conflict::ModelName`] if another model has taken its name, or the database fails.
    pub async fn set_model_deleted(&mut self, id: ModelId, deleted: bool) -> Result<Option<Model>, StoreError> {
        self.lock_sketches().await?;
        let row = sqlx::query_as!(
            ModelRow,
            "update model
                set deleted_at = case when $2 then now() end
              where model_id = $1
                and (deleted_at is null) = $2
             returning model_id, name, description, tags, visibility, owner_id, created_at, updated_at, deleted_at",
            id.0,
            deleted,
        )
        .fetch_optional(self.connection())
        .await?;
        if row.is_some() {
            sqlx::query!(
                "update layer_sketch set searchable = not $2, changed = pg_current_xact_id() where model_id = $1",
                id.0,
                deleted
            )
            .execute(self.connection())
            .await?;
        }
        row.map(Model::try_from).transpose()
    }

    /// Takes the row lock of a model, so that no other transaction changes it or adds versions until this one ends. `None` if
    /// there is no such model or it is deleted.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn lock_model(&mut self, id: ModelId) -> Result<Option<Model>, StoreError> {
        sqlx::query_as!(
            ModelRow,
            "select model_id, name, description, tags, visibility, owner_id, created_at, updated_at, deleted_at
               from model
              where model_id = $1
                and deleted_at is null
                for update",
            id.0,
        )
        .fetch_optional(self.connection())
        .await?
        .map(Model::try_from)
        .transpose()
    }
}

fn names(tags: &[Tag]) -> Vec<String> {
    tags.iter().map(|tag| tag.as_str().to_owned()).collect()
}
