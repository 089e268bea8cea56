//! A tensor of a network with its tensor in a file.

use serde::Serialize;

/// A tensor of the network and the tensor of the file that fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// The key in the network, such as `3.main.0.weight`.
    pub graph_key: String,
    /// The key in the file, such as `layer1.0.conv1.weight`.
    pub state_key: String,
    /// The shape of both.
    pub shape: Vec<usize>,
}
