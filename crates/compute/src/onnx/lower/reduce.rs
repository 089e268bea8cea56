//! One number from many.

use super::{Lowered, Lowering, axis};
use crate::onnx::constant;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{BinaryFunction, NumberType, Reduction, TensorOperator, UnaryFunction};

macro_rules! reductions {
    ($($name:ident => $function:ident;)*) => {$(
        pub(super) fn $name(lowering: &mut Lowering<'_>) -> Lowered {
            reduce(lowering, Reduction::$function)
        }
    )*};
}

reductions! {
    sum => Sum;
    mean => Mean;
    max => Max;
    min => Min;
    prod => Prod;
    l1 => L1;
    l2 => L2;
    sum_square => SumSquare;
    log_sum => LogSum;
    log_sum_exp => LogSumExp;
}

/// Most numbers in a product: they are multiplied one after the other.
const MAX_FACTORS: usize = 4096;

/// Dimensions are an attribute in older operator sets, and an input in newer ones.
fn reduce(lowering: &mut Lowering<'_>, function: Reduction) -> Lowered {
    let value = lowering.input(0)?;
    let rank = value.dims().len();
    let given = lowering.list("axes", 1)?.unwrap_or_default();
    if given.is_empty() && lowering.attributes.flag("noop_with_empty_axes", false) {
        return Ok(vec![value]);
    }
    let axes = match given.as_slice() {
        [] => (0..rank).collect(),
        given => given
            .iter()
            .map(|&given| axis(given, rank))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if axes
        .iter()
        .enumerate()
        .any(|(place, axis)| axes[..place].contains(axis))
    {
        return Err("axes name a dimension twice".to_owned());
    }
    let allowed = match value.kind() {
        NumberType::Float => true,
        NumberType::Integer => matches!(
            function,
            Reduction::Sum | Reduction::Max | Reduction::Min | Reduction::Prod
        ),
        NumberType::Truth => matches!(function, Reduction::Max | Reduction::Min),
    };
    if !allowed {
        return Err("it does not compute with numbers of this type".to_owned());
    }
    if function == Reduction::Prod && axes.iter().any(|&axis| value.dims()[axis] > MAX_FACTORS) {
        return Err(format!("products of more than {MAX_FACTORS} numbers are not supported"));
    }
    let dims = kept(value.dims(), &axes, lowering.attributes.flag("keepdims", true));
    Ok(vec![lowering.tensor(
        TensorOperator::Reduce { function, axes },
        vec![value],
        dims,
    )?])
}

pub(super) fn arg_max(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    place_of_largest(lowering, value)
}

pub(super) fn arg_min(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let dims = value.dims().to_vec();
    let negated = lowering.tensor(TensorOperator::Unary(UnaryFunction::Neg), vec![value], dims)?;
    place_of_largest(lowering, negated)
}

/// The last of equals is the first of them seen from behind.
fn place_of_largest(lowering: &mut Lowering<'_>, value: Value) -> Lowered {
    let rank = value.dims().len();
    let along = axis(lowering.attributes.integer("axis").unwrap_or(0), rank)?;
    let length = value.dims()[along];
    let kept = kept(value.dims(), &[along], lowering.attributes.flag("keepdims", true));
    if !lowering.attributes.flag("select_last_index", false) {
        let operator = TensorOperator::ArgMax(along);
        return Ok(vec![lowering.tensor_of(
            NumberType::Integer,
            operator,
            vec![value],
            kept,
        )?]);
    }
    let (mut starts, mut steps, dims) = (vec![0; rank], vec![1; rank], value.dims().to_vec());
    (starts[along], steps[along]) = (length.saturating_sub(1), -1);
    let turned = lowering.tensor(TensorOperator::Slice { starts, steps }, vec![value], dims)?;
    let operator = TensorOperator::ArgMax(along);
    let place = lowering.tensor_of(NumberType::Integer, operator, vec![turned], kept.clone())?;
    let last = constant::list(vec![length as i64 - 1]).and_then(|list| list.reshape(()));
    let last = Value::Constant(last.map_err(|error| first_line(&error))?);
    let operator = TensorOperator::Binary(BinaryFunction::Sub);
    Ok(vec![lowering.tensor(operator, vec![last, place], kept)?])
}

fn kept(dims: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let places = dims.iter().enumerate();
    match keep {
        true => places
            .map(|(place, &dim)| if axes.contains(&place) { 1 } else { dim })
            .collect(),
        false => places
            .filter(|(place, _)| !axes.contains(place))
            .map(|(_, &dim)| dim)
            .collect(),
    }
}
