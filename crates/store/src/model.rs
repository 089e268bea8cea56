//! Models.

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::rows::{RowContext, enum_name, raw};
use super::{Store, StoreError, Tx};
use scv_domain::id::{AccountId, ModelId};
use scv_domain::model::{Model, ModelChanges, ModelFilter, ModelOrder, ModelOrderField, NewModel};
use scv_domain::page::{Page, Slice};
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
            deleted_at: row.deleted_at,
        })
    }
}

/// A position in a list of models: the value that the list is ordered by, and the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ModelCursor {
    /// The name, if the list is ordered by name; otherwise `None`.
    pub name: Option<String>,
    /// The model's key.
    pub id: i64,
}

impl ModelCursor {
    /// Whether it is a position in a list of this order.
    pub fn fits(&self, order: ModelOrder) -> bool {
        self.name.is_some() == (order.field == ModelOrderField::Name)
    }

    /// The position of a model in a list of this order.
    pub fn of(model: &Model, order: ModelOrder) -> Self {
        let name = (order.field == ModelOrderField::Name).then(|| model.name.as_str().to_owned());
        Self { name, id: model.id.0 }
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
            "select model_id, name, description, tags, visibility, owner_id, created_at, deleted_at
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
            "select model_id, name, description, tags, visibility, owner_id, created_at, deleted_at
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
        order: ModelOrder,
        page: &Page<ModelCursor>,
    ) -> Result<Slice<Model>, StoreError> {
        let mut query = QueryBuilder::new(
            "select model_id, name, description, tags, visibility, owner_id, created_at, deleted_at from model where ",
        );
        push_filter(&mut query, filter, self.viewer());
        let by_name = order.field == ModelOrderField::Name;
        let downwards = order.descending != page.from_end;
        // `after` means later in list order, whichever way the rows are read.
        let (after, before) = if order.descending {
            (" < ", " > ")
        } else {
            (" > ", " < ")
        };
        for (cursor, comparison) in [(&page.after, after), (&page.before, before)] {
            let Some(cursor) = cursor else { continue };
            if by_name {
                query
                    .push(" and (name collate \"C\", model_id)")
                    .push(comparison)
                    .push("(");
                query
                    .push_bind(cursor.name.clone().unwrap_or_default())
                    .push(", ")
                    .push_bind(cursor.id)
                    .push(")");
            } else {
                query.push(" and model_id").push(comparison).push_bind(cursor.id);
            }
        }
        let direction = if downwards { "desc" } else { "asc" };
        query
            .push(if by_name {
                " order by name collate \"C\" "
            } else {
                " order by model_id "
            })
            .push(direction);
        if by_name {
            query.push(", model_id ").push(direction);
        }
        query.push(" limit ").push_bind(page.limit as i64 + 1);
        let rows: Vec<ModelRow> = query.build_query_as().fetch_all(&self.pool).await?;
        let models = rows.into_iter().map(Model::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(Slice::from_rows(models, page))
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
             returning model_id, name, description, tags, visibility, owner_id, created_at, deleted_at",
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
                    visibility  = coalesce($5, visibility)
              where model_id = $1
                and deleted_at is null
             returning model_id, name, description, tags, visibility, owner_id, created_at, deleted_at",
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
             returning model_id, name, description, tags, visibility, owner_id, created_at, deleted_at",
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
            "select model_id, name, description, tags, visibility, owner_id, created_at, deleted_at
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
