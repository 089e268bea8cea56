//! The worker: takes jobs from the queue and brings each to an end.
//!
//! The queue (claims, leases, retries) is `graphile_worker`. A job that fails for good is marked so in one
//! transaction and leaves the queue; one that meets a passing fault goes back. A worker that dies loses its lease,
//! and the job is begun again from what was committed: doing it twice gives the same rows.

mod layers;
mod perform;
mod report;
mod seek;

use std::time::Duration;

use graphile_worker::{
    FailureReason, IntoTaskHandlerResult, JobRecovery, JobRecoveryContext, JobRecoveryResult, TaskHandler, Worker,
    WorkerContext, WorkerOptions, WorkerRecoveryConfig, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::job::cancelled;
use super::{Library, ServiceError};
use scv_domain::id::JobId;
use scv_domain::job::{Job, JobStatus, MAX_ATTEMPTS};
use scv_domain::version::{Failure, FailureCode};
use crate::metrics::METRICS;
use scv_store::{Store, TASK};
use perform::JobError;

/// How many times within its lease a worker says that it lives, and looks for others that no longer do.
const HEARTBEATS_A_LEASE: u32 = 6;

/// How long a job may take to end once the server is asked to stop; then it is handed back.
const GRACE: Duration = Duration::from_secs(5);

/// How long marking a job as handed back may take: its row may be locked by a statement that does not end.
const TIME_TO_MARK: Duration = Duration::from_secs(2);

/// The schema of the queue's own tables.
const SCHEMA: &str = "graphile_worker";

#[derive(Debug, Serialize, Deserialize)]
struct RunJob {
    job: JobId,
}

impl TaskHandler for RunJob {
    const IDENTIFIER: &'static str = TASK;

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let Some(library) = context.get_ext::<Library>() else {
            return Err("the worker was started without a library".to_owned());
        };
        library.run_job(self.job).await.map_err(|error| {
            tracing::warn!(job = %self.job, error = format!("{error:#}"), "a job met a passing fault and goes back to the queue");
            error.to_string()
        })
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

/// Gives back the jobs that an earlier process of this server held when it died. Only right where no
/// other server can be working on the same database: the embedded one.
///
/// # Errors
/// The database fails.
pub async fn release_orphans(library: &Library) -> anyhow::Result<()> {
    let now = graphile_worker::SweepStaleWorkersOptions {
        sweep_threshold: Some(Duration::ZERO),
        recovery_delay: Some(Duration::ZERO),
        dry_run: false,
    };
    let swept = utils(&library.store).sweep_stale_workers(now).await?;
    if swept.recovered_count > 0 {
        tracing::info!(jobs = swept.recovered_count, "took up jobs that were interrupted");
    }
    Ok(())
}

/// A worker ready to run; it takes one job at a time, since there is one device. Silent for as long as `lease`, it loses
/// its job to another one.
///
/// # Errors
/// The database fails.
pub async fn worker(library: &Library, lease: Duration) -> anyhow::Result<Worker> {
    let heartbeat = lease / HEARTBEATS_A_LEASE;
    let recovery = WorkerRecoveryConfig::default()
        .enabled(true)
        .heartbeat_interval(heartbeat)
        .sweep_interval(heartbeat)
        .sweep_threshold(lease)
        .recovery_delay(Duration::ZERO);
    let worker = WorkerOptions::default()
        .schema(SCHEMA)
        .concurrency(1)
        .poll_interval(Duration::from_secs(2))
        .worker_recovery(recovery)
        .listen_os_shutdown_signals(false)
        .shutdown_grace_period(GRACE)
        .shutdown_interrupted_job_retry_delay(Duration::ZERO)
        .on(JobRecovery, {
            let library = library.clone();
            move |recovery| hand_back(library.clone(), recovery)
        })
        .add_extension(library.clone())
        .define_job::<RunJob>()
        .pg_pool(library.store.queue_pool().clone())
        .init()
        .await?;
    Ok(worker)
}

/// Before the queue lets go of a job because the server stops: users see it wait again, and the attempt does not count.
/// A job whose worker died stays as it is, and its attempt counts, since it may be what the worker died of.
async fn hand_back(library: Library, recovery: JobRecoveryContext) -> JobRecoveryResult {
    let task = serde_json::from_value(recovery.job.payload().clone());
    if let (FailureReason::ShutdownAborted, Ok(RunJob { job })) = (recovery.reason, task) {
        match timeout(TIME_TO_MARK, library.hand_back_job(job)).await {
            Ok(Ok(())) => tracing::info!(%job, "a job goes on after the next start"),
            Ok(Err(error)) => tracing::warn!(%job, %error, "a job that goes back to the queue could not be marked so"),
            Err(_) => tracing::warn!(%job, "a job that goes back to the queue is locked and could not be marked so"),
        }
    }
    JobRecoveryResult::Default
}

fn utils(store: &Store) -> WorkerUtils {
    WorkerUtils::new(store.queue_pool().clone(), SCHEMA.to_owned())
}

impl Library {
    /// Brings a job to an end, unless it is over. An error means that it should be tried again.
    async fn run_job(&self, id: JobId) -> Result<(), ServiceError> {
        let mut tx = self.store.begin().await?;
        let Some(job) = tx.begin_job(id).await? else {
            return Ok(());
        };
        tx.set_version_running(job.version_id).await?;
        tx.commit().await?;
        if job.attempts > MAX_ATTEMPTS {
            return self.end_failed(&job, JobStatus::Failed, &too_many_attempts()).await;
        }
        if job.cancel_requested {
            return self.end_failed(&job, JobStatus::Cancelled, &cancelled()).await;
        }
        match self.perform(&job).await {
            Ok(()) => Ok(()),
            Err(JobError::Cancelled) => self.end_failed(&job, JobStatus::Cancelled, &cancelled()).await,
            Err(JobError::Failed(failure)) => self.end_failed(&job, JobStatus::Failed, &failure).await,
            Err(JobError::Passing(error)) if job.attempts == MAX_ATTEMPTS => {
                tracing::error!(job = %id, error = format!("{error:#}"), "a job failed for good");
                self.end_failed(&job, JobStatus::Failed, &too_many_attempts()).await
            }
            Err(JobError::Passing(error)) => Err(error),
        }
    }

    async fn hand_back_job(&self, id: JobId) -> Result<(), ServiceError> {
        let mut tx = self.store.begin().await?;
        tx.hand_back_job(id).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn end_failed(&self, job: &Job, status: JobStatus, failure: &Failure) -> Result<(), ServiceError> {
        let mut tx = self.store.begin().await?;
        let reason = (status == JobStatus::Failed).then_some(failure);
        tx.finish_job(job.id, status, reason).await?;
        tx.set_version_failed(job.version_id, failure).await?;
        tx.commit().await?;
        METRICS.count_job(job.kind, status);
        tracing::info!(job = %job.id, code = ?failure.code, reason = failure.message, "a job ended without result");
        Ok(())
    }
}

fn too_many_attempts() -> Failure {
    Failure {
        code: FailureCode::TooManyAttempts,
        message: format!(
            "the job was begun {MAX_ATTEMPTS} times without coming to an end: the server's log says what happened"
        ),
        layer: None,
    }
}
