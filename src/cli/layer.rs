//! Layers as commands see them.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use super::client::Client;
use super::exit::not_found;
use super::model::{Version, test_accuracy};
use super::page::{Connection, ListOptions};
use super::table::{shape, table};
use super::version_name::{self, VersionName};

/// The most names of layers that an error lists.
const MAX_NAMES: usize = 20;

/// A layer, without its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer {
    pub(super) id: String,
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) output_shape: Vec<u32>,
    pub(super) parameter_count: u64,
    /// Why it has no vector, if that was selected and it has none.
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
    /// The fields to select.
    pub(super) const FIELDS: &'static str = "reason message probeSet { isDefault }";
}

impl Layer {
    /// The fields to select.
    pub(super) const FIELDS: &'static str = "id index name kind outputShape parameterCount";

    /// Why it has no vector on the default probe set, in a word; none if it has one.
    fn lacks_vector(&self) -> Option<String> {
        let found = self.degenerate.iter().find(|found| found.probe_set.is_default);
        found.map(|found| found.reason.to_lowercase().replace('_', " "))
    }
}

/// A layer with its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PlacedLayer {
    #[serde(flatten)]
    pub(super) layer: Layer,
    pub(super) version: Version,
}

impl PlacedLayer {
    /// The fields to select.
    pub(super) fn fields() -> String {
        format!("{} version {{ {} }}", Layer::FIELDS, Version::FIELDS)
    }
}

/// A version with its layers in execution order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Layers {
    #[serde(flatten)]
    pub(super) version: Version,
    #[serde(serialize_with = "with_vectors")]
    pub(super) layers: Vec<Layer>,
}

/// Layers with the column `vector` of the table.
fn with_vectors<S: Serializer>(layers: &[Layer], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct WithVector<'a> {
        #[serde(flatten)]
        layer: &'a Layer,
        vector: bool,
    }
    serializer.collect_seq(layers.iter().map(|layer| WithVector {
        layer,
        vector: layer.lacks_vector().is_none(),
    }))
}

impl Layers {
    /// The layer of a name such as `4` or `3.main.0`, or of an index such as `@5`.
    ///
    /// # Errors
    /// There is no such layer.
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
            not_found(format!(
                "{} has no layer {name}: its layers are named {known}, or by position @0 to @{}; `scv layer list {}` lists all",
                self.version,
                self.layers.len().saturating_sub(1),
                self.version.word(),
            ))
        })
    }

    /// The layers as a table.
    pub(super) fn to_text(&self, client: &Client) -> String {
        let rows = self.layers.iter().map(|layer| {
            vec![
                format!("@{}", layer.index),
                layer.name.clone(),
                layer.kind.clone(),
                shape(&layer.output_shape),
                layer.parameter_count.to_string(),
                layer
                    .lacks_vector()
                    .map_or_else(|| "yes".to_owned(), |reason| format!("no: {reason}")),
            ]
        });
        format!(
            "{}, {}\n{}\nto find layers similar to one of them: scv search {} LAYER{}",
            self.version,
            test_accuracy(self.version.accuracy),
            table(
                &[">position", "layer", "kind", ">output", ">parameters", "vector"],
                rows
            ),
            self.version.word(),
            client.option(),
        )
    }
}

/// The version of a name, which must be ready, with all its layers.
///
/// # Errors
/// There is no such model or version, or it is not ready.
pub(super) async fn layers(client: &Client, name: &VersionName) -> anyhow::Result<Layers> {
    #[derive(Deserialize)]
    struct Data {
        version: Of,
    }
    #[derive(Deserialize)]
    struct Of {
        layers: Connection<Layer>,
    }
    let version = version_name::find_ready(client, name).await?;
    let fields = format!("{} degenerate {{ {} }}", Layer::FIELDS, Degenerate::FIELDS);
    let query = format!(
        "query($id: ID!, $first: Int!, $after: String) {{ version(id: $id) {{
           layers(first: $first, after: $after) {{ {} }} }} }}",
        Connection::<Layer>::fields(&fields),
    );
    let layers = ListOptions::ALL
        .collect(async |mut variables| {
            variables["id"] = json!(version.id);
            Ok(client.query::<Data>(&query, variables).await?.version.layers)
        })
        .await?
        .entries;
    Ok(Layers { version, layers })
}
