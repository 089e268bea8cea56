//! Compares the plans for two batch sizes: which dimensions count images, and which constants do not depend on the
//! batch.

use candle_core::Tensor;

use super::types::BATCHES;
use scv_domain::graph::{BatchAxis, Operator, TensorOperator};

/// The dimension that scales with the batch: `Some(None)` if there is none, and `None` if the shapes differ in any
/// other way.
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

/// How many positions of one image are adjacent along the batch dimension of a step's output.
///
/// Reshaping leaves all numbers where they are, so the distance from one image to the next stays the same. All other
/// operators keep the positions of a dimension in order. A wrong result does no harm, because a network is tried out
/// before its images run in one batch.
pub(super) fn inner_stride(
    operator: &Operator,
    dims: &[usize],
    batch: BatchAxis,
    inputs: impl Iterator<Item = (BatchAxis, Vec<usize>)>,
) -> usize {
    let stride = |dims: &[usize], axis: usize| dims.iter().skip(axis + 1).product::<usize>();
    let reshapes = matches!(operator, Operator::Reshape | Operator::Tensor(TensorOperator::Reshape));
    let candidates = inputs.filter_map(|(input, input_dims)| {
        if reshapes {
            let distance = input.inner * stride(&input_dims, input.axis);
            let stride = stride(dims, batch.axis);
            (stride > 0 && distance.is_multiple_of(stride)).then(|| distance / stride)
        } else {
            (input.factor == batch.factor).then_some(input.inner)
        }
    });
    let fits = |inner: &usize| *inner > 0 && batch.factor.is_multiple_of(*inner);
    candidates.filter(fits).min().unwrap_or(batch.factor)
}

/// The constant that serves any batch size: the whole, if it is equal for both, or the slice that is repeated for every
/// image. `None` if there is no such constant.
pub(super) fn batch_invariant_constant(a: &Tensor, b: &Tensor, batch: Option<BatchAxis>) -> Option<Tensor> {
    let Some(BatchAxis { axis, factor: 1, .. }) = batch else {
        let same = batch.is_none() && (a.id() == b.id() || equal(a, b)?);
        return same.then(|| a.clone());
    };
    let slice = a.narrow(axis, 0, 1).ok()?.contiguous().ok()?;
    let repeats_slice = |whole: &Tensor| {
        let repeated = slice.broadcast_as(whole.dims()).ok()?.contiguous().ok()?;
        equal(&repeated, whole)
    };
    (repeats_slice(a)? && repeats_slice(b)?).then_some(slice)
}

fn equal(a: &Tensor, b: &Tensor) -> Option<bool> {
    if a.dims() != b.dims() || a.dtype() != b.dtype() {
        return Some(false);
    }
    let different = a.ne(b).ok()?.flatten_all().ok()?.to_vec1::<u8>().ok()?;
    Some(!different.contains(&1))
}
