//! What can be wrong with a weights file.

use serde::Serialize;

/// One way in which a weights file does not fit a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct WeightError {
    /// The tensor that the error is about; `None` for the file as a whole.
    pub key: Option<String>,
    /// The rule that is broken.
    pub rule: WeightRule,
    /// What the network needs.
    pub expected: String,
    /// What the file holds.
    pub actual: String,
    /// A sentence that says what to do.
    pub message: String,
}

/// The rules for a weights file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WeightRule {
    /// The file is well-formed safetensors.
    Readable,
    /// Every tensor of the network is in the file.
    Present,
    /// The file holds no other tensors.
    Known,
    /// A tensor has the shape that its layer needs.
    Shape,
    /// A tensor holds floating point numbers.
    Dtype,
    /// No number is NaN or infinite.
    Finite,
}
