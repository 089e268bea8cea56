//! `scv train`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError};
use super::job::{self, Job};
use super::model::ModelOptions;
use super::terminal::Terminal;
use super::{blocks, model};
use crate::config::ClientConfig;
use scv_domain::block::Block;

/// Train a network on the server and wait for it
#[derive(Debug, Args)]
pub(super) struct Train {
    #[command(flatten)]
    model: ModelOptions,
    /// Name of the data set to learn
    #[arg(long)]
    dataset: String,
    /// A JSON file with the network's list of blocks
    #[arg(long, value_name = "FILE")]
    blocks: PathBuf,
    /// Return at once and leave the job to itself
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    client: ClientConfig,
}

/// How to train; what is left out takes the server's default.
#[derive(Debug, Clone, Default, Args, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    /// Passes over the train split [default: 10]
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epochs: Option<u32>,
    /// Images a step [default: 64]
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch_size: Option<u32>,
    /// Step size at the start [default: 0.001]
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) learning_rate: Option<f64>,
    /// What turns gradients into steps [default: adam]
    #[arg(long, value_enum, help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) optimizer: Option<Optimizer>,
    /// For sgd: 0 to less than 1 [default: 0.9]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) momentum: Option<f64>,
    /// For sgd and adam an L2 penalty, for adamw decoupled decay [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weight_decay: Option<f64>,
    /// How the learning rate changes over the run [default: constant]
    #[arg(long, value_enum, help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<Schedule>,
    /// Draws the first weights, the order of the images and the dropped values [default: 0]
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u32>,
}

/// What turns gradients into steps.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Optimizer {
    /// Stochastic gradient descent with momentum
    Sgd,
    /// Adam
    Adam,
    /// Adam with decoupled weight decay
    Adamw,
}

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Schedule {
    /// It does not
    Constant,
    /// Half a cosine from the learning rate to zero
    Cosine,
}

impl Train {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let blocks = blocks::read(&self.blocks)?;
        blocks::check(&client, &blocks, &self.dataset).await?;
        let model = model::ensure(&client, &self.model).await?;
        let request = TrainRequest {
            model_id: &model.id,
            dataset: &self.dataset,
            blocks: &blocks,
            settings: &self.settings,
        };
        let started = start(&client, &request).await;
        let job = model.keep_if(&client, started).await?;
        match self.detach {
            true => job::detach(&client, terminal, &job),
            false => {
                let epochs = self.settings.epochs;
                job::follow(&client, terminal, job, epochs).await
            }
        }
    }
}

/// The input of the mutation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrainRequest<'a> {
    pub(super) model_id: &'a str,
    pub(super) dataset: &'a str,
    pub(super) blocks: &'a [Block],
    pub(super) settings: &'a Settings,
}

/// Has a version trained.
pub(super) async fn start(client: &Client, request: &TrainRequest<'_>) -> Result<Job, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        train_version: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        job: Job,
    }
    let query = format!(
        "mutation($input: TrainVersionInput!) {{ trainVersion(input: $input) {{ job {{ {} }} }} }}",
        Job::fields()
    );
    let data: Data = client.ask(&query, json!({ "input": request })).await?;
    Ok(data.train_version.job)
}
