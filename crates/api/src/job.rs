//! Background jobs.

use async_graphql::{Context, Enum, ID, InputObject, Object};
use chrono::{DateTime, Utc};

use super::dataset::Dataset;
use super::error::{ApiError, Result};
use super::failure::Failure;
use super::id::GlobalId;
use super::loader::load_referenced;
use super::model::OrderDirection;
use super::plain::ListEntry;
use super::training::EpochReport;
use super::version::Version;
use scv_domain::id::VersionId;
use scv_domain::job as domain;
use scv_domain::page::Order;

/// A background job. Jobs survive restarts of the server.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Job(pub domain::Job);

impl ListEntry for Job {}

#[Object(use_type_description)]
impl Job {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// The kind of work.
    async fn kind(&self) -> JobKind {
        self.0.kind.into()
    }

    /// The state of the job.
    async fn status(&self) -> JobStatus {
        self.0.status.into()
    }

    /// What the job is doing at the moment.
    async fn phase(&self) -> JobPhase {
        self.0.phase.into()
    }

    /// Progress over all phases, 0 to 1.
    async fn progress(&self) -> f64 {
        self.0.progress
    }

    /// The epochs trained so far; empty unless the job trains.
    async fn epochs(&self) -> Vec<EpochReport> {
        self.0.epochs.iter().copied().map(EpochReport).collect()
    }

    /// The version that the job works on; null for an import.
    async fn version(&self, ctx: &Context<'_>) -> Result<Option<Version>> {
        match self.0.version_id() {
            Some(id) => load_referenced(ctx, id).await.map(|version| Some(Version(version))),
            None => Ok(None),
        }
    }

    /// The data set that the job evaluates on, or that an import has made; null until then, and for other jobs.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Option<Dataset>> {
        match self.0.dataset_id {
            Some(id) => load_referenced(ctx, id).await.map(|dataset| Some(Dataset(dataset))),
            None => Ok(None),
        }
    }

    /// The name of the data set that the job imports, which exists once the job has succeeded; null for other jobs.
    async fn new_dataset_name(&self) -> Option<&str> {
        match &self.0.subject {
            domain::JobSubject::NewDataset(source) => Some(source.name().as_str()),
            domain::JobSubject::Version(_) => None,
        }
    }

    /// Number of times the job was started; more than once after a crash or a transient error. A job fails when the server ended twice
    /// while it ran.
    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// Why the job failed or was cancelled. For a job that is `QUEUED` again after an attempt that failed, why that attempt did. Null
    /// for other jobs.
    async fn failure(&self) -> Option<Failure> {
        self.0.failure.clone().map(Failure::from)
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was last started; null if it was not started yet.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When it ended; null if it has not ended.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }
}

/// Kinds of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::JobKind")]
pub enum JobKind {
    /// Train a version, then evaluate and ingest it.
    Train,
    /// Compute the layer vectors of a version on every probe set of its data set that has none of them yet, and
    /// evaluate the version if it is new.
    Ingest,
    /// Evaluate a version on a data set's test split.
    Evaluate,
    /// Create a synthetic image that maximises the activation of a class, layer, channel or neuron.
    Synthesize,
    /// Find the top-activating images of the channels of a version's layers.
    FindExemplars,
    /// Import a data set and draw its default probe set.
    Import,
}

/// States of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::JobStatus")]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// A worker is running it.
    Running,
    /// Finished successfully.
    Succeeded,
    /// Finished with a failure.
    Failed,
    /// Cancelled on request.
    Cancelled,
}

/// Phases of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::JobPhase")]
pub enum JobPhase {
    /// Waiting for a worker.
    Queued,
    /// Reading weights, images or uploaded files.
    Loading,
    /// Reading the images of a new data set and checking them.
    Checking,
    /// Training the network.
    Training,
    /// Classifying the test split.
    Evaluating,
    /// Running the probe images and computing layer vectors.
    Ingesting,
    /// Optimising the synthetic image.
    Synthesizing,
    /// Running the test split to find the top-activating images of every channel.
    FindingExemplars,
    /// Writing the results.
    Storing,
    /// The job has ended.
    Finished,
}

/// Which jobs a list contains. Conditions that are left out admit every job.
#[derive(Debug, Clone, Default, InputObject)]
pub struct JobFilter {
    /// Only jobs with one of these statuses.
    #[graphql(default)]
    statuses: Vec<JobStatus>,
    /// Only jobs of one of these kinds.
    #[graphql(default)]
    kinds: Vec<JobKind>,
    /// Only jobs of the version with this global id.
    version_id: Option<ID>,
}

impl TryFrom<JobFilter> for domain::JobFilter {
    type Error = ApiError;

    fn try_from(filter: JobFilter) -> Result<Self> {
        Ok(Self {
            statuses: filter.statuses.into_iter().map(Into::into).collect(),
            kinds: filter.kinds.into_iter().map(Into::into).collect(),
            version_id: filter.version_id.as_ref().map(VersionId::decode).transpose()?,
        })
    }
}

/// The order of a list of jobs.
#[derive(Debug, Clone, Copy, InputObject)]
pub struct JobOrder {
    /// The field to order by.
    #[graphql(default)]
    field: JobOrderField,
    /// The direction.
    #[graphql(default_with = "OrderDirection::Desc")]
    direction: OrderDirection,
}

impl Default for JobOrder {
    fn default() -> Self {
        Self {
            field: JobOrderField::CreatedAt,
            direction: OrderDirection::Desc,
        }
    }
}

impl From<JobOrder> for Order<domain::JobOrderField> {
    fn from(order: JobOrder) -> Self {
        Self {
            field: order.field.into(),
            descending: order.direction == OrderDirection::Desc,
        }
    }
}

/// The field that a list of jobs is ordered by. Jobs without a time come last in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
#[graphql(remote = "domain::JobOrderField")]
#[expect(clippy::enum_variant_names, reason = "the names are those of the fields of a job")]
pub enum JobOrderField {
    /// Time of creation.
    #[default]
    CreatedAt,
    /// Time of the last start.
    StartedAt,
    /// Time of the end.
    FinishedAt,
}
