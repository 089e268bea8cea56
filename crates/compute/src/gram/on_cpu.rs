//! The same sums as on a GPU, arranged for a CPU. Elementwise operations on tensors use one
//! thread and pass through memory each time. Here every thread takes a stretch of features, in
//! chunks that stay in the cache of its core.

use candle_core::{CpuStorage, Result, Storage, Tensor};
use rayon::prelude::*;

use super::sums::Sums;
use crate::ops::product::{Matrix, MatrixMut, Write, multiply};

/// Numbers in one chunk, half a megabyte.
const CHUNK_NUMBERS: usize = 1 << 17;

/// Maximum number of stretches of features that are summed separately. Their number depends on the shape alone, so that
/// the order of the additions, and with it every digit, does not depend on the number of threads.
const MAX_STRETCHES: usize = 16;

/// Minimum number of features of a stretch: its sum has to be added to the others.
const MIN_STRETCH_FEATURES: usize = 512;

/// Rows of the product that are computed together, up to the diagonal; the other half mirrors them.
const STRIP: usize = 32;

/// Features that are transposed together: one cache line.
const BLOCK: usize = 16;

/// Magnitudes whose squares add up without overflow and without loss, so that they need no scaling.
const UNSCALED: std::ops::Range<f32> = 1e-9..1e9;

/// Sums over contiguous activations `[images, features]` in f32 on the CPU.
pub(super) fn sums(activations: &Tensor) -> Result<Sums> {
    let (images, features) = activations.dims2()?;
    let (storage, layout) = activations.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => &values[start..end],
        _ => candle_core::bail!("the Gram matrix of a CPU tensor needs contiguous numbers in single precision"),
    };
    let width = (CHUNK_NUMBERS / images).max(64);
    let stretch = features.div_ceil(MAX_STRETCHES).max(MIN_STRETCH_FEATURES);
    let starts: Vec<usize> = (0..features).step_by(stretch).collect();
    let parts: Vec<Sums> = starts
        .into_par_iter()
        .map_init(Scratch::default, |scratch, start| {
            let mut sums = Sums::zero(images);
            let end = features.min(start + stretch);
            for start in (start..end).step_by(width) {
                let columns = start..end.min(start + width);
                let rows = || values.chunks_exact(features).map(|row| &row[columns.clone()]);
                add_chunk(&mut sums, rows, scratch);
            }
            sums
        })
        .collect();
    Ok(parts.into_iter().fold(Sums::zero(images), Sums::plus))
}

/// Buffers of a thread, kept from one chunk to the next.
#[derive(Default)]
struct Scratch {
    /// One row per feature.
    chunk: Vec<f32>,
    product: Vec<f32>,
}

/// Adds the columns of `rows`, which has one row per image.
fn add_chunk<'a, I: ExactSizeIterator<Item = &'a [f32]>>(
    sums: &mut Sums,
    rows: impl Fn() -> I,
    Scratch { chunk, product }: &mut Scratch,
) {
    let images = rows().len();
    let largest = rows().map(largest_magnitude).fold(0.0, f32::max);
    let scale = if UNSCALED.contains(&largest) {
        1.0
    } else {
        largest.max(f32::MIN_POSITIVE)
    };
    transpose(rows, chunk);
    let mut squared_means = 0.0;
    for feature in chunk.chunks_exact_mut(images) {
        if scale != 1.0 {
            feature.iter_mut().for_each(|value| *value /= scale);
        }
        let mean = sum(feature) / images as f32;
        feature.iter_mut().for_each(|value| *value -= mean);
        squared_means += f64::from(mean) * f64::from(mean);
    }

    product.resize(images * images, 0.0);
    let width = chunk.len() / images;
    for start in (0..images).step_by(STRIP) {
        let end = images.min(start + STRIP);
        let strip = Matrix::new(&chunk[start..], width, end - start, images).transposed();
        let so_far = Matrix::new(chunk, width, end, images);
        let target = MatrixMut::new(&mut product[start * images..], end - start, end, images);
        multiply(target, strip, so_far, Write::Replace);
    }
    let unscale = f64::from(scale) * f64::from(scale);
    for row in 0..images {
        for column in 0..=row {
            let value = unscale * f64::from(product[row * images + column]);
            sums.gram[row * images + column] += value;
            if column < row {
                sums.gram[column * images + row] += value;
            }
        }
    }
    sums.squared_means += unscale * squared_means;
}

/// Turns rows into columns, because the product reads its left matrix column by column and its right one row by row.
fn transpose<'a, I: ExactSizeIterator<Item = &'a [f32]>>(rows: impl Fn() -> I, columns: &mut Vec<f32>) {
    let images = rows().len();
    let width = rows().next().map_or(0, <[f32]>::len);
    columns.resize(width * images, 0.0);
    for (block, columns) in columns.chunks_mut(BLOCK * images).enumerate() {
        for (image, row) in rows().enumerate() {
            let targets = columns[image..].iter_mut().step_by(images);
            targets
                .zip(&row[block * BLOCK..])
                .for_each(|(target, value)| *target = *value);
        }
    }
}

/// Skips NaN, which is found in the product.
fn largest_magnitude(values: &[f32]) -> f32 {
    fold(values, |largest, value| largest.max(value.abs()), f32::max)
}

fn sum(values: &[f32]) -> f32 {
    fold(values, |sum, value| sum + value, |a, b| a + b)
}

/// Folds from zero, eight at a time, because the compiler does not reorder floating-point operations by itself.
fn fold(values: &[f32], add: impl Fn(f32, f32) -> f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for eight in eights {
        sums.iter_mut()
            .zip(eight)
            .for_each(|(sum, value)| *sum = add(*sum, *value));
    }
    let rest = rest.iter().fold(0.0, |sum, value| add(sum, *value));
    sums.into_iter().fold(rest, join)
}
