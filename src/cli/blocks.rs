//! Lists of blocks from files.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, ErrorDetail};
use super::table::counted;
use scv_domain::block::{Block, ParseError, parse};

/// The blocks in a file.
///
/// # Errors
/// The file cannot be read, or is not a list of blocks: with the line and column of a syntax error, or all errors of all
/// blocks.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Block>> {
    let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&json).map_err(|error| match error {
        ParseError::Json(reason) => anyhow!("{} is not a list of blocks: {reason}", path.display()),
        ParseError::Blocks(errors) => {
            let lines: String = errors.iter().map(|error| format!("\n  {error}")).collect();
            let count = counted(errors.len(), "error");
            anyhow!("{} is not a list of blocks ({count}){lines}", path.display())
        }
    })
}

/// Has the server check blocks, before anything is created for them.
///
/// # Errors
/// Every error on a line of its own.
pub(super) async fn check(client: &Client, blocks: &[Block], dataset: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        validate_blocks: Report,
    }
    #[derive(Deserialize)]
    struct Report {
        errors: Vec<ErrorDetail>,
    }
    let query = "query($blocks: [BlockInput!]!, $dataset: String!) {
                   validateBlocks(blocks: $blocks, dataset: $dataset) { errors { path kind message } } }";
    let variables = json!({ "blocks": blocks, "dataset": dataset });
    let errors = client.query::<Data>(query, variables).await?.validate_blocks.errors;
    if errors.is_empty() {
        return Ok(());
    }
    let lines: String = errors.iter().map(|error| format!("\n  {error}")).collect();
    bail!(
        "the blocks do not fit the data set {dataset} ({}){lines}",
        counted(errors.len(), "error")
    );
}
