//! `scv evaluate`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::dataset;
use super::job::{self, Job};
use super::model::Version;
use super::pictures::{self, NamedPicture, Picture, file_stem};
use super::table::{counted, percent, score, table};
use super::terminal::Terminal;
use super::version_name::{VersionName, find_ready};
use scv_domain::evaluation::format_loss;

/// Maximum number of misclassified images, and of pairs of classes, that are shown.
const MAX_MISTAKES: usize = 10;

/// Show how well a version classifies test images: metrics per class, confusions, and misclassified images
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Evaluate on another data set, with images of the same shape and the same number of classes
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Evaluate it again even if there is an evaluation
    #[arg(long)]
    again: bool,
    /// Directory to write pictures to: confusion matrix, calibration, metrics per class, and the images that were
    /// misclassified with the highest confidence
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Evaluation {
    dataset: Named,
    accuracy: f64,
    top_five_accuracy: f64,
    loss: f64,
    image_count: usize,
    calibration: Calibration,
    classes: Vec<ClassReport>,
    confusion_cells: Nodes<ConfusionCell>,
    mistakes: Nodes<Mistake>,
    #[serde(skip_serializing)]
    plots: Option<Plots>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calibration {
    expected_calibration_error: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClassReport {
    class: Named,
    image_count: usize,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfusionCell {
    actual: Named,
    predicted: Named,
    image_count: usize,
    exemplar: Exemplar,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mistake {
    actual: Named,
    predicted: Named,
    image: Exemplar,
}

#[derive(Debug, Serialize, Deserialize)]
struct Exemplar {
    index: usize,
    confidence: f64,
    picture: Option<Picture>,
}

#[derive(Debug, Deserialize)]
struct Plots {
    confusion: String,
    calibration: String,
    classes: String,
}

impl Evaluate {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        pictures::prepare(self.output_dir.as_deref())?;
        let version = find_ready(client, &self.version).await?;
        dataset::check(client, &self.dataset.iter().collect::<Vec<_>>()).await?;
        let stored = if self.again {
            None
        } else {
            self.stored(client, &version).await?
        };
        let evaluation = match stored {
            Some(stored) => stored,
            None => {
                self.evaluate(client, terminal, &version).await?;
                let stored = self.stored(client, &version).await?;
                stored.context("another release of the server has overwritten the evaluation")?
            }
        };
        if let Some(folder) = &self.output_dir {
            let pictures = evaluation.pictures(client, &self.stem(&version));
            pictures::write(client, terminal, folder, &pictures).await?;
        }
        let mut text = evaluation.to_text(&version);
        if self.output_dir.is_some() && !evaluation.mistakes.nodes.is_empty() {
            text.push_str(&format!("\n\n{}", evaluation.mistakes_by_file(&self.stem(&version))));
        }
        terminal.print(&json!({ "version": version, "evaluation": evaluation }), text)
    }

    /// The beginning of its file names, which differs by data set so that one directory can hold the pictures of several.
    fn stem(&self, version: &Version) -> String {
        file_stem(&match &self.dataset {
            Some(dataset) => format!("{version} on {dataset}"),
            None => version.to_string(),
        })
    }

    /// The whole evaluation, if there is one.
    async fn stored(&self, client: &Client, version: &Version) -> anyhow::Result<Option<Evaluation>> {
        #[derive(Deserialize)]
        struct Data {
            version: Option<OfVersion>,
        }
        #[derive(Deserialize)]
        struct OfVersion {
            evaluation: Option<Value>,
        }
        let picture = if self.output_dir.is_some() {
            "picture { url }"
        } else {
            ""
        };
        let query = format!(
            "query($id: ID!, $dataset: String, $after: String) {{ version(id: $id) {{ evaluation(dataset: $dataset) {{
               dataset {{ name }} accuracy topFiveAccuracy loss imageCount calibration {{ expectedCalibrationError }}
               classes {{ class {{ name }} imageCount precision recall f1 }}
               confusionCells(first: 100, after: $after, mistakesOnly: true) {{ pageInfo {{ hasNextPage endCursor }} nodes {{
                 actual {{ name }} predicted {{ name }} imageCount exemplar {{ index confidence }} }} }}
               mistakes(first: {MAX_MISTAKES}) {{ nodes {{
                 actual {{ name }} predicted {{ name }} image {{ index confidence {picture} }} }} }}
               confusion: plot(kind: CONFUSION_MATRIX) calibrationPlot: plot(kind: CALIBRATION) classesPlot: plot(kind: CLASSES)
             }} }} }}"
        );
        let mut variables = json!({ "id": version.id, "dataset": self.dataset });
        let mut cells = Vec::new();
        let mut found = loop {
            let data: Data = client.query(&query, variables.clone()).await?;
            let Some(mut found) = data.version.and_then(|version| version.evaluation) else {
                return Ok(None);
            };
            let page = found["confusionCells"].take();
            cells.extend(page["nodes"].as_array().cloned().unwrap_or_default());
            if page["pageInfo"]["hasNextPage"] != true {
                break found;
            }
            variables["after"] = page["pageInfo"]["endCursor"].clone();
        };
        found["confusionCells"] = json!({ "nodes": cells });
        // Null in evaluations of an earlier release, which stored less.
        if found["topFiveAccuracy"].is_null() {
            return Ok(None);
        }
        found["plots"] = json!({
            "confusion": found["confusion"], "calibration": found["calibrationPlot"], "classes": found["classesPlot"],
        });
        let mut found: Evaluation = serde_json::from_value(found)?;
        let pictures = found
            .mistakes
            .nodes
            .iter_mut()
            .filter_map(|mistake| mistake.image.picture.as_mut());
        pictures.for_each(|picture| picture.resolve(client));
        Ok(Some(found))
    }

    async fn evaluate(&self, client: &Client, terminal: &Terminal, version: &Version) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            evaluate_version: Payload,
        }
        #[derive(Deserialize)]
        struct Payload {
            job: Job,
        }
        let query = format!(
            "mutation($input: EvaluateVersionInput!) {{ evaluateVersion(input: $input) {{ job {{ {} }} }} }}",
            Job::fields()
        );
        let input = json!({ "versionId": version.id, "dataset": self.dataset });
        let data: Data = client.query(&query, json!({ "input": input })).await?;
        job::wait_for(client, terminal, &version.to_string(), data.evaluate_version.job).await
    }
}

impl Evaluation {
    fn to_text(&self, version: &Version) -> String {
        let head = format!(
            "{version} on {} of {}: accuracy {}, top-5 accuracy {}, loss {}, calibration error {}",
            counted(self.image_count, "test image"),
            self.dataset.name,
            percent(Some(self.accuracy)),
            percent(Some(self.top_five_accuracy)),
            format_loss(self.loss),
            score(self.calibration.expected_calibration_error),
        );
        let metric = |metric: Option<f64>| metric.map_or_else(|| "-".to_owned(), score);
        let classes = table(
            &["class", ">images", ">precision", ">recall", ">F1"],
            self.classes.iter().map(|report| {
                let name = report.class.name.clone();
                let [precision, recall, f1] = [report.precision, report.recall, report.f1].map(metric);
                vec![name, report.image_count.to_string(), precision, recall, f1]
            }),
        );
        let mut cells: Vec<_> = self.confusion_cells.nodes.iter().collect();
        // A stable sort: among equals the first class comes first.
        cells.sort_by_key(|cell| std::cmp::Reverse(cell.image_count));
        let confusions = table(
            &["true", "predicted", ">images", ">top image", ">confidence"],
            cells.into_iter().take(MAX_MISTAKES).map(|cell| {
                let exemplar = &cell.exemplar;
                let mut row = vec![
                    cell.actual.name.clone(),
                    cell.predicted.name.clone(),
                    cell.image_count.to_string(),
                ];
                row.extend([exemplar.index.to_string(), score(exemplar.confidence)]);
                row
            }),
        );
        if self.mistakes.nodes.is_empty() {
            return format!("{head}\n\n{classes}\n\nno misclassified images");
        }
        let mut text = format!("{head}\n\n{classes}\n\n{confusions}");
        let others = self.confusion_cells.nodes.len().saturating_sub(MAX_MISTAKES);
        if others > 0 {
            text.push_str(&format!(
                "\n\n{} not shown: --json lists all",
                counted(others, "confusion")
            ));
        }
        text
    }

    /// The images that were misclassified with the highest confidence, with their files.
    fn mistakes_by_file(&self, stem: &str) -> String {
        table(
            &["misclassified image", "true", "predicted", ">index", ">confidence"],
            (1..).zip(&self.mistakes.nodes).map(|(rank, mistake)| {
                let (actual, predicted) = (mistake.actual.name.clone(), mistake.predicted.name.clone());
                let Exemplar { index, confidence, .. } = &mistake.image;
                vec![
                    mistake_file(stem, rank),
                    actual,
                    predicted,
                    index.to_string(),
                    score(*confidence),
                ]
            }),
        )
    }

    /// All pictures.
    fn pictures(&self, client: &Client, stem: &str) -> Vec<NamedPicture> {
        let named = |name: &str, path: &str| NamedPicture::new(format!("{stem}-{name}"), client.url(path).as_str());
        let mut pictures = Vec::new();
        if let Some(plots) = &self.plots {
            pictures.push(named("confusion.svg", &plots.confusion));
            pictures.push(named("calibration.svg", &plots.calibration));
            pictures.push(named("classes.svg", &plots.classes));
        }
        for (rank, mistake) in (1..).zip(&self.mistakes.nodes) {
            if let Some(picture) = &mistake.image.picture {
                pictures.push(NamedPicture::new(mistake_file(stem, rank), &picture.url));
            }
        }
        pictures
    }
}

/// The file of a misclassified image.
fn mistake_file(stem: &str, rank: usize) -> String {
    format!("{stem}-mistake-{rank:02}.png")
}
