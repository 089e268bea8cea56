//! Reads tensors from the files of `torch.save`, without executing anything.
//!
//! A `.pth` file is a pickle: a program for a small stack machine that may call any function of Python. `pickle` runs
//! this machine on plain data of our own, and has no functions to call: the few names that tensors need have a meaning,
//! and what others make is an object without behaviour. [`archive`] opens the two containers, `tree` finds the dicts of
//! tensors in the result, and `file` puts both together.

pub mod archive;
pub mod element;
pub mod error;
mod file;
mod pickle;
mod tree;

pub use archive::is_pytorch;
pub use error::PytorchError;
pub(crate) use file::open;

#[cfg(test)]
mod tests;
