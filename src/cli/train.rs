//! `scv train`

use std::ops::Bound;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::exit::{code, failure};
use super::job::{self, Job};
use super::model::ModelOptions;
use super::terminal::Terminal;
use super::{blocks, dataset, model};
use crate::config::value::{INT, number, whole};
use scv_domain::block::Block;
use scv_domain::training::MAX_VALIDATION_SHARE;

/// Number of passes over the train split if the user gives none: the server's default.
const DEFAULT_EPOCHS: u32 = 10;

/// Train a network on the server
#[derive(Debug, Args)]
pub(super) struct Train {
    #[command(flatten)]
    model: ModelOptions,
    /// Name of the data set to train on
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// JSON file with the network's list of blocks
    #[arg(long, value_name = "FILE")]
    blocks: PathBuf,
    /// Return immediately; the job continues in the background
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    settings: Settings,
}

/// How to train; the server has defaults.
#[derive(Debug, Clone, Default, Args, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    /// Number of passes over the train split [default: 10]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_000), help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epochs: Option<u32>,
    /// Images per step [default: 64]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=4_096), help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch_size: Option<u32>,
    /// Initial learning rate [default: 0.001]
    #[arg(
        long,
        value_name = "RATE",
        value_parser = number::<f64>((Bound::Excluded(0.0), Bound::Included(10.0))),
        help_heading = "Training"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) learning_rate: Option<f64>,
    /// Optimizer [default: adam]
    #[arg(long, value_enum, help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) optimizer: Option<Optimizer>,
    /// Momentum, from 0 to less than 1; only for sgd [default: 0.9]
    #[arg(long, value_name = "FRACTION", value_parser = number::<f64>(0.0..1.0), help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) momentum: Option<f64>,
    /// Weight decay, from 0 to 1: an L2 penalty for sgd and adam, decoupled for adamw [default: 0]
    #[arg(long, value_name = "FRACTION", value_parser = number::<f64>(0.0..=1.0), help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weight_decay: Option<f64>,
    /// Learning rate schedule [default: constant]
    #[arg(long, value_enum, help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<Schedule>,
    /// Random seed of the initial weights, the order of images, and dropout [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(INT), help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u32>,
    /// Share of the train split to keep out of the training and to measure after each epoch, from 0 to 0.5 [default: 0]
    #[arg(
        long,
        value_name = "FRACTION",
        value_parser = number::<f64>(0.0..=MAX_VALIDATION_SHARE),
        help_heading = "Training"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validation_share: Option<f64>,
}

/// The optimizer.
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

/// The learning rate schedule.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Schedule {
    /// The same learning rate in every step
    Constant,
    /// From the learning rate to zero along half a cosine
    Cosine,
}

impl Settings {
    /// Checks settings that depend on each other.
    fn check(&self) -> anyhow::Result<()> {
        if self.momentum.is_some() && !matches!(self.optimizer, Some(Optimizer::Sgd)) {
            let message = "--momentum is only for --optimizer sgd: leave it out, or add --optimizer sgd";
            return Err(failure(code::USAGE, message));
        }
        Ok(())
    }
}

impl Train {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        self.settings.check()?;
        let blocks = blocks::read(&self.blocks)?;
        dataset::check(client, &[&self.dataset]).await?;
        blocks::check(client, &blocks, &self.dataset).await?;
        let request = TrainRequest {
            model: model::chosen(client, &self.model).await?,
            dataset: &self.dataset,
            blocks: &blocks,
            settings: &self.settings,
        };
        let job = start(client, &request).await?;
        model::add_tags(client, &self.model).await?;
        if self.detach {
            return job::detach(client, terminal, &job);
        }
        job::follow(client, terminal, job, self.settings.epochs.or(Some(DEFAULT_EPOCHS))).await
    }
}

/// The input of the mutation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrainRequest<'a> {
    /// The fields that choose the model.
    #[serde(flatten)]
    pub(super) model: Value,
    pub(super) dataset: &'a str,
    pub(super) blocks: &'a [Block],
    pub(super) settings: &'a Settings,
}

/// Starts the training of a version.
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
    let data: Data = client.query(&query, json!({ "input": request })).await?;
    Ok(data.train_version.job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momentum_is_only_for_sgd() {
        let with = |optimizer| Settings {
            optimizer,
            momentum: Some(0.5),
            ..Settings::default()
        };
        assert!(with(Some(Optimizer::Sgd)).check().is_ok());
        // Without an option, the server trains with Adam.
        for optimizer in [None, Some(Optimizer::Adam), Some(Optimizer::Adamw)] {
            let refused = with(optimizer).check().map_err(|error| error.to_string());
            assert!(
                refused.is_err_and(|message| message.contains("--optimizer sgd")),
                "{optimizer:?}"
            );
        }
        assert!(Settings::default().check().is_ok());
    }
}
