//! Background jobs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::dataset_source::DatasetSource;
use super::id::{DatasetId, JobId, VersionId};
use super::training::EpochReport;
use super::version::Failure;

/// A background job as users see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Key.
    pub id: JobId,
    /// Kind of work.
    pub kind: JobKind,
    /// Its status.
    pub status: JobStatus,
    /// What the job works on.
    pub subject: JobSubject,
    /// The data set to evaluate on, for [`JobKind::Evaluate`], or that was imported, for [`JobKind::Import`].
    pub dataset_id: Option<DatasetId>,
    /// Progress over all phases, 0 to 1.
    pub progress: f64,
    /// The current phase.
    pub phase: JobPhase,
    /// Epochs trained so far, for [`JobKind::Train`].
    pub epochs: Vec<EpochReport>,
    /// How often the job was started.
    pub attempts: i32,
    /// Whether cancellation was requested.
    pub cancel_requested: bool,
    /// Why it failed, or was or is to be cancelled; for a queued job, why its last attempt failed.
    pub failure: Option<Failure>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// The version that the job works on, if it works on one.
    pub fn version_id(&self) -> Option<VersionId> {
        match self.subject {
            JobSubject::Version(id) => Some(id),
            JobSubject::NewDataset(_) => None,
        }
    }
}

/// What a job works on.
#[derive(Debug, Clone, PartialEq)]
pub enum JobSubject {
    /// A version.
    Version(VersionId),
    /// The data set to import, with the keys of its uploaded files, for [`JobKind::Import`].
    NewDataset(DatasetSource<String>),
}

/// Which jobs a list contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only jobs with one of these statuses; empty for any.
    pub statuses: Vec<JobStatus>,
    /// Only jobs of one of these kinds; empty for any.
    pub kinds: Vec<JobKind>,
    /// Only jobs of this version.
    pub version_id: Option<VersionId>,
}

/// The field that a list of jobs is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum JobOrderField {
    /// When the jobs were created.
    #[default]
    CreatedAt,
    /// When the jobs were last started.
    StartedAt,
    /// When the jobs finished.
    FinishedAt,
}

/// Kinds of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobKind {
    /// Train a version, then evaluate and ingest it.
    Train,
    /// Compute the layer vectors of a version on every probe set of its data set that lacks them,
    /// and evaluate it if it is new.
    Ingest,
    /// Evaluate a version on a data set's test split.
    Evaluate,
    /// Synthesize an image that maximizes the activation of a unit.
    Synthesize,
    /// Find the top-activating images of all channels of a version.
    FindExemplars,
    /// Import a data set and draw its default probe set.
    Import,
}

/// Status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// A worker is running it.
    Running,
    /// Finished successfully.
    Succeeded,
    /// Ended with a [`Failure`].
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl JobStatus {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether the job has finished.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Phase of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobPhase {
    /// Not started.
    Queued,
    /// Loading weights, images or uploaded files.
    Loading,
    /// Reading the images of a new data set and checking them.
    Checking,
    /// Training the network.
    Training,
    /// Classifying the test split.
    Evaluating,
    /// Running the probe images and computing Gram matrices.
    Ingesting,
    /// Synthesizing an image by gradient ascent.
    Synthesizing,
    /// Running the test split to find top-activating images.
    FindingExemplars,
    /// Writing the results.
    Storing,
    /// Finished.
    Finished,
}

/// The number of unfinished jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobBacklog {
    /// Number of queued jobs.
    pub waiting: i64,
    /// Number of running jobs.
    pub running: i64,
    /// How long the oldest queued job has waited, in whole seconds; 0 if no job is queued.
    pub oldest_seconds: i64,
}

/// A job that was started this many times without finishing fails.
pub const MAX_ATTEMPTS: i32 = 5;

/// A job whose files are missing fails when it was started this many times, which takes more than three hours: a folder that was
/// not mounted is mounted by then.
pub const MAX_ATTEMPTS_WITHOUT_FILES: i32 = 10;

/// A job fails when this many of its attempts ended together with the process that ran them.
pub const MAX_LOST_ATTEMPTS: i32 = 2;
