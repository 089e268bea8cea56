//! Matrix products. A product with constant weights becomes the linear layer of block networks.

use candle_core::Tensor;

use super::lowering::{Lowered, Lowering, broadcast, product};
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
        let transposed = weight
            .t()
            .and_then(|transposed| transposed.contiguous())
            .map_err(|error| first_line(&error))?;
        return Ok(vec![linear(lowering, a, transposed, None)?]);
    }
    Ok(vec![multiply(lowering, a, b)?])
}

pub(super) fn gemm(lowering: &mut Lowering<'_>) -> Lowered {
    let scale = |name: &str| lowering.attributes.float(name).unwrap_or(1.0);
    let scales = [scale("alpha"), scale("beta")];
    affine(lowering, scales)
}

/// The product of two matrices plus a third, each scaled.
pub(super) fn affine(lowering: &mut Lowering<'_>, [alpha, beta]: [f64; 2]) -> Lowered {
    let (a, b) = (lowering.input(0)?, lowering.input(1)?);
    let (transpose_a, transpose_b) = (
        lowering.attributes.flag("transA", false),
        lowering.attributes.flag("transB", false),
    );
    if a.dims().len() != 2 || b.dims().len() != 2 {
        return Err(format!("it multiplies matrices, not {:?} and {:?}", a.dims(), b.dims()));
    }
    let a = transposed_if(transpose_a, lowering, a)?;
    let outputs = b.dims()[usize::from(!transpose_b)];
    let bias = lowering
        .optional(2)
        .map(|c| c.constant().filter(|c| c.elem_count() == outputs && is_row(c)).cloned());
    if let (Some(weight), None | Some(Some(_))) = (b.constant(), &bias) {
        let scaled = |tensor: &Tensor, by: f64| tensor.affine(by, 0.0);
        let weight = if transpose_b {
            weight.clone()
        } else {
            weight
                .t()
                .and_then(|t| t.contiguous())
                .map_err(|error| first_line(&error))?
        };
        let weight = scaled(&weight, alpha).map_err(|error| first_line(&error))?;
        let bias = bias.flatten().map(|c| c.flatten_all().and_then(|c| scaled(&c, beta)));
        let bias = bias.transpose().map_err(|error| first_line(&error))?;
        return Ok(vec![linear(lowering, a, weight, bias)?]);
    }
    let b = transposed_if(transpose_b, lowering, b)?;
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

/// Whether a bias is a single row, which is added to every row.
fn is_row(bias: &Tensor) -> bool {
    bias.dims().iter().rev().skip(1).all(|&dim| dim == 1)
}

/// `x Wᵀ + b` over the last dimension.
fn linear(lowering: &mut Lowering<'_>, x: Value, weight: Tensor, bias: Option<Tensor>) -> Result<Value, String> {
    let (outputs, inputs) = (weight.dims()[0], weight.dims()[1]);
    let mut dims = x.dims().to_vec();
    let features = dims.pop().unwrap_or(0);
    if features != inputs {
        return Err(format!(
            "its input has {features} features, but its weights need {inputs}"
        ));
    }
    // The first dimension counts images, and the cost is that of one image.
    let cost = product(&dims[1.min(dims.len())..]) * inputs * outputs;
    dims.push(outputs);
    let mut owned = vec![(ParameterRole::Weight, weight)];
    owned.extend(bias.map(|bias| (ParameterRole::Bias, bias)));
    lowering.layer(Operator::Linear, x, owned, dims, cost as u64)
}

fn multiply(lowering: &mut Lowering<'_>, a: Value, b: Value) -> Result<Value, String> {
    let (left, right) = (a.dims(), b.dims());
    if left.is_empty() || right.is_empty() {
        return Err("both factors need at least one dimension".to_owned());
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
        return Err(format!("matrices {left:?} and {right:?} cannot be multiplied"));
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

fn transposed_if(transpose: bool, lowering: &mut Lowering<'_>, value: Value) -> Result<Value, String> {
    if !transpose {
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
