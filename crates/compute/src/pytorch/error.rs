//! Why a file of `torch.save` was refused. Every variant is the giver's to mend.

/// What to save in place of a file that needs Python to be read.
const INSTEAD: &str = "SCV never executes pickles: in place of a whole model or training state save its tensors alone, \
                       with torch.save(model.state_dict(), path) or safetensors.torch.save_file";

/// Why no state dict could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PytorchError {
    /// Neither of the two containers.
    #[error(
        "the file is not one that torch.save writes: it is neither a zip archive with a data.pkl nor begins with \
         PyTorch's magic number; save model.state_dict() with torch.save"
    )]
    NotPytorch,

    /// A compiled program.
    #[error("the file is a TorchScript program, which holds code; {INSTEAD}")]
    TorchScript,

    /// The archive is damaged, or built to harm.
    #[error("the zip archive cannot be read: {what}; save the file again, or upload it again")]
    Archive {
        /// What is wrong.
        what: String,
    },

    /// The pickle names a function or class that a state dict does not need.
    #[error("the pickle asks for {name} at byte {offset}, which a state dict does not need; {INSTEAD}")]
    Global {
        /// Module and name, such as `os.system`.
        name: String,
        /// Where: in the file, or in the data.pkl of a zip archive.
        offset: usize,
    },

    /// A whole module was pickled.
    #[error("the file holds a whole model and not its state dict: it asks for {name} at byte {offset}; {INSTEAD}")]
    WholeModel {
        /// The class or the module.
        name: String,
        /// Where the pickle names it.
        offset: usize,
    },

    /// The pickle breaks its own rules, or does what SCV has no use for.
    #[error("the pickle is broken at byte {offset}: {what}; save the file again, or upload it again")]
    Pickle {
        /// Where.
        offset: usize,
        /// What is wrong there.
        what: String,
    },

    /// Something is larger than any state dict.
    #[error("the file holds {what}, the most is {limit}; save model.state_dict() alone")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },

    /// The bytes of some tensors are not there.
    #[error("storage {key:?} cannot be read: {what}; save the file again, or upload it again")]
    Storage {
        /// Its key in the file.
        key: String,
        /// What is wrong.
        what: String,
    },

    /// A tensor does not lie within its storage, or is of no use.
    #[error("tensor {key} cannot be read: {what}")]
    Tensor {
        /// Its key in the state dict.
        key: String,
        /// What is wrong, and what to do.
        what: String,
    },

    /// There are no tensors where they are looked for.
    #[error(
        "the file holds no state dict: {found}; save a dict from names to tensors, or one under the key \
         state_dict, model_state_dict, model or net"
    )]
    NoStateDict {
        /// What it holds instead.
        found: String,
    },

    /// More than one state dict, and nothing says which is meant.
    #[error("the file holds several state dicts, under the keys {}; save the one that is meant alone", .keys.join(", "))]
    SeveralStateDicts {
        /// Their keys.
        keys: Vec<String>,
    },
}

/// Result of reading a file of PyTorch.
pub type Result<T> = std::result::Result<T, PytorchError>;
