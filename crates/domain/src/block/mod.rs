//! The block language: a network as a JSON list of layers with PyTorch's names and defaults.
//!
//! The catalogue defines every kind of block once. Parameter parsing, error messages, shape
//! inference and the documentation are derived from it. [`parse()`] reads a list from JSON, [`lower`]
//! turns it into a [`Graph`], [`report`] describes a valid or invalid list, and [`pytorch_source`]
//! writes it as Python. [`from_graph`] expresses a graph of another tool
//! as blocks.
//!
//! [`Graph`]: super::graph::Graph

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod activation;
mod catalogue;
mod check_block;
mod convolution;
mod dense;
mod draft;
mod error;
mod from_graph;
mod lower;
mod network_rules;
mod normalization;
mod padding;
mod parameter;
mod parse;
mod pooling;
mod residual;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod transpose;
mod walk;
mod window;

pub use catalogue::{Category, KindSpec, catalogue, catalogue_markdown};
pub use error::{BlockError, ErrorRule};
pub use from_graph::{NodeProblem, Tensors, from_graph};
pub use lower::{BlockReport, BlockSummary, lower, report};
pub use parameter::{ParameterDefault, ParameterSpec, ParameterType};
pub use parse::{ParseError, parse};
pub use source::pytorch_source;

/// Maximum number of blocks in a network, including those inside residuals.
pub const MAX_BLOCKS: usize = 512;

/// Maximum nesting depth of residuals.
pub const MAX_NESTING: usize = 8;

/// Maximum number of channels, rows or columns of an image inside the network, and of features of a `Linear`.
pub const MAX_DIMENSION: usize = 65_536;

/// Maximum number of elements of one value for one image: half a gigabyte of `f32`.
pub const MAX_VALUE_LENGTH: u64 = 1 << 27;

/// Maximum number of trainable parameters of a network.
pub const MAX_PARAMETERS: u64 = 200_000_000;

/// Maximum number of multiply-accumulates of a network for one image.
pub const MAX_MULTIPLY_ACCUMULATES: u64 = 100_000_000_000;

/// One element of a network as the user writes it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The layer kind, such as `Conv2d`.
    pub kind: String,
    /// The parameters; omitted ones take PyTorch's defaults.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// The blocks of a `Residual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<Vec<Block>>,
    /// The blocks whose output a `Residual` adds to that of `main`; the input itself if absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Vec<Block>>,
}
