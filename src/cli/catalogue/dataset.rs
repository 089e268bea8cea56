//! `scv dataset`

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::dataset;
use crate::cli::import::Import;
use crate::cli::table::{counted, properties, table, time};
use crate::cli::terminal::Terminal;

/// List, show and import data sets
#[derive(Debug, Args)]
pub(in crate::cli) struct DatasetCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List data sets
    #[command(visible_alias = "ls")]
    List,
    /// Show a data set
    Show {
        /// Name of the data set
        dataset: String,
    },
    Import(Import),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dataset {
    id: String,
    name: String,
    channels: u32,
    height: u32,
    width: u32,
    class_names: Vec<String>,
    mean: Vec<f64>,
    std: Vec<f64>,
    created_at: DateTime<Utc>,
    splits: Vec<Split>,
    probe_sets: Vec<ProbeSet>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Split {
    split: String,
    image_count: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProbeSet {
    id: String,
    image_count: u64,
    is_default: bool,
}

const FIELDS: &str = "id name channels height width classNames mean std createdAt splits { split imageCount }
    probeSets { id imageCount isDefault }";

impl DatasetCommand {
    pub(in crate::cli) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        match self.action {
            Action::List => list(client, terminal).await,
            Action::Show { dataset } => show(client, terminal, &dataset).await,
            Action::Import(import) => import.run(client, terminal).await,
        }
    }
}

async fn datasets(client: &Client) -> anyhow::Result<Vec<Dataset>> {
    #[derive(Deserialize)]
    struct Data {
        datasets: Vec<Dataset>,
    }
    let query = format!("{{ datasets {{ {FIELDS} }} }}");
    Ok(client.query::<Data>(&query, json!({})).await?.datasets)
}

async fn list(client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
    let datasets = datasets(client).await?;
    let rows = datasets.iter().map(|dataset| {
        let images = |split: &str| dataset.images(split).to_string();
        vec![
            dataset.name.clone(),
            dataset.shape(),
            dataset.class_names.len().to_string(),
            images("TRAIN"),
            images("TEST"),
            time(dataset.created_at),
        ]
    });
    let head = [
        "data set",
        ">image",
        ">classes",
        ">train images",
        ">test images",
        "created",
    ];
    let text = table(&head, rows);
    terminal.print(&json!({ "totalCount": datasets.len(), "datasets": datasets }), text)
}

async fn show(client: &Client, terminal: &Terminal, name: &str) -> anyhow::Result<()> {
    let datasets = datasets(client).await?;
    let Some(dataset) = datasets.iter().find(|dataset| dataset.name == name) else {
        let known: Vec<_> = datasets.iter().map(|dataset| dataset.name.as_str()).collect();
        return Err(dataset::unknown(name, &known));
    };
    let probe_sets = dataset.probe_sets.iter().map(|probe_set| {
        let default = if probe_set.is_default { " (default)" } else { "" };
        format!("{}{default}", counted(probe_set.image_count as usize, "image"))
    });
    let text = properties(&[
        ("data set", dataset.name.clone()),
        ("image", dataset.shape()),
        ("train images", dataset.images("TRAIN").to_string()),
        ("test images", dataset.images("TEST").to_string()),
        ("classes", dataset.class_names.join(", ")),
        ("mean", format!("{:?}", dataset.mean)),
        ("deviation", format!("{:?}", dataset.std)),
        ("probe sets", probe_sets.collect::<Vec<_>>().join(", ")),
        ("created", time(dataset.created_at)),
        ("id", dataset.id.clone()),
    ]);
    terminal.print(dataset, text)
}

impl Dataset {
    fn shape(&self) -> String {
        format!("{}x{}x{}", self.channels, self.height, self.width)
    }

    fn images(&self, split: &str) -> u64 {
        let found = self.splits.iter().find(|found| found.split == split);
        found.map_or(0, |found| found.image_count)
    }
}
