//! Operators that select parts of values or join values.

use super::lowering::{Lowered, Lowering, axis, broadcast};
use crate::onnx::constant;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{NumberType, PadMode, TensorOperator};

pub(super) fn concat(lowering: &mut Lowering<'_>) -> Lowered {
    let inputs: Vec<Value> = lowering.inputs.iter().flatten().cloned().collect();
    let first = inputs.first().ok_or("it has no inputs")?;
    let along = axis(lowering.attributes.integer("axis").unwrap_or(1), first.dims().len())?;
    let mut dims = first.dims().to_vec();
    for input in &inputs[1..] {
        if input.kind() != first.kind() {
            return Err("its inputs have numbers of different types".to_owned());
        }
        if input.dims().len() != dims.len() {
            return Err(format!(
                "{:?} and {:?} cannot be concatenated",
                first.dims(),
                input.dims()
            ));
        }
        for (index, dim) in dims.iter_mut().enumerate() {
            let other = input.dims()[index];
            *dim = match (index == along, *dim, other) {
                (true, dim, other) => dim + other,
                (false, dim, other) if dim == other => dim,
                // In a file with a fixed batch size of 1, a constant may have it as a dimension: it serves every image.
                (false, 1, other) | (false, other, 1) if index == 0 && lowering.plan.fixed_batch == Some(1) => other,
                _ => {
                    return Err(format!(
                        "{:?} and {:?} cannot be concatenated",
                        first.dims(),
                        input.dims()
                    ));
                }
            };
        }
    }
    if inputs.len() == 1 {
        return Ok(inputs);
    }
    Ok(vec![lowering.tensor(TensorOperator::Concat(along), inputs, dims)?])
}

/// Joins values that differ only in the length of one dimension.
pub(super) fn concatenated(lowering: &mut Lowering<'_>, parts: Vec<Value>, along: usize) -> Result<Value, String> {
    let mut dims = parts.first().map_or(Vec::new(), |part| part.dims().to_vec());
    dims[along] = parts.iter().map(|part| part.dims()[along]).sum();
    lowering.tensor(TensorOperator::Concat(along), parts, dims)
}

pub(super) fn split(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let along = axis(lowering.attributes.integer("axis").unwrap_or(0), value.dims().len())?;
    let length = value.dims()[along];
    let count = lowering.node().output.len();
    let parts: Vec<usize> = match lowering.list("split", 1)? {
        Some(given) => given
            .iter()
            .map(|&part| usize::try_from(part).unwrap_or(0).min(length + 1))
            .collect(),
        None => {
            let part = length.div_ceil(count.max(1));
            (0..count)
                .map(|index| part.min(length.saturating_sub(index * part)))
                .collect()
        }
    };
    if parts.iter().sum::<usize>() != length || parts.len() != count {
        return Err(format!(
            "a dimension of length {length} cannot be split into {parts:?} for {count} outputs"
        ));
    }
    let mut start = 0;
    let mut outputs = Vec::with_capacity(count);
    for part in parts {
        outputs.push(slice_along(lowering, value.clone(), along, start, part)?);
        start += part;
    }
    Ok(outputs)
}

/// Numbers `start` to `start + length` of a dimension.
pub(super) fn slice_along(
    lowering: &mut Lowering<'_>,
    value: Value,
    along: usize,
    start: usize,
    length: usize,
) -> Result<Value, String> {
    let rank = value.dims().len();
    let (mut starts, mut dims) = (vec![0; rank], value.dims().to_vec());
    starts[along] = start;
    dims[along] = length;
    lowering.tensor(
        TensorOperator::Slice {
            starts,
            steps: vec![1; rank],
        },
        vec![value],
        dims,
    )
}

/// The bounds are attributes up to operator set 9, and inputs afterwards.
pub(super) fn slice(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    let from = lowering.list("starts", 1)?.ok_or("starts are missing")?;
    let to = lowering.list("ends", 2)?.ok_or("ends are missing")?;
    let axes = lowering
        .list("axes", 3)?
        .unwrap_or_else(|| (0..from.len() as i64).collect());
    let by = lowering.integers(4)?.unwrap_or_else(|| vec![1; from.len()]);
    if [to.len(), axes.len(), by.len()]
        .iter()
        .any(|&length| length != from.len())
    {
        return Err("starts, ends, axes and steps differ in length".to_owned());
    }
    let (mut starts, mut steps, mut dims) = (vec![0; rank], vec![1; rank], value.dims().to_vec());
    for (((&from, &to), &given), &step) in from.iter().zip(&to).zip(&axes).zip(&by) {
        let index = axis(given, rank)?;
        let length = value.dims()[index] as i64;
        if length == 0 {
            return Err("it slices an empty dimension".to_owned());
        }
        // Any step that is longer than the dimension has the same effect.
        let step = step.clamp(-length - 1, length + 1);
        let resolve = |bound: i64, min: i64, max: i64| {
            (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(min, max)
        };
        let (start, count) = match step {
            0 => return Err("a step of 0 is not possible".to_owned()),
            1.. => {
                let (start, end) = (resolve(from, 0, length), resolve(to, 0, length));
                (start, (end - start + step - 1).max(0) / step)
            }
            _ => {
                let (start, end) = (resolve(from, 0, length - 1), resolve(to, -1, length - 1));
                (start, (start - end - step - 1).max(0) / -step)
            }
        };
        (starts[index], steps[index], dims[index]) = (start as usize, step, count as usize);
    }
    if dims == value.dims() && steps.iter().all(|&step| step == 1) {
        return Ok(vec![value]);
    }
    Ok(vec![lowering.tensor(
        TensorOperator::Slice { starts, steps },
        vec![value],
        dims,
    )?])
}

pub(super) fn gather(lowering: &mut Lowering<'_>) -> Lowered {
    let rank = lowering.input(0)?.dims().len();
    let along = axis(lowering.attributes.integer("axis").unwrap_or(0), rank)?;
    gathered(lowering, along)
}

/// Numbers of the first input at the indices of the second.
pub(super) fn gathered(lowering: &mut Lowering<'_>, along: usize) -> Lowered {
    let value = lowering.input(0)?;
    let given = lowering.constant(1)?;
    let length = value.dims()[along] as i64;
    let numbers = constant::integers(&given).map_err(|error| first_line(&error))?;
    let indices = numbers.iter().map(|&index| {
        let resolved = if index < 0 { index + length } else { index };
        let found = u32::try_from(resolved).ok().filter(|_| resolved < length);
        found.ok_or_else(|| format!("index {index} is out of range for a dimension of length {length}"))
    });
    let indices = indices.collect::<Result<Vec<_>, _>>()?;
    let dims = [&value.dims()[..along], given.dims(), &value.dims()[along + 1..]].concat();
    Ok(vec![lowering.tensor(
        TensorOperator::Gather { axis: along, indices },
        vec![value],
        dims,
    )?])
}

pub(super) fn where_op(lowering: &mut Lowering<'_>) -> Lowered {
    let inputs = vec![lowering.input(0)?, lowering.input(1)?, lowering.input(2)?];
    let dims = broadcast(inputs[0].dims(), inputs[1].dims())?;
    let dims = broadcast(&dims, inputs[2].dims())?;
    let kind = inputs[1].kind();
    if inputs[2].kind() != kind || inputs[0].kind() != NumberType::Boolean {
        return Err("it needs a boolean condition and two values of one type".to_owned());
    }
    Ok(vec![lowering.tensor_of(kind, TensorOperator::Where, inputs, dims)?])
}

/// Continues a value at each end with its other end.
fn wrapped(lowering: &mut Lowering<'_>, mut value: Value, pads: &[i64]) -> Lowered {
    let rank = value.dims().len();
    for (index, along) in pad_axes(lowering, rank)?.into_iter().enumerate() {
        let length = value.dims()[along];
        let count = |at: usize| -> Result<usize, String> {
            let given = pads.get(at).copied().unwrap_or(0);
            let count = usize::try_from(given).ok().filter(|&count| count <= length);
            count.ok_or_else(|| format!("a dimension of length {length} cannot be continued by {given}"))
        };
        let (before, after) = (count(index)?, count(pads.len() / 2 + index)?);
        let mut parts = vec![value.clone()];
        if before > 0 {
            parts.insert(0, slice_along(lowering, value.clone(), along, length - before, before)?);
        }
        if after > 0 {
            parts.push(slice_along(lowering, value.clone(), along, 0, after)?);
        }
        if parts.len() > 1 {
            value = concatenated(lowering, parts, along)?;
        }
    }
    Ok(vec![value])
}

fn pad_axes(lowering: &Lowering<'_>, rank: usize) -> Result<Vec<usize>, String> {
    match lowering.integers(3)? {
        Some(axes) => axes.iter().map(|&given| axis(given, rank)).collect(),
        None => Ok((0..rank).collect()),
    }
}

/// More positions than any value has.
const FAR: i64 = 1 << 40;

/// The pads are an attribute up to operator set 10, and an input afterwards.
pub(super) fn pad(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    let pads = lowering.list("pads", 1)?.ok_or("pads are missing")?;
    let mode = match lowering.attributes.text("mode").unwrap_or("constant") {
        "constant" => PadMode::Constant(match lowering.attributes.float("value") {
            Some(given) => given,
            None => lowering.scalar(2)?.unwrap_or(0.0),
        }),
        "reflect" => PadMode::Reflection,
        "edge" => PadMode::Replication,
        "wrap" => return wrapped(lowering, value, &pads),
        other => return Err(format!("mode {other:?} is not supported")),
    };
    let axes = pad_axes(lowering, rank)?;
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads are given for {} dimensions", pads.len(), axes.len()));
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (index, &along) in axes.iter().enumerate() {
        (before[along], after[along]) = (pads[index], pads[axes.len() + index]);
    }
    let mut dims = Vec::with_capacity(rank);
    for index in 0..rank {
        let length = value.dims()[index] as i64;
        let (front, back) = (before[index].clamp(-FAR, FAR), after[index].clamp(-FAR, FAR));
        if length + front.min(0) + back.min(0) <= 0 {
            return Err("pads remove the whole value".to_owned());
        }
        if mode == PadMode::Reflection && (front >= length || back >= length) {
            return Err(format!(
                "reflection padding by {front} and {back} needs a dimension longer than {length}"
            ));
        }
        dims.push((length + front + back) as usize);
    }
    if dims == value.dims() && before.iter().all(|&count| count == 0) {
        return Ok(vec![value]);
    }
    Ok(vec![lowering.tensor(
        TensorOperator::Pad { mode, before, after },
        vec![value],
        dims,
    )?])
}
