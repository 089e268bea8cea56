//! Operators whose output does not depend on an image: constants, and the shapes of values.

use candle_core::{Device, Tensor};

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
