//! Why an ONNX file was refused. The user can fix every variant, and its message says how.

use serde::Serialize;

/// Why an ONNX file was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OnnxError {
    /// It is not an ONNX file, or a part of it is missing.
    #[error("the ONNX file cannot be read: {0}")]
    Unreadable(String),

    /// Weights are stored in a file that was not uploaded.
    #[error(
        "the ONNX file keeps weights in {location:?}, which was not uploaded with it: upload both, or a zip of both"
    )]
    MissingData {
        /// The file's name.
        location: String,
    },

    /// It uses features of the format that SCV does not support.
    #[error("the ONNX file uses {0}, which SCV does not support: export the network without them")]
    Feature(&'static str),

    /// Its operator set is older than the oldest supported one.
    #[error(
        "the ONNX file uses operator set {found}; {oldest} and later are supported: export it again with a newer one"
    )]
    TooOld {
        /// Its operator set.
        found: i64,
        /// The oldest supported one.
        oldest: i64,
    },

    /// Its operator set is newer than the newest supported one.
    #[error(
        "the ONNX file uses operator set {found}; {newest} and earlier are supported: export it again with an older one"
    )]
    TooNew {
        /// Its operator set.
        found: i64,
        /// The newest supported one.
        newest: i64,
    },

    /// All nodes that cannot be computed.
    #[error("{} of the network cannot be computed: {}", counted(.0.len()), listed(.0))]
    Nodes(Vec<NodeError>),

    /// The network does not have exactly one input.
    #[error("the network has {} inputs ({}); SCV runs networks with one input, the image", .0.len(), .0.join(", "))]
    Inputs(Vec<String>),

    /// The network has several outputs, and none of them is chosen.
    #[error("the network has {} outputs ({}): choose one with `output`", .0.len(), .0.join(", "))]
    Outputs(Vec<String>),

    /// The chosen output does not exist.
    #[error("the network has no output {wanted:?}: its outputs are {}", known.join(", "))]
    UnknownOutput {
        /// The requested output.
        wanted: String,
        /// The network's outputs.
        known: Vec<String>,
    },

    /// The output does not depend on the image.
    #[error("output {0:?} is the same for every image: choose another one")]
    ConstantOutput(String),

    /// The file leaves the size of its images open.
    #[error("the network accepts images of any size (its input {input:?} is {shape}): set `height` and `width`")]
    OpenSize {
        /// Name of the input.
        input: String,
        /// Its shape in the file.
        shape: String,
    },

    /// The input is not a batch of images.
    #[error("input {input:?} has shape {shape}; SCV needs a batch of images, with 4 dimensions and 1 or 3 channels")]
    NoImages {
        /// Name of the input.
        input: String,
        /// Its shape in the file.
        shape: String,
    },

    /// The user's options contradict the file.
    #[error("{0}")]
    Mismatch(String),
}

impl OnnxError {
    /// Whether the network itself is refused, because of something in it that SCV does not support. Otherwise the same
    /// network can be uploaded in another way: undamaged, complete, or with other options.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::Feature(_)
            | Self::TooOld { .. }
            | Self::TooNew { .. }
            | Self::Nodes(_)
            | Self::Inputs(_)
            | Self::NoImages { .. } => true,
            Self::Unreadable(_)
            | Self::MissingData { .. }
            | Self::Outputs(_)
            | Self::UnknownOutput { .. }
            | Self::ConstantOutput(_)
            | Self::OpenSize { .. }
            | Self::Mismatch(_) => false,
        }
    }
}

/// One node that cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeError {
    /// Its name, or that of its first output.
    pub node: String,
    /// The operator.
    pub operator: String,
    /// The operator set that the file uses.
    pub opset: i64,
    /// The operator's domain; empty for ONNX's own.
    pub domain: String,
    /// Why it cannot be computed.
    pub reason: String,
}

/// The number of errors that a message lists; the others are only counted.
const MAX_LISTED: usize = 20;

fn counted(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

fn listed(errors: &[NodeError]) -> String {
    let lines = errors.iter().take(MAX_LISTED).map(ToString::to_string);
    let mut text = lines.collect::<Vec<_>>().join(" | ");
    if let Some(more) = errors.len().checked_sub(MAX_LISTED).filter(|&more| more > 0) {
        text.push_str(&format!(" | and {more} more"));
    }
    text
}

impl std::fmt::Display for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            node,
            operator,
            opset,
            domain,
            reason,
        } = self;
        let dot = if domain.is_empty() { "" } else { "." };
        write!(f, "{node} ({domain}{dot}{operator}-{opset}): {reason}")
    }
}
