//! Why an ONNX file was refused. The user can fix every variant, and its message says how.

use serde::Serialize;

use scv_memory::MemoryError;

/// Why an ONNX file was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OnnxError {
    /// It is not an ONNX file, or a part of it is missing.
    #[error("the ONNX file cannot be read: {0}")]
    Unreadable(String),

    /// There is not so much memory as it takes.
    #[error(transparent)]
    Memory(#[from] MemoryError),

    /// Weights are stored in a file that was not uploaded.
    #[error(
        "the ONNX file keeps weights in {location:?}, which was not uploaded with it: upload both, or a zip of both"
    )]
    MissingData {
        /// The file's name.
        location: String,
    },

    /// Its graph contradicts itself, or its functions cannot be put in the places of their calls.
    #[error("the graph of the ONNX file is invalid: {0}")]
    Invalid(String),

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

    /// Nodes cannot be computed for images of a size that the file leaves open, but can for another one.
    #[error(
        "the network does not take images of {}x{} pixels, but of {}x{}: set `height` and `width`; at this size, {}",
        size[0], size[1], fitting[0], fitting[1], listed(errors)
    )]
    Size {
        /// Rows and columns that it was read for.
        size: [usize; 2],
        /// Rows and columns that it takes.
        fitting: [usize; 2],
        /// What cannot be computed.
        errors: Vec<NodeError>,
    },

    /// The network does not have exactly one input that nodes read.
    #[error("nodes of the network read {} inputs ({}); SCV runs networks with one input, the image", .0.len(), .0.join(", "))]
    Inputs(Vec<String>),

    /// The network has several outputs, and none of them is chosen.
    #[error("the network has {} outputs: choose one with `output`: {}", .0.len(), outputs(.0))]
    Outputs(Vec<OutputShape>),

    /// The chosen output does not exist.
    #[error("the network has no output {wanted:?}: its outputs are {}", outputs(known))]
    UnknownOutput {
        /// The requested output.
        wanted: String,
        /// The network's outputs.
        known: Vec<OutputShape>,
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
    #[error(
        "input {input:?} has shape {shape}; SCV needs a batch of images: images x channels x height x width, channels last, without \
         channels, or a list of numbers for each image"
    )]
    NoImages {
        /// Name of the input.
        input: String,
        /// Its shape in the file.
        shape: String,
    },

    /// The images have channels that no data set has.
    #[error("input {input:?} has shape {shape}: it has {channels} channels, but images have 1 or 3")]
    Channels {
        /// Name of the input.
        input: String,
        /// Its shape in the file.
        shape: String,
        /// The number of channels.
        channels: usize,
    },

    /// The input is a list of numbers that no known image has.
    #[error(
        "input {input:?} is a list of {numbers} numbers, which {} do not have: set `height` and `width` to the size of its images",
        size.map_or("images of an unknown size".to_owned(), |[rows, columns]| format!("images of {rows}x{columns} pixels"))
    )]
    NotAnImage {
        /// Name of the input.
        input: String,
        /// Its length.
        numbers: usize,
        /// Rows and columns that were tried.
        size: Option<[usize; 2]>,
    },

    /// The input holds no numbers.
    #[error(
        "input {input:?} holds values of the type {kind}; SCV gives networks numbers: export the network with such an input"
    )]
    InputType {
        /// Name of the input.
        input: String,
        /// The type of its values.
        kind: String,
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
            Self::Invalid(_)
            | Self::TooOld { .. }
            | Self::TooNew { .. }
            | Self::Nodes(_)
            | Self::Inputs(_)
            | Self::NoImages { .. }
            | Self::Channels { .. }
            | Self::InputType { .. } => true,
            Self::Unreadable(_)
            | Self::Memory(_)
            | Self::MissingData { .. }
            | Self::Outputs(_)
            | Self::UnknownOutput { .. }
            | Self::ConstantOutput(_)
            | Self::OpenSize { .. }
            | Self::Size { .. }
            | Self::NotAnImage { .. }
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

/// An output of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputShape {
    /// Its name.
    pub name: String,
    /// Its shape for one image; `None` if it does not depend on the image.
    pub shape: Option<Vec<usize>>,
}

impl std::fmt::Display for OutputShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(shape) = &self.shape else {
            return write!(f, "{} (the same for every image)", self.name);
        };
        let dims: Vec<_> = shape.iter().map(usize::to_string).collect();
        write!(f, "{} ({})", self.name, dims.join("x"))
    }
}

fn outputs(known: &[OutputShape]) -> String {
    let known: Vec<_> = known.iter().map(ToString::to_string).collect();
    known.join(", ")
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
