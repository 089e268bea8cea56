//! A graph as patterns see it.

use std::collections::HashSet;

use super::Tensors;
use crate::graph::{BinaryFunction, Graph, Node, Operator, ParameterRole, TensorOperator, UnaryFunction, ValueId};

/// Relative difference up to which two numbers of a file count as equal: single precision rounds.
const TOLERANCE: f64 = 1e-5;

#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub graph: &'a Graph,
    pub tensors: Tensors<'a>,
}

impl<'a> View<'a> {
    /// The node that computes a value; `None` for the image.
    pub fn node(&self, value: ValueId) -> Option<&'a Node> {
        self.graph.nodes.get(value.0.checked_sub(1)?)
    }

    /// The inputs of a value that depend on the image.
    pub fn computed_inputs(&self, value: ValueId) -> Vec<ValueId> {
        let inputs = self.node(value).map(|node| node.inputs.as_slice()).unwrap_or_default();
        inputs
            .iter()
            .copied()
            .filter(|input| !self.is_constant(*input))
            .collect()
    }

    fn is_constant(&self, value: ValueId) -> bool {
        self.constant_shape(value).is_some()
    }

    /// The shape of a constant, with all of its dimensions.
    pub fn constant_shape(&self, value: ValueId) -> Option<&'a [usize]> {
        let node = self.node(value)?;
        let is_constant = node.operator == Operator::Tensor(TensorOperator::Constant);
        let tensor = node.parameters.first().filter(|_| is_constant)?;
        Some(&tensor.shape)
    }

    /// Whether a value is the sum of its inputs.
    pub fn is_sum(&self, value: ValueId) -> bool {
        self.node(value).is_some_and(|node| node.operator == Operator::Add)
            || self.binary(value, BinaryFunction::Add).is_some()
    }

    /// The operands of a function of two values.
    pub fn binary(&self, value: ValueId, wanted: BinaryFunction) -> Option<[ValueId; 2]> {
        let node = self.node(value)?;
        match (&node.operator, node.inputs.as_slice()) {
            (Operator::Tensor(TensorOperator::Binary(function)), &[a, b]) if *function == wanted => Some([a, b]),
            _ => None,
        }
    }

    /// The operand of a function of one value.
    pub fn unary(&self, value: ValueId, wanted: UnaryFunction) -> Option<ValueId> {
        let node = self.node(value)?;
        (node.operator == Operator::Tensor(TensorOperator::Unary(wanted))).then(|| node.inputs[0])
    }

    /// The operand of a node with this operator.
    pub fn operand(&self, value: ValueId, wanted: &Operator) -> Option<ValueId> {
        let node = self.node(value)?;
        (node.operator == *wanted).then(|| node.inputs[0])
    }

    /// The numbers of a constant of this many. Others are not read: they may be large.
    pub fn numbers(&self, value: ValueId, count: usize) -> Option<Vec<f32>> {
        let shape = self.constant_shape(value)?;
        let has_count = shape.iter().product::<usize>() == count;
        (self.tensors)(self.node(value).filter(|_| has_count)?, ParameterRole::Value)
    }

    /// A constant of one number.
    pub fn scalar(&self, value: ValueId) -> Option<f64> {
        self.numbers(value, 1)?.first().copied().map(f64::from)
    }

    /// The other operand of a commutative function, if one is a single number, and that number.
    pub fn with_scalar(&self, value: ValueId, function: BinaryFunction) -> Option<(ValueId, f64)> {
        let [a, b] = self.binary(value, function)?;
        match (self.scalar(a), self.scalar(b)) {
            (None, Some(number)) => Some((a, number)),
            (Some(number), None) => Some((b, number)),
            _ => None,
        }
    }

    /// The other operand of a commutative function with a given number.
    pub fn with_number(&self, value: ValueId, function: BinaryFunction, wanted: f64) -> Option<ValueId> {
        let (other, number) = self.with_scalar(value, function)?;
        is_close(number, wanted).then_some(other)
    }

    /// The nodes that a value is computed by from another one, without constants.
    pub fn between(&self, end: ValueId, begin: ValueId) -> HashSet<usize> {
        let (mut found, mut waiting) = (HashSet::new(), vec![end]);
        while let Some(value) = waiting.pop() {
            if value != begin && value != ValueId::INPUT && found.insert(value.0 - 1) {
                waiting.extend(self.computed_inputs(value));
            }
        }
        found
    }
}

/// Whether two numbers are equal up to rounding.
pub(super) fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * b.abs()
}
