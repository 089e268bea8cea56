//! `scv dataset import`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, check_file};
use super::exit::{code, failure, kebab_case};
use super::job::{self, Job};
use super::terminal::Terminal;
use crate::config::value::{number, whole};

/// Import a data set
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// Import four IDX files, raw or gzipped, such as those of MNIST, Fashion-MNIST and EMNIST
    ///
    /// Images have dimensions images x rows x columns, or images x channels x rows x columns if they have colours.
    Idx(Idx),
    /// Import the handwritten digits of 8x8 pixels that come with the server
    Digits(Digits),
}

#[derive(Debug, Args)]
struct Digits {
    /// Name of the new data set
    #[arg(long)]
    name: String,
}

#[derive(Debug, Args)]
struct Idx {
    /// Name of the new data set. For mnist, fashion_mnist and emnist, class names, labels and statistics are known
    #[arg(long)]
    name: String,
    /// Images of the train split
    #[arg(long, value_name = "FILE")]
    train_images: PathBuf,
    /// Labels of the train split
    #[arg(long, value_name = "FILE")]
    train_labels: PathBuf,
    /// Images of the test split
    #[arg(long, value_name = "FILE")]
    test_images: PathBuf,
    /// Labels of the test split
    #[arg(long, value_name = "FILE")]
    test_labels: PathBuf,
    /// Names of the classes, separated by commas [default: their labels]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    class_names: Option<Vec<String>>,
    /// Label of the first class
    #[arg(long, value_name = "N", value_parser = whole::<u16>(0..=65_535))]
    first_label: Option<u16>,
    /// Classes may have no train images
    #[arg(long)]
    allow_empty_classes: bool,
    /// Rows and columns are swapped in the files, as in EMNIST
    #[arg(long)]
    transposed: bool,
    /// Mean of each channel, with pixels from 0 to 1, separated by commas [default: computed from the train images]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number::<f32>(..), requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, with pixels from 0 to 1, separated by commas
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number::<f32>(..), requires = "mean")]
    std: Option<Vec<f32>>,
}

impl Import {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        match self.source {
            Source::Idx(idx) => idx.run(client, terminal).await,
            Source::Digits(digits) => {
                let input = json!({ "name": digits.name, "format": "DIGITS" });
                import(client, terminal, input, &[]).await
            }
        }
    }
}

impl Idx {
    async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
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
            "allowEmptyClasses": self.allow_empty_classes.then_some(true),
            "transposed": self.transposed.then_some(true),
            "mean": self.mean,
            "std": self.std,
            "trainImages": null,
            "trainLabels": null,
            "testImages": null,
            "testLabels": null,
        });
        import(client, terminal, input, &files).await
    }
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

/// A message of the server about an IDX file with the path of the file.
fn with_paths(message: &str, files: &[(&str, &Path)]) -> String {
    files.iter().fold(message.to_owned(), |message, (variable, path)| {
        // `input.trainImages` are the train images.
        let content = kebab_case(variable.trim_start_matches("input.")).replace('-', " ");
        let name = format!("the IDX file of {content}");
        message.replace(&name, &format!("{}, {name},", path.display()))
    })
}

async fn import(client: &Client, terminal: &Terminal, input: Value, files: &[(&str, &Path)]) -> anyhow::Result<()> {
    let job = start(client, terminal, input, files).await?;
    let name = job.subject();
    let ended = job::wait(client, terminal, &name, job, None).await?;
    ended
        .outcome()
        .map_err(|error| failure(code::JOB_FAILED, with_paths(&error.to_string(), files)))?;
    let dataset = imported(client, &ended).await?;
    let splits: Vec<_> = dataset
        .splits
        .iter()
        .map(|split| format!("{} {} images", split.image_count, split.split.to_lowercase()))
        .collect();
    let classes = dataset.class_names.len();
    let text = format!(
        "{}: {} of {}x{}x{} in {classes} {}",
        dataset.name,
        splits.join(" and "),
        dataset.channels,
        dataset.height,
        dataset.width,
        if classes == 1 { "class" } else { "classes" },
    );
    terminal.print(&dataset, text)
}

/// Uploads the files and queues the import.
async fn start(client: &Client, terminal: &Terminal, input: Value, files: &[(&str, &Path)]) -> anyhow::Result<Job> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        import_dataset: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        job: Job,
    }
    let query = format!(
        "mutation($input: ImportDatasetInput!) {{ importDataset(input: $input) {{ job {{ {} }} }} }}",
        Job::fields()
    );
    let _uploading = terminal.spinner("uploading the data set");
    let variables = json!({ "input": input });
    let data: Result<Data, _> = match files {
        [] => client.query(&query, variables).await,
        files => client.upload(&query, variables, files).await,
    };
    let data = data.map_err(|error| error.reworded(|message| with_paths(message, files)))?;
    Ok(data.import_dataset.job)
}

/// The data set that a job has imported.
async fn imported(client: &Client, job: &Job) -> anyhow::Result<Dataset> {
    #[derive(Deserialize)]
    struct Data {
        job: Ended,
    }
    #[derive(Deserialize)]
    struct Ended {
        dataset: Dataset,
    }
    let query = "query($id: ID!) { job(id: $id) { dataset {
                   id name channels height width classNames splits { split imageCount } } } }";
    Ok(client.query::<Data>(query, json!({ "id": job.id })).await?.job.dataset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_an_idx_file_has_its_path() {
        let files = [
            ("input.trainImages", Path::new("a/images.gz")),
            ("input.testLabels", Path::new("a/labels.gz")),
        ];
        assert_eq!(
            with_paths("the IDX file of test labels is truncated", &files),
            "a/labels.gz, the IDX file of test labels, is truncated"
        );
        assert_eq!(with_paths("the name is taken", &files), "the name is taken");
    }
}
