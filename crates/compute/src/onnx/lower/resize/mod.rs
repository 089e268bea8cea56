//! Resizing, with the rules and the rounding of ONNX Runtime.

mod rules;
mod sides;

use candle_core::{Device, Tensor};

use super::layout::as_kind;
use super::lowering::{Lowered, Lowering, number};
use crate::onnx::limit;
use crate::onnx::plan::{Value, first_line};
use rules::Rules;
use scv_domain::graph::{Interpolation, NumberType, TensorOperator};
use sides::{Side, sides};

pub(super) fn resize(lowering: &mut Lowering<'_>) -> Lowered {
    let given = lowering.input(0)?;
    let mut value = match given.kind() {
        NumberType::Boolean => return Err("it does not support numbers of this type".to_owned()),
        _ => as_kind(lowering, given, NumberType::Float)?,
    };
    if value.dims().contains(&0) {
        return Err("its input is empty".to_owned());
    }
    let attributes = lowering.attributes;
    let rules = Rules::read(attributes, lowering.opset < 11 || lowering.node().op_type == "Upsample")?;
    for side in sides(lowering, value.dims())? {
        limit::check_extent("a side", i64::try_from(side.size).unwrap_or(i64::MAX))?;
        if !rules.is_identity(&side) {
            value = resized(lowering, value, &rules, &side)?;
        }
    }
    Ok(vec![value])
}

fn resized(lowering: &mut Lowering<'_>, value: Value, rules: &Rules<'_>, side: &Side) -> Result<Value, String> {
    let mut dims = value.dims().to_vec();
    dims[side.axis] = side.size;
    let places: Vec<f32> = (0..side.size).map(|index| rules.source(index as f32, side)).collect();
    let interpolation = interpolation(rules, side, &places)?;
    let after = dims.len() - side.axis - 1;
    let operator = TensorOperator::Resize {
        axis: side.axis,
        interpolation: Box::new(interpolation),
    };
    let value = lowering.tensor(operator, vec![value], dims.clone())?;
    let is_outside = |&place: &f32| rules.crops() && !(0.0..=side.length as f32 - 1.0).contains(&place);
    if !places.iter().any(is_outside) {
        return Ok(value);
    }
    let outside: Vec<u8> = places.iter().map(|place| u8::from(is_outside(place))).collect();
    let shape = [&[side.size], vec![1; after].as_slice()].concat();
    let outside = Tensor::from_vec(outside, shape, &Device::Cpu).map_err(|error| first_line(&error))?;
    let inputs = vec![Value::Constant(outside), number(rules.outside)?, value];
    lowering.tensor_of(NumberType::Float, TensorOperator::Where, inputs, dims)
}

/// What each index of a side is computed from.
fn interpolation(rules: &Rules<'_>, side: &Side, places: &[f32]) -> Result<Interpolation, String> {
    let last = side.length as f32 - 1.0;
    let mut interpolation = Interpolation::default();
    for &place in places {
        let taps = rules.taps(place, side)?;
        interpolation.sources.resize(taps.len(), Vec::new());
        interpolation.weights.resize(taps.len(), Vec::new());
        for (tap, (index, weight)) in taps.into_iter().enumerate() {
            interpolation.sources[tap].push(index.clamp(0.0, last) as u32);
            interpolation.weights[tap].push(weight);
        }
    }
    Ok(interpolation)
}
