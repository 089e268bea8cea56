//! Background work.

use async_graphql::{Context, Enum, ID, Object};
use chrono::{DateTime, Utc};

use super::error::Result;
use super::id::GlobalId;
use super::loader::load_referenced;
use super::version::{Failure, Version};
use scv_domain::{job as domain, training};

/// A piece of durable background work.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Job(pub domain::Job);

#[Object(use_type_description)]
impl Job {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// What is done.
    async fn kind(&self) -> JobKind {
        self.0.kind.into()
    }

    /// How far it has come.
    async fn status(&self) -> JobStatus {
        self.0.status.into()
    }

    /// What it is doing just now.
    async fn phase(&self) -> JobPhase {
        self.0.phase.into()
    }

    /// 0 to 1, over all phases.
    async fn progress(&self) -> f64 {
        self.0.progress
    }

    /// Epochs trained so far, in a job that trains.
    async fn epochs(&self) -> Vec<EpochReport> {
        self.0.epochs.iter().copied().map(EpochReport).collect()
    }

    /// The version worked on.
    async fn version(&self, ctx: &Context<'_>) -> Result<Version> {
        load_referenced(ctx, self.0.version_id).await.map(Version)
    }

    /// How often it was begun; more than once after a crash or a passing fault.
    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// Why it failed, if it did.
    async fn failure(&self) -> Option<Failure> {
        self.0.failure.clone().map(Failure::from)
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was last begun.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When it ended.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }
}

/// Kinds of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::JobKind")]
pub enum JobKind {
    /// Train a version, then evaluate and ingest it.
    Train,
    /// Compute the layer vectors of a version on every probe set of its data set that lacks them, and evaluate it if it is new.
    Ingest,
    /// Evaluate a version on a data set's test split.
    Evaluate,
    /// Seek an image that a part of a version's network answers to most.
    Synthesize,
    /// Find the images that the channels of a version's layers answer to most.
    Exemplify,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::JobStatus")]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// A worker holds it.
    Running,
    /// Done.
    Succeeded,
    /// Ended with a failure.
    Failed,
    /// Stopped on request.
    Cancelled,
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::JobPhase")]
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
    /// Ascending the gradient of an image.
    Synthesizing,
    /// Showing the test split to every channel.
    Exemplifying,
    /// Writing the results.
    Storing,
    /// Over.
    Finished,
}

/// What one epoch of training came to.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct EpochReport(pub training::EpochReport);

#[Object(use_type_description)]
impl EpochReport {
    /// From 1.
    async fn epoch(&self) -> u32 {
        self.0.epoch
    }

    /// Mean cross-entropy over the epoch's batches, in nats.
    async fn loss(&self) -> f64 {
        self.0.loss
    }

    /// Share of the train images classified right while training.
    async fn accuracy(&self) -> f64 {
        self.0.accuracy
    }
}
