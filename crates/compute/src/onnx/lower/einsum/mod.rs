//! Sums of products over named dimensions, as transpositions, sums and matrix products.

mod equation;

use std::collections::HashMap;

use super::arithmetic::pair;
use super::layout::transposed;
use super::lowering::{Lowered, Lowering, first, product};
use super::matrix;
use crate::onnx::plan::Value;
use equation::{Equation, Label};
use scv_domain::graph::{BinaryFunction, Reduction, TensorOperator};

/// A value whose dimensions have names.
#[derive(Clone)]
struct Named {
    value: Value,
    labels: Vec<Label>,
}

impl Named {
    fn lengths(&self, labels: &[Label]) -> Vec<usize> {
        let at = |label: &Label| self.labels.iter().position(|other| other == label);
        let length = |label| at(label).map_or(1, |at| self.value.dims()[at]);
        labels.iter().map(length).collect()
    }
}

pub(super) fn einsum(lowering: &mut Lowering<'_>) -> Lowered {
    let text = lowering.attributes.text("equation").ok_or("its equation is missing")?;
    let values = (0..lowering.inputs.len()).map(|position| lowering.input(position));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let ranks: Vec<usize> = values.iter().map(|value| value.dims().len()).collect();
    let Equation { inputs, output } = Equation::parse(text, &ranks)?;
    let operands = values.into_iter().zip(inputs);
    let mut operands: Vec<Named> = operands.map(|(value, labels)| Named { value, labels }).collect();
    let lengths = lengths(&operands)?;
    for operand in &mut operands {
        *operand = without_repeats(lowering, operand.clone())?;
        *operand = stretched(lowering, operand.clone(), &lengths)?;
    }
    let mut rest = operands.into_iter();
    let mut joined = rest.next().ok_or("it has no inputs")?;
    while let Some(next) = rest.next() {
        let is_kept = |label: &Label| {
            output.contains(label) || rest.as_slice().iter().any(|operand| operand.labels.contains(label))
        };
        joined = multiplied(lowering, [joined, next], &is_kept)?;
    }
    let joined = summed(lowering, joined, &|label| output.contains(label))?;
    Ok(vec![arranged(lowering, joined, &output)?])
}

/// The length of each dimension. A dimension of length 1 is repeated.
fn lengths(operands: &[Named]) -> Result<HashMap<Label, usize>, String> {
    let mut lengths = HashMap::new();
    for operand in operands {
        for (&label, &length) in operand.labels.iter().zip(operand.value.dims()) {
            let known = lengths.entry(label).or_insert(length);
            match (*known, length) {
                (known, length) if known == length => {}
                (1, length) => *known = length,
                (_, 1) => {}
                (known, length) => {
                    return Err(format!(
                        "one dimension of its equation is both {known} and {length} long"
                    ));
                }
            }
        }
    }
    Ok(lengths)
}

/// Takes the diagonal of dimensions with the same name.
fn without_repeats(lowering: &mut Lowering<'_>, mut operand: Named) -> Result<Named, String> {
    let repeat = |labels: &[Label]| -> Option<(usize, usize)> {
        let mut pairs = (0..labels.len()).flat_map(|two| (0..two).map(move |one| (one, two)));
        pairs.find(|&(one, two)| labels[one] == labels[two])
    };
    while let Some((one, two)) = repeat(&operand.labels) {
        let label = operand.labels[one];
        let others = (0..operand.labels.len()).filter(|&index| index != one && index != two);
        let order: Vec<usize> = others.clone().chain([one, two]).collect();
        let labels = others.map(|index| operand.labels[index]).chain([label]).collect();
        let value = transposed(lowering, operand.value, order)?;
        let [before @ .., length, other] = value.dims() else {
            return Err("it has no diagonal".to_owned());
        };
        if length != other {
            return Err(format!("it takes the diagonal of a matrix of {length} by {other}"));
        }
        let (before, length) = (before.to_vec(), *length);
        let value = lowering.reshape(value, [before.as_slice(), &[length * length]].concat())?;
        let mut steps = vec![1; before.len()];
        steps.push(length as i64 + 1);
        let slice = TensorOperator::Slice {
            starts: vec![0; steps.len()],
            steps,
        };
        let value = lowering.tensor(slice, vec![value], [before, vec![length]].concat())?;
        operand = Named { value, labels };
    }
    Ok(operand)
}

/// Repeats dimensions of length 1 to the length that other inputs have.
fn stretched(lowering: &mut Lowering<'_>, operand: Named, lengths: &HashMap<Label, usize>) -> Result<Named, String> {
    let dims: Vec<usize> = operand
        .labels
        .iter()
        .filter_map(|label| lengths.get(label).copied())
        .collect();
    if dims == operand.value.dims() {
        return Ok(operand);
    }
    let value = lowering.tensor(TensorOperator::Expand, vec![operand.value], dims)?;
    Ok(Named { value, ..operand })
}

/// Multiplies two values, and sums over what nothing else needs.
fn multiplied(
    lowering: &mut Lowering<'_>,
    [a, b]: [Named; 2],
    is_kept: &impl Fn(&Label) -> bool,
) -> Result<Named, String> {
    // Constants are the second factor, as in a linear layer.
    let [a, b] = match (a.value.constant(), b.value.constant()) {
        (Some(_), None) => [b, a],
        _ => [a, b],
    };
    let (of_a, of_b) = (a.labels.clone(), b.labels.clone());
    let a = summed(lowering, a, &|label| is_kept(label) || of_b.contains(label))?;
    let b = summed(lowering, b, &|label| is_kept(label) || of_a.contains(label))?;
    let select = |from: &Named, wanted: &dyn Fn(&Label) -> bool| -> Vec<Label> {
        from.labels.iter().copied().filter(|label| wanted(label)).collect()
    };
    let both = select(&a, &|label| of_b.contains(label) && is_kept(label));
    let inner = select(&a, &|label| of_b.contains(label) && !is_kept(label));
    let left = select(&a, &|label| !of_b.contains(label));
    let right = select(&b, &|label| !of_a.contains(label));
    let labels = [both.as_slice(), &left, &right].concat();
    let shape = [a.lengths(&both), a.lengths(&left), b.lengths(&right)].concat();
    let ones = |count: usize| vec![1; count];
    if inner.is_empty() {
        let a_dims = [a.lengths(&both), a.lengths(&left), ones(right.len())].concat();
        let b_dims = [b.lengths(&both), ones(left.len()), b.lengths(&right)].concat();
        let a = arranged(lowering, a, &[both.as_slice(), &left].concat())?;
        let b = arranged(lowering, b, &[both.as_slice(), &right].concat())?;
        let (a, b) = (lowering.reshape(a, a_dims)?, lowering.reshape(b, b_dims)?);
        let value = pair(lowering, BinaryFunction::Mul, a, b)?;
        return Ok(Named { value, labels });
    }
    let depth = product(&a.lengths(&inner));
    let mut rows = a.lengths(&left);
    if rows.is_empty() {
        rows.push(1);
    }
    let a_dims = [a.lengths(&both), rows.clone(), vec![depth]].concat();
    // A matrix serves all others. If there are several, each has a dimension for each one of the other factor.
    let between = if both.is_empty() { 0 } else { rows.len() - 1 };
    let b_dims = [
        b.lengths(&both),
        ones(between),
        vec![depth, product(&b.lengths(&right))],
    ]
    .concat();
    let a = arranged(lowering, a, &[both.as_slice(), &left, &inner].concat())?;
    let b = arranged(lowering, b, &[both.as_slice(), &inner, &right].concat())?;
    let (a, b) = (lowering.reshape(a, a_dims)?, lowering.reshape(b, b_dims)?);
    let value = first(lowering.with_inputs(vec![Some(a), Some(b)], matrix::matmul)?)?;
    let value = lowering.reshape(value, shape)?;
    Ok(Named { value, labels })
}

/// Sums over the dimensions that are not kept.
fn summed(lowering: &mut Lowering<'_>, operand: Named, is_kept: &dyn Fn(&Label) -> bool) -> Result<Named, String> {
    let labels = operand.labels.iter().enumerate();
    let (kept, axes): (Vec<_>, Vec<_>) = labels.partition(|(_, label)| is_kept(label));
    if axes.is_empty() {
        return Ok(operand);
    }
    let dims = kept.iter().map(|&(axis, _)| operand.value.dims()[axis]).collect();
    let labels = kept.iter().map(|&(_, &label)| label).collect();
    let sum = TensorOperator::Reduce {
        function: Reduction::Sum,
        axes: axes.iter().map(|&(axis, _)| axis).collect(),
    };
    let value = lowering.tensor(sum, vec![operand.value], dims)?;
    Ok(Named { value, labels })
}

/// Brings the dimensions into an order.
fn arranged(lowering: &mut Lowering<'_>, operand: Named, labels: &[Label]) -> Result<Value, String> {
    if operand.labels == labels {
        return Ok(operand.value);
    }
    let at = |label: &Label| operand.labels.iter().position(|other| other == label);
    let order: Option<Vec<usize>> = labels.iter().map(at).collect();
    transposed(lowering, operand.value, order.ok_or("its dimensions do not match")?)
}
