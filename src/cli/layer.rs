//! Layers as commands see them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use super::client::Client;
use super::exit::not_found;
use super::model::{Version, test_accuracy};
use super::page::{Connection, ListOptions};
use super::table::{shape, table};
use super::version_name::{self, VersionName};
use scv_domain::block::MAX_BLOCKS;

/// Maximum number of names of layers that an error lists.
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

    /// Why it has no vector on the default probe set, in a few words; none if it has one.
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

/// Checks that each kind is the kind of a layer, and that each version has layers of one of the kinds.
///
/// # Errors
/// A kind does not occur, or a version has no layers to compare.
pub(super) fn check_kinds(versions: &[Layers], kinds: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = kinds.iter().find(|kind| !versions.iter().any(|of| of.has_kind(kind))) {
        return Err(unknown_kind(versions, unknown));
    }
    match versions.iter().find(|of| !kinds.iter().any(|kind| of.has_kind(kind))) {
        Some(of) => {
            let kinds = kinds.join(" or ");
            Err(not_found(format!("{} has no layers of kind {kinds}", of.version)))
        }
        None => Ok(()),
    }
}

/// The error about a kind that no layer has, with those that layers have.
fn unknown_kind(versions: &[Layers], kind: &str) -> anyhow::Error {
    let layers = versions.iter().flat_map(|of| &of.layers);
    let known: BTreeSet<&str> = layers.map(|layer| layer.kind.as_str()).collect();
    let hint = match known.iter().find(|known| known.eq_ignore_ascii_case(kind)) {
        Some(like) => format!("kinds are case-sensitive: did you mean {like}?"),
        None => format!("the kinds are {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    let names: Vec<_> = versions.iter().map(|of| of.version.to_string()).collect();
    let verb = if names.len() == 1 { "has" } else { "have" };
    not_found(format!(
        "{} {verb} no layers of kind {kind}: {hint}",
        names.join(" and ")
    ))
}

impl Layers {
    fn has_kind(&self, kind: &str) -> bool {
        self.layers.iter().any(|layer| layer.kind == kind)
    }

    /// How many numbers the last layer computes, which are the classes of a classifier; 0 without layers.
    pub(super) fn output_count(&self) -> usize {
        let product = |layer: &Layer| {
            layer
                .output_shape
                .iter()
                .map(|&length| length as usize)
                .product::<usize>()
        };
        self.layers.last().map_or(0, product)
    }

    /// The numbers of blocks that are missing among the names of the layers. Empty for a network that is not a list of
    /// blocks, whose layers have other names.
    fn missing_blocks(&self) -> Vec<u32> {
        let number = |layer: &Layer| layer.name.split('.').next()?.parse::<u32>().ok();
        let numbers: Option<BTreeSet<u32>> = self.layers.iter().map(number).collect();
        let numbers = numbers.unwrap_or_default();
        let last = numbers.last().copied().unwrap_or(0);
        // The names of files are arbitrary: only a network of blocks has so few.
        if last as usize >= MAX_BLOCKS {
            return Vec::new();
        }
        (0..last).filter(|number| !numbers.contains(number)).collect()
    }

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
        let missing = match self.missing_blocks().as_slice() {
            [] => String::new(),
            numbers => format!(
                "\nnot listed: {}, because blocks such as Flatten, Dropout and padding have no vector of their own",
                numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
            ),
        };
        format!(
            "{}, {}\n{}{missing}\nto find layers similar to one of them: scv search {} LAYER{}",
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::cli::model::ModelName;

    fn version(name: &str, layers: &[(&str, &str)]) -> Layers {
        let layers = (0..).zip(layers).map(|(index, (name, kind))| Layer {
            id: String::new(),
            index,
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            output_shape: vec![1],
            parameter_count: 0,
            degenerate: Vec::new(),
        });
        Layers {
            layers: layers.collect(),
            version: Version {
                id: String::new(),
                number: 1,
                accuracy: None,
                model: ModelName { name: name.to_owned() },
            },
        }
    }

    fn kinds(versions: &[Layers], kinds: &[&str]) -> Result<(), String> {
        let kinds: Vec<_> = kinds.iter().map(|&kind| kind.to_owned()).collect();
        check_kinds(versions, &kinds).map_err(|error| error.to_string())
    }

    #[test]
    fn kinds_must_be_those_of_layers() {
        let a = version("a", &[("0", "Conv2d"), ("1", "ReLU"), ("3", "Linear")]);
        let b = version("b", &[("0", "Conv2d"), ("1", "ELU")]);
        let both = [a, b];
        assert_eq!(kinds(&both, &["Conv2d", "ELU"]), Ok(()));
        let refused = kinds(&both, &["Conv2d", "relu"]).unwrap_err();
        assert!(
            refused.starts_with("a:1 and b:1 have no layers of kind relu"),
            "{refused}"
        );
        assert!(refused.ends_with("did you mean ReLU?"), "{refused}");
        let refused = kinds(&both[1..], &["Softmax"]).unwrap_err();
        assert_eq!(refused, "b:1 has no layers of kind Softmax: the kinds are Conv2d, ELU");
        let refused = kinds(&both, &["Linear"]).unwrap_err();
        assert_eq!(refused, "b:1 has no layers of kind Linear");
    }

    #[test]
    fn blocks_without_a_vector_are_missing_from_the_list() {
        let plain = version("a", &[("0", "Conv2d"), ("1.main.0", "ReLU"), ("4", "Linear")]);
        assert_eq!(plain.missing_blocks(), [2, 3]);
        let activations = version("d", &[("4294967295", "Activation")]);
        assert_eq!(activations.missing_blocks(), [0_u32; 0]);
        let onnx = version("b", &[("conv1", "Conv"), ("4", "Relu")]);
        assert_eq!(onnx.missing_blocks(), [0_u32; 0]);
        assert_eq!(version("c", &[]).missing_blocks(), [0_u32; 0]);
    }
}
