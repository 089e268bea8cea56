//! The networks of the demonstration.

use std::time::Duration;

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::client::Client;
use crate::cli::exit::{self, code};
use crate::cli::job::{self, Job};
use crate::cli::layer;
use crate::cli::model::{self, ModelOptions, Version, test_accuracy};
use crate::cli::terminal::{Bar, Terminal};
use crate::cli::train::{self, Optimizer, Schedule, Settings, TrainRequest};
use crate::cli::version_name::VersionName;
use scv_domain::block::Block;

const DATASET: &str = "digits";

/// Enough passes over the images to bring each network near its best accuracy.
const EPOCHS: u32 = 10;

/// The time between two requests for the progress of the jobs.
const INTERVAL: Duration = Duration::from_millis(200);

/// A kind of network.
struct Architecture {
    name: &'static str,
    about: &'static str,
    blocks: &'static str,
}

const ARCHITECTURES: [Architecture; 3] = [
    Architecture {
        name: "plain",
        about: "3x3 convolutions, ReLU",
        blocks: include_str!("../../../examples/plain.json"),
    },
    Architecture {
        name: "wide",
        about: "5x5 convolutions, ELU, mean pooling",
        blocks: include_str!("../../../examples/wide.json"),
    },
    Architecture {
        name: "residual",
        about: "residual groups, batch normalisation",
        blocks: include_str!("../../../examples/residual.json"),
    },
];

/// One network of the demonstration.
struct Plan {
    name: String,
    architecture: &'static Architecture,
    seed: u32,
    epochs: u32,
    tags: Vec<String>,
}

/// Two networks of each architecture from different seeds, and an undertrained one.
fn plans() -> Vec<Plan> {
    let plan = |architecture: &'static Architecture, suffix: &str, seed, epochs, tags: &[&str]| Plan {
        name: format!("{}-{suffix}", architecture.name),
        architecture,
        seed,
        epochs,
        tags: ["demo", architecture.name]
            .iter()
            .chain(tags)
            .map(|&tag| tag.to_owned())
            .collect(),
    };
    ARCHITECTURES
        .iter()
        .flat_map(|architecture| {
            [
                plan(architecture, "1", 1, EPOCHS, &[]),
                plan(architecture, "2", 2, EPOCHS, &[]),
                plan(architecture, "hasty", 3, 1, &["undertrained"]),
            ]
        })
        .collect()
}

/// The pairs of networks that differ only in their seed.
pub(super) fn twins() -> impl Iterator<Item = (VersionName, VersionName)> {
    ARCHITECTURES.iter().map(|architecture| {
        let name = |seed: u32| VersionName::latest(format!("{}-{seed}", architecture.name));
        (name(1), name(2))
    })
}

/// A trained network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Network {
    pub(super) version: Version,
    pub(super) about: &'static str,
    pub(super) layers: usize,
    pub(super) parameters: u64,
    pub(super) epochs: u32,
    pub(super) seed: u32,
}

/// Trains the networks that are missing. Returns all networks, and how many were trained.
pub(super) async fn ensure(
    client: &Client,
    terminal: &Terminal,
    fresh: bool,
    stop: &CancellationToken,
) -> anyhow::Result<(Vec<Network>, usize)> {
    let plans = plans();
    let mut started = Vec::new();
    for plan in &plans {
        if fresh || !plan.is_ready(client).await? {
            let job = plan.start(client).await?;
            started.push((plan, job, terminal.bar(&format!("{:<14}", plan.name))));
        }
    }
    let trained = started.len();
    if trained > 0 {
        terminal.note(format!(
            "training {trained} networks on handwritten digits, one after the other"
        ));
    }
    follow(client, started, stop).await?;
    let mut networks = Vec::new();
    for plan in plans {
        let found = layer::layers(client, &VersionName::latest(plan.name)).await?;
        networks.push(Network {
            about: plan.architecture.about,
            layers: found.layers.len(),
            parameters: found.layers.iter().map(|layer| layer.parameter_count).sum(),
            epochs: plan.epochs,
            seed: plan.seed,
            version: found.version,
        });
    }
    Ok((networks, trained))
}

impl Plan {
    async fn is_ready(&self, client: &Client) -> anyhow::Result<bool> {
        #[derive(Deserialize)]
        struct Data {
            model: Option<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            tags: Vec<String>,
            version: Option<Ready>,
        }
        #[derive(Deserialize)]
        struct Ready {
            blocks: Vec<Block>,
        }
        let query = "query($name: String!) { model(name: $name) { tags version(alias: \"latest\") { blocks } } }";
        let Some(model) = client.query::<Data>(query, json!({ "name": self.name })).await?.model else {
            return Ok(false);
        };
        if !self.tags.iter().all(|tag| model.tags.contains(tag)) {
            bail!(
                "the library has a model {:?} that is not of the demonstration: choose another directory with --data-dir",
                self.name
            );
        }
        let blocks = self.blocks()?;
        Ok(model.version.is_some_and(|version| version.blocks == blocks))
    }

    fn model(&self) -> ModelOptions {
        ModelOptions {
            name: self.name.clone(),
            tags: self.tags.clone(),
            private: false,
        }
    }

    async fn start(&self, client: &Client) -> anyhow::Result<Job> {
        let settings = Settings {
            epochs: Some(self.epochs),
            batch_size: Some(32),
            learning_rate: Some(0.003),
            optimizer: Some(Optimizer::Adam),
            schedule: Some(Schedule::Cosine),
            seed: Some(self.seed),
            ..Settings::default()
        };
        let request = TrainRequest {
            model: model::chosen(client, &self.model()).await?,
            dataset: DATASET,
            blocks: &self.blocks()?,
            settings: &settings,
        };
        Ok(train::start(client, &request).await?)
    }

    fn blocks(&self) -> anyhow::Result<Vec<Block>> {
        Ok(serde_json::from_str(self.architecture.blocks)?)
    }
}

/// Waits for all jobs. When it is interrupted, it cancels those that are not over.
async fn follow(client: &Client, mut open: Vec<(&Plan, Job, Bar)>, stop: &CancellationToken) -> anyhow::Result<()> {
    while !open.is_empty() {
        let mut unfinished = Vec::new();
        for (plan, job, bar) in open {
            let job = job::job(client, &job.id).await?;
            if job.is_over() {
                job.outcome()?;
                let accuracy = test_accuracy(job.version.and_then(|version| version.version.accuracy));
                bar.finish(format!("  {:<14}  {accuracy}", plan.name));
            } else {
                job.show(&bar, Some(plan.epochs));
                unfinished.push((plan, job, bar));
            }
        }
        open = unfinished;
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => {
                for (_, job, _) in &open {
                    job::cancel(client, &job.id).await?;
                }
                let message = "interrupted; networks that are ready are stored, and the next `scv demo` trains the others";
                return Err(exit::failure(code::INTERRUPTED, message));
            }
        }
    }
    Ok(())
}
