//! The attempts of jobs: how each begins and ends.

use super::super::rows::enum_name;
use super::super::{StoreError, Tx};
use super::JobRow;
use scv_domain::id::JobId;
use scv_domain::job::{Job, JobStatus};
use scv_domain::version::Failure;

/// A process that runs jobs. Each start of a server is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId(uuid::Uuid);

impl ProcessId {
    /// The id of a new process.
    pub fn draw() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl Tx {
    /// Takes a job for a process. Returns how many of its attempts ended together with their process: one that another process has
    /// left running did. `None` if the job does not exist.
    ///
    /// # Errors
    /// The database fails.
    pub async fn take_job(&mut self, id: JobId, process: ProcessId) -> Result<Option<i32>, StoreError> {
        let lost = sqlx::query_scalar!(
            "update job
                set lost_attempts = lost_attempts + (status = 'RUNNING' and process_id is distinct from $2)::integer,
                    process_id = $2
              where job_id = $1
             returning lost_attempts",
            id.0,
            process.0,
        )
        .fetch_optional(self.connection())
        .await?;
        Ok(lost)
    }

    /// Starts a job and counts the attempt. `None` if it has ended. Of an earlier attempt, only a completed training is kept.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn start_job(&mut self, id: JobId) -> Result<Option<Job>, StoreError> {
        sqlx::query_as!(
            JobRow,
            "update job
                set status = 'RUNNING', attempts = attempts + 1, started_at = now(), phase = 'LOADING', progress = 0,
                    failure = case when cancel_requested then failure end,
                    epochs = coalesce((select train_epochs
                                         from version
                                        where version.version_id = job.version_id
                                          and job.kind = 'TRAIN'), '[]')
              where job_id = $1
                and status in ('QUEUED', 'RUNNING')
             returning job_id, kind, status, version_id, dataset_id, import, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            id.0,
        )
        .fetch_optional(self.connection())
        .await?
        .map(Job::try_from)
        .transpose()
    }

    /// Returns a job that a process runs, and its version, to the queue, as if this attempt had not started.
    ///
    /// # Errors
    /// The database fails.
    pub async fn release_job(&mut self, id: JobId, process: ProcessId) -> Result<(), StoreError> {
        sqlx::query!(
            "update job
                set attempts = attempts - 1
              where job_id = $1
                and process_id = $2
                and status = 'RUNNING'",
            id.0,
            process.0,
        )
        .execute(self.connection())
        .await?;
        self.postpone_job(id, process, None).await
    }

    /// Returns a job that a process runs, and its version, to the queue, with the reason why this attempt failed. One that another
    /// process has taken over stays as it is.
    ///
    /// # Errors
    /// The database fails.
    pub async fn postpone_job(
        &mut self,
        id: JobId,
        process: ProcessId,
        failure: Option<&Failure>,
    ) -> Result<(), StoreError> {
        let postponed = sqlx::query!(
            "update job
                set status = 'QUEUED', phase = 'QUEUED', progress = 0, epochs = '[]', started_at = null,
                    failure = case when cancel_requested then failure else $3 end
              where job_id = $1
                and process_id = $2
                and status = 'RUNNING'",
            id.0,
            process.0,
            failure.map(|failure| serde_json::json!(failure)),
        )
        .execute(self.connection())
        .await?;
        if postponed.rows_affected() == 0 {
            return Ok(());
        }
        sqlx::query!(
            "update version
                set status = 'QUEUED'
              where version_id = (select version_id from job where job_id = $1)
                and status = 'RUNNING'",
            id.0,
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Ends a job. Returns `false` if it had ended before. A cancelled one keeps the reason that was given with the request.
    ///
    /// # Errors
    /// The database fails.
    pub async fn finish_job(
        &mut self,
        id: JobId,
        status: JobStatus,
        failure: Option<&Failure>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update job
                set status = $2, finished_at = now(), phase = 'FINISHED',
                    failure = case when $2 = 'CANCELLED' then coalesce(failure, $3) else $3 end,
                    progress = case when $2 = 'SUCCEEDED' then 1 else progress end
              where job_id = $1
                and status in ('QUEUED', 'RUNNING')",
            id.0,
            enum_name(status),
            failure.map(|failure| serde_json::json!(failure)),
        )
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
