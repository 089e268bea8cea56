//! Between candle's storages and plain slices of numbers.

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor};

/// The numbers of a contiguous tensor inside a custom operation.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("an operation was given a tensor that is not contiguous"),
    }
}

/// What a custom operation answers with.
pub(super) fn answer(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    let shape = shape.into();
    if values.len() != shape.elem_count() {
        candle_core::bail!("an operation made {} numbers for shape {shape:?}", values.len());
    }
    Ok((CpuStorage::F32(values), shape))
}

/// Hands the numbers of a tensor in main memory to `read`.
pub(super) fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(read(values(storage, layout)?)),
        _ => candle_core::bail!("an operation for the CPU was given a tensor of another device"),
    }
}
