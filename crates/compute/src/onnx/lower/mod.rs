//! What each operator of ONNX means in terms of the network graph.

mod arithmetic;
mod convolution;
mod known;
mod layout;
mod matrix;
mod normalise;
mod pick;
mod pool;
mod reduce;
mod resize;
mod table;

use candle_core::Tensor;

use super::attributes::Attributes;
use super::constant;
use super::plan::{Plan, Step, Value, first_line};
use super::proto::NodeProto;
use scv_domain::graph::{NumberType, Operator, ParameterRole, TensorOperator};

pub(super) use table::{OperatorEntry, find};

/// What lowering a node comes to, or in words why it cannot be done.
pub(super) type Lowered = Result<Vec<Value>, String>;

/// One node on its way into a plan.
pub(super) struct Lowering<'a> {
    pub(super) attributes: Attributes<'a>,
    /// Version of the operator set that the file is written in.
    pub(super) opset: i64,
    /// The inputs by position; `None` for one that is left out.
    pub(super) inputs: Vec<Option<Value>>,
    pub(super) plan: &'a mut Plan,
    /// Position of the node in the file.
    pub(super) index: usize,
}

impl<'a> Lowering<'a> {
    pub(super) fn node(&self) -> &'a NodeProto {
        self.attributes.0
    }

    fn optional(&self, position: usize) -> Option<&Value> {
        self.inputs.get(position)?.as_ref()
    }

    fn input(&self, position: usize) -> Result<Value, String> {
        self.optional(position)
            .cloned()
            .ok_or_else(|| format!("input {position} is missing"))
    }

    /// An input that has to be known beforehand.
    fn constant(&self, position: usize) -> Result<Tensor, String> {
        let value = self.input(position)?;
        let computed = || format!("input {position} depends on the images; it has to be a constant");
        value.constant().cloned().ok_or_else(computed)
    }

    /// The numbers of an input that says where or how much; `None` if it is left out.
    fn integers(&self, position: usize) -> Result<Option<Vec<i64>>, String> {
        if self.optional(position).is_none() {
            return Ok(None);
        }
        constant::integers(&self.constant(position)?)
            .map(Some)
            .map_err(|e| first_line(&e))
    }

    /// A list that older operator sets give as an attribute and newer ones as an input.
    fn list(&self, attribute: &str, position: usize) -> Result<Option<Vec<i64>>, String> {
        match self.attributes.integers(attribute) {
            Some(given) => Ok(Some(given.to_vec())),
            None => self.integers(position),
        }
    }

    /// A single number that is given as an input.
    fn scalar(&self, position: usize) -> Result<Option<f64>, String> {
        if self.optional(position).is_none() {
            return Ok(None);
        }
        let numbers = constant::floats(&self.constant(position)?).map_err(|e| first_line(&e))?;
        let one = numbers.first().filter(|_| numbers.len() == 1);
        one.map(|number| Some(f64::from(*number)))
            .ok_or_else(|| format!("input {position} must be a single number"))
    }

    /// A step on whole tensors.
    fn tensor(&mut self, operator: TensorOperator, inputs: Vec<Value>, dims: Vec<usize>) -> Result<Value, String> {
        let kind = inputs.first().map_or(NumberType::Float, Value::kind);
        self.tensor_of(kind, operator, inputs, dims)
    }

    /// A step on whole tensors whose result has a type of its own.
    fn tensor_of(
        &mut self,
        kind: NumberType,
        operator: TensorOperator,
        inputs: Vec<Value>,
        dims: Vec<usize>,
    ) -> Result<Value, String> {
        let step = self.step(Operator::Tensor(operator), inputs, dims);
        self.plan.emit(step, kind)
    }

    /// A step of the kind that block networks have, with the tensors it owns.
    fn layer(
        &mut self,
        operator: Operator,
        input: Value,
        owned: Vec<(ParameterRole, Tensor)>,
        dims: Vec<usize>,
        multiply_accumulates: u64,
    ) -> Result<Value, String> {
        let step = Step {
            owned,
            multiply_accumulates,
            ..self.step(operator, vec![input], dims)
        };
        self.plan.emit(step, NumberType::Float)
    }

    fn step(&self, operator: Operator, inputs: Vec<Value>, dims: Vec<usize>) -> Step {
        Step {
            operator,
            inputs,
            owned: Vec::new(),
            dims,
            multiply_accumulates: 0,
            node: self.index,
            // Set on the last step of a node, once all are there.
            is_layer: false,
        }
    }

    fn reshape(&mut self, value: Value, dims: Vec<usize>) -> Result<Value, String> {
        match value.dims() == dims {
            true => Ok(value),
            false => self.tensor(TensorOperator::Reshape, vec![value], dims),
        }
    }
}

/// A dimension from a number that may count from the end.
fn axis(given: i64, rank: usize) -> Result<usize, String> {
    let resolved = if given < 0 { given + rank as i64 } else { given };
    usize::try_from(resolved)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("axis {given} does not exist in a value of {rank} dimensions"))
}

/// The shape that two shapes have when they are broadcast against each other.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], place: usize| (place + dims.len()).checked_sub(rank).map_or(1, |place| dims[place]);
    (0..rank)
        .map(|place| match (at(a, place), at(b, place)) {
            (a, b) if a == b => Ok(a),
            (1, other) | (other, 1) => Ok(other),
            _ => Err(format!("shapes {a:?} and {b:?} do not go together")),
        })
        .collect()
}

fn product(dims: &[usize]) -> usize {
    dims.iter().product()
}
