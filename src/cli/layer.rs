//! Finding a version and its layers by the words of the command line.

use std::str::FromStr;

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::model::Version;
use super::table::counted;

/// Names of layers that an error lists.
const MAX_NAMES: usize = 20;

/// Which version of which model: `MODEL`, `MODEL:3`, `MODEL:latest` or `MODEL:best`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VersionName {
    model: String,
    version: Which,
}

#[derive(Debug, Clone, PartialEq)]
enum Which {
    Number(u32),
    Alias(&'static str),
}

impl VersionName {
    /// The latest version of a model.
    pub(super) fn latest(model: String) -> Self {
        Self {
            model,
            version: Which::Alias("latest"),
        }
    }
}

impl FromStr for VersionName {
    type Err = std::convert::Infallible;

    /// A colon is part of the model's name unless a number, `latest` or `best` stands behind it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let which = |suffix: &str| match suffix {
            "latest" => Some(Which::Alias("latest")),
            "best" => Some(Which::Alias("best")),
            number => number.parse().ok().map(Which::Number),
        };
        let split = text.rsplit_once(':');
        let found = split.and_then(|(model, suffix)| Some((model, which(suffix)?)));
        let (model, version) = found.unwrap_or((text, Which::Alias("latest")));
        Ok(Self {
            model: model.to_owned(),
            version,
        })
    }
}

/// A layer, without saying whose.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer {
    pub(super) id: String,
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) output_shape: Vec<u32>,
    pub(super) parameter_count: u64,
    /// Why it has no vector, if that was asked for and it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) degenerate: Vec<Degenerate>,
}

/// Why a layer has no vector on a probe set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Degenerate {
    reason: String,
    pub(super) message: String,
    probe_set: ProbeSet,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProbeSet {
    is_default: bool,
}

impl Degenerate {
    /// The fields to ask for.
    pub(super) const FIELDS: &'static str = "reason message probeSet { isDefault }";
}

impl Layer {
    /// Why it has no vector on the probe set that comparisons are on, in a word; none if it has one.
    pub(super) fn lacks_vector(&self) -> Option<String> {
        let found = self.degenerate.iter().find(|found| found.probe_set.is_default);
        found.map(|found| found.reason.to_lowercase())
    }

    /// The fields to ask for.
    pub(super) const FIELDS: &'static str = "id index name kind outputShape parameterCount";
}

/// A layer with the version it is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PlacedLayer {
    #[serde(flatten)]
    pub(super) layer: Layer,
    pub(super) version: Version,
}

impl PlacedLayer {
    /// The fields to ask for.
    pub(super) fn fields() -> String {
        format!("{} version {{ {} }}", Layer::FIELDS, Version::FIELDS)
    }
}

/// A version with its layers in execution order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Layers {
    #[serde(flatten)]
    pub(super) version: Version,
    pub(super) layers: Vec<Layer>,
}

impl Layers {
    /// The layer of a name such as `4` or `3.main.0`, or of an index such as `@5`.
    pub(super) fn find(&self, name: &str) -> anyhow::Result<&Layer> {
        let found = match name.strip_prefix('@') {
            Some(index) => self.layers.iter().find(|layer| layer.index.to_string() == index),
            None => self.layers.iter().find(|layer| layer.name == name),
        };
        found.ok_or_else(|| {
            let names: Vec<_> = self.layers.iter().map(|layer| layer.name.as_str()).collect();
            let known = match names.get(..MAX_NAMES) {
                Some(few) if names.len() > MAX_NAMES => format!("{} …", few.join(" ")),
                _ => names.join(" "),
            };
            anyhow!(
                "{version} has no layer {name}: by their place they are @0 to @{last}, by their names {known}; \
                 `scv search {version}` lists all",
                version = self.version,
                last = self.layers.len().saturating_sub(1),
            )
        })
    }
}

/// The version of a name with all its layers.
///
/// # Errors
/// There is no such model or version, or it is not ready.
pub(super) async fn layers(client: &Client, name: &VersionName) -> anyhow::Result<Layers> {
    let model = &name.model;
    let (number, alias) = match name.version {
        Which::Number(number) => (Some(number), None),
        Which::Alias(alias) => (None, Some(alias)),
    };
    let query = format!(
        "query($model: String!, $number: Int, $alias: String, $after: String) {{
           model(name: $model) {{ versions {{ totalCount }} version(number: $number, alias: $alias) {{ status {} failure {{ message }}
             layers(first: 100, after: $after) {{ nodes {{ {} degenerate {{ {} }} }} pageInfo {{ hasNextPage endCursor }} }} }} }} }}",
        Version::FIELDS,
        Layer::FIELDS,
        Degenerate::FIELDS,
    );
    let mut variables = json!({ "model": model, "number": number, "alias": alias });
    let mut layers = Vec::new();
    loop {
        let data: Data = client.ask(&query, variables.clone()).await?;
        let Some(of_model) = data.model else {
            let known = known_models(client).await?;
            let hint = match model.rsplit_once(':') {
                Some(_) => "; as a version count its number, latest and best",
                None => "",
            };
            bail!("there is no model {model:?}: {known}{hint}");
        };
        let Some(found) = of_model.version else {
            match number {
                Some(number) => bail!(
                    "model {model:?} has no version {number}: it has {}",
                    counted(of_model.versions.total_count, "version")
                ),
                None => match of_model.versions.total_count {
                    0 => bail!("model {model:?} has no version yet"),
                    all => bail!(
                        "none of the versions of model {model:?} is READY, of which there are {all}: name one, as in \
                         {model}:{all}, to be told why"
                    ),
                },
            }
        };
        if found.status != "READY" {
            let reason = match found.failure {
                Some(failure) => format!(": {}", failure.message),
                None => " yet: wait for its job".to_owned(),
            };
            bail!("{} is {}, so it has no layers{reason}", found.version, found.status);
        }
        layers.extend(found.layers.nodes);
        if !found.layers.page_info.has_next_page {
            let version = found.version;
            return Ok(Layers { version, layers });
        }
        variables["after"] = Value::from(found.layers.page_info.end_cursor);
    }
}

#[derive(Deserialize)]
struct Data {
    model: Option<ModelData>,
}

#[derive(Deserialize)]
struct ModelData {
    versions: Versions,
    version: Option<VersionData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    total_count: usize,
}

#[derive(Deserialize)]
struct VersionData {
    #[serde(flatten)]
    version: Version,
    status: String,
    failure: Option<FailureData>,
    layers: Page,
}

#[derive(Deserialize)]
struct FailureData {
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    nodes: Vec<Layer>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

/// A clause that names models, for who misspelt one.
async fn known_models(client: &Client) -> Result<String, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        models: Models,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Models {
        total_count: usize,
        nodes: Vec<super::model::ModelName>,
    }
    let query = "{ models(first: 10, orderBy: { field: NAME }) { totalCount nodes { name } } }";
    let models = client.ask::<Data>(query, json!({})).await?.models;
    let names: Vec<_> = models.nodes.iter().map(|model| format!("{:?}", model.name)).collect();
    Ok(match models.total_count - names.len() {
        _ if names.is_empty() => "the server has none yet".to_owned(),
        0 => format!("the server has {}", names.join(", ")),
        more => format!("the server has {} and {more} more", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> VersionName {
        text.parse().expect("every text is a name")
    }

    #[test]
    fn a_model_without_a_version_means_the_latest() {
        assert_eq!(name("plain"), name("plain:latest"));
    }

    #[test]
    fn a_number_behind_a_colon_is_the_version() {
        let expected = VersionName {
            model: "team:plain".to_owned(),
            version: Which::Number(3),
        };
        assert_eq!(name("team:plain:3"), expected);
    }

    #[test]
    fn another_word_behind_a_colon_belongs_to_the_name() {
        assert_eq!(name("team:plain").model, "team:plain");
    }
}
