//! Trains and evaluates versions, and controls jobs.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::model::{CreateModelInput, model_choice};
use crate::block::{BlockInput, blocks};
use crate::error::{ApiError, Result};
use crate::id::GlobalId;
use crate::job::Job;
use crate::model::Model;
use crate::training::{OptimizerKind, Schedule};
use crate::version::Version;
use scv_domain::id::{JobId, VersionId};
use scv_domain::training::{self, MAX_VALIDATION_SHARE, TrainSettings};
use scv_service::{Library, TrainRequest};

/// Mutations of versions and jobs.
#[derive(Debug, Default, async_graphql::Description)]
pub struct VersionMutation;

#[Object(use_type_description)]
impl VersionMutation {
    /// Registers a version and trains it in the background. After training, it is evaluated and ingested.
    async fn train_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The network and the training settings.")] input: TrainVersionInput,
    ) -> Result<TrainVersionPayload> {
        let library = ctx.data_unchecked::<Library>();
        let request = TrainRequest {
            model: model_choice(library, input.model_id, input.new_model)?,
            dataset: input.dataset,
            blocks: blocks(input.blocks),
            settings: input.settings.unwrap_or_default().try_into()?,
        };
        let (version, job) = library.train_version(request).await?;
        Ok(TrainVersionPayload {
            version: Version(version),
            job: Job(job),
        })
    }

    /// Evaluates a READY version in the background. The result replaces an earlier evaluation on the same data set.
    async fn evaluate_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version and the data set.")] input: EvaluateVersionInput,
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

    /// Cancels a job. A queued job is cancelled immediately, a running one at its next step; a job that has ended stays
    /// unchanged.
    async fn cancel_job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job to cancel.")] input: CancelJobInput,
    ) -> Result<CancelJobPayload> {
        let job = ctx
            .data_unchecked::<Library>()
            .cancel_job(JobId::decode(&input.id)?)
            .await?;
        Ok(CancelJobPayload { job: Job(job) })
    }

    /// Queues a failed or cancelled job again, and its version if that failed.
    async fn retry_job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job to retry.")] input: RetryJobInput,
    ) -> Result<RetryJobPayload> {
        let job = ctx
            .data_unchecked::<Library>()
            .retry_job(JobId::decode(&input.id)?)
            .await?;
        Ok(RetryJobPayload { job: Job(job) })
    }

    /// Deletes a version permanently, with its layers, vectors, evaluations, synthetic images and jobs. Its number is
    /// not used again. A version with a queued or running job cannot be deleted: cancel the job first.
    async fn delete_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version to delete.")] input: DeleteVersionInput,
    ) -> Result<DeleteVersionPayload> {
        let id = VersionId::decode(&input.id)?;
        let model = ctx.data_unchecked::<Library>().delete_version(id).await?;
        Ok(DeleteVersionPayload {
            deleted_version_id: id.encode(),
            model: Model(model),
        })
    }
}

/// A version to train.
#[derive(Debug, InputObject)]
pub struct TrainVersionInput {
    /// Global id of the model that the version belongs to; or else `newModel`.
    model_id: Option<ID>,
    /// A model to create for the version, together with it: if the version is refused, nothing is created.
    new_model: Option<CreateModelInput>,
    /// Name of the data set to train on.
    dataset: String,
    /// The network as a list of blocks.
    blocks: Vec<BlockInput>,
    /// The training settings.
    settings: Option<TrainSettingsInput>,
}

/// The version and its training job.
#[derive(Debug, SimpleObject)]
pub struct TrainVersionPayload {
    /// The version.
    version: Version,
    /// The job that trains, evaluates and ingests it.
    job: Job,
}

/// The momentum of SGD if none is specified.
const DEFAULT_MOMENTUM: f64 = 0.9;

/// Training settings.
#[derive(Debug, InputObject)]
pub struct TrainSettingsInput {
    /// Number of epochs, 1 to 1,000.
    #[graphql(default = 10)]
    epochs: i32,
    /// Batch size, 1 to 4,096.
    #[graphql(default = 64)]
    batch_size: i32,
    /// Initial learning rate, above 0 and at most 10.
    #[graphql(default = 0.001)]
    learning_rate: f64,
    /// The optimiser.
    #[graphql(default_with = "OptimizerKind::Adam")]
    optimizer: OptimizerKind,
    /// For SGD only: momentum, 0 to less than 1. Default: 0.9.
    momentum: Option<f64>,
    /// Weight decay, 0 to 1: an L2 penalty for SGD and ADAM, decoupled weight decay for ADAMW.
    #[graphql(default = 0.0)]
    weight_decay: f64,
    /// The learning rate schedule.
    #[graphql(default_with = "Schedule::Constant")]
    schedule: Schedule,
    /// Random seed of the initial weights, the order of images, dropout and the choice of the validation images. On the
    /// CPU, the same seed gives the same weights.
    #[graphql(default = 0)]
    seed: i32,
    /// Share of the training images of each class that are kept out of the training and measured after each epoch, 0 to
    /// 0.5: see `EpochReport.validationAccuracy`.
    #[graphql(default = 0.0)]
    validation_share: f64,
}

impl Default for TrainSettingsInput {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 64,
            learning_rate: 0.001,
            optimizer: OptimizerKind::Adam,
            momentum: None,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            seed: 0,
            validation_share: 0.0,
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
        if momentum.is_some() && input.optimizer != OptimizerKind::Sgd {
            return Err(ApiError::bad_input(
                "`settings.momentum` applies only to the optimizer SGD: omit it, or set `settings.optimizer` to SGD",
            ));
        }
        let momentum = momentum.unwrap_or(DEFAULT_MOMENTUM);
        check((0.0..1.0).contains(&momentum), "momentum", "0 to less than 1")?;
        check((0.0..=1.0).contains(&weight_decay), "weightDecay", "0 to 1")?;
        check((1..=1_000).contains(&input.epochs), "epochs", "1 to 1,000")?;
        check((1..=4_096).contains(&input.batch_size), "batchSize", "1 to 4,096")?;
        check(input.seed >= 0, "seed", "0 or more")?;
        check(
            (0.0..=MAX_VALIDATION_SHARE).contains(&input.validation_share),
            "validationShare",
            &format!("0 to {MAX_VALIDATION_SHARE}"),
        )?;
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
            validation_share: input.validation_share,
        })
    }
}

fn check(is_valid: bool, field: &str, rule: &str) -> Result<()> {
    if is_valid {
        Ok(())
    } else {
        Err(ApiError::bad_input(format!("`settings.{field}` must be {rule}")))
    }
}

/// A version to evaluate.
#[derive(Debug, InputObject)]
pub struct EvaluateVersionInput {
    /// Global id of the version.
    version_id: ID,
    /// Name of a data set whose images have the same shape and which has as many classes. Default: the version's own
    /// data set.
    dataset: Option<String>,
}

/// The version and its evaluation job.
#[derive(Debug, SimpleObject)]
pub struct EvaluateVersionPayload {
    /// The version.
    version: Version,
    /// The job that evaluates it.
    job: Job,
}

/// A job to cancel.
#[derive(Debug, InputObject)]
pub struct CancelJobInput {
    /// Global id of the job.
    id: ID,
}

/// The job for which cancellation was requested.
#[derive(Debug, SimpleObject)]
pub struct CancelJobPayload {
    /// The job.
    job: Job,
}

/// A job to retry.
#[derive(Debug, InputObject)]
pub struct RetryJobInput {
    /// Global id of the job.
    id: ID,
}

/// The job that was queued again.
#[derive(Debug, SimpleObject)]
pub struct RetryJobPayload {
    /// The job.
    job: Job,
}

/// A version to delete.
#[derive(Debug, InputObject)]
pub struct DeleteVersionInput {
    /// Global id of the version.
    id: ID,
}

/// What was deleted, and from which model.
#[derive(Debug, SimpleObject)]
pub struct DeleteVersionPayload {
    /// Global id of the deleted version.
    deleted_version_id: ID,
    /// The model that it belonged to.
    model: Model,
}
