//! Models: registering, changing, deleting, restoring.

use super::{Library, ServiceError};
use crate::domain::id::ModelId;
use crate::domain::model::{Model, ModelChanges, NewModel};

impl Library {
    /// Registers a model.
    ///
    /// # Errors
    /// `CONFLICT` if the name is taken.
    pub async fn create_model(&self, model: &NewModel) -> Result<Model, ServiceError> {
        let mut tx = self.store.begin().await?;
        let model = tx.insert_model(model).await?;
        tx.commit().await?;
        Ok(model)
    }

    /// Changes a model.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or it is deleted, `CONFLICT` if the new name is taken.
    pub async fn update_model(&self, id: ModelId, changes: &ModelChanges) -> Result<Model, ServiceError> {
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
    /// `NOT_FOUND` if there is none or it is deleted already.
    pub async fn delete_model(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.set_deleted(id, true)
            .await?
            .ok_or_else(|| ServiceError::not_found("model", id))
    }

    /// Shows a deleted model again.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no deleted one, `CONFLICT` if its name was taken meanwhile.
    pub async fn restore_model(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.set_deleted(id, false)
            .await?
            .ok_or_else(|| ServiceError::not_found("deleted model", id))
    }

    async fn set_deleted(&self, id: ModelId, deleted: bool) -> Result<Option<Model>, ServiceError> {
        let mut tx = self.store.begin().await?;
        let model = tx.set_model_deleted(id, deleted).await?;
        tx.bump_generation().await?;
        tx.commit().await?;
        Ok(model)
    }
}
