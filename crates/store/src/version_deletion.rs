//! Deletion of a version with everything that belongs to it.

use super::{StoreError, Tx};
use scv_domain::id::VersionId;

/// What belongs to a version, in the order in which it can be deleted.
const DELETIONS: [&str; 12] = [
    "delete from confusion_cell where version_id = $1",
    "delete from confident_mistake where version_id = $1",
    "delete from evaluation where version_id = $1",
    "delete from synthesis where version_id = $1",
    "delete from channel_exemplars where layer_id in (select layer_id from layer where version_id = $1)",
    "delete from degenerate_layer where layer_id in (select layer_id from layer where version_id = $1)",
    "delete from layer_vector where layer_id in (select layer_id from layer where version_id = $1)",
    "delete from long_sketch
      where layer_id in (select layer_id from layer where version_id = $1)
        and basis_id in (select basis_id from sketch_basis)",
    "delete from layer_sketch where version_id = $1",
    "delete from layer where version_id = $1",
    "delete from job where version_id = $1",
    "update version set duplicate_of = null where duplicate_of = $1",
];

/// The outcome of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionDeletion {
    /// The version is gone.
    Deleted,
    /// There was no such version.
    Missing,
    /// One of its jobs has not finished, so nothing was deleted.
    HasUnfinishedJob,
}

impl Tx {
    /// Deletes a version and everything that belongs to it. The caller holds the row lock of the model. Files stay in the object
    /// store until they are collected: other versions may share them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn delete_version(&mut self, id: VersionId) -> Result<VersionDeletion, StoreError> {
        // A worker that has just started a job waits here for the row, and finds it gone.
        let unfinished = sqlx::query_scalar!(
            "select status in ('QUEUED', 'RUNNING') as \"unfinished!\" from job where version_id = $1 for update",
            id.0,
        )
        .fetch_all(self.connection())
        .await?;
        if unfinished.contains(&true) {
            return Ok(VersionDeletion::HasUnfinishedJob);
        }
        self.lock_sketches().await?;
        self.deletes = true;
        for deletion in DELETIONS {
            sqlx::query(deletion).bind(id.0).execute(self.connection()).await?;
        }
        let deleted = sqlx::query!("delete from version where version_id = $1", id.0)
            .execute(self.connection())
            .await?;
        Ok(if deleted.rows_affected() == 1 {
            VersionDeletion::Deleted
        } else {
            VersionDeletion::Missing
        })
    }
}
