//! The tensors of a file of weights, whatever its format: dicts from keys to tensors, whose numbers are read on demand.

pub use entry::{Entry, TensorDict};
pub(crate) use entry::{Place, shape};
pub(crate) use storages::Storages;

mod entry;
mod numbers;
mod storages;

/// Every dict of tensors in a file.
pub struct TensorFile<'a> {
    /// The dicts, from the outside in.
    pub dicts: Vec<TensorDict>,
    /// Where the numbers of the tensors are.
    pub(crate) storages: Storages<'a>,
}
