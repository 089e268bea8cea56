//! Operators whose output does not depend on an image: constants, and the shapes of values.

use candle_core::{DType, Device, Tensor, WithDType};

use super::lowering::{Lowered, Lowering, product};
use crate::onnx::constant;
use crate::onnx::plan::{Value, first_line};
use crate::onnx::proto::DataType;
use scv_domain::graph::NumberType;

pub(super) fn constant_node(lowering: &mut Lowering<'_>) -> Lowered {
    if let Some(tensor) = lowering.attributes.tensor("value") {
        lowering.set_element_type(0, DataType::try_from(tensor.data_type).ok());
        let taken = lowering.plan.constant_budget.reserve(constant::decoded_bytes(tensor));
        taken.map_err(|error| error.to_string())?;
        return Ok(vec![Value::Constant(constant::tensor_without_nan(tensor)?)]);
    }
    let has = |attribute: &str| lowering.attributes.find(attribute).is_some();
    let tensor = if has("value_float") {
        constant::scalar(lowering.attributes.float("value_float").unwrap_or_default() as f32)
    } else if has("value_int") {
        let number = lowering.attributes.integer("value_int").unwrap_or_default();
        constant::list(vec![number]).and_then(|list| list.reshape(()))
    } else if let Some(numbers) = lowering.attributes.integers("value_ints") {
        constant::list(numbers.to_vec())
    } else if let Some(numbers) = lowering.attributes.floats("value_floats") {
        Tensor::new(numbers, &Device::Cpu)
    } else {
        return Err("a constant of this kind (text or sparse) is not supported".to_owned());
    };
    Ok(vec![Value::Constant(tensor.map_err(|error| first_line(&error))?)])
}

pub(super) fn shape(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let rank = value.dims().len() as i64;
    let bound = |name: &str, default: i64| {
        let given = lowering.attributes.integer(name).unwrap_or(default);
        (if given < 0 { given + rank } else { given }).clamp(0, rank) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    let dims = value.dims()[start..end.max(start)].iter().map(|&dim| dim as i64);
    let list = constant::list(dims.collect()).map_err(|error| first_line(&error))?;
    Ok(vec![Value::Constant(list)])
}

pub(super) fn size(lowering: &mut Lowering<'_>) -> Lowered {
    let count = product(lowering.input(0)?.dims()) as i64;
    let tensor = constant::list(vec![count]).and_then(|list| list.reshape(()));
    Ok(vec![Value::Constant(tensor.map_err(|error| first_line(&error))?)])
}

pub(super) fn constant_of_shape(lowering: &mut Lowering<'_>) -> Lowered {
    let dims = lowering.integers(0)?.ok_or("its shape is missing")?;
    let dims = dims
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| format!("{dim} is not a valid dimension")));
    let dims = dims.collect::<Result<Vec<_>, _>>()?;
    lowering.plan.constant_budget.charge(&dims, 0)?;
    let value = match lowering.attributes.tensor("value") {
        Some(tensor) => constant::tensor(tensor)?,
        None => constant::scalar(0.0).map_err(|error| first_line(&error))?,
    };
    if value.elem_count() != 1 {
        return Err("its value must be a single number".to_owned());
    }
    let one = value.flatten_all().and_then(|value| value.get(0));
    let filled = one
        .and_then(|one| one.broadcast_as(dims))
        .and_then(|filled| filled.contiguous());
    Ok(vec![Value::Constant(filled.map_err(|error| first_line(&error))?)])
}

pub(super) fn range(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.input(0)?.kind() == NumberType::Float {
        let [start, limit, step] =
            [lowering.scalar(0)?, lowering.scalar(1)?, lowering.scalar(2)?].map(|n| n.unwrap_or(0.0));
        let count = ((limit - start) / step).ceil().max(0.0) as usize;
        lowering.plan.constant_budget.charge(&[count], 0)?;
        let numbers: Vec<f32> = (0..count).map(|index| (start + index as f64 * step) as f32).collect();
        let tensor = Tensor::new(numbers.as_slice(), &Device::Cpu);
        return Ok(vec![Value::Constant(tensor.map_err(|error| first_line(&error))?)]);
    }
    let number = |position: usize| -> Result<i64, String> {
        let numbers = lowering.integers(position)?.unwrap_or_default();
        numbers
            .first()
            .copied()
            .ok_or_else(|| format!("input {position} is missing"))
    };
    let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
    let distance = i128::from(limit) - i128::from(start);
    let count = match i128::from(step) {
        0 => return Err("a step of 0 is not possible".to_owned()),
        step if (distance > 0) != (step > 0) => 0,
        step => usize::try_from(distance.unsigned_abs().div_ceil(step.unsigned_abs())).unwrap_or(usize::MAX),
    };
    lowering.plan.constant_budget.charge(&[count], 0)?;
    let numbers = (0..count as i64)
        .map(|index| start.wrapping_add(index.wrapping_mul(step)))
        .collect();
    Ok(vec![Value::Constant(
        constant::list(numbers).map_err(|error| first_line(&error))?,
    )])
}

/// A constant with the numbers at some positions replaced, as exporters write the masks of attention. The positions are the leading
/// indices of numbers or of slices.
pub(super) fn scatter_nd(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering
        .attributes
        .text("reduction")
        .is_some_and(|reduction| reduction != "none")
    {
        return Err("only reduction none is supported".to_owned());
    }
    let (data, updates) = (lowering.constant(0)?, lowering.constant(2)?);
    let indices = lowering.constant(1)?;
    lowering.plan.constant_budget.charge(data.dims(), 0)?;
    if data.dtype() != updates.dtype() {
        return Err("its data and updates have numbers of different types".to_owned());
    }
    let depth = indices.dims().last().copied().filter(|&depth| depth <= data.rank());
    let depth = depth.ok_or("its indices have more dimensions than its data")?;
    let (leading, slice) = data.dims().split_at(depth);
    let length = product(slice);
    let positions = constant::integers(&indices).map_err(|error| first_line(&error))?;
    let starts = positions.chunks_exact(depth.max(1)).map(|index| {
        let place = index.iter().zip(leading).try_fold(0, |place, (&index, &dim)| {
            let index = if index < 0 { index + dim as i64 } else { index };
            let index = usize::try_from(index).ok().filter(|&index| index < dim)?;
            Some(place * dim + index)
        });
        place
            .map(|place| place * length)
            .ok_or("one of its indices is out of range".to_owned())
    });
    let starts = starts.collect::<Result<Vec<_>, _>>()?;
    if starts.len() * length != updates.elem_count() {
        return Err("it does not have an update for each index".to_owned());
    }
    let replaced = match data.dtype() {
        DType::F32 => replaced::<f32>(&data, &updates, &starts, length),
        DType::I64 => replaced::<i64>(&data, &updates, &starts, length),
        _ => replaced::<u8>(&data, &updates, &starts, length),
    };
    Ok(vec![Value::Constant(replaced.map_err(|error| first_line(&error))?)])
}

/// A tensor with slices of some length replaced, from where each starts.
fn replaced<T: WithDType>(
    data: &Tensor,
    updates: &Tensor,
    starts: &[usize],
    length: usize,
) -> candle_core::Result<Tensor> {
    let mut numbers = data.flatten_all()?.to_vec1::<T>()?;
    let updates = updates.flatten_all()?.to_vec1::<T>()?;
    for (start, update) in starts.iter().zip(updates.chunks_exact(length.max(1))) {
        numbers[*start..start + length].copy_from_slice(update);
    }
    Tensor::from_vec(numbers, data.dims(), data.device())
}
