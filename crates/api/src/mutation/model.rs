//! Creates, updates, deletes and restores models.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::error::{ApiError, Result};
use crate::id::GlobalId;
use crate::model::{Model, Visibility};
use scv_domain::id::ModelId;
use scv_domain::model::{ModelChanges, ModelChoice, NewModel};
use scv_domain::text::{Description, ModelName, parse_tags};
use scv_service::Library;

/// Mutations of models.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ModelMutation;

#[Object(use_type_description)]
impl ModelMutation {
    /// Creates a model.
    async fn create_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model to create.")] input: CreateModelInput,
    ) -> Result<CreateModelPayload> {
        let library = ctx.data_unchecked::<Library>();
        let model = library.create_model(&new_model(library, input)?).await?;
        Ok(CreateModelPayload { model: Model(model) })
    }

    /// Updates a model. Omitted fields keep their values.
    async fn update_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The fields to change.")] input: UpdateModelInput,
    ) -> Result<UpdateModelPayload> {
        let changes = ModelChanges {
            name: input.name.map(ModelName::try_from).transpose()?,
            description: input.description.map(Description::try_from).transpose()?,
            tags: input.tags.map(parse_tags).transpose()?,
            visibility: input.visibility.map(Into::into),
        };
        let id = ModelId::decode(&input.id)?;
        let model = ctx.data_unchecked::<Library>().update_model(id, &changes).await?;
        Ok(UpdateModelPayload { model: Model(model) })
    }

    /// Deletes a model: it disappears from lists and searches. Nothing is lost; `restoreModel` restores it.
    async fn delete_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model.")] input: DeleteModelInput,
    ) -> Result<DeleteModelPayload> {
        let model = ctx
            .data_unchecked::<Library>()
            .delete_model(ModelId::decode(&input.id)?)
            .await?;
        Ok(DeleteModelPayload { model: Model(model) })
    }

    /// Restores a deleted model.
    async fn restore_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model.")] input: RestoreModelInput,
    ) -> Result<RestoreModelPayload> {
        let model = ctx
            .data_unchecked::<Library>()
            .restore_model(ModelId::decode(&input.id)?)
            .await?;
        Ok(RestoreModelPayload { model: Model(model) })
    }
}

/// The model of a version to register: one that exists, or one that is created with it.
pub(super) fn model_choice(
    library: &Library,
    existing: Option<ID>,
    new: Option<CreateModelInput>,
) -> Result<ModelChoice> {
    match (existing, new) {
        (Some(id), None) => Ok(ModelChoice::Existing(ModelId::decode(&id)?)),
        (None, Some(model)) => Ok(ModelChoice::New(new_model(library, model)?)),
        _ => Err(ApiError::bad_input("specify the model as `modelId` or as `newModel`")),
    }
}

fn new_model(library: &Library, input: CreateModelInput) -> Result<NewModel> {
    Ok(NewModel {
        name: ModelName::try_from(input.name)?,
        description: Description::try_from(input.description)?,
        tags: parse_tags(input.tags)?,
        visibility: input.visibility.map(Into::into).unwrap_or_default(),
        owner: library.access().account,
    })
}

/// A model to create.
#[derive(Debug, InputObject)]
pub struct CreateModelInput {
    /// Its name: one line of 1 to 128 characters without `:`, unique among models that are not deleted.
    name: String,
    /// Its description, at most 10,000 characters.
    #[graphql(default)]
    description: String,
    /// Its tags: at most 32 tags of 1 to 64 characters each.
    #[graphql(default)]
    tags: Vec<String>,
    /// Who may see it. Default: PUBLIC. Only administrators can see a PRIVATE model without an owner.
    visibility: Option<Visibility>,
}

/// The created model.
#[derive(Debug, SimpleObject)]
pub struct CreateModelPayload {
    /// The model.
    model: Model,
}

/// Changes to a model.
#[derive(Debug, InputObject)]
pub struct UpdateModelInput {
    /// Global id of the model.
    id: ID,
    /// The new name.
    name: Option<String>,
    /// The new description.
    description: Option<String>,
    /// The new tags, which replace all existing ones.
    tags: Option<Vec<String>>,
    /// The new visibility.
    visibility: Option<Visibility>,
}

/// The updated model.
#[derive(Debug, SimpleObject)]
pub struct UpdateModelPayload {
    /// The model.
    model: Model,
}

/// A model to delete.
#[derive(Debug, InputObject)]
pub struct DeleteModelInput {
    /// Global id of the model.
    id: ID,
}

/// The deleted model.
#[derive(Debug, SimpleObject)]
pub struct DeleteModelPayload {
    /// The model.
    model: Model,
}

/// A model to restore.
#[derive(Debug, InputObject)]
pub struct RestoreModelInput {
    /// Global id of the model.
    id: ID,
}

/// The restored model.
#[derive(Debug, SimpleObject)]
pub struct RestoreModelPayload {
    /// The model.
    model: Model,
}
