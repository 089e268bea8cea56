//! Watching and stopping background work.

use super::{Library, ServiceError};
use scv_domain::id::JobId;
use scv_domain::job::{Job, JobStatus};
use scv_domain::version::{Failure, FailureCode};

impl Library {
    /// A job as it stands.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none.
    pub async fn job(&self, id: JobId) -> Result<Job, ServiceError> {
        self.store
            .jobs_by_id(&[id])
            .await?
            .pop()
            .ok_or_else(|| ServiceError::not_found("job", id))
    }

    /// Asks a job to stop. One that waits ends at once, one that runs at its next step; one that is over stays as it is.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, `FORBIDDEN` if it is of another's model.
    pub async fn cancel_job(&self, id: JobId) -> Result<Job, ServiceError> {
        let version = self.version(self.job(id).await?.version_id).await?;
        self.changeable(version.model_id).await?;
        let mut tx = self.store.begin().await?;
        let job = tx
            .request_cancel(id)
            .await?
            .ok_or_else(|| ServiceError::not_found("job", id))?;
        if job.status == JobStatus::Queued {
            tx.finish_job(id, JobStatus::Cancelled, None).await?;
            tx.set_version_failed(job.version_id, &cancelled()).await?;
        }
        tx.commit().await?;
        self.job(id).await
    }
}

/// What a version says whose job was stopped.
pub(super) fn cancelled() -> Failure {
    Failure {
        code: FailureCode::Cancelled,
        message: "the job was cancelled before the version was ready: register the version again to have it".to_owned(),
        layer: None,
    }
}
