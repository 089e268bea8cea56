//! `scv search`

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError};
use super::dataset;
use super::layer::{self, Degenerate, PlacedLayer};
use super::model::{self, test_accuracy};
use super::table::{counted, percent, score, table};
use super::terminal::Terminal;
use super::version_name::VersionName;
use crate::config::value::{number, whole};
use crate::shell;

/// Find the layers of other models that are most similar to a layer
#[derive(Debug, Args)]
pub(super) struct Search {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Name of the layer, such as 4 or 3.main.0, or @ and its position; without it, all layers are listed
    layer: Option<String>,
    /// Number of layers to show, at most 100
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 10, value_parser = whole::<u32>(1..=100), requires = "layer")]
    count: u32,
    /// Similarity measure to rank by
    #[arg(long, value_enum, default_value_t, requires = "layer")]
    measure: Measure,
    /// Prove that no hit is missing, however many layers have to be compared
    #[arg(long, requires = "layer")]
    exact: bool,
    #[command(flatten)]
    filter: FilterOptions,
}

/// The measure of similarity.
#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Measure {
    /// Debiased linear CKA: near 0 for unrelated layers of any width
    #[default]
    DebiasedCka,
    /// Linear CKA: biased upwards for wide layers
    Cka,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Candidate layers")]
#[group(id = "candidates", multiple = true, requires = "layer")]
struct FilterOptions {
    /// Minimum accuracy of the candidate's version on its own data set, 0 to 1
    #[arg(long, value_name = "FRACTION", value_parser = number::<f64>(0.0..=1.0))]
    min_accuracy: Option<f64>,
    /// Only versions that are more accurate than the layer's own
    #[arg(long)]
    better_than_target: bool,
    /// Only versions for this data set; can be repeated
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Only layers of this kind, such as Conv2d; can be repeated
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only models with this tag; can be repeated, for models with all of these tags
    #[arg(long)]
    tag: Vec<String>,
    /// Only this model; can be repeated
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Exclude this model; can be repeated
    #[arg(long = "exclude-model", value_name = "MODEL")]
    exclude_models: Vec<String>,
    /// Include the layer's own model, and so the layer itself
    #[arg(long)]
    include_own_model: bool,
    /// Minimum score in the chosen measure, -1 to 1
    #[arg(long, value_name = "SCORE", value_parser = number::<f64>(-1.0..=1.0))]
    min_score: Option<f64>,
}

impl FilterOptions {
    /// The filter with ids instead of the models' names.
    async fn resolve(&self, client: &Client) -> anyhow::Result<Filter> {
        dataset::check(client, &self.dataset.iter().collect::<Vec<_>>()).await?;
        Ok(Filter {
            min_accuracy: self.min_accuracy,
            better_than_target: self.better_than_target,
            datasets: self.dataset.clone(),
            layer_kinds: self.kind.clone(),
            tags: self.tag.clone(),
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
        ids.push(model::existing(client, name).await?.id);
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
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        let layers = layer::layers(client, &self.version).await?;
        let Some(name) = &self.layer else {
            return terminal.print(&layers, layers.to_text(client));
        };
        let request = SearchRequest {
            layer: layers.find(name)?.id.clone(),
            first: self.count,
            measure: self.measure,
            exact: self.exact,
            filter: self.filter.resolve(client).await?,
        };
        let result = similar(client, &request).await?;
        let mut text = result.to_text();
        if result.total_count == 0 {
            text.push_str(&self.filter.why_empty(client).await?);
        }
        terminal.print(&result, text)
    }
}

impl FilterOptions {
    /// Why there are no candidate layers, with the names that are misspelt.
    async fn why_empty(&self, client: &Client) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            block_kinds: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let mut words = Vec::new();
        let lists = [
            ("--dataset", &self.dataset),
            ("--kind", &self.kind),
            ("--tag", &self.tag),
            ("--model", &self.models),
            ("--exclude-model", &self.exclude_models),
        ];
        for (option, values) in lists {
            words.extend(values.iter().map(|value| format!("{option} {}", shell::word(value))));
        }
        words.extend(self.min_accuracy.map(|least| format!("--min-accuracy {least}")));
        words.extend(self.better_than_target.then(|| "--better-than-target".to_owned()));
        if words.is_empty() {
            return Ok(
                "no other model has been measured on this data set: add one with `scv train` or `scv push`".to_owned(),
            );
        }
        let mut text = format!("no layer matches {}", words.join(" "));
        let known: Data = client.query("{ blockKinds { name } }", json!({})).await?;
        for kind in &self.kind {
            let like = |named: &&Named| named.name.eq_ignore_ascii_case(kind) && named.name != *kind;
            if let Some(named) = known.block_kinds.iter().find(like) {
                text.push_str(&format!("\nkinds are case-sensitive: did you mean {}?", named.name));
            }
        }
        for tag in &self.tag {
            if !is_tag_used(client, tag).await? {
                text.push_str(&format!("\nno model has the tag {tag:?}"));
            }
        }
        Ok(text)
    }
}

async fn is_tag_used(client: &Client, tag: &str) -> Result<bool, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        models: Models,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Models {
        total_count: usize,
    }
    let query = "query($tag: String!) { models(first: 1, filter: { tags: [$tag] }) { totalCount } }";
    let data: Data = client.query(query, json!({ "tag": tag })).await?;
    Ok(data.models.total_count > 0)
}

/// A search.
#[derive(Debug, Serialize)]
pub(super) struct SearchRequest {
    pub(super) layer: String,
    pub(super) first: u32,
    pub(super) measure: Measure,
    pub(super) exact: bool,
    pub(super) filter: Filter,
}

/// The result of a search.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchResult {
    pub(super) layer: PlacedLayer,
    measure: Measure,
    exact: bool,
    complete_above: Option<f64>,
    total_count: usize,
    pub(super) hits: Vec<Hit>,
}

/// A similar layer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hit {
    rank: u32,
    pub(super) debiased_cka: f64,
    cka: f64,
    #[serde(rename(deserialize = "node", serialize = "layer"))]
    pub(super) layer: PlacedLayer,
}

impl SearchResult {
    /// The hits as a table, and how they were found.
    pub(super) fn to_text(&self) -> String {
        let (layer, version) = (&self.layer.layer, &self.layer.version);
        let mut text = format!(
            "most similar layers to layer {} ({}) of {version} ({}):\n",
            layer.name,
            layer.kind,
            test_accuracy(version.accuracy)
        );
        if let (true, Some(reason)) = (self.hits.is_empty(), layer.degenerate.first()) {
            return format!("{text}it cannot be compared: {}", reason.message);
        }
        if self.total_count == 0 {
            return text;
        }
        if self.hits.is_empty() {
            text.push_str("no candidate layer reaches the minimum score\n");
        } else {
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
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", table(&head, rows));
        }
        let candidates = counted(self.total_count, "candidate layer");
        let _ = match (self.exact, self.complete_above) {
            (true, _) => write!(text, "proven: no other of {candidates} is more similar"),
            (false, Some(bound)) => write!(
                text,
                "of {candidates}, all above {} are listed; --exact proves the whole list",
                score(bound)
            ),
            (false, None) => write!(text, "some of {candidates} may be missing; --exact proves the list"),
        };
        text
    }
}

/// The layers that are most similar to a layer.
pub(super) async fn similar(client: &Client, request: &SearchRequest) -> Result<SearchResult, ClientError> {
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
        complete_above: Option<f64>,
        total_count: usize,
        edges: Vec<Hit>,
    }
    let (fields, degenerate) = (PlacedLayer::fields(), Degenerate::FIELDS);
    let query = format!(
        "query($layer: ID!, $first: Int!, $measure: Measure!, $exact: Boolean!, $filter: SimilarityFilter) {{
           layer(id: $layer) {{ {fields} degenerate {{ {degenerate} }}
             similar(first: $first, measure: $measure, exact: $exact, filter: $filter) {{
               exact completeAbove totalCount edges {{ rank debiasedCka cka node {{ {fields} }} }} }} }} }}"
    );
    let LayerData { layer, similar } = client.query::<Data>(&query, json!(request)).await?.layer;
    Ok(SearchResult {
        layer,
        measure: request.measure,
        exact: similar.exact,
        complete_above: similar.complete_above,
        total_count: similar.total_count,
        hits: similar.edges,
    })
}
