//! `scv import`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, check_file};
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Import a data set
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// Four IDX files, raw or gzipped: MNIST, Fashion-MNIST, EMNIST and the like
    Idx(Idx),
    /// The handwritten digits of 8x8 pixels that come with the server
    Digits(Digits),
}

#[derive(Debug, Args)]
struct Digits {
    /// What the data set will be called
    #[arg(long)]
    name: String,
    #[command(flatten)]
    client: ClientConfig,
}

#[derive(Debug, Args)]
struct Idx {
    /// What the data set will be called; mnist, fashion_mnist and emnist fill in class names, labels and statistics
    #[arg(long)]
    name: String,
    /// Images to learn from
    #[arg(long, value_name = "FILE")]
    train_images: PathBuf,
    /// Their labels
    #[arg(long, value_name = "FILE")]
    train_labels: PathBuf,
    /// Images to measure with
    #[arg(long, value_name = "FILE")]
    test_images: PathBuf,
    /// Their labels
    #[arg(long, value_name = "FILE")]
    test_labels: PathBuf,
    /// One name a class, with commas between; without them a class is called by its label
    #[arg(long, value_delimiter = ',')]
    class_names: Option<Vec<String>>,
    /// The label that means the first class
    #[arg(long)]
    first_label: Option<u16>,
    /// Rows and columns are exchanged in the files, as in EMNIST
    #[arg(long)]
    transposed: bool,
    /// Mean of each channel after pixels are scaled to 0..1; computed from the train images if left out
    #[arg(long, value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel after pixels are scaled to 0..1
    #[arg(long, value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
    #[command(flatten)]
    client: ClientConfig,
}

impl Import {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        match self.source {
            Source::Idx(idx) => idx.run(terminal).await,
            Source::Digits(digits) => {
                let input = json!({ "name": digits.name, "format": "DIGITS" });
                import(&Client::new(&digits.client)?, terminal, input, &[]).await
            }
        }
    }
}

impl Idx {
    async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let files = [
            ("input.trainImages", self.train_images.as_path()),
            ("input.trainLabels", self.train_labels.as_path()),
            ("input.testImages", self.test_images.as_path()),
            ("input.testLabels", self.test_labels.as_path()),
        ];
        for (_, path) in files {
            check_file(path)?;
        }
        let input = json!({
            "name": self.name,
            "format": "IDX",
            "classNames": self.class_names,
            "firstLabel": self.first_label,
            "transposed": self.transposed.then_some(true),
            "mean": self.mean,
            "std": self.std,
            "trainImages": null,
            "trainLabels": null,
            "testImages": null,
            "testLabels": null,
        });
        import(&Client::new(&self.client)?, terminal, input, &files).await
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    import_dataset: Payload,
}

#[derive(Deserialize)]
struct Payload {
    dataset: Dataset,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dataset {
    id: String,
    name: String,
    channels: u32,
    height: u32,
    width: u32,
    class_names: Vec<String>,
    splits: Vec<Split>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Split {
    split: String,
    image_count: u64,
}

async fn import(client: &Client, terminal: &Terminal, input: Value, files: &[(&str, &Path)]) -> anyhow::Result<()> {
    let query = "mutation($input: ImportDatasetInput!) { importDataset(input: $input) { dataset {
                   id name channels height width classNames splits { split imageCount } } } }";
    let uploading = terminal.spinner("sending and reading the data set");
    let variables = json!({ "input": input });
    let data: Data = match files {
        [] => client.ask(query, variables).await?,
        files => client.upload(query, variables, files).await?,
    };
    drop(uploading);
    let dataset = data.import_dataset.dataset;
    let splits: Vec<_> = dataset
        .splits
        .iter()
        .map(|split| format!("{} {} images", split.image_count, split.split.to_lowercase()))
        .collect();
    let text = format!(
        "{}: {} of {}x{}x{} in {} classes",
        dataset.name,
        splits.join(" and "),
        dataset.channels,
        dataset.height,
        dataset.width,
        dataset.class_names.len(),
    );
    terminal.answer(&dataset, text)
}
