//! `scv reindex`

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::dataset::unknown;
use super::table::table;
use super::terminal::Terminal;

/// How often the server is asked whether it has finished.
const INTERVAL: Duration = Duration::from_millis(500);

/// Fit the search indexes of data sets to their layers
///
/// The server does this by itself as a library grows, so it is useful only after very many models have been deleted. Searches
/// and writes continue in the meantime.
#[derive(Debug, Args)]
pub(super) struct Reindex {
    /// Only this data set [default: all]
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dataset {
    name: String,
    probe_sets: Vec<ProbeSet>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProbeSet {
    id: String,
    image_count: usize,
}

/// An index that was rebuilt.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rebuilt {
    dataset: String,
    probe_set: String,
    images: usize,
    layers: u64,
}

impl Reindex {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        let datasets = datasets(client).await?;
        if let Some(name) = &self.dataset
            && !datasets.iter().any(|dataset| dataset.name == *name)
        {
            let known: Vec<_> = datasets.iter().map(|dataset| dataset.name.as_str()).collect();
            return Err(unknown(name, &known));
        }
        let wanted = |dataset: &&Dataset| self.dataset.as_ref().is_none_or(|name| dataset.name == *name);
        let mut all = Vec::new();
        for dataset in datasets.iter().filter(wanted) {
            for probe_set in &dataset.probe_sets {
                let spinner = terminal.spinner("rebuilding the index");
                all.push(rebuild(client, dataset, probe_set).await?);
                drop(spinner);
            }
        }
        let rows = all.iter().map(|index| {
            vec![
                index.dataset.clone(),
                index.images.to_string(),
                index.layers.to_string(),
            ]
        });
        let text = table(&["data set", ">probe images", ">layers"], rows);
        terminal.print(&all, text)
    }
}

async fn datasets(client: &Client) -> anyhow::Result<Vec<Dataset>> {
    #[derive(Deserialize)]
    struct Data {
        datasets: Vec<Dataset>,
    }
    let data: Data = client
        .query("{ datasets { name probeSets { id imageCount } } }", json!({}))
        .await?;
    Ok(data.datasets)
}

/// Rebuilds an index, and returns when it is complete.
async fn rebuild(client: &Client, dataset: &Dataset, probe_set: &ProbeSet) -> anyhow::Result<Rebuilt> {
    let before = state(client, probe_set).await?;
    let query = "mutation($input: RebuildSearchIndexInput!) { rebuildSearchIndex(input: $input) { probeSet { id } } }";
    let input = json!({ "input": { "probeSetId": probe_set.id } });
    client.query::<serde::de::IgnoredAny>(query, input).await?;
    let mut after = state(client, probe_set).await?;
    while after.rebuilding {
        tokio::time::sleep(INTERVAL).await;
        after = state(client, probe_set).await?;
    }
    if after.fitted_at == before.fitted_at {
        bail!(
            "the index for {} images of {} was not rebuilt: the server's log says why",
            probe_set.image_count,
            dataset.name
        );
    }
    Ok(Rebuilt {
        dataset: dataset.name.clone(),
        probe_set: probe_set.id.clone(),
        images: probe_set.image_count,
        layers: layer_count(client, probe_set).await?,
    })
}

#[derive(Debug, Deserialize)]
struct Node<T> {
    node: Indexed<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Indexed<T> {
    search_index: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    fitted_at: String,
    rebuilding: bool,
}

async fn state(client: &Client, probe_set: &ProbeSet) -> anyhow::Result<State> {
    search_index(client, probe_set, "fittedAt rebuilding").await
}

async fn layer_count(client: &Client, probe_set: &ProbeSet) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Size {
        layer_count: u64,
    }
    let size: Size = search_index(client, probe_set, "layerCount").await?;
    Ok(size.layer_count)
}

async fn search_index<T: DeserializeOwned>(client: &Client, probe_set: &ProbeSet, fields: &str) -> anyhow::Result<T> {
    let query = format!("query($id: ID!) {{ node(id: $id) {{ ... on ProbeSet {{ searchIndex {{ {fields} }} }} }} }}");
    let data: Node<T> = client.query(&query, json!({ "id": probe_set.id })).await?;
    Ok(data.node.search_index)
}
