//! The numbers of tensors, read from the file or computed.

use super::mismatches;
use super::tensors::{Content, Tensor, norm_dimension};
use crate::error::{NamedShape, WeightError};
use crate::tensor_file::{Entry, Storages};
use crate::weights::not_finite;
use scv_domain::weight_mapping::WeightPair;

/// The numbers of a tensor in row-major order.
///
/// # Errors
/// They are no floating point numbers, or not all finite, or not in the file.
pub(super) fn read(
    tensor: &Tensor<'_>,
    pair: &WeightPair,
    storages: &mut Storages<'_>,
) -> Result<Vec<f32>, Box<WeightError>> {
    let needed = NamedShape::new(&pair.key, &pair.shape);
    let mut stored = |entry: &Entry| match storages.numbers(entry) {
        Ok(Some(numbers)) => Ok(numbers),
        Ok(None) => Err(Box::new(mismatches::other_type(needed.clone(), entry))),
        Err(error) => Err(Box::new(mismatches::unreadable(needed.clone(), entry, &error))),
    };
    let numbers = match tensor.content {
        Content::Plain(entry) => stored(entry)?,
        Content::WeightNorm { length, direction } => {
            let dimension = norm_dimension(&length.shape, &direction.shape).flatten();
            normalised(&stored(length)?, stored(direction)?, &direction.shape, dimension)
        }
    };
    let given = NamedShape::new(&pair.from, tensor.shape);
    match not_finite(given, needed, numbers.iter().copied()) {
        Some(error) => Err(Box::new(error)),
        None => Ok(numbers),
    }
}

/// The direction with the given length at each index of a dimension, or with one length as a whole.
fn normalised(lengths: &[f32], mut direction: Vec<f32>, shape: &[usize], dimension: Option<usize>) -> Vec<f32> {
    let inner: usize = dimension.map_or(direction.len(), |axis| shape[axis + 1..].iter().product());
    let count = lengths.len().max(1);
    let index = |position: usize| position / inner.max(1) % count;
    let mut squares = vec![0.0_f64; count];
    for (position, number) in direction.iter().enumerate() {
        squares[index(position)] += f64::from(*number).powi(2);
    }
    let scales: Vec<f64> = lengths
        .iter()
        .zip(&squares)
        .map(|(length, square)| f64::from(*length) / square.sqrt())
        .collect();
    for (position, number) in direction.iter_mut().enumerate() {
        *number = (f64::from(*number) * scales[index(position)]) as f32;
    }
    direction
}
