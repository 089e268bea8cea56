//! What can go wrong in a computation, and who can fix it.
//!
//! The rule: everything that a user can fix (weights that do not fit, a learning rate that is too high) has its own
//! variant, and its message says what to do. `Candle` is left for our own mistakes and for the device, such as
//! exhausted memory.

mod activation;
mod onnx;
mod weight;

pub(crate) use activation::shortened;
pub use activation::{ActivationError, ActivationRule};
pub use onnx::{NodeError, OnnxError, OutputShape};
pub use weight::{NamedShape, UnfitTensors, WeightError, WeightRule};

/// Why a computation on networks or images failed.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// A weights file does not fit the network. Every mismatch is listed.
    #[error("the weights do not fit the network: {}", list(.0.iter().map(|error| error.message.as_str())))]
    Weights(Vec<WeightError>),

    /// A file of activations cannot be used. Every error is listed.
    #[error("the activations cannot be used: {}", list(.0.iter().map(|error| error.message.as_str())))]
    Activations(Vec<ActivationError>),
    /// An ONNX file was refused.
    #[error(transparent)]
    Onnx(#[from] OnnxError),

    /// The task contradicts itself, for example by a label that is out of range.
    #[error("{0}")]
    Invalid(String),

    /// The settings request a device that this machine or this build does not have.
    #[error("{0}")]
    NoDevice(String),

    /// A bug: the thread that computes panicked or has ended.
    #[error("the compute thread {0}")]
    ThreadFailed(String),

    /// Too few probe images for a layer vector.
    #[error("a layer vector needs at least {needed} probe images, not {given}; add images to the probe set")]
    TooFewProbes {
        /// The number of probe images.
        given: usize,
        /// The minimum.
        needed: usize,
    },

    /// Training diverged.
    #[error(
        "{what} became NaN or infinite in epoch {epoch}, step {step}: the training diverged; \
         lower the learning rate"
    )]
    NotFinite {
        /// What is NaN or infinite, such as `the loss`.
        what: &'static str,
        /// From 1.
        epoch: u32,
        /// From 1, within the epoch.
        step: usize,
    },

    /// A network's output contains NaN or infinity.
    #[error(
        "the network's output for image {image} is NaN or infinite: train it again with a lower learning rate, or look \
         for weights that are too large"
    )]
    OutputNotFinite {
        /// Index of the first such image.
        image: usize,
    },

    /// The caller cancelled the work.
    #[error("the work was cancelled")]
    Cancelled,

    /// The device's queue is full.
    #[error("the compute queue is full; try again in a moment")]
    Overloaded,

    /// A layer could not be computed.
    #[error("layer {path} ({kind}): {cause}")]
    Layer {
        /// The layer's position in the block list.
        path: String,
        /// Its kind in the block language.
        kind: &'static str,
        /// What went wrong there. It is not called `source`, because the message contains it.
        cause: Box<ComputeError>,
    },

    /// Our own mistake, or a failure of the device.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl ComputeError {
    /// Whether a network is refused because of something in it that SCV does not support.
    pub fn is_unsupported_model(&self) -> bool {
        matches!(self, Self::Onnx(error) if error.is_unsupported())
    }
}

/// Result of a computation.
pub type Result<T> = std::result::Result<T, ComputeError>;

/// The first messages in one line, and the number of the others: callers that need all of them have the list.
fn list<'a>(messages: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MAX_SHOWN: usize = 5;
    let count = messages.len();
    let mut text = messages.take(MAX_SHOWN).collect::<Vec<_>>().join(" ");
    if count > MAX_SHOWN {
        text.push_str(&format!(" And {} more.", count - MAX_SHOWN));
    }
    text
}
