//! Lists of blocks from files.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, Fault};
use super::table::counted;
use scv_domain::block::Block;

/// The blocks in a file.
///
/// # Errors
/// The file cannot be read, or is not a list of blocks: with line and column.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Block>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not a list of blocks such as [{{\"kind\": \"Flatten\"}}, …]",
            path.display()
        )
    })
}

/// Has the server check blocks, before anything is created for them.
///
/// # Errors
/// Every fault on a line of its own.
pub(super) async fn check(client: &Client, blocks: &[Block], dataset: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        validate_blocks: Report,
    }
    #[derive(Deserialize)]
    struct Report {
        errors: Vec<Fault>,
    }
    let query = "query($blocks: [BlockInput!]!, $dataset: String!) {
                   validateBlocks(blocks: $blocks, dataset: $dataset) { errors { path kind message } } }";
    let variables = json!({ "blocks": blocks, "dataset": dataset });
    let faults = client.query::<Data>(query, variables).await?.validate_blocks.errors;
    if faults.is_empty() {
        return Ok(());
    }
    let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    bail!(
        "the blocks do not fit the data set {dataset} ({}){lines}",
        counted(faults.len(), "fault")
    );
}
