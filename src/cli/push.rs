//! `scv push`

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, check_file};
use super::job::{self, Job};
use super::terminal::Terminal;
use super::{blocks, model};
use crate::config::ClientConfig;

/// Bring a trained network to the server and wait until it can be searched
#[derive(Debug, Args)]
pub(super) struct Push {
    /// The model that gets a new version; it is registered if there is none of that name
    #[arg(long)]
    model: String,
    /// Name of the data set that the network was made for
    #[arg(long)]
    dataset: String,
    /// A JSON file with the network's list of blocks
    #[arg(long, value_name = "FILE")]
    blocks: PathBuf,
    /// A safetensors file; keys are the block's place and PyTorch's parameter name, such as 0.weight
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// A tag of the model; can be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Return as soon as the upload is checked
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    client: ClientConfig,
}

impl Push {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let blocks = blocks::read(&self.blocks)?;
        check_file(&self.weights)?;
        blocks::check(&client, &blocks, &self.dataset).await?;
        let model = model::ensure(&client, &self.model, &self.tags).await?;
        let uploading = terminal.spinner("sending the weights");
        let input = json!({ "modelId": model.id, "dataset": self.dataset, "blocks": blocks, "weights": null });
        let query = format!(
            "mutation($input: CreateVersionInput!) {{ createVersion(input: $input) {{ job {{ {} }} }} }}",
            Job::fields()
        );
        let files = [("input.weights", self.weights.as_path())];
        let data: Data = client.upload(&query, json!({ "input": input }), &files).await?;
        drop(uploading);
        let job = data.create_version.job;
        match self.detach {
            true => job::detach(&client, terminal, &job),
            false => job::follow(&client, terminal, job, None).await,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    create_version: Payload,
}

#[derive(Deserialize)]
struct Payload {
    job: Job,
}
