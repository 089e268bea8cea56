//! Models: registering, changing, deleting, restoring.

use super::{Library, ServiceError};
use scv_domain::access::Scope;
use scv_domain::id::ModelId;
use scv_domain::model::{Model, ModelChanges, NewModel, Visibility};

impl Library {
    /// Registers a model.
    ///
    /// # Errors
    /// `FORBIDDEN` for whoever may only read, `CONFLICT` if the name is taken: by a model that is not seen, too.
    pub async fn create_model(&self, model: &NewModel) -> Result<Model, ServiceError> {
        self.require(Scope::Write)?;
        let mut tx = self.store.begin().await?;
        let model = tx.insert_model(model).await?;
        tx.commit().await?;
        Ok(model)
    }

    /// Changes a model.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or it is deleted, `FORBIDDEN` if it is another's, `CONFLICT` if the new name is taken.
    pub async fn update_model(&self, id: ModelId, changes: &ModelChanges) -> Result<Model, ServiceError> {
        let model = self.changeable(id).await?;
        let hides = changes.visibility == Some(Visibility::Private);
        if hides && model.owner.is_none() && self.access.scope < Scope::Admin {
            return Err(ServiceError::Forbidden(
                "a model of nobody would be seen by administrators alone: only they make it PRIVATE".to_owned(),
            ));
        }
        let mut tx = self.store.begin().await?;
        let model = tx
            .update_model(id, changes)
            .await?
            .ok_or_else(|| ServiceError::not_found("model", id))?;
        tx.bump_generation().await?;
        tx.commit().await?;
        Ok(model)
    }

    /// Hides a model from lists and searches. Nothing is lost: it can be restored.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or it is deleted already, `FORBIDDEN` if it is another's.
    pub async fn delete_model(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.set_deleted(id, true)
            .await?
            .ok_or_else(|| ServiceError::not_found("model", id))
    }

    /// Shows a deleted model again.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no deleted one, `FORBIDDEN` if it is another's, `CONFLICT` if its name was taken meanwhile.
    pub async fn restore_model(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.set_deleted(id, false)
            .await?
            .ok_or_else(|| ServiceError::not_found("deleted model", id))
    }

    async fn set_deleted(&self, id: ModelId, deleted: bool) -> Result<Option<Model>, ServiceError> {
        self.changeable(id).await?;
        let mut tx = self.store.begin().await?;
        let model = tx.set_model_deleted(id, deleted).await?;
        tx.bump_generation().await?;
        tx.commit().await?;
        Ok(model)
    }
}
