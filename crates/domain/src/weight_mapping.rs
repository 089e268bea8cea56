//! How the tensors of a file became those of a network.

use serde::{Deserialize, Serialize};

/// The tensors of a network, each with the tensor of the file that fills it, and what told so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightMapping {
    /// The furthest of the evidence that the pairs needed.
    pub by: MatchedBy,
    /// The keys that lead to the dict of the file that was taken, separated by dots; `None` for the whole file.
    pub dict: Option<String>,
    /// Other dicts of the file that fit too.
    pub other_dicts: Vec<String>,
    /// What all keys of the file begin with, if the rest are the keys of the network.
    pub prefix: Option<String>,
    /// One pair per tensor of the network, in the order of the network.
    pub pairs: Vec<WeightPair>,
    /// Tensors of the dict that are not weights, such as batch counters.
    pub ignored: Vec<String>,
}

/// A tensor of a network and the tensor of a file that fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightPair {
    /// The key in the network, such as `3.main.0.weight`.
    pub key: String,
    /// The key in the file, such as `layer1.0.conv1.weight`.
    pub from: String,
    /// The keys that it is computed from, if the file holds it as several tensors, as weight normalisation does.
    pub computed_from: Vec<String>,
    /// The shape of both.
    pub shape: Vec<usize>,
    /// What told that they belong together.
    pub by: MatchedBy,
}

/// What tells that a tensor of a file belongs to a tensor of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MatchedBy {
    /// Their keys, which are the same but for levels that tell nothing.
    Key,
    /// The shapes of their layers, which no other layers have.
    Shape,
    /// The numbers in the keys of layers of equal shapes, whose names differ in nothing else.
    Number,
    /// The mapping that was given.
    Map,
}

/// A line of a mapping: the key of a tensor or the path of a layer in the network, and in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenPair {
    /// In the network, such as `3.weight` or `3`.
    pub key: String,
    /// In the file, such as `conv2.weight` or `conv2`.
    pub from: String,
}

/// What a caller says about the weights of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WeightOptions {
    /// The keys that lead to the dict to take, or to the tensors of a dict, separated by dots.
    pub dict: Option<String>,
    /// Which tensors belong together. What it leaves out is matched as without it.
    pub map: Vec<GivenPair>,
}
