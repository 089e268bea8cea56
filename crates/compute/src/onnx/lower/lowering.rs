//! One node on its way into a plan, and what all operators share.

use candle_core::Tensor;

use crate::onnx::attributes::Attributes;
use crate::onnx::constant;
use crate::onnx::flat::FlatNode;
use crate::onnx::plan::{Plan, Step, Value, first_line};
use crate::onnx::proto::DataType;
use scv_domain::graph::{NumberType, Operator, ParameterRole, TensorOperator};

/// The outputs of a lowered node, or the reason why it cannot be computed.
pub(in crate::onnx) type Lowered = Result<Vec<Value>, String>;

/// One node on its way into a plan.
pub(in crate::onnx) struct Lowering<'a> {
    pub(in crate::onnx) attributes: Attributes<'a>,
    /// Version of the operator set that the node belongs to.
    pub(in crate::onnx) opset: i64,
    /// The inputs by position; `None` for one that is left out.
    pub(in crate::onnx) inputs: Vec<Option<Value>>,
    pub(in crate::onnx) plan: &'a mut Plan,
    /// Index of the node in the file.
    pub(in crate::onnx) index: usize,
}

impl<'a> Lowering<'a> {
    pub(super) fn node(&self) -> &'a FlatNode<'a> {
        self.attributes.0
    }

    pub(super) fn optional(&self, position: usize) -> Option<&Value> {
        self.inputs.get(position)?.as_ref()
    }

    pub(super) fn input(&self, position: usize) -> Result<Value, String> {
        self.optional(position)
            .cloned()
            .ok_or_else(|| format!("input {position} is missing"))
    }

    /// An input that must be a constant.
    pub(super) fn constant(&self, position: usize) -> Result<Tensor, String> {
        let value = self.input(position)?;
        let computed = || format!("input {position} depends on the images; it must be a constant");
        value.constant().cloned().ok_or_else(computed)
    }

    /// The element type of an input, as far as it is known.
    pub(super) fn element_type(&self, position: usize) -> Option<DataType> {
        let name = self.node().input.get(position)?;
        self.plan.element_types.get(name).copied()
    }

    /// Notes the element type of an output.
    pub(super) fn set_element_type(&mut self, position: usize, element_type: Option<DataType>) {
        if let (Some(name), Some(element_type)) = (self.node().output.get(position), element_type) {
            self.plan.element_types.insert(name.clone(), element_type);
        }
    }

    /// Runs another operator in the place of this node, on other inputs.
    pub(super) fn with_inputs(
        &mut self,
        inputs: Vec<Option<Value>>,
        lower: impl FnOnce(&mut Lowering<'a>) -> Lowered,
    ) -> Lowered {
        let given = std::mem::replace(&mut self.inputs, inputs);
        let outputs = lower(self);
        self.inputs = given;
        outputs
    }

    /// Whether the file uses an output.
    pub(super) fn has_output(&self, position: usize) -> bool {
        self.node().output.get(position).is_some_and(|name| !name.is_empty())
    }

    /// The integers of an input that must be a constant; `None` if it is left out.
    pub(super) fn integers(&self, position: usize) -> Result<Option<Vec<i64>>, String> {
        if self.optional(position).is_none() {
            return Ok(None);
        }
        constant::integers(&self.constant(position)?)
            .map(Some)
            .map_err(|e| first_line(&e))
    }

    /// A list that is an attribute in older operator sets, and an input in newer ones.
    pub(super) fn list(&self, attribute: &str, position: usize) -> Result<Option<Vec<i64>>, String> {
        match self.attributes.integers(attribute) {
            Some(given) => Ok(Some(given.to_vec())),
            None => self.integers(position),
        }
    }

    /// A single number from an input; `None` if it is left out.
    pub(super) fn scalar(&self, position: usize) -> Result<Option<f64>, String> {
        if self.optional(position).is_none() {
            return Ok(None);
        }
        let numbers = constant::floats(&self.constant(position)?).map_err(|e| first_line(&e))?;
        let one = numbers.first().filter(|_| numbers.len() == 1);
        one.map(|number| Some(f64::from(*number)))
            .ok_or_else(|| format!("input {position} must be a single number"))
    }

    /// Adds a step on whole tensors.
    pub(super) fn tensor(
        &mut self,
        operator: TensorOperator,
        inputs: Vec<Value>,
        dims: Vec<usize>,
    ) -> Result<Value, String> {
        let kind = inputs.first().map_or(NumberType::Float, Value::kind);
        self.tensor_of(kind, operator, inputs, dims)
    }

    /// Adds a step on whole tensors whose output has the given type.
    pub(super) fn tensor_of(
        &mut self,
        kind: NumberType,
        operator: TensorOperator,
        inputs: Vec<Value>,
        dims: Vec<usize>,
    ) -> Result<Value, String> {
        let step = self.step(Operator::Tensor(operator), inputs, dims);
        self.plan.emit(step, kind)
    }

    /// Adds a step with an operator of block networks and its own tensors.
    pub(super) fn layer(
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
            // Set on the last step of a node once all its steps exist.
            is_layer: false,
        }
    }

    /// Adds a step that reshapes a value, unless it already has the shape.
    pub(super) fn reshape(&mut self, value: Value, dims: Vec<usize>) -> Result<Value, String> {
        if value.dims() == dims {
            Ok(value)
        } else {
            self.tensor(TensorOperator::Reshape, vec![value], dims)
        }
    }
}

/// The first output of a lowered operator.
pub(super) fn first(outputs: Vec<Value>) -> Result<Value, String> {
    outputs.into_iter().next().ok_or_else(|| "it has no output".to_owned())
}

/// A constant with one number.
pub(super) fn number(number: f32) -> Result<Value, String> {
    constant::scalar(number)
        .map(Value::Constant)
        .map_err(|error| first_line(&error))
}

/// The index of a dimension, from a number that may count from the end.
pub(super) fn axis(given: i64, rank: usize) -> Result<usize, String> {
    let resolved = if given < 0 { given + rank as i64 } else { given };
    usize::try_from(resolved)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("axis {given} is out of range for a value of {rank} dimensions"))
}

/// The shape that two shapes are broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let length = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis]);
    (0..rank)
        .map(|axis| match (length(a, axis), length(b, axis)) {
            (a, b) if a == b => Ok(a),
            (1, other) | (other, 1) => Ok(other),
            _ => Err(format!("shapes {a:?} and {b:?} cannot be broadcast together")),
        })
        .collect()
}

/// The number of elements of a shape.
pub(super) fn product(dims: &[usize]) -> usize {
    dims.iter().product()
}
