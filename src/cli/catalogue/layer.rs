//! `scv layer`

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::layer::{self, Degenerate, PlacedLayer};
use crate::cli::table::{properties, shape};
use crate::cli::terminal::Terminal;
use crate::cli::version_name::VersionName;

/// List and show layers
#[derive(Debug, Args)]
pub(in crate::cli) struct LayerCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the layers of a version in execution order
    #[command(visible_alias = "ls")]
    List {
        /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
        #[arg(value_name = "MODEL[:VERSION]")]
        version: VersionName,
    },
    /// Show a layer
    Show {
        /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
        #[arg(value_name = "MODEL[:VERSION]")]
        version: VersionName,
        /// Name of the layer, such as 4 or 3.main.0, or @ and its position
        layer: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FullLayer {
    #[serde(flatten)]
    placed: PlacedLayer,
    input_shape: Vec<u32>,
    multiply_accumulates: f64,
    parameters: Value,
}

impl LayerCommand {
    pub(in crate::cli) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        match self.action {
            Action::List { version } => {
                let layers = layer::layers(client, &version).await?;
                terminal.print(&layers, layers.to_text(client))
            }
            Action::Show { version, layer } => {
                let layers = layer::layers(client, &version).await?;
                show(client, terminal, &layers.find(&layer)?.id).await
            }
        }
    }
}

async fn show(client: &Client, terminal: &Terminal, id: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Data {
        layer: FullLayer,
    }
    let query = format!(
        "query($id: ID!) {{ layer(id: $id) {{ {} inputShape multiplyAccumulates parameters degenerate {{ {} }} }} }}",
        PlacedLayer::fields(),
        Degenerate::FIELDS
    );
    let found = client.query::<Data>(&query, json!({ "id": id })).await?.layer;
    let PlacedLayer { layer, version } = &found.placed;
    let settings = found.parameters.as_object().into_iter().flatten();
    let settings = settings.map(|(name, value)| format!("{name} {value}"));
    let text = properties(&[
        ("layer", layer.name.clone()),
        ("version", version.to_string()),
        ("position", format!("@{}", layer.index)),
        ("kind", layer.kind.clone()),
        ("settings", settings.collect::<Vec<_>>().join(", ")),
        ("input", shape(&found.input_shape)),
        ("output", shape(&layer.output_shape)),
        ("parameters", layer.parameter_count.to_string()),
        ("multiply-adds", format!("{:.0}", found.multiply_accumulates)),
        (
            "no vector",
            layer
                .degenerate
                .first()
                .map(|found| found.message.clone())
                .unwrap_or_default(),
        ),
        ("id", layer.id.clone()),
    ]);
    terminal.print(&found, text)
}
