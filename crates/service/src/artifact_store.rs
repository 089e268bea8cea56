//! The artifact store belongs to the catalogue: both have the same id, which is compared when a server starts.
//!
//! Without this, a server whose folder is not mounted, or which has a folder of its own beside the one that the other servers of its
//! database share, would miss objects that the catalogue names.

use super::{Library, ServiceError};
use scv_artifact::{ArtifactError, ArtifactKey};
use scv_dataset::DIGITS_NAME;
use scv_store::{StoreError, Tx};

/// Why an artifact store cannot be used with a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum ForeignStoreError {
    /// It has the id of another one.
    #[error(
        "it belongs to another database: choose another data directory with --data-dir; if its database was restored or created again, \
         delete the file `{file}` in it",
        file = scv_artifact::ID
    )]
    OfAnother,
    /// It has no id, and none of the objects that the catalogue needs.
    #[error(
        "the database is used with another folder, and this one has none of its objects: mount that folder here, or name its data \
         directory with --data-dir; servers that share a database share this folder. If it is the right one, write {} into its file \
         `{file}`",
        .id.as_deref().unwrap_or("an id of your choice"),
        file = scv_artifact::ID
    )]
    Empty {
        /// The id of the right one, if it has one.
        id: Option<String>,
    },
    /// The database or the store fails.
    #[error(transparent)]
    Failed(#[from] ServiceError),
}

impl Library {
    /// Checks that the artifact store is the one with the objects of the catalogue. When either is used for the first time, both get
    /// the same id.
    ///
    /// # Errors
    /// It is another one, or the store or the database fails.
    pub async fn check_artifact_store(&self) -> Result<(), ForeignStoreError> {
        let mut tx = self.store.begin().await?;
        let expected = tx.artifact_store_id().await?;
        match (&expected, self.artifacts.id().await?) {
            (Some(expected), Some(found)) if *expected == found => return Ok(()),
            (_, Some(_)) => return Err(ForeignStoreError::OfAnother),
            (_, None) => {}
        }
        if !self.is_plausible(&mut tx, expected.is_some()).await? {
            return Err(ForeignStoreError::Empty { id: expected });
        }
        let id = tx.draw_artifact_store_id().await?;
        self.artifacts.set_id(&id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether a store without an id may be the one of the catalogue: it has some of the objects that the catalogue needs, or the
    /// catalogue needs none and has never been used with a store.
    async fn is_plausible(&self, tx: &mut Tx, was_used: bool) -> Result<bool, ServiceError> {
        let keys = tx.named_artifacts(DIGITS_NAME).await?;
        for key in &keys {
            let key: ArtifactKey = key.parse().map_err(ArtifactError::Key)?;
            if self.artifacts.contains(&key).await? {
                return Ok(true);
            }
        }
        Ok(keys.is_empty() && !was_used)
    }
}

impl From<StoreError> for ForeignStoreError {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

impl From<ArtifactError> for ForeignStoreError {
    fn from(error: ArtifactError) -> Self {
        ServiceError::from(error).into()
    }
}
