//! `scv predict`

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, check_file};
use super::layer::{self, VersionName};
use super::model::percent;
use super::pictures::{self, Picture, Shown};
use super::table::table;
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Classes that are shown.
const SHOWN: usize = 5;

/// Ask a version what an image shows
#[derive(Debug, Args)]
pub(super) struct Predict {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// A PNG or JPEG file
    image: PathBuf,
    /// Whether to turn light into dark, yes or no; where the backgrounds of the image and of the data set differ if left out
    #[arg(long, value_name = "YES/NO", hide_possible_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    invert: Option<bool>,
    /// Write there what the network was shown, as shown.png
    #[arg(long, value_name = "DIR")]
    open_dir: Option<PathBuf>,
    #[command(flatten)]
    client: ClientConfig,
}

#[derive(Debug, Serialize, Deserialize)]
struct Prediction {
    predictions: Vec<ClassProbability>,
    preparations: Vec<String>,
    shown: Picture,
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
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Data {
            predict: Prediction,
        }
        check_file(&self.image)?;
        pictures::prepare(self.open_dir.as_deref())?;
        let client = Client::new(&self.client)?;
        let version = layer::layers(&client, &self.version).await?.version;
        let query = "mutation($input: PredictInput!) { predict(input: $input) {
            predictions { class { index name } probability } preparations shown { url } } }";
        let input = json!({ "versionId": version.id, "image": null, "invert": self.invert });
        let data: Data = client
            .upload(query, json!({ "input": input }), &[("input.image", &self.image)])
            .await?;
        let mut found = data.predict;
        found.shown.at(&client);
        let shown = Shown::new("shown.png".to_owned(), &found.shown.url);
        if let Some(folder) = &self.open_dir {
            pictures::write(&client, terminal, folder, std::slice::from_ref(&shown)).await?;
        }
        let rows = found.predictions.iter().take(SHOWN);
        let rows = rows.map(|row| vec![row.class.name.clone(), percent(Some(row.probability))]);
        let classes = table(&["class", ">probability"], rows);
        let mut text = match found.preparations.is_empty() {
            true => "the image was taken as it is".to_owned(),
            false => format!("the image was {}", found.preparations.join(", ")),
        };
        text.push_str(&format!("\nwhat the network was shown: {}\n\n{classes}", shown.url));
        if found.predictions.len() > SHOWN {
            let others = found.predictions.len() - SHOWN;
            text.push_str(&format!("\n\nand {others} more, all less likely: --json lists them"));
        }
        terminal.answer(&found, text)
    }
}
