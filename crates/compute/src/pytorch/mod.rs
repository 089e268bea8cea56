//! State dicts in the files of `torch.save`, read without executing anything.
//!
//! A `.pth` file is a pickle: a program for a small stack machine that may call any function of
//! Python. `pickle` runs that machine on plain data of our own and knows no function; the few names a
//! state dict needs stand in a list, and any other is refused. [`archive`] opens the two containers,
//! [`state_dict`] finds the tensors in what comes out, and [`mapping`] says which of them is which
//! tensor of a network.

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
