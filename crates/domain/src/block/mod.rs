//! The block language: a network as a JSON list of layers with PyTorch's names and defaults.
//!
//! The catalogue states every kind of block once; reading parameters, telling errors, inferring
//! shapes and the documentation all follow from it. [`lower`] turns a list into a [`Graph`],
//! [`report`] says what a list comes to, be it right or wrong, [`pytorch_source`] writes it in Python.
//!
//! [`Graph`]: super::graph::Graph

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod activation;
mod catalogue;
mod convolution;
mod dense;
mod draft;
mod error;
mod judge;
mod lower;
mod nearest;
mod normalization;
mod padding;
mod parameter;
mod pooling;
mod residual;
mod source;
#[cfg(test)]
mod tests;
mod transpose;
mod walk;
mod whole;
mod window;

pub use catalogue::{KindSpec, catalogue, catalogue_markdown};
pub use error::{BlockError, ErrorRule};
pub use lower::{BlockReport, BlockSummary, lower, report};
pub use parameter::{ParameterDefault, ParameterSpec, ParameterType};
pub use source::pytorch_source;

/// Most blocks of a network, those inside residuals counted too.
pub const MAX_BLOCKS: usize = 512;

/// How deep residuals may stand inside each other.
pub const MAX_NESTING: usize = 8;

/// Most channels, rows or columns of an image inside the network, and most features of a `Linear`.
pub const MAX_DIMENSION: usize = 65_536;

/// Most numbers in one value for one image: half a gigabyte of `f32`.
pub const MAX_VALUE_LENGTH: u64 = 1 << 27;

/// Most trainable numbers of a network.
pub const MAX_PARAMETERS: u64 = 200_000_000;

/// Most multiply-accumulates of a network for one image.
pub const MAX_MULTIPLY_ACCUMULATES: u64 = 100_000_000_000;

/// One element of a network as the user writes it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The layer kind, such as `Conv2d`.
    pub kind: String,
    /// The kind's parameters; those left out take PyTorch's defaults.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// The blocks of a `Residual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<Vec<Block>>,
    /// What a `Residual` adds to them; the input itself if absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Vec<Block>>,
}
