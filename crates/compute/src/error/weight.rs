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
    /// The tensors that do not fit each other.
    #[serde(skip)]
    pub tensors: UnfitTensors,
}

/// A tensor of a file and the tensor of a network that it was tried for. One of them is missing if the other has no counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnfitTensors {
    /// The tensor of the file.
    pub given: Option<NamedShape>,
    /// The tensor of the network.
    pub needed: Option<NamedShape>,
}

impl UnfitTensors {
    /// A tensor of a file without a counterpart in the network.
    pub(crate) fn only_given(given: NamedShape) -> Self {
        Self {
            given: Some(given),
            needed: None,
        }
    }

    /// A tensor of a network without a counterpart in the file.
    pub(crate) fn only_needed(needed: NamedShape) -> Self {
        Self {
            given: None,
            needed: Some(needed),
        }
    }

    /// A tensor of a file that was tried for one of a network.
    pub(crate) fn pair(given: NamedShape, needed: NamedShape) -> Self {
        Self {
            given: Some(given),
            needed: Some(needed),
        }
    }
}

/// A tensor's key and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedShape {
    /// The key.
    pub key: String,
    /// The size of each dimension.
    pub shape: Vec<usize>,
}

impl NamedShape {
    /// A tensor with this key and shape.
    pub fn new(key: &str, shape: &[usize]) -> Self {
        Self {
            key: key.to_owned(),
            shape: shape.to_vec(),
        }
    }
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
    /// Nothing else of the file could be taken for the tensor.
    Distinct,
    /// The given mapping names tensors of the network and of the file, each once.
    Mapped,
    /// A tensor has the shape that its layer needs.
    Shape,
    /// A tensor holds floating point numbers.
    Dtype,
    /// No number is NaN or infinite.
    Finite,
}
