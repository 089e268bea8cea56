//! Reads state dicts from the files of `torch.save`, without executing anything.
//!
//! A `.pth` file is a pickle: a program for a small stack machine that may call any function of Python. `pickle` runs
//! this machine on plain data of our own, and has no functions to call: it accepts the few names that a state dict
//! needs, and refuses any other. [`archive`] opens the two containers, [`state_dict`] finds the tensors in the result,
//! and [`mapping`] assigns them to the tensors of a network.

pub mod archive;
pub mod element;
pub mod error;
pub mod mapping;
mod pickle;
pub mod state_dict;
mod tensor;

pub use archive::is_pytorch;
pub use error::PytorchError;
pub use mapping::{MappedBy, Mapping, Pair, map};
pub use state_dict::{Entry, StateDict, read_state_dict};

#[cfg(test)]
mod tests;
