//! The worker: takes jobs from the queue and brings each to its end.
//!
//! The queue (claims, leases, retries) is `graphile_worker`. A job that fails for good is marked as failed in one
//! transaction and leaves the queue; after a transient error it is requeued. A worker that dies loses its lease, and its job
//! is started again from what was committed: doing it twice gives the same rows. The job may be why the worker died, so the next
//! attempt is made with care, and a job that ends its process twice fails.

mod care;
mod duplicate;
mod import;
mod layers;
mod perform;
mod reporter;
mod state;
mod synthesize;

pub use state::{WorkerState, WorkerStatus};

use std::time::Duration;

use graphile_worker::{
    FailureReason, IntoTaskHandlerResult, JobRecovery, JobRecoveryContext, JobRecoveryResult, TaskHandler, Worker,
    WorkerContext, WorkerOptions, WorkerRecoveryConfig, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::job::cancelled;
use super::{Fault, Library, ServiceError};
use crate::metrics::METRICS;
use care::Care;
use scv_domain::id::JobId;
use scv_domain::job::{Job, JobStatus, JobSubject, MAX_ATTEMPTS, MAX_ATTEMPTS_WITHOUT_FILES, MAX_LOST_ATTEMPTS};
use scv_domain::version::{Failure, FailureCode};
use scv_store::{ProcessId, Store, TASK};

/// How many times within its lease a worker reports that it is alive, and looks for workers that are not.
const HEARTBEATS_PER_LEASE: u32 = 6;

/// How often the worker looks for jobs without a notification: one may be lost, and retries wait for their time.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a job may continue after the server was asked to stop; then it is requeued.
const SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_secs(5);

/// How long marking an interrupted job as queued may take: its row may be locked by a statement that does not end.
const REQUEUE_TIMEOUT: Duration = Duration::from_secs(2);

/// The schema of the queue's own tables.
const SCHEMA: &str = "graphile_worker";

#[derive(Debug, Serialize, Deserialize)]
struct RunJob {
    job: JobId,
}

impl TaskHandler for RunJob {
    const IDENTIFIER: &'static str = TASK;

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let Some(runner) = context.get_ext::<JobRunner>() else {
            return Err("the worker was started without a job runner".to_owned());
        };
        let outcome = runner.run_job(self.job).await.map_err(|error| {
            tracing::warn!(job = %self.job, error = format!("{error:#}"), "transient error; job requeued");
            error.to_string()
        });
        // The worker takes one job for each notification, and drops notifications while it is busy. Without this one, the
        // jobs that were added meanwhile would wait for the next poll.
        if let Err(error) = runner.library.store.wake_workers().await {
            tracing::warn!(%error, "the next job starts only when the queue is polled");
        }
        outcome
    }
}

/// Brings the queue's tables up to date.
///
/// # Errors
/// The database fails.
pub async fn migrate(store: &Store) -> anyhow::Result<()> {
    utils(store).migrate().await?;
    Ok(())
}

/// Requeues the jobs that an earlier process of this server held when it died. This is only right where no other server can
/// be working on the same database: the embedded one.
///
/// # Errors
/// The database fails.
pub async fn release_orphans(store: &Store) -> anyhow::Result<()> {
    let now = graphile_worker::SweepStaleWorkersOptions {
        sweep_threshold: Some(Duration::ZERO),
        recovery_delay: Some(Duration::ZERO),
        dry_run: false,
    };
    let swept = utils(store).sweep_stale_workers(now).await?;
    if swept.recovered_count > 0 {
        tracing::info!(jobs = swept.recovered_count, "requeued interrupted jobs");
    }
    Ok(())
}

fn utils(store: &Store) -> WorkerUtils {
    WorkerUtils::new(store.queue_pool().clone(), SCHEMA.to_owned())
}

/// Runs jobs: computes what they ask for and writes their results into the catalogue.
#[derive(Debug, Clone)]
pub struct JobRunner {
    library: Library,
    process: ProcessId,
    state: WorkerState,
}

impl JobRunner {
    /// A runner over a library. Its statements have no timeout, and between its steps it lets requests use the device.
    pub fn new(library: &Library) -> Self {
        Self {
            library: library.for_jobs(),
            process: ProcessId::draw(),
            state: WorkerState::new(),
        }
    }

    /// Whether its worker runs. The task that runs the worker keeps it up to date.
    pub fn state(&self) -> &WorkerState {
        &self.state
    }

    /// Keeps the sketches fitted to the layers that jobs write, and deletes artifacts that nothing needs. Never ends; what it is doing
    /// when it is dropped is done again later.
    pub async fn tend_library(self) {
        tokio::join!(self.library.tend_bases(), self.library.collect_artifacts());
    }

    /// A worker ready to run. It takes one job at a time, because there is one device. If it gives no heartbeat for as long as
    /// `lease`, another worker takes its job over.
    ///
    /// # Errors
    /// The database fails.
    pub async fn worker(&self, lease: Duration) -> anyhow::Result<Worker> {
        let heartbeat = lease / HEARTBEATS_PER_LEASE;
        let recovery = WorkerRecoveryConfig::default()
            .enabled(true)
            .heartbeat_interval(heartbeat)
            .sweep_interval(heartbeat)
            .sweep_threshold(lease)
            .recovery_delay(Duration::ZERO);
        let worker = WorkerOptions::default()
            .schema(SCHEMA)
            .concurrency(1)
            .poll_interval(POLL_INTERVAL)
            .worker_recovery(recovery)
            .listen_os_shutdown_signals(false)
            .shutdown_grace_period(SHUTDOWN_GRACE_PERIOD)
            .shutdown_interrupted_job_retry_delay(Duration::ZERO)
            .on(JobRecovery, {
                let runner = self.clone();
                move |recovery| requeue_interrupted(runner.clone(), recovery)
            })
            .add_extension(self.clone())
            .define_job::<RunJob>()
            .pg_pool(self.library.store.queue_pool().clone())
            .init()
            .await?;
        Ok(worker)
    }

    /// Brings a job to its end, unless it has ended already. An error means that the job should be tried again.
    async fn run_job(&self, id: JobId) -> Result<(), ServiceError> {
        let mut tx = self.library.store.begin().await?;
        let Some(lost_attempts) = tx.take_job(id, self.process).await? else {
            return Ok(());
        };
        let Some(job) = tx.start_job(id).await? else {
            return Ok(());
        };
        if let Some(version) = job.version_id() {
            tx.set_version_running(version).await?;
        }
        tx.commit().await?;
        if job.cancel_requested {
            return self.end_failed(&job, JobStatus::Cancelled, &cancelled()).await;
        }
        if lost_attempts >= MAX_LOST_ATTEMPTS {
            tracing::error!(job = %id, "job failed for good: the server ended each time it ran");
            return self.end_failed(&job, JobStatus::Failed, &lost_twice()).await;
        }
        if job.attempts > MAX_ATTEMPTS_WITHOUT_FILES {
            return self.end_failed(&job, JobStatus::Failed, &too_many_attempts()).await;
        }
        match self.with_care(Care::after(id, lost_attempts)).perform(&job).await {
            Ok(()) => Ok(()),
            Err(error) => self.handle_failure(&job, error).await,
        }
    }

    /// Ends a job that an error stopped, or hands the error back if the job should be tried again.
    async fn handle_failure(&self, job: &Job, error: ServiceError) -> Result<(), ServiceError> {
        let class = error.classify();
        if class.code == FailureCode::Cancelled {
            return self.end_failed(job, JobStatus::Cancelled, &cancelled()).await;
        }
        if job.attempts < class.max_attempts {
            if let Err(error) = self.postpone(job, &error.failure()).await {
                tracing::warn!(job = %job.id, %error, "a job that waits for its next attempt could not be marked as queued");
            }
            return Err(error);
        }
        if class.fault == Fault::Server || class.is_transient() {
            tracing::error!(job = %job.id, error = format!("{error:#}"), "job failed for good");
        }
        let failure = if class.is_transient() && class.code == FailureCode::Internal {
            too_many_attempts()
        } else {
            error.failure()
        };
        self.end_failed(job, JobStatus::Failed, &failure).await
    }

    /// Shows users that a job waits for its next attempt, and why.
    async fn postpone(&self, job: &Job, failure: &Failure) -> Result<(), ServiceError> {
        let mut tx = self.library.store.begin().await?;
        tx.postpone_job(job.id, self.process, Some(failure)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn mark_requeued(&self, id: JobId) -> Result<(), ServiceError> {
        let mut tx = self.library.store.begin().await?;
        tx.release_job(id, self.process).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn end_failed(&self, job: &Job, status: JobStatus, failure: &Failure) -> Result<(), ServiceError> {
        let mut tx = self.library.store.begin().await?;
        tx.finish_job(job.id, status, Some(failure)).await?;
        if let Some(version) = job.version_id() {
            tx.set_version_failed(version, failure).await?;
        }
        tx.commit().await?;
        METRICS.count_job(job.kind, status);
        tracing::info!(job = %job.id, code = ?failure.code, reason = failure.message, "job ended without results");
        if let JobSubject::NewDataset(source) = &job.subject {
            self.delete_spent_files(source).await;
        }
        Ok(())
    }
}

/// Called before the queue lets go of a job because the server stops: users see it wait again, and the attempt does not
/// count. A job whose worker died stays as it is, and its attempt counts: the job may be why the worker died.
async fn requeue_interrupted(runner: JobRunner, recovery: JobRecoveryContext) -> JobRecoveryResult {
    let task = serde_json::from_value(recovery.job.payload().clone());
    if let (FailureReason::ShutdownAborted, Ok(RunJob { job })) = (recovery.reason, task) {
        match timeout(REQUEUE_TIMEOUT, runner.mark_requeued(job)).await {
            Ok(Ok(())) => tracing::info!(%job, "job requeued: it continues after the next start"),
            Ok(Err(error)) => tracing::warn!(%job, %error, "an interrupted job could not be marked as queued"),
            Err(_) => tracing::warn!(%job, "an interrupted job is locked and could not be marked as queued"),
        }
    }
    JobRecoveryResult::Default
}

fn lost_twice() -> Failure {
    Failure {
        code: FailureCode::TooManyAttempts,
        message: format!(
            "the server ended {MAX_LOST_ATTEMPTS} times while it ran this job, the last time alone and with less memory, so the job is \
             not tried again: look for the cause in the server's log and in the system's, such as a lack of memory; then retry the job"
        ),
        layer: None,
    }
}

fn too_many_attempts() -> Failure {
    Failure {
        code: FailureCode::TooManyAttempts,
        message: format!(
            "the job was started {MAX_ATTEMPTS} times without finishing: see the server's log for the cause"
        ),
        layer: None,
    }
}
