//! `scv explain`

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::layer::{self, PlacedLayer, VersionName};
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Explain why a layer may compute the same thing as another
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// The layer's name such as 4 or 3.main.0, or @ and its place in the list
    layer: String,
    /// The other layer's model
    #[arg(value_name = "OTHER_MODEL[:VERSION]")]
    other_version: VersionName,
    /// The other layer
    other_layer: String,
    /// Language of the explanation, such as Deutsch; rules know English only
    #[arg(long)]
    language: Option<String>,
    #[command(flatten)]
    client: ClientConfig,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    text: String,
    source: String,
    reason: Option<String>,
    model: Option<String>,
    language: String,
    complete: bool,
    cka: Option<f64>,
    debiased_cka: Option<f64>,
    layer: PlacedLayer,
    other_layer: PlacedLayer,
}

impl Explain {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            explain_similarity: Payload,
        }
        #[derive(Deserialize)]
        struct Payload {
            explanation: Explanation,
        }
        let client = Client::new(&self.client)?;
        let layers = layer::layers(&client, &self.version).await?;
        let others = layer::layers(&client, &self.other_version).await?;
        let input = json!({
            "layerId": layers.find(&self.layer)?.id,
            "otherLayerId": others.find(&self.other_layer)?.id,
            "language": self.language,
        });
        let fields = PlacedLayer::fields();
        let query = format!(
            "mutation($input: ExplainSimilarityInput!) {{ explainSimilarity(input: $input) {{ explanation {{
               text source reason model language complete cka debiasedCka
               layer {{ {fields} }} otherLayer {{ {fields} }} }} }} }}"
        );
        let data: Data = client.ask(&query, json!({ "input": input })).await?;
        let explanation = data.explain_similarity.explanation;
        terminal.answer(&explanation, explanation.to_text())
    }
}

impl Explanation {
    /// The explanation, and who wrote it.
    fn to_text(&self) -> String {
        let text = self.text.trim_end();
        match (&self.model, &self.reason) {
            (Some(model), _) => format!("{text}\n\nwritten by {model}"),
            (None, Some(reason)) => format!("{text}\n\nwritten by rules: {reason}"),
            (None, None) => text.to_owned(),
        }
    }
}
