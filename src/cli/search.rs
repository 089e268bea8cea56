//! `scv search`

use std::fmt::Write as _;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError};
use super::layer::{self, Degenerate, Layers, PlacedLayer, VersionName};
use super::model::{self, percent, right_answers};
use super::table::{counted, score, shape, table};
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Find the layers of other models that compute most nearly the same as a layer
#[derive(Debug, Args)]
pub(super) struct Search {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// The layer's name such as 4 or 3.main.0, or @ and its place in the list; without it the layers are listed
    layer: Option<String>,
    /// How many layers to show, at most 100
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
    /// What hits are ranked by
    #[arg(long, value_enum, default_value_t)]
    measure: Measure,
    /// Compare every admitted layer in place of using the index
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    filter: FilterOptions,
    #[command(flatten)]
    client: ClientConfig,
}

/// What hits are ranked by.
#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Measure {
    /// Near 0 for unrelated layers, however wide
    #[default]
    DebiasedCka,
    /// Linear CKA, biased upwards for wide layers
    Cka,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which layers may answer")]
struct FilterOptions {
    /// Least accuracy of the layer's version on its own data set, 0 to 1
    #[arg(long, value_name = "SHARE")]
    min_accuracy: Option<f64>,
    /// Only versions more accurate than the layer's own
    #[arg(long)]
    better_than_target: bool,
    /// Only versions made for this data set; can be given several times
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Only layers of this kind, such as Conv2d; can be given several times
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only models that bear this tag; given several times, all of them
    #[arg(long)]
    tag: Vec<String>,
    /// Only this model; can be given several times
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Not this model; can be given several times
    #[arg(long = "exclude-model", value_name = "MODEL")]
    exclude_models: Vec<String>,
    /// Let the layer's own model answer too, the layer itself included
    #[arg(long)]
    include_own_model: bool,
    /// Least score in the measure asked for
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    min_score: Option<f64>,
}

impl FilterOptions {
    /// The filter with ids in place of the models' names.
    async fn resolve(self, client: &Client) -> anyhow::Result<Filter> {
        Ok(Filter {
            min_accuracy: self.min_accuracy,
            better_than_target: self.better_than_target,
            datasets: self.dataset,
            layer_kinds: self.kind,
            tags: self.tag,
            models: ids(client, &self.models).await?,
            exclude_models: ids(client, &self.exclude_models).await?,
            include_own_model: self.include_own_model,
            min_score: self.min_score,
        })
    }
}

async fn ids(client: &Client, names: &[String]) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for name in names {
        let found = model::find(client, name).await?;
        ids.push(found.ok_or_else(|| anyhow!("there is no model {name:?}"))?.id);
    }
    Ok(ids)
}

/// The filter of the API.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    pub(super) min_accuracy: Option<f64>,
    pub(super) better_than_target: bool,
    pub(super) datasets: Vec<String>,
    pub(super) layer_kinds: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) models: Vec<String>,
    pub(super) exclude_models: Vec<String>,
    pub(super) include_own_model: bool,
    pub(super) min_score: Option<f64>,
}

impl Search {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let layers = layer::layers(&client, &self.version).await?;
        let Some(name) = &self.layer else {
            return terminal.answer(&layers, list(&layers, &client));
        };
        let question = Question {
            layer: layers.find(name)?.id.clone(),
            first: self.count,
            measure: self.measure,
            exact: self.exact,
            filter: self.filter.resolve(&client).await?,
        };
        let answer = similar(&client, &question).await?;
        terminal.answer(&answer, answer.to_text())
    }
}

fn list(layers: &Layers, client: &Client) -> String {
    let rows = layers.layers.iter().map(|layer| {
        vec![
            layer.index.to_string(),
            layer.name.clone(),
            layer.kind.clone(),
            shape(&layer.output_shape),
            layer.parameter_count.to_string(),
            layer
                .lacks_vector()
                .map_or_else(|| "yes".to_owned(), |why| format!("none: {why}")),
        ]
    });
    format!(
        "{}, {}\n{}\nlayers like one of them: scv search {} LAYER{}",
        layers.version,
        right_answers(layers.version.accuracy),
        table(&[">place", "layer", "kind", ">output", ">parameters", "vector"], rows),
        layers.version,
        client.option(),
    )
}

/// A search.
#[derive(Debug, Serialize)]
pub(super) struct Question {
    pub(super) layer: String,
    pub(super) first: u32,
    pub(super) measure: Measure,
    pub(super) exact: bool,
    pub(super) filter: Filter,
}

/// What a search came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) layer: PlacedLayer,
    measure: Measure,
    exact: bool,
    total_count: usize,
    pub(super) hits: Vec<Hit>,
}

/// A layer that was found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hit {
    rank: u32,
    pub(super) debiased_cka: f64,
    cka: f64,
    #[serde(rename(deserialize = "node", serialize = "layer"))]
    pub(super) layer: PlacedLayer,
}

impl Answer {
    /// The hits as a table, and how far they can be relied on.
    pub(super) fn to_text(&self) -> String {
        let (layer, version) = (&self.layer.layer, &self.layer.version);
        let mut text = format!(
            "layers most like layer {} ({}) of {version} ({}):\n",
            layer.name,
            layer.kind,
            right_answers(version.accuracy)
        );
        let rows = self.hits.iter().map(|hit| {
            let PlacedLayer { layer, version } = &hit.layer;
            vec![
                hit.rank.to_string(),
                score(hit.debiased_cka),
                score(hit.cka),
                version.to_string(),
                layer.name.clone(),
                layer.kind.clone(),
                percent(version.accuracy),
            ]
        });
        let head = [">rank", ">debiased CKA", ">CKA", "model", "layer", "kind", ">accuracy"];
        if let (true, Some(reason)) = (self.hits.is_empty(), layer.degenerate.first()) {
            return format!("{text}it is like no other: {}", reason.message);
        }
        if self.hits.is_empty() {
            text.push_str(match self.total_count {
                0 => "no layer of another model on this data set is admitted: `--kind`, `--tag` and the like may leave none\n",
                _ => "no layer that is admitted has so high a score\n",
            });
        } else {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", table(&head, rows));
        }
        let how = match self.exact {
            true => "each was compared",
            false => "an index chose those that were compared (--exact compares each)",
        };
        let _ = write!(text, "{} could answer; {how}", counted(self.total_count, "layer"));
        text
    }
}

/// The layers most like a layer.
pub(super) async fn similar(client: &Client, question: &Question) -> Result<Answer, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        layer: LayerData,
    }
    #[derive(Deserialize)]
    struct LayerData {
        #[serde(flatten)]
        layer: PlacedLayer,
        similar: Found,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Found {
        exact: bool,
        total_count: usize,
        edges: Vec<Hit>,
    }
    let (fields, degenerate) = (PlacedLayer::fields(), Degenerate::FIELDS);
    let query = format!(
        "query($layer: ID!, $first: Int!, $measure: Measure!, $exact: Boolean!, $filter: SimilarityFilter) {{
           layer(id: $layer) {{ {fields} degenerate {{ {degenerate} }}
             similar(first: $first, measure: $measure, exact: $exact, filter: $filter) {{
               exact totalCount edges {{ rank debiasedCka cka node {{ {fields} }} }} }} }} }}"
    );
    let LayerData { layer, similar } = client.ask::<Data>(&query, json!(question)).await?.layer;
    Ok(Answer {
        layer,
        measure: question.measure,
        exact: similar.exact,
        total_count: similar.total_count,
        hits: similar.edges,
    })
}
