//! Training and evaluating versions; stopping jobs.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use scv_domain::id::{JobId, ModelId, VersionId};
use scv_domain::training::{self, TrainSettings};
use crate::graphql::block::{BlockInput, blocks};
use crate::graphql::error::{ApiError, Result};
use crate::graphql::id::GlobalId;
use crate::graphql::job::Job;
use crate::graphql::version::Version;
use scv_service::{Library, TrainRequest};

/// Writes on versions and jobs.
#[derive(Debug, Default, async_graphql::Description)]
pub struct VersionMutation;

#[Object(use_type_description)]
impl VersionMutation {
    /// Registers a version and trains it in the background; then it is evaluated and ingested.
    async fn train_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to train, and how.")] input: TrainVersionInput,
    ) -> Result<TrainVersionPayload> {
        let request = TrainRequest {
            model: ModelId::decode(&input.model_id)?,
            dataset: input.dataset,
            blocks: blocks(input.blocks),
            settings: input.settings.unwrap_or_default().try_into()?,
        };
        let (version, job) = ctx.data_unchecked::<Library>().train_version(request).await?;
        Ok(TrainVersionPayload {
            version: Version(version),
            job: Job(job),
        })
    }

    /// Evaluates a READY version in the background, in place of an earlier evaluation on the same data set.
    async fn evaluate_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to evaluate.")] input: EvaluateVersionInput,
    ) -> Result<EvaluateVersionPayload> {
        let id = VersionId::decode(&input.version_id)?;
        let (version, job) = ctx
            .data_unchecked::<Library>()
            .evaluate_version(id, input.dataset.as_deref())
            .await?;
        Ok(EvaluateVersionPayload {
            version: Version(version),
            job: Job(job),
        })
    }

    /// Asks a job to stop. One that waits ends at once, one that runs at its next step; one that is over stays as it is.
    async fn cancel_job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which job.")] input: CancelJobInput,
    ) -> Result<CancelJobPayload> {
        let job = ctx
            .data_unchecked::<Library>()
            .cancel_job(JobId::decode(&input.id)?)
            .await?;
        Ok(CancelJobPayload { job: Job(job) })
    }
}

/// A version to train.
#[derive(Debug, InputObject)]
pub struct TrainVersionInput {
    /// The model it belongs to.
    model_id: ID,
    /// Name of the data set to learn.
    dataset: String,
    /// The network.
    blocks: Vec<BlockInput>,
    /// How to train.
    settings: Option<TrainSettingsInput>,
}

/// The version to be trained.
#[derive(Debug, SimpleObject)]
pub struct TrainVersionPayload {
    /// The version.
    version: Version,
    /// The job that trains, evaluates and ingests it.
    job: Job,
}

/// How to train.
#[derive(Debug, InputObject)]
pub struct TrainSettingsInput {
    /// Passes over the train split, 1 to 1,000.
    #[graphql(default = 10)]
    epochs: i32,
    /// Images a step, 1 to 4,096.
    #[graphql(default = 64)]
    batch_size: i32,
    /// Step size at the start, above 0 and at most 10.
    #[graphql(default = 0.001)]
    learning_rate: f64,
    /// What turns gradients into steps.
    #[graphql(default_with = "OptimizerKind::Adam")]
    optimizer: OptimizerKind,
    /// For SGD: 0 to less than 1.
    #[graphql(default = 0.9)]
    momentum: f64,
    /// For SGD and ADAM an L2 penalty, for ADAMW decoupled decay; 0 to 1.
    #[graphql(default = 0.0)]
    weight_decay: f64,
    /// How the learning rate changes over the run.
    #[graphql(default_with = "Schedule::Constant")]
    schedule: Schedule,
    /// Draws the first weights, the order of the images and the dropped values. Equal seeds give equal weights on the CPU.
    #[graphql(default = 0)]
    seed: i32,
}

impl Default for TrainSettingsInput {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 64,
            learning_rate: 0.001,
            optimizer: OptimizerKind::Adam,
            momentum: 0.9,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            seed: 0,
        }
    }
}

impl TryFrom<TrainSettingsInput> for TrainSettings {
    type Error = ApiError;

    fn try_from(input: TrainSettingsInput) -> Result<Self> {
        let TrainSettingsInput {
            momentum, weight_decay, ..
        } = input;
        check(
            input.learning_rate > 0.0 && input.learning_rate <= 10.0,
            "learningRate",
            "above 0 and at most 10",
        )?;
        check((0.0..1.0).contains(&momentum), "momentum", "0 to less than 1")?;
        check((0.0..=1.0).contains(&weight_decay), "weightDecay", "0 to 1")?;
        check((1..=1_000).contains(&input.epochs), "epochs", "1 to 1,000")?;
        check((1..=4_096).contains(&input.batch_size), "batchSize", "1 to 4,096")?;
        check(input.seed >= 0, "seed", "0 or more")?;
        Ok(Self {
            epochs: input.epochs as u32,
            batch_size: input.batch_size as u32,
            learning_rate: input.learning_rate,
            optimizer: match input.optimizer {
                OptimizerKind::Sgd => training::Optimizer::Sgd { momentum, weight_decay },
                OptimizerKind::Adam => training::Optimizer::Adam { weight_decay },
                OptimizerKind::Adamw => training::Optimizer::Adamw { weight_decay },
            },
            schedule: input.schedule.into(),
            seed: input.seed as u64,
        })
    }
}

fn check(holds: bool, field: &str, rule: &str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(ApiError::bad_input(format!("`settings.{field}` must be {rule}"))),
    }
}

/// What turns gradients into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "training::Schedule")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Half a cosine from the learning rate to zero.
    Cosine,
}

/// A version to evaluate.
#[derive(Debug, InputObject)]
pub struct EvaluateVersionInput {
    /// Which version.
    version_id: ID,
    /// Name of a data set with images of the same shape and as many classes; its own if left out.
    dataset: Option<String>,
}

/// The version to be evaluated.
#[derive(Debug, SimpleObject)]
pub struct EvaluateVersionPayload {
    /// The version.
    version: Version,
    /// The job that evaluates it.
    job: Job,
}

/// A job to stop.
#[derive(Debug, InputObject)]
pub struct CancelJobInput {
    /// Which job.
    id: ID,
}

/// The job asked to stop.
#[derive(Debug, SimpleObject)]
pub struct CancelJobPayload {
    /// The job.
    job: Job,
}
