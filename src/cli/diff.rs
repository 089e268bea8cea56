//! `scv diff`

use std::fmt;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::layer::Layer;
use super::model::Version;
use super::table::{score, table};
use super::terminal::Terminal;
use super::version_name::{self, VersionName};

/// Show which layers were added, removed or changed between two versions
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Version to compare it with
    #[arg(value_name = "OTHER[:VERSION]")]
    other: VersionName,
    /// Also list layers that are the same in both
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Differences {
    same_count: usize,
    added_count: usize,
    removed_count: usize,
    changed_count: usize,
    not_comparable_reason: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    change: String,
    layer: Option<Layer>,
    other_layer: Option<Layer>,
    debiased_cka: Option<f64>,
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    name: String,
    value: Option<Value>,
    other_value: Option<Value>,
}

impl Diff {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Data {
            version: Of,
        }
        #[derive(Deserialize)]
        struct Of {
            diff: Differences,
        }
        let version = version_name::find_ready(client, &self.version).await?;
        let other = version_name::find_ready(client, &self.other).await?;
        let layer = Layer::FIELDS;
        let query = format!(
            "query($id: ID!, $other: ID!) {{ version(id: $id) {{ diff(with: $other) {{
               sameCount addedCount removedCount changedCount notComparableReason
               entries {{ change debiasedCka layer {{ {layer} }} otherLayer {{ {layer} }}
                 differences {{ name value otherValue }} }} }} }} }}"
        );
        let variables = json!({ "id": version.id, "other": other.id });
        let diff = client.query::<Data>(&query, variables).await?.version.diff;
        let text = diff.to_text(&version, &other, self.all);
        terminal.print(&json!({ "version": version, "other": other, "diff": diff }), text)
    }
}

impl Differences {
    fn to_text(&self, version: &Version, other: &Version, is_whole: bool) -> String {
        let shown = self.entries.iter().filter(|entry| is_whole || entry.change != "SAME");
        let rows: Vec<_> = shown.map(Entry::row).collect();
        let mut text = format!(
            "{version} and {other}: {} same, {} changed, {} added, {} removed",
            self.same_count, self.changed_count, self.added_count, self.removed_count
        );
        if !rows.is_empty() {
            let (from, to) = (version.to_string(), other.to_string());
            let head = ["change", from.as_str(), to.as_str(), ">debiased CKA", "differences"];
            text.push_str(&format!("\n\n{}", table(&head, rows)));
        }
        if let Some(reason) = &self.not_comparable_reason {
            text.push_str(&format!("\n\nactivations were not compared: {reason}"));
        }
        text
    }
}

impl Entry {
    fn row(&self) -> Vec<String> {
        let name = |layer: &Option<Layer>| match layer {
            Some(layer) => format!("{} {}", layer.name, layer.kind),
            None => "-".to_owned(),
        };
        vec![
            self.change.to_lowercase(),
            name(&self.layer),
            name(&self.other_layer),
            self.debiased_cka.map_or_else(|| "-".to_owned(), score),
            self.differences
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        ]
    }
}

/// Such as `kernel_size 3 → 5`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.name.as_str() {
            "inputShape" => "input shape",
            "outputShape" => "output shape",
            parameter => parameter,
        };
        write!(
            f,
            "{name} {} → {}",
            in_words(self.value.as_ref()),
            in_words(self.other_value.as_ref())
        )
    }
}

/// A value as a reader expects it: text without quotes, and lists of numbers such as `3x3`.
fn in_words(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(values)) if !values.is_empty() && values.iter().all(Value::is_number) => {
            values.iter().map(Value::to_string).collect::<Vec<_>>().join("x")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(change: &str, differences: &[(&str, Value, Value)]) -> Entry {
        let differences = differences
            .iter()
            .map(|(name, value, other_value)| json!({ "name": name, "value": value, "otherValue": other_value }));
        let layer = json!({
            "id": "", "index": 0, "name": "0", "kind": "Conv2d", "outputShape": [8, 4, 4], "parameterCount": 0,
        });
        let entry = json!({
            "change": change, "layer": layer, "otherLayer": layer, "debiasedCka": 0.5,
            "differences": differences.collect::<Vec<_>>(),
        });
        serde_json::from_value(entry).expect("the entry has all fields")
    }

    #[test]
    fn differences_are_readable() {
        let changed = entry(
            "CHANGED",
            &[
                ("inputShape", json!([1, 8, 8]), json!([3, 8, 8])),
                ("padding_mode", json!("zeros"), json!("reflect")),
                ("bias", json!(true), json!(false)),
                ("groups", Value::Null, json!(2)),
            ],
        );
        let row = changed.row();
        assert_eq!(row[0], "changed");
        assert_eq!(
            row[4],
            "input shape 1x8x8 → 3x8x8, padding_mode zeros → reflect, bias yes → no, groups none → 2"
        );
    }
}
