//! What can go wrong with numbers, and whose fault it is.
//!
//! The rule: whatever a user can put right (weights that do not fit, a learning rate too high) has a
//! variant of its own whose message says what to do. `Candle` is left for our mistakes and for the
//! device, such as memory that ran out.

use serde::Serialize;

use crate::activations::ActivationError;
use crate::onnx::error::OnnxError;

/// Why a computation on networks or images did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// A weights file does not belong to the network. Every mismatch is listed.
    #[error("the weights do not fit the network: {}", list(.0.iter().map(|error| error.message.as_str())))]
    Weights(Vec<WeightError>),

    /// A file of activations cannot be used. Every fault is listed.
    #[error("the activations cannot be used: {}", list(.0.iter().map(|error| error.message.as_str())))]
    Activations(Vec<ActivationError>),
    /// An ONNX file was refused.
    #[error(transparent)]
    Onnx(#[from] OnnxError),

    /// The task contradicts itself, such as a label beyond the classes.
    #[error("{0}")]
    Invalid(String),

    /// The settings ask for a device that this machine or this build has not.
    #[error("{0}")]
    NoDevice(String),

    /// Too few probe images for a layer vector.
    #[error("a layer vector needs at least {needed} probe images, not {given}; add images to the probe set")]
    TooFewProbes {
        /// How many there were.
        given: usize,
        /// How many there must be.
        needed: usize,
    },

    /// Training diverged.
    #[error(
        "{what} became NaN or infinite in epoch {epoch}, step {step}: the training diverged; \
         lower the learning rate"
    )]
    NotFinite {
        /// What was not a number, such as `the loss`.
        what: &'static str,
        /// From 1.
        epoch: u32,
        /// From 1, within the epoch.
        step: usize,
    },

    /// A network answers with what is no number.
    #[error(
        "the network's answer to image {image} is NaN or infinite: train it anew with a lower learning rate, or look for \
         weights that are too large"
    )]
    AnswerNotFinite {
        /// Index of the first such image.
        image: usize,
    },

    /// Somebody asked for the work to stop.
    #[error("the work was cancelled")]
    Cancelled,

    /// The queue before the device is full.
    #[error("the compute queue is full; try again in a moment")]
    Overloaded,

    /// A layer could not be computed.
    #[error("layer {path} ({kind}): {source}")]
    Layer {
        /// Where the layer stands in the block list.
        path: String,
        /// Its kind in the block language.
        kind: &'static str,
        /// What went wrong there.
        source: Box<ComputeError>,
    },

    /// Our mistake or the device's.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// One way in which a weights file does not fit a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct WeightError {
    /// The tensor at fault; `None` if the file as a whole is.
    pub key: Option<String>,
    /// Which rule it breaks.
    pub rule: WeightRule,
    /// What the network asks for.
    pub expected: String,
    /// What the file holds.
    pub actual: String,
    /// A sentence that says what to do.
    pub message: String,
}

/// What a weights file must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WeightRule {
    /// The file is well-formed safetensors.
    Readable,
    /// Every tensor of the network is there.
    Present,
    /// Nothing else is there.
    Known,
    /// A tensor has the shape of its layer.
    Shape,
    /// A tensor holds floating point numbers.
    Dtype,
    /// No number is NaN or infinite.
    Finite,
}

/// Result of a computation.
pub type Result<T> = std::result::Result<T, ComputeError>;

/// The messages in one line; beyond a handful only their number, since the list itself is at hand.
fn list<'a>(messages: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let count = messages.len();
    let mut text = messages.take(SHOWN).collect::<Vec<_>>().join(" ");
    if count > SHOWN {
        text.push_str(&format!(" And {} more.", count - SHOWN));
    }
    text
}
