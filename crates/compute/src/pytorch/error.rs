//! Why a file of `torch.save` was refused. The user can fix every variant, and its message says how.

/// What to save instead of a file that only Python can read.
const INSTEAD: &str = "SCV never executes pickles: instead of a whole model or training state, save only its tensors, \
                       with torch.save(model.state_dict(), path) or safetensors.torch.save_file";

/// Why no state dict could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PytorchError {
    /// The file is neither of the two containers.
    #[error(
        "the file was not written by torch.save: it is not a zip archive with a data.pkl, and does not begin with \
         PyTorch's magic number; save model.state_dict() with torch.save"
    )]
    NotPytorch,

    /// The file is a compiled program.
    #[error("the file is a TorchScript program, which holds code; {INSTEAD}")]
    TorchScript,

    /// The archive is damaged or malicious.
    #[error("the zip archive cannot be read: {what}; save the file again, or upload it again")]
    Archive {
        /// What is wrong.
        what: String,
    },

    /// The pickle is malformed, or uses instructions that no state dict needs.
    #[error("the pickle is broken at byte {offset}: {what}; save the file again, or upload it again")]
    Pickle {
        /// The offset of the instruction.
        offset: usize,
        /// What is wrong there.
        what: String,
    },

    /// A part of the file is larger than in any state dict.
    #[error("the file holds {what} (the limit is {limit}); save model.state_dict() alone")]
    TooLarge {
        /// What exceeds the limit.
        what: &'static str,
        /// The limit.
        limit: usize,
    },

    /// The bytes of some tensors are missing.
    #[error("storage {key:?} cannot be read: {what}; save the file again, or upload it again")]
    Storage {
        /// Its key in the file.
        key: String,
        /// What is wrong.
        what: String,
    },

    /// A tensor exceeds its storage, or cannot be used.
    #[error("tensor {key} cannot be read: {what}")]
    Tensor {
        /// Its key in the state dict.
        key: String,
        /// What is wrong, and what to do.
        what: String,
    },

    /// No tensors with keys were found.
    #[error("the file holds no dict of tensors: {found}; {INSTEAD}")]
    NoStateDict {
        /// What it holds instead.
        found: String,
    },
}

impl PytorchError {
    /// A storage whose bytes are not there.
    pub(crate) fn missing_storage(key: &str) -> Self {
        Self::Storage {
            key: key.chars().take(64).collect(),
            what: "its bytes are not in the file".to_owned(),
        }
    }
}

/// Result of reading a PyTorch file.
pub type Result<T> = std::result::Result<T, PytorchError>;
