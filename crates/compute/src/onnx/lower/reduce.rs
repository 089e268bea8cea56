//! Reductions: operators that compute one number from many.

use super::lowering::{Lowered, Lowering, axis};
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

/// The maximum number of factors of a product, because they are multiplied one after the other.
const MAX_FACTORS: usize = 4096;

/// The axes are an attribute in older operator sets, and an input in newer ones.
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
        .any(|(index, axis)| axes[..index].contains(axis))
    {
        return Err("axes repeat a dimension".to_owned());
    }
    let allowed = match value.kind() {
        NumberType::Float => true,
        NumberType::Integer => matches!(
            function,
            Reduction::Sum | Reduction::Max | Reduction::Min | Reduction::Prod
        ),
        NumberType::Boolean => matches!(function, Reduction::Max | Reduction::Min),
    };
    if !allowed {
        return Err("it does not support numbers of this type".to_owned());
    }
    if function == Reduction::Prod && axes.iter().any(|&axis| value.dims()[axis] > MAX_FACTORS) {
        return Err(format!("products of more than {MAX_FACTORS} numbers are not supported"));
    }
    let dims = reduced_shape(value.dims(), &axes, lowering.attributes.flag("keepdims", true));
    Ok(vec![lowering.tensor(
        TensorOperator::Reduce { function, axes },
        vec![value],
        dims,
    )?])
}

pub(super) fn arg_max(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    index_of_largest(lowering, value)
}

pub(super) fn arg_min(lowering: &mut Lowering<'_>) -> Lowered {
    let value = lowering.input(0)?;
    let dims = value.dims().to_vec();
    let negated = lowering.tensor(TensorOperator::Unary(UnaryFunction::Neg), vec![value], dims)?;
    index_of_largest(lowering, negated)
}

/// The index of the largest number. The last of equal numbers is the first one in reverse order.
fn index_of_largest(lowering: &mut Lowering<'_>, value: Value) -> Lowered {
    let rank = value.dims().len();
    let along = axis(lowering.attributes.integer("axis").unwrap_or(0), rank)?;
    let length = value.dims()[along];
    let shape = reduced_shape(value.dims(), &[along], lowering.attributes.flag("keepdims", true));
    if !lowering.attributes.flag("select_last_index", false) {
        let operator = TensorOperator::ArgMax(along);
        return Ok(vec![lowering.tensor_of(
            NumberType::Integer,
            operator,
            vec![value],
            shape,
        )?]);
    }
    let (mut starts, mut steps, dims) = (vec![0; rank], vec![1; rank], value.dims().to_vec());
    (starts[along], steps[along]) = (length.saturating_sub(1), -1);
    let reversed = lowering.tensor(TensorOperator::Slice { starts, steps }, vec![value], dims)?;
    let operator = TensorOperator::ArgMax(along);
    let index = lowering.tensor_of(NumberType::Integer, operator, vec![reversed], shape.clone())?;
    let last = constant::list(vec![length as i64 - 1]).and_then(|list| list.reshape(()));
    let last = Value::Constant(last.map_err(|error| first_line(&error))?);
    let operator = TensorOperator::Binary(BinaryFunction::Sub);
    Ok(vec![lowering.tensor(operator, vec![last, index], shape)?])
}

/// The shape after a reduction over `axes`. `keep` keeps these dimensions, with length 1.
fn reduced_shape(dims: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let dims = dims.iter().enumerate();
    if keep {
        dims.map(|(axis, &dim)| if axes.contains(&axis) { 1 } else { dim })
            .collect()
    } else {
        dims.filter(|(axis, _)| !axes.contains(axis))
            .map(|(_, &dim)| dim)
            .collect()
    }
}
