//! The same sums as on a GPU, arranged for a CPU. Element by element, operations on tensors use one
//! thread and pass through memory each time; here every thread takes a stretch of features, in
//! chunks that stay in the cache of its core.

use candle_core::{CpuStorage, Device, Result, Storage, Tensor};
use rayon::prelude::*;

use super::Sums;

/// Numbers in one chunk, 1 MiB.
const CHUNK_NUMBERS: usize = 1 << 18;

/// Stretches of features that are summed apart. The same on every machine, so that the order of the
/// additions, and with it every digit, does not depend on the number of threads.
const STRETCHES: usize = 16;

/// Sums over contiguous activations `[images, features]` in f32 on the CPU.
pub(super) fn sums(activations: &Tensor) -> Result<Sums> {
    let (images, features) = activations.dims2()?;
    let (storage, layout) = activations.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => &values[start..end],
        _ => candle_core::bail!("the Gram of a CPU tensor needs contiguous numbers in single precision"),
    };
    let width = (CHUNK_NUMBERS / images).max(64);
    let stretch = features.div_ceil(STRETCHES).next_multiple_of(width);
    let starts: Vec<usize> = (0..features).step_by(stretch).collect();
    let parts: Vec<Sums> = starts
        .into_par_iter()
        .map(|start| {
            let mut sums = Sums::zero(images);
            let end = features.min(start + stretch);
            for start in (start..end).step_by(width) {
                let columns = start..end.min(start + width);
                let rows = values.chunks_exact(features).map(|row| &row[columns.clone()]);
                add_chunk(&mut sums, images, columns.len(), rows)?;
            }
            Ok(sums)
        })
        .collect::<Result<_>>()?;
    Ok(parts.into_iter().fold(Sums::zero(images), Sums::plus))
}

/// Adds the columns that `rows` hold, `width` of each image.
fn add_chunk<'a>(sums: &mut Sums, images: usize, width: usize, rows: impl Iterator<Item = &'a [f32]>) -> Result<()> {
    let mut chunk = Vec::with_capacity(images * width);
    rows.for_each(|row| chunk.extend_from_slice(row));
    let scale = largest_magnitude(&chunk).max(f32::MIN_POSITIVE);
    let mut means = vec![0.0_f32; width];
    for row in chunk.chunks_exact_mut(width) {
        for (value, mean) in row.iter_mut().zip(&mut means) {
            *value /= scale;
            *mean += *value;
        }
    }
    means.iter_mut().for_each(|mean| *mean /= images as f32);
    for row in chunk.chunks_exact_mut(width) {
        row.iter_mut().zip(&means).for_each(|(value, mean)| *value -= mean);
    }
    let centred = Tensor::from_vec(chunk, (images, width), &Device::Cpu)?;
    let product = centred.matmul(&centred.t()?)?.flatten_all()?.to_vec1::<f32>()?;

    let unscale = f64::from(scale) * f64::from(scale);
    for (sum, value) in sums.gram.iter_mut().zip(product) {
        *sum += unscale * f64::from(value);
    }
    let squares: f64 = means.iter().map(|&mean| f64::from(mean) * f64::from(mean)).sum();
    sums.squared_means += unscale * squares;
    Ok(())
}

/// NaN is passed over here and found in the product.
fn largest_magnitude(values: &[f32]) -> f32 {
    // Eight at a time, since the compiler does not reorder a maximum of floats by itself.
    let (eights, rest) = values.as_chunks::<8>();
    let mut largest = [0.0_f32; 8];
    for eight in eights {
        largest
            .iter_mut()
            .zip(eight)
            .for_each(|(largest, value)| *largest = largest.max(value.abs()));
    }
    largest
        .into_iter()
        .chain(rest.iter().map(|value| value.abs()))
        .fold(0.0, f32::max)
}
