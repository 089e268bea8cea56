//! Decodes the sparse tensors of a file.

use candle_core::{DType, Device, Tensor};

use super::constant;
use super::limit::ConstantBudget;
use super::proto::SparseTensorProto;

/// Decodes a sparse tensor into a whole one, as [`constant::tensor`] does. `budget` bounds its size.
///
/// # Errors
/// It is too large, or its positions do not fit its shape.
pub(super) fn tensor(proto: &SparseTensorProto, budget: &mut ConstantBudget) -> Result<Tensor, String> {
    let (Some(values), Some(indices)) = (&proto.values, &proto.indices) else {
        return Err("a sparse tensor has no values or no indices: the file is damaged".to_owned());
    };
    let invalid = |what: &str| format!("sparse tensor {:?} {what}: the file is damaged", values.name);
    let dims = proto.dims.iter().map(|&dim| usize::try_from(dim));
    let dims: Vec<usize> = dims
        .collect::<Result<_, _>>()
        .map_err(|_| invalid("has a negative dimension"))?;
    budget.charge(&dims, 0)?;
    let length = dims.iter().product::<usize>();
    let numbers = constant::tensor_without_nan(values)?;
    let positions = positions(&constant::tensor(indices)?, &dims)
        .ok_or_else(|| invalid("has indices that are not of its shape"))?;
    let mut sorted = positions.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != numbers.elem_count() || positions.len() != sorted.len() {
        return Err(invalid("does not have one place for each number"));
    }
    if sorted.last().is_some_and(|&last| last >= length) {
        return Err(invalid("has an index out of range"));
    }
    let filled = match numbers.dtype() {
        DType::F32 => filled::<f32>(&numbers, &positions, length),
        DType::I64 => filled::<i64>(&numbers, &positions, length),
        _ => filled::<u8>(&numbers, &positions, length),
    };
    filled
        .and_then(|filled| filled.reshape(dims))
        .map_err(|error| error.to_string())
}

/// The position of each number in the whole tensor, in row-major order.
fn positions(indices: &Tensor, dims: &[usize]) -> Option<Vec<usize>> {
    let numbers = constant::integers(indices).ok()?;
    let numbers: Vec<usize> = numbers
        .into_iter()
        .map(usize::try_from)
        .collect::<Result<_, _>>()
        .ok()?;
    match *indices.dims() {
        [_] => Some(numbers),
        [_, rank] if rank == dims.len() && rank > 0 => {
            let place = |index: &[usize]| {
                let mut pairs = index.iter().zip(dims);
                pairs.try_fold(0, |place, (&index, &dim)| (index < dim).then_some(place * dim + index))
            };
            numbers.chunks_exact(rank).map(place).collect()
        }
        _ => None,
    }
}

fn filled<T: candle_core::WithDType + Default>(
    numbers: &Tensor,
    positions: &[usize],
    length: usize,
) -> candle_core::Result<Tensor> {
    let mut whole = vec![T::default(); length];
    for (&position, number) in positions.iter().zip(numbers.flatten_all()?.to_vec1::<T>()?) {
        whole[position] = number;
    }
    Tensor::from_vec(whole, length, &Device::Cpu)
}
