//! What differs between the plans for two batch sizes.

use candle_core::Tensor;

use super::import::BATCHES;
use scv_domain::graph::{BatchAxis, Operator, TensorOperator};

/// The dimension that scales with the batch: `None` if shapes cannot be told apart that way, `Some(None)` if none does.
pub(super) fn batch_axis(two: &[usize], three: &[usize]) -> Option<Option<BatchAxis>> {
    if two.len() != three.len() {
        return None;
    }
    let mut found = None;
    for (axis, (&a, &b)) in two.iter().zip(three).enumerate() {
        if a == b {
            continue;
        }
        let factor = a / BATCHES[0];
        if found.is_some() || a != factor * BATCHES[0] || b != factor * BATCHES[1] {
            return None;
        }
        found = Some(BatchAxis {
            axis,
            factor,
            inner: factor,
        });
    }
    Some(found)
}

/// How many places of one image stand next to each other along `batch`, in what a step makes of its inputs.
///
/// Reshaping leaves all numbers where they are, so the way from an image to the next stays as long; everything else keeps
/// the places of a dimension in order. A wrong answer cannot do harm: a network is tried before its images run together.
pub(super) fn inner(
    operator: &Operator,
    dims: &[usize],
    batch: BatchAxis,
    inputs: impl Iterator<Item = (BatchAxis, Vec<usize>)>,
) -> usize {
    let behind = |dims: &[usize], axis: usize| dims.iter().skip(axis + 1).product::<usize>();
    let reshapes = matches!(operator, Operator::Reshape | Operator::Tensor(TensorOperator::Reshape));
    let found = inputs.filter_map(|(input, input_dims)| match reshapes {
        true => {
            let step = input.inner * behind(&input_dims, input.axis);
            let behind = behind(dims, batch.axis);
            (behind > 0 && step.is_multiple_of(behind)).then(|| step / behind)
        }
        false => (input.factor == batch.factor).then_some(input.inner),
    });
    let fits = |inner: &usize| *inner > 0 && batch.factor.is_multiple_of(*inner);
    found.filter(fits).min().unwrap_or(batch.factor)
}

/// The constant to keep: the same for both batch sizes, or one slice repeated for every image.
pub(super) fn for_any_batch(a: &Tensor, b: &Tensor, batch: Option<BatchAxis>) -> Option<Tensor> {
    let Some(BatchAxis { axis, factor: 1, .. }) = batch else {
        let same = batch.is_none() && (a.id() == b.id() || equal(a, b)?);
        return same.then(|| a.clone());
    };
    let slice = a.narrow(axis, 0, 1).ok()?.contiguous().ok()?;
    let repeated = |whole: &Tensor| {
        let spread = slice.broadcast_as(whole.dims()).ok()?.contiguous().ok()?;
        equal(&spread, whole)
    };
    (repeated(a)? && repeated(b)?).then_some(slice)
}

fn equal(a: &Tensor, b: &Tensor) -> Option<bool> {
    if a.dims() != b.dims() || a.dtype() != b.dtype() {
        return Some(false);
    }
    let different = a.ne(b).ok()?.flatten_all().ok()?.to_vec1::<u8>().ok()?;
    Some(!different.contains(&1))
}
