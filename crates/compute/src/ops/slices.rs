//! Between candle's storages and plain slices of numbers.

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor};
use rayon::prelude::*;

/// Elements that are worth a task of their own.
const CHUNK: usize = 16 * 1024;

/// The numbers of a contiguous tensor inside a custom operation.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("an operation needs a contiguous tensor"),
    }
}

/// The output of a custom operation.
pub(super) fn output(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    let shape = shape.into();
    if values.len() != shape.elem_count() {
        candle_core::bail!("an operation computed {} numbers for shape {shape:?}", values.len());
    }
    Ok((CpuStorage::F32(values), shape))
}

/// Calls `read` with the numbers of a tensor in main memory.
pub(super) fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(read(values(storage, layout)?)),
        _ => candle_core::bail!("an operation for the CPU needs a tensor in main memory"),
    }
}

/// Applies a function to every element, in parallel.
pub(super) fn map(x: &[f32], function: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut result = vec![0.0; x.len()];
    result
        .par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(result, x)| {
            result.iter_mut().zip(x).for_each(|(result, &x)| *result = function(x));
        });
    result
}
