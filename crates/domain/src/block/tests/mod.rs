//! The block language by example.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;

use super::{Block, BlockError, ErrorRule, lower};
use crate::graph::Graph;
use crate::image::ImageShape;

mod documentation;
mod faults;
mod golden;
mod graphs;
mod limits;
mod parse;
mod random;
mod source;

const COLOUR: ImageShape = ImageShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// Blocks from JSON as a user would send it.
fn blocks(json: Value) -> Vec<Block> {
    serde_json::from_value(json).unwrap()
}

fn graph(json: Value) -> Graph {
    lower(&blocks(json), COLOUR, 10).unwrap()
}

fn errors(json: Value) -> Vec<BlockError> {
    lower(&blocks(json), COLOUR, 10).unwrap_err()
}

/// The paths, rules and parameters of all errors, without the messages.
fn faults(json: Value) -> Vec<(String, ErrorRule, String)> {
    errors(json)
        .into_iter()
        .map(|error| (error.path, error.rule, error.parameter.unwrap_or_default()))
        .collect()
}

fn fault(path: &str, rule: ErrorRule, parameter: &str) -> (String, ErrorRule, String) {
    (path.to_owned(), rule, parameter.to_owned())
}
