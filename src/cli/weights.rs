//! Weights for blocks: how they were matched, and files that say how to match them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::table::counted;

/// Maximum size of the header of a safetensors file that is read.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Which tensor of a file became which tensor of the network.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mapping {
    by: String,
    dict: Option<String>,
    other_dicts: Vec<String>,
    prefix: Option<String>,
    pairs: Vec<Pair>,
    ignored: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    key: String,
    from: String,
    computed_from: Vec<String>,
    shape: Vec<usize>,
    by: String,
}

/// A line of a file for `--map`.
#[derive(Debug, Serialize)]
pub(super) struct MapLine {
    key: String,
    from: String,
}

impl Mapping {
    /// The fields to select.
    pub(super) const FIELDS: &'static str =
        "by dict otherDicts prefix pairs { key from computedFrom shape by } ignored";

    /// What was taken, and what told so, in a sentence.
    pub(super) fn summary(&self) -> String {
        let mut text = format!(
            "weights: {} matched {}",
            counted(self.pairs.len(), "tensor"),
            self.evidence()
        );
        if let Some(prefix) = &self.prefix {
            text.push_str(&format!(", without the prefix {prefix:?}"));
        }
        let computed = self.pairs.iter().filter(|pair| !pair.computed_from.is_empty()).count();
        if computed > 0 {
            text.push_str(&format!(", {computed} of them computed from a weight normalisation"));
        }
        if let Some(dict) = &self.dict {
            text.push_str(&format!(", from {dict:?}"));
        }
        if !self.ignored.is_empty() {
            text.push_str(&format!("; {} not needed", counted(self.ignored.len(), "tensor")));
        }
        for other in &self.other_dicts {
            text.push_str(&format!("; {other:?} fits too: choose it with --weights-key"));
        }
        text
    }

    fn evidence(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for pair in &self.pairs {
            *counts.entry(pair.by.as_str()).or_default() += 1;
        }
        let only_one = counts.len() == 1;
        let shown = counts.into_iter().map(|(by, count)| {
            let by = match by {
                "KEY" => "by key",
                "SHAPE" => "by shape",
                "NUMBER" => "by the numbers in their keys, which have to be the order in which the layers run",
                _ => "as --map says",
            };
            if only_one {
                by.to_owned()
            } else {
                format!("{by} ({count})")
            }
        });
        shown.collect::<Vec<_>>().join(" and ")
    }

    /// The mapping as a file for `--map`: a line for each layer, or for each tensor of one that is spread over several modules.
    pub(super) fn to_map(&self) -> String {
        let mut layers: Vec<(&str, Vec<&Pair>)> = Vec::new();
        for pair in &self.pairs {
            let layer = split(&pair.key).0;
            match layers.iter_mut().find(|(known, _)| *known == layer) {
                Some((_, pairs)) => pairs.push(pair),
                None => layers.push((layer, vec![pair])),
            }
        }
        let mut lines = Vec::new();
        let mut add = |key: &str, from: &str| lines.push(format!("  {}: {}", Value::from(key), Value::from(from)));
        for (layer, pairs) in layers {
            let module = pairs.first().map(|pair| split(&pair.from).0).unwrap_or_default();
            let is_whole = |pair: &&Pair| split(&pair.from) == (module, split(&pair.key).1);
            if pairs.iter().all(is_whole) {
                add(layer, module);
            } else {
                pairs.into_iter().for_each(|pair| add(&pair.key, &pair.from));
            }
        }
        format!("{{\n{}\n}}", lines.join(",\n"))
    }
}

/// The module and the name of a tensor.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

/// The lines of a file for `--map`.
///
/// # Errors
/// The file cannot be read, or is no object of texts, or has a key twice.
pub(super) fn read_map(path: &Path) -> anyhow::Result<Vec<MapLine>> {
    let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines: Lines = serde_json::from_slice(&json).map_err(|error| {
        let shown = path.display();
        anyhow!("{shown} is no mapping, a JSON object such as {{\"3\": \"conv2\"}}: {error}")
    })?;
    Ok(lines.0)
}

/// A message of the server with the options of this command in place of the fields of the API.
pub(super) fn in_options(message: &str) -> String {
    message
        .replace("as `weightsKey`", "with --weights-key")
        .replace("`weightsKey`", "--weights-key")
        .replace("with `map`", "in a file for --map")
        .replace("`map`", "--map")
        .replace("`weights`", "--weights")
        .replace("`blocks`", "--blocks")
}

/// Whether a safetensors file has tensors with names of weights, and not the same number of rows in each, as activations have.
/// If it cannot be read, the upload reports it.
pub(super) fn are_in(path: &Path) -> bool {
    let Some(tensors) = tensors(path) else {
        return false;
    };
    let is_weight = |name: &String| name == "weight" || name.ends_with(".weight");
    let mut rows = tensors.values().map(|tensor| tensor["shape"].get(0));
    let first = rows.next();
    tensors.keys().any(is_weight) && rows.any(|rows| Some(rows) != first)
}

/// The header of a safetensors file.
fn tensors(path: &Path) -> Option<Map<String, Value>> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let mut header: Map<String, Value> = serde_json::from_slice(&header).ok()?;
    header.remove("__metadata__");
    Some(header)
}

/// The pairs of a JSON object, in which no key is twice.
struct Lines(Vec<MapLine>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LinesVisitor)
    }
}

struct LinesVisitor;

impl<'de> Visitor<'de> for LinesVisitor {
    type Value = Lines;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
        let mut lines: Vec<MapLine> = Vec::new();
        while let Some((key, from)) = map.next_entry()? {
            let line = MapLine { key, from };
            if lines.iter().any(|known| known.key == line.key) {
                return Err(A::Error::custom(format!("the key {:?} occurs twice", line.key)));
            }
            lines.push(line);
        }
        Ok(Lines(lines))
    }
}
