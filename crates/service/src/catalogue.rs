//! Models and versions in the catalogue: finding versions; registering, changing, deleting and restoring models.

use super::{Library, ServiceError};
use scv_domain::access::Scope;
use scv_domain::id::{ModelId, VersionId};
use scv_domain::model::{Model, ModelChanges, NewModel, Visibility};
use scv_domain::version::Version;
use scv_store::VersionDeletion;

impl Library {
    pub(super) async fn version(&self, id: VersionId) -> Result<Version, ServiceError> {
        let found = self.store.versions_by_id(&[id]).await?.pop();
        found.ok_or_else(|| ServiceError::not_found("version", id))
    }

    /// A version with its model.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or its model is deleted.
    pub async fn listed_version(&self, id: VersionId) -> Result<(Version, Model), ServiceError> {
        let version = self.version(id).await?;
        let model = self.store.models_by_id(&[version.model_id]).await?.pop();
        match model.filter(|model| model.deleted_at.is_none()) {
            Some(model) => Ok((version, model)),
            None => Err(ServiceError::not_found("version", id)),
        }
    }

    /// Registers a model.
    ///
    /// # Errors
    /// `FORBIDDEN` for a caller that may only read, `BAD_USER_INPUT` for a name that a new model cannot have, `CONFLICT` if the
    /// name is taken, even by a model that the caller cannot see.
    pub async fn create_model(&self, model: &NewModel) -> Result<Model, ServiceError> {
        self.check_new_model(model)?;
        let mut tx = self.store.begin().await?;
        let model = tx.insert_model(model).await?;
        tx.commit().await?;
        Ok(model)
    }

    /// Checks that the caller may register a model, and that its name is one that a new model can have.
    pub(super) fn check_new_model(&self, model: &NewModel) -> Result<(), ServiceError> {
        self.require(Scope::Write)?;
        model.name.check_new().map_err(ServiceError::bad_input)
    }

    /// Changes a model.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or it is deleted, `FORBIDDEN` if it is another account's, `BAD_USER_INPUT` for a new name
    /// that a model cannot get, `CONFLICT` if the new name is taken.
    pub async fn update_model(&self, id: ModelId, changes: &ModelChanges) -> Result<Model, ServiceError> {
        let model = self.changeable_model(id).await?;
        // A model may keep a name that is older than the rule.
        if let Some(name) = changes.name.as_ref().filter(|name| **name != model.name) {
            name.check_new().map_err(ServiceError::bad_input)?;
        }
        let hides = changes.visibility == Some(Visibility::Private);
        if hides && model.owner.is_none() && self.access.scope < Scope::Admin {
            return Err(ServiceError::Forbidden(
                "the model has no owner, so only administrators would see it: only an administrator can make it PRIVATE"
                    .to_owned(),
            ));
        }
        let mut tx = self.store.begin().await?;
        let model = tx
            .update_model(id, changes)
            .await?
            .ok_or_else(|| ServiceError::not_found("model", id))?;
        tx.commit().await?;
        Ok(model)
    }

    /// Hides a model from lists and searches. Nothing is lost: it can be restored.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or it is deleted already, `FORBIDDEN` if it is another account's.
    pub async fn delete_model(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.set_deleted(id, true)
            .await?
            .ok_or_else(|| ServiceError::not_found("model", id))
    }

    /// Shows a deleted model again.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no deleted one, `FORBIDDEN` if it is another account's, `CONFLICT` if its name has been taken
    /// since.
    pub async fn restore_model(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.set_deleted(id, false)
            .await?
            .ok_or_else(|| ServiceError::not_found("deleted model", id))
    }

    /// Deletes a version for good, with its layers, vectors, evaluations, synthetic images and jobs. Its number is never used
    /// again. Returns its model.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, `FORBIDDEN` if it is of another account's model, `CONFLICT` while one of its jobs is queued
    /// or running.
    pub async fn delete_version(&self, id: VersionId) -> Result<Model, ServiceError> {
        let (version, model) = self.listed_version(id).await?;
        self.changeable_model(model.id).await?;
        let mut tx = self.store.begin().await?;
        let missing = || ServiceError::not_found("version", id);
        tx.lock_model(version.model_id).await?.ok_or_else(missing)?;
        match tx.delete_version(id).await? {
            VersionDeletion::Deleted => {}
            VersionDeletion::Missing => return Err(missing()),
            VersionDeletion::HasUnfinishedJob => {
                return Err(ServiceError::Conflict(
                    "a job of this version is queued or running: cancel it first, or wait until it has finished"
                        .to_owned(),
                ));
            }
        }
        tx.commit().await?;
        Ok(model)
    }

    async fn set_deleted(&self, id: ModelId, deleted: bool) -> Result<Option<Model>, ServiceError> {
        self.changeable_model(id).await?;
        let mut tx = self.store.begin().await?;
        let model = tx.set_model_deleted(id, deleted).await?;
        tx.commit().await?;
        Ok(model)
    }
}
