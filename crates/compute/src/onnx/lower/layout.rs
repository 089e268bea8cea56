//! Operators that change the shape, order or type of numbers.

use candle_core::{Device, Tensor};

use super::lowering::{Lowered, Lowering, axis, broadcast, product};
use crate::onnx::plan::{Value, first_line};
use crate::onnx::proto::DataType;
use crate::onnx::{constant, limit};
use scv_domain::graph::{NumberType, TensorOperator};

pub(super) fn identity(lowering: &mut Lowering<'_>) -> Lowered {
    lowering.set_element_type(0, lowering.element_type(0));
    Ok(vec![lowering.input(0)?])
}

pub(super) fn reshape(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let target = lowering.list("shape", 1)?.ok_or("its shape is missing")?;
    lowering.set_element_type(0, lowering.element_type(0));
    let keep_zero = lowering.attributes.flag("allowzero", false);
    let dims = target_shape(&value, &target, keep_zero, lowering)?;
    Ok(vec![lowering.reshape(value, dims)?])
}

fn target_shape(value: &Value, target: &[i64], keep_zero: bool, lowering: &Lowering<'_>) -> Result<Vec<usize>, String> {
    let (from, count) = (value.dims(), product(value.dims()));
    let mut dims = Vec::with_capacity(target.len());
    for (axis, &length) in target.iter().enumerate() {
        dims.push(match length {
            0 if !keep_zero => *from.get(axis).ok_or("a 0 in its shape has no dimension to keep")?,
            -1 => 0,
            length => usize::try_from(length).map_err(|_| format!("{length} is not a valid dimension"))?,
        });
    }
    let mismatch = || format!("{from:?} cannot be reshaped to {target:?}");
    if let Some(open) = target.iter().position(|&length| length == -1) {
        let rest = product_without(&dims, open).ok_or_else(mismatch)?;
        // In a file with a fixed batch size, the first dimension scales with the batch.
        if let Some(dims) = for_this_batch(&dims, from, open, lowering) {
            return Ok(dims);
        }
        if rest == 0 || !count.is_multiple_of(rest) {
            return Err(mismatch());
        }
        dims[open] = count / rest;
        return Ok(dims);
    }
    if checked_product(&dims) == Some(count) {
        return Ok(dims);
    }
    let plan = &lowering.plan;
    let Some(fixed) = plan.fixed_batch else {
        return Err(mismatch());
    };
    let first = dims.first_mut().ok_or_else(mismatch)?;
    let scaled = first.checked_mul(plan.batch).ok_or_else(mismatch)?;
    if !scaled.is_multiple_of(fixed) {
        return Err(mismatch());
    }
    *first = scaled / fixed;
    if checked_product(&dims) == Some(count) {
        Ok(dims)
    } else {
        Err(mismatch())
    }
}

fn checked_product(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))
}

fn product_without(dims: &[usize], axis: usize) -> Option<usize> {
    let (before, after) = (checked_product(&dims[..axis])?, checked_product(&dims[axis + 1..])?);
    before.checked_mul(after)
}

/// The shape for the planned batch size, in a file with a fixed one. If a shape begins with the fixed batch size and
/// leaves another dimension open, its first dimension is the batch.
fn for_this_batch(dims: &[usize], from: &[usize], open: usize, lowering: &Lowering<'_>) -> Option<Vec<usize>> {
    let (fixed, batch) = (lowering.plan.fixed_batch?, lowering.plan.batch);
    if open == 0 || dims.first() != Some(&fixed) || from.first() != Some(&batch) {
        return None;
    }
    let mut scaled = dims.to_vec();
    scaled[0] = batch;
    let rest = product_without(&scaled, open)?;
    let count = product(from);
    if rest == 0 || !count.is_multiple_of(rest) {
        return None;
    }
    scaled[open] = count / rest;
    Some(scaled)
}

pub(super) fn flatten(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    let given = lowering.attributes.integer("axis").unwrap_or(1);
    let at = if given == rank as i64 { rank } else { axis(given, rank)? };
    let dims = vec![product(&value.dims()[..at]), product(&value.dims()[at..])];
    Ok(vec![lowering.reshape(value, dims)?])
}

pub(super) fn squeeze(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    lowering.set_element_type(0, lowering.element_type(0));
    let rank = value.dims().len();
    let axes = match lowering.list("axes", 1)? {
        Some(axes) => axes
            .iter()
            .map(|&given| axis(given, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).filter(|&index| value.dims()[index] == 1).collect(),
    };
    if let Some(&index) = axes.iter().find(|&&index| value.dims()[index] != 1) {
        return Err(format!("dimension {index} of {:?} is not 1", value.dims()));
    }
    let dims = value
        .dims()
        .iter()
        .enumerate()
        .filter(|(index, _)| !axes.contains(index));
    let dims = dims.map(|(_, &dim)| dim).collect();
    Ok(vec![lowering.reshape(value, dims)?])
}

pub(super) fn unsqueeze(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    lowering.set_element_type(0, lowering.element_type(0));
    let given = lowering.list("axes", 1)?.ok_or("axes are missing")?;
    let rank = value.dims().len() + given.len();
    if rank > limit::MAX_RANK {
        return Err(format!("a value of {rank} dimensions is not supported"));
    }
    let axes = given
        .iter()
        .map(|&given| axis(given, rank))
        .collect::<Result<Vec<_>, _>>()?;
    let mut left = value.dims().iter();
    let dims = (0..rank).map(|index| {
        if axes.contains(&index) {
            Some(1)
        } else {
            left.next().copied()
        }
    });
    let dims = dims.collect::<Option<Vec<_>>>().ok_or("axes repeat a dimension")?;
    Ok(vec![lowering.reshape(value, dims)?])
}

pub(super) fn transpose(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    let order = match lowering.attributes.integers("perm") {
        Some(given) => given
            .iter()
            .map(|&index| axis(index, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank || (0..rank).any(|index| !order.contains(&index)) {
        return Err(format!("perm {order:?} is not a permutation of {rank} dimensions"));
    }
    Ok(vec![transposed(lowering, value, order)?])
}

pub(super) fn transposed(lowering: &mut Lowering<'_>, value: Value, order: Vec<usize>) -> Result<Value, String> {
    let dims = order.iter().map(|&index| value.dims()[index]).collect();
    lowering.tensor(TensorOperator::Transpose(order), vec![value], dims)
}

pub(super) fn expand(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let target = lowering.integers(1)?.ok_or("its shape is missing")?;
    let target: Vec<usize> = target.iter().map(|&dim| usize::try_from(dim).unwrap_or(1)).collect();
    let dims = broadcast(value.dims(), &target)?;
    if value.dims() == dims {
        return Ok(vec![value]);
    }
    Ok(vec![lowering.tensor(TensorOperator::Expand, vec![value], dims)?])
}

/// Each repeated dimension gets a new one before it, which is expanded and then merged with it.
pub(super) fn tile(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let from = value.dims().to_vec();
    let repeats = lowering.integers(1)?.ok_or("repeats are missing")?;
    if repeats.len() != from.len() {
        return Err(format!(
            "{} repeats are given for {} dimensions",
            repeats.len(),
            from.len()
        ));
    }
    let (mut separate, mut expanded, mut dims) = (Vec::new(), Vec::new(), Vec::new());
    for (&dim, &count) in from.iter().zip(&repeats) {
        let count = limit::check_extent("repeats", count)?;
        if count != 1 {
            separate.push(1);
            expanded.push(count);
        }
        separate.push(dim);
        expanded.push(dim);
        dims.push(dim.saturating_mul(count));
    }
    if dims == from {
        return Ok(vec![value]);
    }
    let value = lowering.reshape(value, separate)?;
    let value = lowering.tensor(TensorOperator::Expand, vec![value], expanded)?;
    Ok(vec![lowering.reshape(value, dims)?])
}

/// Keeps one side of the diagonal of matrices.
pub(super) fn triangle(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let [.., rows, columns] = value.dims()[..] else {
        return Err("its input is not a matrix".to_owned());
    };
    lowering.plan.constant_budget.charge(&[rows, columns], 0)?;
    let diagonal = lowering
        .integers(1)?
        .and_then(|numbers| numbers.first().copied())
        .unwrap_or(0);
    let upper = lowering.attributes.flag("upper", true);
    let offsets = (0..rows as i64).flat_map(|row| (0..columns as i64).map(move |column| column - row));
    let kept = offsets.map(|offset| u8::from(if upper { offset >= diagonal } else { offset <= diagonal }));
    let kept = Tensor::from_vec(kept.collect::<Vec<u8>>(), (rows, columns), &Device::Cpu);
    let zero = match value.kind() {
        NumberType::Float => constant::scalar(0.0),
        NumberType::Integer => Tensor::new(0_i64, &Device::Cpu),
        NumberType::Boolean => return Err("it does not support numbers of this type".to_owned()),
    };
    let [kept, zero] = [kept, zero].map(|constant| constant.map(Value::Constant).map_err(|error| first_line(&error)));
    let (kind, dims) = (value.kind(), value.dims().to_vec());
    Ok(vec![lowering.tensor_of(
        kind,
        TensorOperator::Where,
        vec![kept?, value, zero?],
        dims,
    )?])
}

pub(super) fn depth_to_space(lowering: &mut Lowering<'_>) -> Lowered {
    let (value, [batch, channels, rows, columns], block) = blocks(lowering)?;
    let depth = channels / (block * block);
    if depth * block * block != channels {
        return Err(format!(
            "{channels} channels cannot be divided into blocks of {block}x{block}"
        ));
    }
    let is_depth_first = lowering.attributes.text("mode") == Some("CRD");
    let (shape, order) = if is_depth_first {
        (vec![batch, depth, block, block, rows, columns], vec![0, 1, 4, 2, 5, 3])
    } else {
        (vec![batch, block, block, depth, rows, columns], vec![0, 3, 4, 1, 5, 2])
    };
    let value = lowering.reshape(value, shape)?;
    let value = transposed(lowering, value, order)?;
    Ok(vec![
        lowering.reshape(value, vec![batch, depth, rows * block, columns * block])?,
    ])
}

pub(super) fn space_to_depth(lowering: &mut Lowering<'_>) -> Lowered {
    let (value, [batch, channels, rows, columns], block) = blocks(lowering)?;
    if rows % block != 0 || columns % block != 0 {
        return Err(format!(
            "{rows}x{columns} cannot be divided into blocks of {block}x{block}"
        ));
    }
    let (rows, columns) = (rows / block, columns / block);
    let value = lowering.reshape(value, vec![batch, channels, rows, block, columns, block])?;
    let order = match lowering.attributes.text("mode") {
        Some("CRD") => vec![0, 1, 3, 5, 2, 4],
        _ => vec![0, 3, 5, 1, 2, 4],
    };
    let value = transposed(lowering, value, order)?;
    Ok(vec![lowering.reshape(
        value,
        vec![batch, channels * block * block, rows, columns],
    )?])
}

fn blocks(lowering: &Lowering<'_>) -> Result<(Value, [usize; 4], usize), String> {
    let value = lowering.input(0)?;
    let dims = <[usize; 4]>::try_from(value.dims()).map_err(|_| "its input is not an image".to_owned())?;
    match limit::check_extent("blocksize", lowering.attributes.integer("blocksize").unwrap_or(0))? {
        0 => Err("blocksize must be positive".to_owned()),
        block => Ok((value, dims, block)),
    }
}

pub(super) fn cast(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let wanted = lowering.attributes.integer("to").unwrap_or(0);
    let kind = match wanted {
        1 | 10 | 11 | 16 => NumberType::Float,
        2..=7 | 12 | 13 => NumberType::Integer,
        9 => NumberType::Boolean,
        other => return Err(format!("type {other} is not supported")),
    };
    lowering.set_element_type(
        0,
        i32::try_from(wanted)
            .ok()
            .and_then(|wanted| DataType::try_from(wanted).ok()),
    );
    Ok(vec![as_kind(lowering, value, kind)?])
}

/// Converts numbers to the type of another value.
pub(super) fn cast_like(lowering: &mut Lowering<'_>) -> Lowered {
    let (value, kind) = (lowering.input(0)?, lowering.input(1)?.kind());
    Ok(vec![as_kind(lowering, value, kind)?])
}

/// The numbers of a value as those of another type.
pub(super) fn as_kind(lowering: &mut Lowering<'_>, value: Value, kind: NumberType) -> Result<Value, String> {
    if value.kind() == kind {
        return Ok(value);
    }
    let dims = value.dims().to_vec();
    lowering.tensor_of(kind, TensorOperator::Cast(kind), vec![value], dims)
}
