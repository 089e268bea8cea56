//! Reading, cancelling and retrying background jobs.

use super::{Library, ServiceError};
use scv_domain::access::Scope;
use scv_domain::id::JobId;
use scv_domain::job::{Job, JobStatus};
use scv_domain::version::{Failure, FailureCode};

impl Library {
    /// The current state of a job.
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

    /// Requests the cancellation of a job. A waiting job ends immediately, a running one at its next step; one that has ended
    /// stays as it is.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, `FORBIDDEN` if it is of another account's model, or the caller may only read.
    pub async fn cancel_job(&self, id: JobId) -> Result<Job, ServiceError> {
        match self.job(id).await?.version_id() {
            Some(version) => self
                .changeable_model(self.version(version).await?.model_id)
                .await
                .map(drop)?,
            None => self.require(Scope::Write)?,
        }
        let reason = self.cancellation().await?;
        let mut tx = self.store.begin().await?;
        let job = tx
            .request_cancel(id, &reason)
            .await?
            .ok_or_else(|| ServiceError::not_found("job", id))?;
        if job.status == JobStatus::Queued {
            tx.finish_job(id, JobStatus::Cancelled, Some(&reason)).await?;
            if let Some(version) = job.version_id() {
                tx.set_version_failed(version, &cancelled()).await?;
            }
        }
        tx.commit().await?;
        self.job(id).await
    }

    /// The reason of a cancellation by the caller.
    async fn cancellation(&self) -> Result<Failure, ServiceError> {
        let names = match self.access.account {
            Some(account) => self.store.account_names(&[account]).await?,
            None => Vec::new(),
        };
        Ok(Failure {
            code: FailureCode::Cancelled,
            message: match names.first() {
                Some((_, name)) => format!("requested by {name}"),
                None => "requested by a caller without an account".to_owned(),
            },
            layer: None,
        })
    }

    /// Queues a job again that failed or was cancelled, and its version with it if that failed. It starts from what was
    /// stored, with all its attempts.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, `FORBIDDEN` if it is of another account's model, or the caller may only read, `CONFLICT` if it
    /// is in another state.
    pub async fn retry_job(&self, id: JobId) -> Result<Job, ServiceError> {
        match self.job(id).await?.version_id() {
            Some(version) => {
                let (version, _) = self.listed_version(version).await?;
                self.changeable_model(version.model_id).await.map(drop)?;
            }
            None => self.require(Scope::Write)?,
        }
        let mut tx = self.store.begin().await?;
        if tx.requeue_job(id).await?.is_none() {
            drop(tx);
            let status = self.job(id).await?.status.name();
            return Err(ServiceError::Conflict(format!(
                "the job is {status}; only FAILED and CANCELLED jobs can be retried"
            )));
        }
        tx.commit().await?;
        self.job(id).await
    }
}

/// The failure of a version whose job was cancelled.
pub(super) fn cancelled() -> Failure {
    Failure {
        code: FailureCode::Cancelled,
        message: "the job was cancelled before the version was ready: retry the job, or register the version again"
            .to_owned(),
        layer: None,
    }
}
