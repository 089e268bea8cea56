//! Registering, changing, deleting and restoring models.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use scv_domain::id::ModelId;
use scv_domain::model::{ModelChanges, NewModel};
use scv_domain::text::{Description, ModelName, tags};
use crate::graphql::error::Result;
use crate::graphql::id::GlobalId;
use crate::graphql::model::{Model, Visibility};
use scv_service::Library;

/// Writes on models.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ModelMutation;

#[Object(use_type_description)]
impl ModelMutation {
    /// Registers a model.
    async fn create_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to register.")] input: CreateModelInput,
    ) -> Result<CreateModelPayload> {
        let library = ctx.data_unchecked::<Library>();
        let new = NewModel {
            name: ModelName::try_from(input.name)?,
            description: Description::try_from(input.description)?,
            tags: tags(input.tags)?,
            visibility: input.visibility.map(Into::into).unwrap_or_default(),
            owner: library.access().account,
        };
        let model = library.create_model(&new).await?;
        Ok(CreateModelPayload { model: Model(model) })
    }

    /// Changes a model; what is left out stays as it is.
    async fn update_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateModelInput,
    ) -> Result<UpdateModelPayload> {
        let changes = ModelChanges {
            name: input.name.map(ModelName::try_from).transpose()?,
            description: input.description.map(Description::try_from).transpose()?,
            tags: input.tags.map(tags).transpose()?,
            visibility: input.visibility.map(Into::into),
        };
        let id = ModelId::decode(&input.id)?;
        let model = ctx.data_unchecked::<Library>().update_model(id, &changes).await?;
        Ok(UpdateModelPayload { model: Model(model) })
    }

    /// Hides a model from lists and searches. Nothing is lost: `restoreModel` brings it back.
    async fn delete_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which model.")] input: DeleteModelInput,
    ) -> Result<DeleteModelPayload> {
        let model = ctx
            .data_unchecked::<Library>()
            .delete_model(ModelId::decode(&input.id)?)
            .await?;
        Ok(DeleteModelPayload { model: Model(model) })
    }

    /// Shows a deleted model again.
    async fn restore_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which model.")] input: RestoreModelInput,
    ) -> Result<RestoreModelPayload> {
        let model = ctx
            .data_unchecked::<Library>()
            .restore_model(ModelId::decode(&input.id)?)
            .await?;
        Ok(RestoreModelPayload { model: Model(model) })
    }
}

/// A model to register.
#[derive(Debug, InputObject)]
pub struct CreateModelInput {
    /// One line of 1 to 128 characters, unique among models that are not deleted.
    name: String,
    /// At most 10,000 characters.
    #[graphql(default)]
    description: String,
    /// At most 32 tags of 1 to 64 characters.
    #[graphql(default)]
    tags: Vec<String>,
    /// Who may see it; everyone if left out. A PRIVATE one without an owner is seen by administrators alone.
    visibility: Option<Visibility>,
}

/// The model registered.
#[derive(Debug, SimpleObject)]
pub struct CreateModelPayload {
    /// The model.
    model: Model,
}

/// Changes to a model.
#[derive(Debug, InputObject)]
pub struct UpdateModelInput {
    /// Which model.
    id: ID,
    /// A new name.
    name: Option<String>,
    /// A new description.
    description: Option<String>,
    /// All tags anew.
    tags: Option<Vec<String>>,
    /// A new visibility.
    visibility: Option<Visibility>,
}

/// The model changed.
#[derive(Debug, SimpleObject)]
pub struct UpdateModelPayload {
    /// The model.
    model: Model,
}

/// A model to delete.
#[derive(Debug, InputObject)]
pub struct DeleteModelInput {
    /// Which model.
    id: ID,
}

/// The model deleted.
#[derive(Debug, SimpleObject)]
pub struct DeleteModelPayload {
    /// The model.
    model: Model,
}

/// A model to restore.
#[derive(Debug, InputObject)]
pub struct RestoreModelInput {
    /// Which model.
    id: ID,
}

/// The model restored.
#[derive(Debug, SimpleObject)]
pub struct RestoreModelPayload {
    /// The model.
    model: Model,
}
