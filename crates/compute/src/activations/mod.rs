//! Layers that another program has run: one array per layer, with the probe images as its first dimension.
//!
//! Two formats are read, `.npz` and safetensors; `docs/activations.md` says what they may hold. Opening a file reads
//! all headers and lists every error. The numbers are then read one array at a time, converted to single precision, and
//! freed once their Gram matrix is computed, so memory holds at most the largest layer besides the file itself. Reading
//! all arrays into a list would be simpler, but would take several times the size of the file: half precision doubles,
//! and deflated bytes grow more.

mod array;
mod check_arrays;
mod file;
mod limits;
mod measure;
mod npy;
mod npz;
mod numbers;
mod tensors;
#[cfg(test)]
pub(super) mod tests;

pub use array::ActivationLayer;
pub use file::{ActivationFile, check};
pub use limits::{ActivationLimits, MAX_LAYERS, MAX_NAME_LENGTH, MAX_UNPACKED_BYTES};
pub use measure::{ActivationTask, MeasuredActivations};
