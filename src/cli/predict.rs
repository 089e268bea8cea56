//! `scv predict`

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, check_image};
use super::pictures::{self, NamedPicture, Picture, file_stem, label};
use super::table::{percent, table};
use super::terminal::Terminal;
use super::version_name::{VersionName, find_ready};
use crate::config::value::yes_or_no;

/// Maximum number of classes that are listed.
const MAX_CLASSES: usize = 5;

/// Classify an image
#[derive(Debug, Args)]
pub(super) struct Predict {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// PNG or JPEG file
    image: PathBuf,
    /// Whether to invert the image, yes or no [default: yes if its background differs from the data set's]
    #[arg(long, value_name = "YES/NO", value_parser = yes_or_no)]
    invert: Option<bool>,
    /// Directory to write the preprocessed image to
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prediction {
    predictions: Vec<ClassProbability>,
    preprocessing_steps: Vec<String>,
    prepared_image: Picture,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClassProbability {
    class: Class,
    probability: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Class {
    index: usize,
    name: String,
}

impl Predict {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Data {
            predict: Prediction,
        }
        check_image(&self.image)?;
        let directory = self.output_dir.as_deref();
        pictures::prepare(directory)?;
        let version = find_ready(client, &self.version).await?;
        let query = "mutation($input: PredictInput!) { predict(input: $input) {
            predictions { class { index name } probability } preprocessingSteps preparedImage { url } } }";
        let input = json!({ "versionId": version.id, "image": null, "invert": self.invert });
        let data: Data = client
            .upload(query, json!({ "input": input }), &[("input.image", &self.image)])
            .await?;
        let mut found = data.predict;
        found.prepared_image.resolve(client);
        let name = file_stem(&format!("{version} {} prepared{}", self.image_name(), self.inversion()));
        let pictures = [NamedPicture::new(format!("{name}.png"), &found.prepared_image.url)];
        if let Some(directory) = directory {
            pictures::write(client, terminal, directory, &pictures).await?;
        }
        let picture = label(&pictures, directory, &found.prepared_image.url);
        terminal.print(&found, found.to_text(&picture))
    }

    fn image_name(&self) -> String {
        self.image
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// The part of file names that tells whether the user had the image inverted.
    fn inversion(&self) -> &'static str {
        match self.invert {
            Some(true) => " inverted",
            Some(false) => " not inverted",
            None => "",
        }
    }
}

impl Prediction {
    fn to_text(&self, picture: &str) -> String {
        let rows = self.predictions.iter().take(MAX_CLASSES);
        let rows = rows.map(|row| vec![row.class.name.clone(), percent(Some(row.probability))]);
        let classes = table(&["class", ">probability"], rows);
        let steps = if self.preprocessing_steps.is_empty() {
            "none".to_owned()
        } else {
            self.preprocessing_steps.join("; ")
        };
        let mut text = format!("{classes}\n\npreprocessing: {steps}\npreprocessed image: {picture}");
        if self.predictions.len() > MAX_CLASSES {
            let others = self.predictions.len() - MAX_CLASSES;
            text.push_str(&format!("\n{others} less likely classes not shown: --json lists all"));
        }
        text
    }
}
