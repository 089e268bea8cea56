//! Opens a file of weights of any format.

use std::borrow::Cow;

use crate::error::WeightError;
use crate::pytorch::element::ElementType;
use crate::pytorch::error::PytorchError;
use crate::pytorch::{self, is_pytorch};
use crate::tensor_file::{Entry, Place, Storages, TensorDict, TensorFile};
use crate::weights;

/// Why the tensors of a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorFileError {
    /// A file of PyTorch.
    #[error(transparent)]
    Pytorch(#[from] PytorchError),
    /// Any other file.
    #[error(transparent)]
    Safetensors(Box<WeightError>),
}

/// Finds the tensors of a file, without executing anything. Their numbers are not read yet.
///
/// # Errors
/// If it is neither safetensors nor written by PyTorch, is damaged, or holds no dict of tensors.
pub fn open(bytes: &[u8]) -> Result<TensorFile<'_>, TensorFileError> {
    if is_pytorch(bytes) {
        return Ok(pytorch::open(bytes)?);
    }
    let unreadable = |reason| TensorFileError::Safetensors(Box::new(weights::unreadable(reason)));
    let file = weights::open(bytes).map_err(unreadable)?;
    let mut storages = Storages::new(bytes.len());
    let mut entries = Vec::new();
    for (key, view) in file.iter() {
        storages.hold(key, Cow::Borrowed(view.data()));
        let element = ElementType::of_safetensors(view.dtype());
        let place = Place::whole(key, view.shape());
        entries.push(Entry {
            key: key.to_owned(),
            element: element.ok_or_else(|| unreadable(format!("tensor {key} has type {}", view.dtype())))?,
            shape: view.shape().to_vec(),
            place,
        });
    }
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    let whole = TensorDict {
        path: String::new(),
        entries,
        is_ordered: false,
    };
    Ok(TensorFile {
        dicts: vec![whole],
        storages,
    })
}
