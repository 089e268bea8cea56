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

    /// The pickle names a function or class that a state dict does not need.
    #[error("the pickle refers to {name} at byte {offset}, which a state dict does not need; {INSTEAD}")]
    Global {
        /// Module and name, such as `os.system`.
        name: String,
        /// The offset in the file, or in the data.pkl of a zip archive.
        offset: usize,
    },

    /// A whole module was pickled.
    #[error("the file holds a whole model and not its state dict: it refers to {name} at byte {offset}; {INSTEAD}")]
    WholeModel {
        /// The class or the module.
        name: String,
        /// The offset at which the pickle refers to it.
        offset: usize,
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

    /// No state dict was found.
    #[error(
        "the file holds no state dict: {found}; save a dict from names to tensors, or one under the key \
         state_dict, model_state_dict, model or net"
    )]
    NoStateDict {
        /// What it holds instead.
        found: String,
    },

    /// There are several state dicts, and it is not clear which one to use.
    #[error("the file holds several state dicts, under the keys {}; save only the one to upload", .keys.join(", "))]
    SeveralStateDicts {
        /// Their keys.
        keys: Vec<String>,
    },
}

/// Result of reading a PyTorch file.
pub type Result<T> = std::result::Result<T, PytorchError>;
