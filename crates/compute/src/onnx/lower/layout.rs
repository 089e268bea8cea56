//! Operators that give numbers another shape, order or type.

use candle_core::{Device, Tensor};

use super::{Lowered, Lowering, axis, broadcast, product};
use crate::onnx::plan::{Value, first_line};
use crate::onnx::{constant, limit};
use scv_domain::graph::{NumberType, TensorOperator};

pub(super) fn identity(lowering: &mut Lowering<'_>) -> Lowered {
    Ok(vec![lowering.input(0)?])
}

pub(super) fn reshape(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let target = lowering.list("shape", 1)?.ok_or("its shape is missing")?;
    let keep_zero = lowering.attributes.flag("allowzero", false);
    let dims = target_shape(&value, &target, keep_zero, lowering)?;
    Ok(vec![lowering.reshape(value, dims)?])
}

fn target_shape(value: &Value, target: &[i64], keep_zero: bool, lowering: &Lowering<'_>) -> Result<Vec<usize>, String> {
    let (from, count) = (value.dims(), product(value.dims()));
    let mut dims = Vec::with_capacity(target.len());
    for (place, &wanted) in target.iter().enumerate() {
        dims.push(match wanted {
            0 if !keep_zero => *from.get(place).ok_or("a 0 in its shape has no dimension to keep")?,
            -1 => 0,
            wanted => usize::try_from(wanted).map_err(|_| format!("{wanted} is no dimension"))?,
        });
    }
    let misfit = || format!("{from:?} cannot be given the shape {target:?}");
    if let Some(open) = target.iter().position(|&wanted| wanted == -1) {
        let rest = product_without(&dims, open).ok_or_else(misfit)?;
        // A batch that is written into the file: what is left over belongs to its dimension.
        if let Some(dims) = for_this_batch(&dims, from, open, lowering) {
            return Ok(dims);
        }
        if rest == 0 || !count.is_multiple_of(rest) {
            return Err(misfit());
        }
        dims[open] = count / rest;
        return Ok(dims);
    }
    if checked_product(&dims) == Some(count) {
        return Ok(dims);
    }
    let plan = &lowering.plan;
    let Some(fixed) = plan.fixed_batch else {
        return Err(misfit());
    };
    let first = dims.first_mut().ok_or_else(misfit)?;
    let scaled = first.checked_mul(plan.batch).ok_or_else(misfit)?;
    if !scaled.is_multiple_of(fixed) {
        return Err(misfit());
    }
    *first = scaled / fixed;
    match checked_product(&dims) == Some(count) {
        true => Ok(dims),
        false => Err(misfit()),
    }
}

fn checked_product(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))
}

fn product_without(dims: &[usize], left_out: usize) -> Option<usize> {
    let (before, after) = (
        checked_product(&dims[..left_out])?,
        checked_product(&dims[left_out + 1..])?,
    );
    before.checked_mul(after)
}

/// In a file of a fixed batch size, a shape that begins with that size and leaves another dimension open means the batch
/// by its first dimension.
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
    let rank = value.dims().len();
    let axes = match lowering.list("axes", 1)? {
        Some(axes) => axes
            .iter()
            .map(|&given| axis(given, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).filter(|&place| value.dims()[place] == 1).collect(),
    };
    if let Some(&place) = axes.iter().find(|&&place| value.dims()[place] != 1) {
        return Err(format!("dimension {place} of {:?} is not 1", value.dims()));
    }
    let dims = value
        .dims()
        .iter()
        .enumerate()
        .filter(|(place, _)| !axes.contains(place));
    let dims = dims.map(|(_, &dim)| dim).collect();
    Ok(vec![lowering.reshape(value, dims)?])
}

pub(super) fn unsqueeze(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
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
    let dims = (0..rank).map(|place| match axes.contains(&place) {
        true => Some(1),
        false => left.next().copied(),
    });
    let dims = dims.collect::<Option<Vec<_>>>().ok_or("axes name a dimension twice")?;
    Ok(vec![lowering.reshape(value, dims)?])
}

pub(super) fn transpose(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    let order = match lowering.attributes.integers("perm") {
        Some(given) => given
            .iter()
            .map(|&place| axis(place, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank || (0..rank).any(|place| !order.contains(&place)) {
        return Err(format!("perm {order:?} is no order of {rank} dimensions"));
    }
    Ok(vec![transposed(lowering, value, order)?])
}

pub(super) fn transposed(lowering: &mut Lowering<'_>, value: Value, order: Vec<usize>) -> Result<Value, String> {
    let dims = order.iter().map(|&place| value.dims()[place]).collect();
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

/// Every dimension gets one in front of it that is repeated and then merged into it.
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
    let (mut apart, mut spread, mut dims) = (Vec::new(), Vec::new(), Vec::new());
    for (&dim, &count) in from.iter().zip(&repeats) {
        let count = limit::places("repeats", count)?;
        if count != 1 {
            apart.push(1);
            spread.push(count);
        }
        apart.push(dim);
        spread.push(dim);
        dims.push(dim.saturating_mul(count));
    }
    if dims == from {
        return Ok(vec![value]);
    }
    let value = lowering.reshape(value, apart)?;
    let value = lowering.tensor(TensorOperator::Expand, vec![value], spread)?;
    Ok(vec![lowering.reshape(value, dims)?])
}

/// Keeps one side of the diagonal of matrices.
pub(super) fn triangle(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let [.., rows, columns] = value.dims()[..] else {
        return Err("its input is no matrix".to_owned());
    };
    lowering.plan.spent.constant(&[rows, columns], 0)?;
    let diagonal = lowering
        .integers(1)?
        .and_then(|numbers| numbers.first().copied())
        .unwrap_or(0);
    let upper = lowering.attributes.flag("upper", true);
    let places = (0..rows as i64).flat_map(|row| (0..columns as i64).map(move |column| column - row));
    let kept = places.map(|place| u8::from(if upper { place >= diagonal } else { place <= diagonal }));
    let kept = Tensor::from_vec(kept.collect::<Vec<u8>>(), (rows, columns), &Device::Cpu);
    let zero = match value.kind() {
        NumberType::Float => constant::scalar(0.0),
        NumberType::Integer => Tensor::new(0_i64, &Device::Cpu),
        NumberType::Truth => return Err("it does not compute with numbers of this type".to_owned()),
    };
    let [kept, zero] = [kept, zero].map(|made| made.map(Value::Constant).map_err(|error| first_line(&error)));
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
            "{channels} channels do not divide into blocks of {block}x{block}"
        ));
    }
    let by_column = lowering.attributes.text("mode") == Some("CRD");
    let (shape, order) = match by_column {
        true => (vec![batch, depth, block, block, rows, columns], vec![0, 1, 4, 2, 5, 3]),
        false => (vec![batch, block, block, depth, rows, columns], vec![0, 3, 4, 1, 5, 2]),
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
            "{rows}x{columns} does not divide into blocks of {block}x{block}"
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
    let dims = <[usize; 4]>::try_from(value.dims()).map_err(|_| "its input is no image".to_owned())?;
    match limit::places("blocksize", lowering.attributes.integer("blocksize").unwrap_or(0))? {
        0 => Err("blocksize must be above zero".to_owned()),
        block => Ok((value, dims, block)),
    }
}

pub(super) fn cast(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let wanted = lowering.attributes.integer("to").unwrap_or(0);
    let kind = match wanted {
        1 | 10 | 11 | 16 => NumberType::Float,
        2..=7 | 12 | 13 => NumberType::Integer,
        9 => NumberType::Truth,
        other => return Err(format!("type {other} is not supported")),
    };
    as_kind(lowering, value, kind)
}

/// Numbers of the type of another value.
pub(super) fn cast_like(lowering: &mut Lowering<'_>) -> Lowered {
    let (value, kind) = (lowering.input(0)?, lowering.input(1)?.kind());
    as_kind(lowering, value, kind)
}

fn as_kind(lowering: &mut Lowering<'_>, value: Value, kind: NumberType) -> Lowered {
    if value.kind() == kind {
        return Ok(vec![value]);
    }
    let dims = value.dims().to_vec();
    Ok(vec![lowering.tensor_of(
        kind,
        TensorOperator::Cast(kind),
        vec![value],
        dims,
    )?])
}
