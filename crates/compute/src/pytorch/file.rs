//! Opens a file of `torch.save`, and finds its tensors.

use super::archive::Container;
use super::error::{PytorchError, Result};
use super::pickle;
use super::pickle::value::{Id, Values, View};
use super::tree::{self, Found};
use crate::tensor_file::{Entry, Place, Storages, TensorDict, TensorFile, shape};

/// Finds every dict of tensors in a file of `torch.save`, without executing anything.
///
/// The file may be only the state dict, a training state that holds it among anything else, or a whole model, whose
/// parameters and buffers its pickle spells out.
///
/// # Errors
/// If the file was not written by PyTorch, is damaged, is a program, or holds no tensors.
pub(crate) fn open(bytes: &[u8]) -> Result<TensorFile<'_>> {
    match Container::open(bytes)? {
        Container::Zip(mut zip) => {
            let data = zip.pickle()?;
            let is_big_endian = zip.is_big_endian()?;
            let pickle = pickle::read(&data, 0)?;
            let dicts = dicts(&pickle.values, pickle.root)?;
            let storages = Storages::of_archive(zip, is_big_endian, bytes.len());
            Ok(TensorFile { dicts, storages })
        }
        Container::Legacy(legacy) => {
            let (pickle, held) = legacy.read()?;
            let mut storages = Storages::new(bytes.len());
            for (key, bytes) in held {
                storages.hold(&key, bytes);
            }
            let dicts = dicts(&pickle.values, pickle.root)?;
            Ok(TensorFile { dicts, storages })
        }
    }
}

fn dicts(values: &Values<'_>, root: Id) -> Result<Vec<TensorDict>> {
    let found = tree::dicts(values, root)?;
    if found.is_empty() {
        return Err(PytorchError::NoStateDict {
            found: tree::describe(values, root),
        });
    }
    found.into_iter().map(|found| dict(values, found)).collect()
}

fn dict(values: &Values<'_>, found: Found<'_>) -> Result<TensorDict> {
    let entries = found.tensors.into_iter().map(|(key, view)| entry(values, key, view));
    Ok(TensorDict {
        path: found.path,
        entries: entries.collect::<Result<_>>()?,
        is_ordered: true,
    })
}

fn entry(values: &Values<'_>, key: String, view: &View) -> Result<Entry> {
    let size = view.element.size() as u64;
    let storage = &view.storage;
    let shape = shape(&view.shape).map_err(|what| PytorchError::Tensor { key: key.clone(), what })?;
    Ok(Entry {
        element: view.element,
        shape,
        place: Place {
            storage: values.text(storage.key).unwrap_or_default().to_owned(),
            first: storage.first,
            count: storage.element.map_or(storage.count / size, |_| storage.count),
            offset: view.offset,
            strides: view.strides.clone(),
        },
        key,
    })
}
