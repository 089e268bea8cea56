//! Why an ONNX file was refused. Every variant is the giver's to mend, and says how.

use serde::Serialize;

/// Why an ONNX file was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OnnxError {
    /// It is no ONNX file, or a part of it is missing.
    #[error("the ONNX file cannot be read: {0}")]
    Unreadable(String),

    /// Weights lie in a file that did not come along.
    #[error(
        "the ONNX file keeps weights in {location:?}, which was not uploaded with it: upload both, or a zip of both"
    )]
    MissingData {
        /// Its name.
        location: String,
    },

    /// It uses features of the format that SCV does not know.
    #[error("the ONNX file uses {0}, which SCV does not read: export the network without them")]
    Feature(&'static str),

    /// It is written in operators of a time before the first that is known.
    #[error("the ONNX file is written in operator set {found}; {oldest} and later are read: export it anew", oldest = super::OLDEST_OPSET)]
    TooOld {
        /// Its operator set.
        found: i64,
    },

    /// Nodes that cannot be computed: all of them.
    #[error("{} of the network cannot be computed: {}", counted(.0.len()), listed(.0))]
    Nodes(Vec<NodeFault>),

    /// A network of several inputs, none of them chosen.
    #[error("the network has {} inputs ({}); SCV runs networks of one image", .0.len(), .0.join(", "))]
    Inputs(Vec<String>),

    /// A network of several outputs, none of them chosen.
    #[error("the network has {} outputs ({}): choose one as `output`", .0.len(), .0.join(", "))]
    Outputs(Vec<String>),

    /// The output chosen is none.
    #[error("the network has no output {wanted:?}: its outputs are {}", known.join(", "))]
    UnknownOutput {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: Vec<String>,
    },

    /// The output does not depend on the image.
    #[error("output {0:?} is the same for every image: choose another one")]
    ConstantOutput(String),

    /// The file leaves the size of its images open.
    #[error("the network takes images of any size (its input {input:?} is {shape}): state `height` and `width`")]
    OpenSize {
        /// Name of the input.
        input: String,
        /// Its shape as the file has it.
        shape: String,
    },

    /// The input is no batch of images.
    #[error("input {input:?} is {shape}; SCV feeds batches of images, of 4 dimensions and 1 or 3 channels")]
    NoImages {
        /// Name of the input.
        input: String,
        /// Its shape as the file has it.
        shape: String,
    },

    /// What was stated contradicts the file.
    #[error("{0}")]
    Mismatch(String),
}

/// One node that cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeFault {
    /// Its name, or that of its first output.
    pub node: String,
    /// The operator.
    pub operator: String,
    /// The operator set that the file is written in.
    pub opset: i64,
    /// Whose operator it is; empty for ONNX's own.
    pub domain: String,
    /// Why.
    pub reason: String,
}

/// Faults that a message lists before it only counts.
const LISTED: usize = 20;

fn counted(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

fn listed(faults: &[NodeFault]) -> String {
    let lines = faults.iter().take(LISTED).map(ToString::to_string);
    let mut text = lines.collect::<Vec<_>>().join(" | ");
    if let Some(more) = faults.len().checked_sub(LISTED).filter(|&more| more > 0) {
        text.push_str(&format!(" | and {more} more"));
    }
    text
}

impl std::fmt::Display for NodeFault {
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
