//! `scv explain`

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::layer::{self, PlacedLayer};
use super::terminal::Terminal;
use super::version_name::VersionName;

/// Explain why two layers may compute the same thing
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Name of the layer, such as 4 or 3.main.0, or @ and its position
    layer: String,
    /// Version of the other layer
    #[arg(value_name = "OTHER_MODEL[:VERSION]")]
    other_version: VersionName,
    /// Name or position of the other layer
    other_layer: String,
    /// Language of the explanation, such as Deutsch; rules write English only
    #[arg(long)]
    language: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    text: String,
    source: String,
    fallback_reason: Option<String>,
    model: Option<String>,
    language: String,
    complete: bool,
    cka: Option<f64>,
    debiased_cka: Option<f64>,
    layer: PlacedLayer,
    other_layer: PlacedLayer,
}

impl Explain {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            explain_similarity: Payload,
        }
        #[derive(Deserialize)]
        struct Payload {
            explanation: Explanation,
        }
        let layers = layer::layers(client, &self.version).await?;
        let others = layer::layers(client, &self.other_version).await?;
        let input = json!({
            "layerId": layers.find(&self.layer)?.id,
            "otherLayerId": others.find(&self.other_layer)?.id,
            "language": self.language,
        });
        let fields = PlacedLayer::fields();
        let query = format!(
            "mutation($input: ExplainSimilarityInput!) {{ explainSimilarity(input: $input) {{ explanation {{
               text source fallbackReason model language complete cka debiasedCka
               layer {{ {fields} }} otherLayer {{ {fields} }} }} }} }}"
        );
        let data: Data = client.query(&query, json!({ "input": input })).await?;
        let explanation = data.explain_similarity.explanation;
        terminal.print(&explanation, explanation.to_text())
    }
}

impl Explanation {
    /// The explanation, and what wrote it.
    fn to_text(&self) -> String {
        let text = self.text.trim_end();
        match (&self.model, &self.fallback_reason) {
            (Some(model), _) => format!("{text}\n\nwritten by {model}"),
            (None, Some(reason)) => format!("{text}\n\nwritten by rules: {reason}"),
            (None, None) => text.to_owned(),
        }
    }
}
