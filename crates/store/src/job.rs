//! Jobs as users see them, and their entries in the queue.

use chrono::{DateTime, Utc};

use super::rows::{Place, raw, word};
use super::{Store, StoreError, Tx};
use scv_domain::id::{DatasetId, JobId, VersionId};
use scv_domain::job::{Job, JobBacklog, JobKind, JobPhase, JobStatus};
use scv_domain::training::EpochReport;
use scv_domain::version::Failure;

struct JobRow {
    job_id: i64,
    kind: String,
    status: String,
    version_id: i64,
    dataset_id: Option<i64>,
    progress: f64,
    phase: String,
    epochs: serde_json::Value,
    attempts: i32,
    cancel_requested: bool,
    failure: Option<serde_json::Value>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "job",
            row: row.job_id,
        };
        Ok(Self {
            id: JobId(row.job_id),
            kind: place.word("kind", &row.kind)?,
            status: place.word("status", &row.status)?,
            version_id: VersionId(row.version_id),
            dataset_id: row.dataset_id.map(DatasetId),
            progress: row.progress,
            phase: place.word("phase", &row.phase)?,
            epochs: place.json("epochs", row.epochs)?,
            attempts: row.attempts,
            cancel_requested: row.cancel_requested,
            failure: place.json_option("failure", row.failure)?,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}

/// Work to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewJob {
    /// What is to be done.
    pub kind: JobKind,
    /// The version to work on.
    pub version_id: VersionId,
    /// The data set to evaluate on, for [`JobKind::Evaluate`].
    pub dataset_id: Option<DatasetId>,
}

/// The queue's name for our one task; its payload is the job's key.
pub const TASK: &str = "scv_job";

impl Store {
    /// Jobs by key, of models that the viewer may see.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
    #[tracing::instrument(name = "store.jobs_by_id", skip_all)]
    pub async fn jobs_by_id(&self, ids: &[JobId]) -> Result<Vec<Job>, StoreError> {
        sqlx::query_as!(
            JobRow,
            "select job_id, kind, status, version_id, dataset_id, progress, phase, epochs, attempts, cancel_requested,
                    failure, created_at, started_at, finished_at
               from job
              where job_id = any($1)
                and ($2::bigint is null
                     or is_visible((select model_id from version where version_id = job.version_id), $2))",
            &raw(ids, |id| id.0),
            self.viewer(),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Job::try_from)
        .collect()
    }

    /// Says how far a running job has come.
    ///
    /// # Errors
    /// The database fails.
    pub async fn report_progress(&self, id: JobId, phase: JobPhase, progress: f64) -> Result<(), StoreError> {
        sqlx::query!(
            "update job set phase = $2, progress = $3 where job_id = $1 and status = 'RUNNING'",
            id.0,
            word(phase),
            progress,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Says what the epochs of a running job have come to so far.
    ///
    /// # Errors
    /// The database fails.
    pub async fn report_epochs(&self, id: JobId, epochs: &[EpochReport]) -> Result<(), StoreError> {
        sqlx::query!(
            "update job set epochs = $2 where job_id = $1 and status = 'RUNNING'",
            id.0,
            serde_json::json!(epochs),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whether somebody asked a job to stop.
    ///
    /// # Errors
    /// The database fails.
    pub async fn cancel_requested(&self, id: JobId) -> Result<bool, StoreError> {
        let requested = sqlx::query_scalar!("select cancel_requested from job where job_id = $1", id.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(requested.unwrap_or(true))
    }

    /// How many jobs have not ended.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.job_backlog", skip_all)]
    pub async fn job_backlog(&self) -> Result<JobBacklog, StoreError> {
        let row = sqlx::query!(
            r#"select count(*) filter (where status = 'QUEUED') as "waiting!",
                      count(*) filter (where status = 'RUNNING') as "running!",
                      coalesce(extract(epoch from now() - min(created_at) filter (where status = 'QUEUED')), 0)::bigint
                          as "oldest!"
                 from job
                where status in ('QUEUED', 'RUNNING')"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(JobBacklog {
            waiting: row.waiting,
            running: row.running,
            oldest_seconds: row.oldest,
        })
    }
}

impl Tx {
    /// Queues work: the job's row and its entry in the queue appear together with everything else in this transaction.
    ///
    /// # Errors
    /// The database fails.
    pub async fn insert_job(&mut self, job: NewJob) -> Result<Job, StoreError> {
        let row = sqlx::query_as!(
            JobRow,
            "insert into job (kind, version_id, dataset_id)
             values ($1, $2, $3)
             returning job_id, kind, status, version_id, dataset_id, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            word(job.kind),
            job.version_id.0,
            job.dataset_id.map(|id| id.0),
        )
        .fetch_one(self.connection())
        .await?;
        // Unchecked: the queue's schema is made by its own migrations, which a check at build time does not have.
        sqlx::query("select graphile_worker.add_job($1, payload => $2::json, job_key => $3)")
            .bind(TASK)
            .bind(serde_json::json!({ "job": row.job_id }))
            .bind(format!("{TASK}:{}", row.job_id))
            .execute(self.connection())
            .await?;
        row.try_into()
    }

    /// Begins a job, counting the attempt. `None` if it is over already. Of an earlier attempt only a training that was
    /// completed counts.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
    pub async fn begin_job(&mut self, id: JobId) -> Result<Option<Job>, StoreError> {
        sqlx::query_as!(
            JobRow,
            "update job
                set status = 'RUNNING', attempts = attempts + 1, started_at = now(), phase = 'LOADING', progress = 0,
                    epochs = coalesce((select train_epochs
                                         from version
                                        where version.version_id = job.version_id
                                          and job.kind = 'TRAIN'), '[]')
              where job_id = $1
                and status in ('QUEUED', 'RUNNING')
             returning job_id, kind, status, version_id, dataset_id, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            id.0,
        )
        .fetch_optional(self.connection())
        .await?
        .map(Job::try_from)
        .transpose()
    }

    /// Makes a running job wait again as if it had not been begun, and its version with it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn hand_back_job(&mut self, id: JobId) -> Result<(), StoreError> {
        sqlx::query!(
            "update job
                set status = 'QUEUED', attempts = attempts - 1, phase = 'QUEUED', progress = 0, epochs = '[]',
                    started_at = null
              where job_id = $1
                and status = 'RUNNING'",
            id.0,
        )
        .execute(self.connection())
        .await?;
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

    /// Ends a job that is not over yet. `false` if it was.
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
                set status = $2, failure = $3, finished_at = now(), phase = 'FINISHED',
                    progress = case when $2 = 'SUCCEEDED' then 1 else progress end
              where job_id = $1
                and status in ('QUEUED', 'RUNNING')",
            id.0,
            word(status),
            failure.map(|failure| serde_json::json!(failure)),
        )
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Asks a job to stop and gives it with its row lock held; `None` if there is no such job.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
    pub async fn request_cancel(&mut self, id: JobId) -> Result<Option<Job>, StoreError> {
        sqlx::query_as!(
            JobRow,
            "update job
                set cancel_requested = true
              where job_id = $1
             returning job_id, kind, status, version_id, dataset_id, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            id.0,
        )
        .fetch_optional(self.connection())
        .await?
        .map(Job::try_from)
        .transpose()
    }
}
