//! The artifact store belongs to the catalogue: both have the same id, which is compared when a server starts.
//!
//! Without this, a server whose folder is not mounted, or which has a folder of its own beside the one that the other servers of its
//! database share, would miss objects that the catalogue names. So the server also knows which objects nothing needs any more.

use std::collections::HashSet;
use std::time::Duration;

use super::{Library, ServiceError};
use scv_artifact::{ArtifactError, ArtifactKey, ArtifactKind};
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

/// The kinds of objects that are deleted when the catalogue does not need them. Pictures and imports have rules of their own.
const COLLECTED: [ArtifactKind; 5] = [
    ArtifactKind::Weights,
    ArtifactKind::Onnx,
    ArtifactKind::Activations,
    ArtifactKind::Images,
    ArtifactKind::Labels,
];

/// How long an object stays that the catalogue does not need: a request or a job may be about to write the row that does.
const MIN_AGE: Duration = Duration::from_secs(24 * 3_600);

/// How often unneeded objects are looked for.
const COLLECTION_INTERVAL: Duration = Duration::from_secs(6 * 3_600);

impl Library {
    /// Deletes objects that the catalogue does not need, a few times a day. Never ends.
    pub(super) async fn collect_artifacts(&self) {
        loop {
            tokio::time::sleep(COLLECTION_INTERVAL).await;
            match self.delete_unneeded_artifacts().await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "deleted artifacts that nothing needs"),
                Err(error) => tracing::warn!(%error, "artifacts that nothing needs could not be deleted"),
            }
        }
    }

    /// Deletes the objects that the catalogue does not need, such as those of requests that failed and of versions that were
    /// deleted. Returns how many. Those that were put within the last day stay.
    ///
    /// # Errors
    /// The database or the store fails.
    pub async fn delete_unneeded_artifacts(&self) -> Result<usize, ServiceError> {
        let needed = self.store.needed_artifacts().await?;
        let needed: Result<HashSet<ArtifactKey>, _> = needed.iter().map(|key| key.parse()).collect();
        let needed = needed.map_err(ArtifactError::Key)?;
        let mut deleted = 0;
        for kind in COLLECTED {
            deleted += self.artifacts.trim(kind, 0, &needed, MIN_AGE).await?;
        }
        Ok(deleted)
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
