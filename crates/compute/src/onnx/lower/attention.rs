//! Attention and rotary embedding.

use candle_core::{Device, Tensor};

use super::arithmetic::{activated, pair};
use super::layout::transposed;
use super::lowering::{Lowered, Lowering, broadcast, first, number};
use super::matrix;
use super::select::{concatenated, gathered, slice_along};
use crate::onnx::plan::{Value, first_line};
use crate::onnx::{constant, limit};
use scv_domain::graph::{Activation, BinaryFunction, NumberType, PadMode, TensorOperator};

/// Each output: the result, the keys and values, and the scores.
pub(super) fn attention(lowering: &mut Lowering<'_>) -> Lowered {
    if (4..7).any(|position| lowering.optional(position).is_some()) {
        return Err("keys and values of earlier positions are for text, and are not supported".to_owned());
    }
    let merged = lowering.input(0)?.dims().len() == 3;
    let q = heads(lowering, 0, "q_num_heads")?;
    let k = heads(lowering, 1, "kv_num_heads")?;
    let v = heads(lowering, 2, "kv_num_heads")?;
    let ([batch, queries, rows, width], [_, keys, columns, other]) = (four(&q)?, four(&k)?);
    if other != width || keys == 0 || queries % keys != 0 || four(&v)?[1..3] != [keys, columns] {
        return Err(format!(
            "queries {:?}, keys {:?} and values {:?} do not match",
            q.dims(),
            k.dims(),
            v.dims()
        ));
    }
    let given = lowering.attributes.float("scale").filter(|&scale| scale != 0.0);
    let scale = number(given.unwrap_or(1.0 / (width as f64).sqrt()).sqrt() as f32)?;
    let scaled_q = pair(lowering, BinaryFunction::Mul, q, scale.clone())?;
    let scaled_k = pair(lowering, BinaryFunction::Mul, k.clone(), scale)?;
    let scaled_k = repeated(lowering, scaled_k, queries)?;
    let turned = transposed(lowering, scaled_k, vec![0, 1, 3, 2])?;
    let raw = times(lowering, scaled_q, turned)?;
    let capped = soft_capped(lowering, raw.clone())?;
    let bias = bias(lowering, [rows, columns])?;
    let scores = match bias.clone() {
        Some(bias) => pair(lowering, BinaryFunction::Add, capped.clone(), bias)?,
        None => capped.clone(),
    };
    let axes = vec![3];
    let dims = scores.dims().to_vec();
    let softmax = TensorOperator::Softmax { axes, log: false };
    let shares = lowering.tensor(softmax, vec![scores.clone()], dims)?;
    let shares = without_blind_rows(lowering, shares, bias.as_ref())?;
    let values = repeated(lowering, v.clone(), queries)?;
    let mut y = times(lowering, shares.clone(), values)?;
    if merged {
        let width = y.dims()[3];
        let value = transposed(lowering, y, vec![0, 2, 1, 3])?;
        y = lowering.reshape(value, vec![batch, rows, queries * width])?;
    }
    let shown = match lowering.attributes.integer("qk_matmul_output_mode").unwrap_or(0) {
        0 => raw,
        1 => capped,
        2 => scores,
        _ => shares,
    };
    Ok(vec![y, k, v, shown])
}

/// An input as `[batch, heads, positions, width]`.
fn heads(lowering: &mut Lowering<'_>, position: usize, count: &str) -> Result<Value, String> {
    let value = lowering.input(position)?;
    let &[batch, rows, width] = value.dims() else {
        return Ok(value);
    };
    let heads = limit::check_extent(count, lowering.attributes.integer(count).unwrap_or(0))?;
    if heads == 0 || width % heads != 0 {
        return Err(format!(
            "{width} features cannot be divided among {heads} heads ({count})"
        ));
    }
    let value = lowering.reshape(value, vec![batch, rows, heads, width / heads])?;
    transposed(lowering, value, vec![0, 2, 1, 3])
}

fn four(value: &Value) -> Result<[usize; 4], String> {
    <[usize; 4]>::try_from(value.dims()).map_err(|_| format!("{:?} is not a batch of heads", value.dims()))
}

/// Repeats heads so that there are `count`; those that are the same follow each other.
fn repeated(lowering: &mut Lowering<'_>, value: Value, count: usize) -> Result<Value, String> {
    let [batch, heads, rows, width] = four(&value)?;
    if heads == count {
        return Ok(value);
    }
    let indices = (0..count).map(|head| (head * heads / count) as u32).collect();
    let gather = TensorOperator::Gather { axis: 1, indices };
    lowering.tensor(gather, vec![value], vec![batch, count, rows, width])
}

fn times(lowering: &mut Lowering<'_>, a: Value, b: Value) -> Result<Value, String> {
    first(lowering.with_inputs(vec![Some(a), Some(b)], matrix::matmul)?)
}

fn soft_capped(lowering: &mut Lowering<'_>, scores: Value) -> Result<Value, String> {
    let cap = lowering.attributes.float("softcap").unwrap_or(0.0) as f32;
    if cap <= 0.0 {
        return Ok(scores);
    }
    let shares = pair(lowering, BinaryFunction::Div, scores, number(cap)?)?;
    let bounded = activated(lowering, shares, Activation::Tanh)?;
    pair(lowering, BinaryFunction::Mul, bounded, number(cap)?)
}

/// What is added to the scores: minus infinity where a position may not be seen.
fn bias(lowering: &mut Lowering<'_>, [rows, columns]: [usize; 2]) -> Result<Option<Value>, String> {
    let given = lowering.optional(3).cloned();
    let given = given.map(|mask| additive(lowering, mask, columns)).transpose()?;
    let side = |name: &str| lowering.attributes.integer(name).filter(|&size| size >= 0);
    let (behind, ahead) = (side("left_window_size"), side("right_window_size"));
    let causal = lowering.attributes.flag("is_causal", false);
    if !causal && behind.is_none() && ahead.is_none() {
        return Ok(given);
    }
    lowering.plan.constant_budget.charge(&[rows, columns], 0)?;
    let ahead = if causal { Some(0) } else { ahead };
    let is_seen = |row: i64, column: i64| {
        behind.is_none_or(|behind| row - column <= behind) && ahead.is_none_or(|ahead| column - row <= ahead)
    };
    let places = (0..rows as i64).flat_map(|row| (0..columns as i64).map(move |column| (row, column)));
    let numbers = places.map(|(row, column)| if is_seen(row, column) { 0.0 } else { f32::NEG_INFINITY });
    let window = Tensor::from_vec(numbers.collect::<Vec<f32>>(), (rows, columns), &Device::Cpu);
    let window = Value::Constant(window.map_err(|error| first_line(&error))?);
    match given {
        Some(given) => pair(lowering, BinaryFunction::Add, given, window).map(Some),
        None => Ok(Some(window)),
    }
}

/// A mask as numbers to add. Positions that it leaves out are not seen.
fn additive(lowering: &mut Lowering<'_>, mask: Value, columns: usize) -> Result<Value, String> {
    let dims = mask.dims().to_vec();
    let mask = match mask.kind() {
        NumberType::Boolean => {
            let inputs = vec![mask, number(0.0)?, number(f32::NEG_INFINITY)?];
            lowering.tensor_of(NumberType::Float, TensorOperator::Where, inputs, dims.clone())?
        }
        _ => mask,
    };
    let last = *dims.last().ok_or("its mask has no dimensions")?;
    if last == 1 || last >= columns {
        return Ok(mask);
    }
    let mut after = vec![0; dims.len()];
    after[dims.len() - 1] = (columns - last) as i64;
    let pad = TensorOperator::Pad {
        mode: PadMode::Constant(f64::NEG_INFINITY),
        before: vec![0; dims.len()],
        after,
    };
    lowering.tensor(pad, vec![mask], [&dims[..dims.len() - 1], &[columns]].concat())
}

/// A position that sees none has no shares: the softmax of nothing is not a number.
fn without_blind_rows(lowering: &mut Lowering<'_>, shares: Value, bias: Option<&Value>) -> Result<Value, String> {
    let Some(bias) = bias.and_then(Value::constant) else {
        return Ok(shares);
    };
    let numbers = constant::floats(bias).map_err(|error| first_line(&error))?;
    let columns = bias.dims().last().copied().unwrap_or(1).max(1);
    let is_blind = |row: &[f32]| row.iter().all(|&number| number == f32::NEG_INFINITY);
    let blind: Vec<u8> = numbers.chunks(columns).map(|row| u8::from(is_blind(row))).collect();
    if !blind.contains(&1) {
        return Ok(shares);
    }
    let mut dims = bias.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = 1;
    }
    let blind = Tensor::from_vec(blind, dims, &Device::Cpu).map_err(|error| first_line(&error))?;
    let shape = broadcast(shares.dims(), blind.dims())?;
    let inputs = vec![Value::Constant(blind), number(0.0)?, shares];
    lowering.tensor_of(NumberType::Float, TensorOperator::Where, inputs, shape)
}

/// Turns pairs of features by angles that depend on the position.
pub(super) fn rotary_embedding(lowering: &mut Lowering<'_>) -> Lowered {
    let given = lowering.input(0)?;
    let from = given.dims().to_vec();
    // `[batch, heads, positions, width]`
    let x = match from.len() {
        3 => heads(lowering, 0, "num_heads")?,
        _ => given,
    };
    let [batch, count, rows, width] = four(&x)?;
    let turned = limit::check_extent(
        "rotary_embedding_dim",
        lowering.attributes.integer("rotary_embedding_dim").unwrap_or(0),
    )?;
    let turned = if turned == 0 { width } else { turned };
    let half = turned / 2;
    if turned > width || turned % 2 != 0 || half == 0 {
        return Err(format!("{turned} of {width} features cannot be turned in pairs"));
    }
    let cos = angles(lowering, 1, [rows, half])?;
    let sin = angles(lowering, 2, [rows, half])?;
    let interleaved = lowering.attributes.flag("interleaved", false);
    let mut part = |start: usize| -> Result<Value, String> {
        if !interleaved {
            return slice_along(lowering, x.clone(), 3, start * half, half);
        }
        let slice = TensorOperator::Slice {
            starts: vec![0, 0, 0, start],
            steps: vec![1, 1, 1, 2],
        };
        lowering.tensor(slice, vec![x.clone()], vec![batch, count, rows, half])
    };
    let (even, odd) = (part(0)?, part(1)?);
    let mut combined = |function: BinaryFunction, one: &Value, other: &Value| -> Result<Value, String> {
        let a = pair(lowering, BinaryFunction::Mul, one.clone(), even.clone())?;
        let b = pair(lowering, BinaryFunction::Mul, other.clone(), odd.clone())?;
        pair(lowering, function, a, b)
    };
    let real = combined(BinaryFunction::Sub, &cos, &sin)?;
    let imaginary = combined(BinaryFunction::Add, &sin, &cos)?;
    let mut y = if interleaved {
        let dims = vec![batch, count, rows, half, 1];
        let parts = vec![
            lowering.reshape(real, dims.clone())?,
            lowering.reshape(imaginary, dims)?,
        ];
        let pairs = concatenated(lowering, parts, 4)?;
        lowering.reshape(pairs, vec![batch, count, rows, turned])?
    } else {
        concatenated(lowering, vec![real, imaginary], 3)?
    };
    if turned < width {
        let rest = slice_along(lowering, x.clone(), 3, turned, width - turned)?;
        y = concatenated(lowering, vec![y, rest], 3)?;
    }
    if from.len() == 3 {
        y = transposed(lowering, y, vec![0, 2, 1, 3])?;
        y = lowering.reshape(y, from)?;
    }
    Ok(vec![y])
}

/// Cosines or sines by position, as `[.., 1, positions, half]`.
fn angles(lowering: &mut Lowering<'_>, position: usize, [rows, half]: [usize; 2]) -> Result<Value, String> {
    let mut table = lowering.input(position)?;
    if lowering.optional(3).is_some() {
        let inputs = vec![Some(table), lowering.optional(3).cloned()];
        table = first(lowering.with_inputs(inputs, |lowering| gathered(lowering, 0))?)?;
    }
    let [batch @ .., positions, features] = table.dims() else {
        return Err("its angles are not a table".to_owned());
    };
    if *positions != rows || *features != half {
        return Err(format!(
            "angles {:?} do not fit {rows} positions and {half} pairs",
            table.dims()
        ));
    }
    let dims = [batch, &[1, rows, half]].concat();
    lowering.reshape(table, dims)
}
