//! Durable background work.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{DatasetId, JobId, VersionId};
use super::training::EpochReport;
use super::version::Failure;

/// A piece of background work as its owner sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Key.
    pub id: JobId,
    /// What is done.
    pub kind: JobKind,
    /// How far it has come.
    pub status: JobStatus,
    /// The version worked on.
    pub version_id: VersionId,
    /// The data set to evaluate on, for [`JobKind::Evaluate`].
    pub dataset_id: Option<DatasetId>,
    /// 0 to 1, over all phases.
    pub progress: f64,
    /// What is being done just now.
    pub phase: JobPhase,
    /// Epochs trained so far, for [`JobKind::Train`].
    pub epochs: Vec<EpochReport>,
    /// How often it was begun.
    pub attempts: i32,
    /// Whether somebody asked it to stop.
    pub cancel_requested: bool,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was last begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Kinds of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobKind {
    /// Train a version, then evaluate and ingest it.
    Train,
    /// Compute the layer vectors of a version on every probe set of its data set that lacks them,
    /// and evaluate it if it is new.
    Ingest,
    /// Evaluate a version on a data set's test split.
    Evaluate,
    /// Seek an image that a part of a version's network answers to most.
    Synthesize,
    /// Find the images that the channels of a version's layers answer to most.
    Exemplify,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// A worker holds it.
    Running,
    /// Done.
    Succeeded,
    /// Ended with a [`Failure`].
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl JobStatus {
    /// Whether nothing will happen any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobPhase {
    /// Not begun.
    Queued,
    /// Reading weights and images.
    Loading,
    /// Descending the gradient.
    Training,
    /// Classifying the test split.
    Evaluating,
    /// Running the probe images and taking Grams.
    Ingesting,
    /// Ascending the gradient.
    Synthesizing,
    /// Showing the test split to every channel.
    Exemplifying,
    /// Writing the results.
    Storing,
    /// Over.
    Finished,
}

/// The jobs that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobBacklog {
    /// How many wait.
    pub waiting: i64,
    /// How many run.
    pub running: i64,
    /// How long the oldest of those that wait has waited, in whole seconds; 0 if none does.
    pub oldest_seconds: i64,
}

/// How often a job is begun before it is given up.
pub const MAX_ATTEMPTS: i32 = 5;
