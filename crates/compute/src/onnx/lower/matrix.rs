//! Products of matrices. One with constant weights becomes the linear layer that blocks have.

use candle_core::Tensor;

use super::{Lowered, Lowering, broadcast, product};
use crate::onnx::constant;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{BinaryFunction, Operator, ParameterRole, TensorOperator};

pub(super) fn matmul(lowering: &mut Lowering<'_>) -> Lowered {
    let (a, b) = (lowering.input(0)?, lowering.input(1)?);
    if let Some(weight) = b
        .constant()
        .filter(|weight| weight.rank() == 2 && a.dims().len() >= 2)
        .cloned()
    {
        let turned = weight
            .t()
            .and_then(|turned| turned.contiguous())
            .map_err(|error| first_line(&error))?;
        return Ok(vec![linear(lowering, a, turned, None)?]);
    }
    Ok(vec![multiply(lowering, a, b)?])
}

pub(super) fn gemm(lowering: &mut Lowering<'_>) -> Lowered {
    let (a, b) = (lowering.input(0)?, lowering.input(1)?);
    let alpha = lowering.attributes.float("alpha").unwrap_or(1.0);
    let beta = lowering.attributes.float("beta").unwrap_or(1.0);
    let (turn_a, turn_b) = (
        lowering.attributes.flag("transA", false),
        lowering.attributes.flag("transB", false),
    );
    if a.dims().len() != 2 || b.dims().len() != 2 {
        return Err(format!("it multiplies matrices, not {:?} and {:?}", a.dims(), b.dims()));
    }
    let a = turned(lowering, a, turn_a)?;
    let outputs = b.dims()[usize::from(!turn_b)];
    let bias = lowering
        .optional(2)
        .map(|c| c.constant().filter(|c| c.elem_count() == outputs && is_row(c)).cloned());
    if let (Some(weight), None | Some(Some(_))) = (b.constant(), &bias) {
        let scaled = |tensor: &Tensor, by: f64| tensor.affine(by, 0.0);
        let weight = match turn_b {
            true => weight.clone(),
            false => weight
                .t()
                .and_then(|t| t.contiguous())
                .map_err(|error| first_line(&error))?,
        };
        let weight = scaled(&weight, alpha).map_err(|error| first_line(&error))?;
        let bias = bias.flatten().map(|c| c.flatten_all().and_then(|c| scaled(&c, beta)));
        let bias = bias.transpose().map_err(|error| first_line(&error))?;
        return Ok(vec![linear(lowering, a, weight, bias)?]);
    }
    let b = turned(lowering, b, turn_b)?;
    let mut y = multiply(lowering, a, b)?;
    y = scaled(lowering, y, alpha)?;
    if lowering.optional(2).is_some() {
        let c = lowering.input(2)?;
        let c = scaled(lowering, c, beta)?;
        let dims = broadcast(y.dims(), c.dims())?;
        y = lowering.tensor(TensorOperator::Binary(BinaryFunction::Add), vec![y, c], dims)?;
    }
    Ok(vec![y])
}

/// Whether it is one number an output, and so the same for every row.
fn is_row(bias: &Tensor) -> bool {
    bias.dims().iter().rev().skip(1).all(|&dim| dim == 1)
}

/// `x Wᵀ + b` over the last dimension.
fn linear(lowering: &mut Lowering<'_>, x: Value, weight: Tensor, bias: Option<Tensor>) -> Result<Value, String> {
    let (outputs, inputs) = (weight.dims()[0], weight.dims()[1]);
    let mut dims = x.dims().to_vec();
    let arriving = dims.pop().unwrap_or(0);
    if arriving != inputs {
        return Err(format!("{arriving} numbers arrive, but its weights read {inputs}"));
    }
    // The first dimension counts images, and what is measured is the cost of one.
    let cost = product(&dims[1.min(dims.len())..]) * inputs * outputs;
    dims.push(outputs);
    let mut owned = vec![(ParameterRole::Weight, weight)];
    owned.extend(bias.map(|bias| (ParameterRole::Bias, bias)));
    lowering.layer(Operator::Linear, x, owned, dims, cost as u64)
}

fn multiply(lowering: &mut Lowering<'_>, a: Value, b: Value) -> Result<Value, String> {
    let (left, right) = (a.dims(), b.dims());
    if left.is_empty() || right.is_empty() {
        return Err("a product needs at least one dimension on either side".to_owned());
    }
    let row = if left.len() == 1 {
        [&[1], left].concat()
    } else {
        left.to_vec()
    };
    let column = if right.len() == 1 {
        vec![right[0], 1]
    } else {
        right.to_vec()
    };
    let (rows, inner) = (row[row.len() - 2], row[row.len() - 1]);
    let (other, columns) = (column[column.len() - 2], column[column.len() - 1]);
    if inner != other {
        return Err(format!("matrices {left:?} and {right:?} do not go together"));
    }
    let mut dims = broadcast(&row[..row.len() - 2], &column[..column.len() - 2])?;
    if left.len() > 1 {
        dims.push(rows);
    }
    if right.len() > 1 {
        dims.push(columns);
    }
    lowering.tensor(TensorOperator::MatMul, vec![a, b], dims)
}

fn turned(lowering: &mut Lowering<'_>, value: Value, turn: bool) -> Result<Value, String> {
    if !turn {
        return Ok(value);
    }
    let dims = vec![value.dims()[1], value.dims()[0]];
    lowering.tensor(TensorOperator::Transpose(vec![1, 0]), vec![value], dims)
}

fn scaled(lowering: &mut Lowering<'_>, value: Value, by: f64) -> Result<Value, String> {
    if by == 1.0 {
        return Ok(value);
    }
    let factor = constant::scalar(by as f32).map_err(|error| first_line(&error))?;
    let dims = value.dims().to_vec();
    let inputs = vec![value, Value::Constant(factor)];
    lowering.tensor(TensorOperator::Binary(BinaryFunction::Mul), inputs, dims)
}
