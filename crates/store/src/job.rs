//! Jobs as users see them, and their entries in the queue.

mod attempt;
mod import;

pub use attempt::ProcessId;

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::listing::{Listing, Position, SortExpression, SortField};
use super::rows::{RowContext, enum_name, raw};
use super::{Store, StoreError, Tx};
use scv_domain::id::{DatasetId, JobId, VersionId};
use scv_domain::job::{Job, JobBacklog, JobFilter, JobKind, JobOrderField, JobPhase, JobSubject};
use scv_domain::page::{Order, Page, Slice};
use scv_domain::training::EpochReport;
use scv_domain::version::Failure;

#[derive(sqlx::FromRow)]
struct JobRow {
    job_id: i64,
    kind: String,
    status: String,
    version_id: Option<i64>,
    dataset_id: Option<i64>,
    import: Option<serde_json::Value>,
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
        let row_context = RowContext {
            table: "job",
            row: row.job_id,
        };
        Ok(Self {
            id: JobId(row.job_id),
            kind: row_context.enum_value("kind", &row.kind)?,
            status: row_context.enum_value("status", &row.status)?,
            subject: match row.version_id {
                Some(id) => JobSubject::Version(VersionId(id)),
                None => JobSubject::NewDataset(row_context.json("import", row.import.unwrap_or_default())?),
            },
            dataset_id: row.dataset_id.map(DatasetId),
            progress: row.progress,
            phase: row_context.enum_value("phase", &row.phase)?,
            epochs: row_context.json("epochs", row.epochs)?,
            attempts: row.attempts,
            cancel_requested: row.cancel_requested,
            failure: row_context.json_option("failure", row.failure)?,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}

/// A job to queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewJob {
    /// The kind of work.
    pub kind: JobKind,
    /// The version to work on.
    pub version_id: VersionId,
    /// The data set to evaluate on, for [`JobKind::Evaluate`].
    pub dataset_id: Option<DatasetId>,
}

impl SortField for JobOrderField {
    const KEY: &'static str = "job_id";

    fn expression(self) -> Option<SortExpression> {
        match self {
            Self::CreatedAt => None,
            Self::StartedAt => Some(SortExpression::Time("started_at")),
            Self::FinishedAt => Some(SortExpression::Time("finished_at")),
        }
    }
}

/// Jobs, with what their filters and the viewer's rights depend on. A job without a version has no model, and all see it.
const JOBS_WITH_MODELS: &str = "job left join version using (version_id) left join model using (model_id)";

/// The queue's name for our one task; its payload is the job's key.
pub const TASK: &str = "scv_job";

/// The channel on which the queue tells its workers that there is a job.
const QUEUE_CHANNEL: &str = "jobs:insert";

impl Store {
    /// Makes the workers look for a job.
    ///
    /// # Errors
    /// The database fails.
    pub async fn wake_workers(&self) -> Result<(), StoreError> {
        sqlx::query!("select pg_notify($1, '')", QUEUE_CHANNEL)
            .execute(&self.queue)
            .await?;
        Ok(())
    }

    /// Jobs by key, of models that the viewer may see and of no model.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.jobs_by_id", skip_all)]
    pub async fn jobs_by_id(&self, ids: &[JobId]) -> Result<Vec<Job>, StoreError> {
        sqlx::query_as!(
            JobRow,
            "select job_id, kind, status, version_id, dataset_id, import, progress, phase, epochs, attempts,
                    cancel_requested, failure, created_at, started_at, finished_at
               from job
              where job_id = any($1)
                and ($2::bigint is null
                     or version_id is null
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

    /// The job that trained each version, or else the latest one that ingested it. Versions without one are left out.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.building_jobs", skip_all)]
    pub async fn building_jobs(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, Job)>, StoreError> {
        let rows = sqlx::query_as!(
            JobRow,
            "select distinct on (version_id)
                    job_id, kind, status, version_id, dataset_id, import, progress, phase, epochs, attempts,
                    cancel_requested, failure, created_at, started_at, finished_at
               from job
              where version_id = any($1)
                and kind in ('TRAIN', 'INGEST')
              order by version_id, kind = 'TRAIN' desc, job_id desc",
            &raw(versions, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .filter_map(|row| Some((VersionId(row.version_id?), row)))
            .map(|(version, row)| Ok((version, row.try_into()?)))
            .collect()
    }

    /// One page of the jobs that a filter admits, of models that the viewer may see and of no model.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.jobs_page", skip_all)]
    pub async fn jobs_page(
        &self,
        filter: &JobFilter,
        order: Order<JobOrderField>,
        page: &Page<Position<JobOrderField>>,
    ) -> Result<Slice<(Job, Position<JobOrderField>)>, StoreError> {
        let listing = Listing { order, page };
        let columns = "job_id, kind, job.status, version_id, job.dataset_id, import, progress, phase, epochs, \
                       attempts, cancel_requested, job.failure, job.created_at, started_at, finished_at";
        let mut query = listing.select(columns, JOBS_WITH_MODELS);
        push_filter(&mut query, filter, self.viewer());
        listing.fetch::<JobRow, _>(query, &self.pool).await
    }

    /// Counts the jobs that a filter admits, of models that the viewer may see and of no model.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_jobs", skip_all)]
    pub async fn count_jobs(&self, filter: &JobFilter) -> Result<i64, StoreError> {
        let mut query = QueryBuilder::new("select count(*) from ");
        query.push(JOBS_WITH_MODELS).push(" where ");
        push_filter(&mut query, filter, self.viewer());
        Ok(query.build_query_scalar().fetch_one(&self.pool).await?)
    }

    /// Records the progress of a running job.
    ///
    /// # Errors
    /// The database fails.
    pub async fn report_progress(&self, id: JobId, phase: JobPhase, progress: f64) -> Result<(), StoreError> {
        sqlx::query!(
            "update job set phase = $2, progress = $3 where job_id = $1 and status = 'RUNNING'",
            id.0,
            enum_name(phase),
            progress,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records the epochs that a running job has completed.
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

    /// Whether cancellation of a job was requested. A job that does not exist counts as cancelled.
    ///
    /// # Errors
    /// The database fails.
    pub async fn cancel_requested(&self, id: JobId) -> Result<bool, StoreError> {
        let requested = sqlx::query_scalar!("select cancel_requested from job where job_id = $1", id.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(requested.unwrap_or(true))
    }

    /// The numbers of waiting and running jobs.
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

fn push_filter(query: &mut QueryBuilder<sqlx::Postgres>, filter: &JobFilter, viewer: Option<i64>) {
    query.push("deleted_at is null");
    if let Some(viewer) = viewer {
        query
            .push(" and (private_to is null or private_to = ")
            .push_bind(viewer)
            .push(")");
    }
    if !filter.statuses.is_empty() {
        let statuses = raw(&filter.statuses, enum_name);
        query.push(" and job.status = any(").push_bind(statuses).push(")");
    }
    if !filter.kinds.is_empty() {
        query
            .push(" and kind = any(")
            .push_bind(raw(&filter.kinds, enum_name))
            .push(")");
    }
    if let Some(version) = filter.version_id {
        query.push(" and version_id = ").push_bind(version.0);
    }
}

impl Tx {
    /// Queues a job. Its row and its entry in the queue become visible together with the other writes of this transaction.
    ///
    /// # Errors
    /// The database fails.
    pub async fn insert_job(&mut self, job: NewJob) -> Result<Job, StoreError> {
        let row = sqlx::query_as!(
            JobRow,
            "insert into job (kind, version_id, dataset_id)
             values ($1, $2, $3)
             returning job_id, kind, status, version_id, dataset_id, import, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            enum_name(job.kind),
            job.version_id.0,
            job.dataset_id.map(|id| id.0),
        )
        .fetch_one(self.connection())
        .await?;
        self.enqueue(JobId(row.job_id)).await?;
        row.try_into()
    }

    /// Adds a job's entry to the queue.
    async fn enqueue(&mut self, id: JobId) -> Result<(), StoreError> {
        // Unchecked: the queue's own migrations create its schema, which a check at build time does not have.
        sqlx::query("select graphile_worker.add_job($1, payload => $2::json, job_key => $3)")
            .bind(TASK)
            .bind(serde_json::json!({ "job": id.0 }))
            .bind(format!("{TASK}:{}", id.0))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Queues a job again that failed or was cancelled, as if it had never been started, except that one of its attempts may have
    /// ended with its process. `None` if it is in another state.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn requeue_job(&mut self, id: JobId) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query_as!(
            JobRow,
            "update job
                set status = 'QUEUED', attempts = 0, lost_attempts = least(lost_attempts, 1), phase = 'QUEUED', progress = 0,
                    epochs = '[]', failure = null, cancel_requested = false, started_at = null, finished_at = null
              where job_id = $1
                and status in ('FAILED', 'CANCELLED')
             returning job_id, kind, status, version_id, dataset_id, import, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            id.0,
        )
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        sqlx::query!(
            "update version
                set status = 'QUEUED', failure = null
              where version_id = $1
                and status = 'FAILED'",
            row.version_id,
        )
        .execute(self.connection())
        .await?;
        self.enqueue(id).await?;
        row.try_into().map(Some)
    }

    /// Requests the cancellation of a job, with the reason, and returns it with its row lock held. One that has ended keeps its
    /// failure. `None` if the job does not exist.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn request_cancel(&mut self, id: JobId, reason: &Failure) -> Result<Option<Job>, StoreError> {
        sqlx::query_as!(
            JobRow,
            "update job
                set cancel_requested = true,
                    failure = case when status in ('QUEUED', 'RUNNING') then $2 else failure end
              where job_id = $1
             returning job_id, kind, status, version_id, dataset_id, import, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            id.0,
            serde_json::json!(reason),
        )
        .fetch_optional(self.connection())
        .await?
        .map(Job::try_from)
        .transpose()
    }
}
