//! A network for one batch size: everything that does not depend on the images computed, all shapes known.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};

use super::limit::{self, Spent};
use crate::ops::{self, Kernels};
use crate::weights::Weights;
use scv_domain::graph::{Node, NumberType, Operator, Parameter, ParameterRole, TensorOperator};

/// A value of a file's graph.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The same for all images, and known.
    Constant(Tensor),
    /// Made by a step, or the images themselves.
    Computed(Computed),
}

/// A value that has to be computed for each batch.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    /// The step that makes it; `None` for the images.
    pub(super) step: Option<usize>,
    pub(super) dims: Vec<usize>,
    pub(super) kind: NumberType,
}

impl Value {
    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Self::Constant(tensor) => tensor.dims(),
            Self::Computed(computed) => &computed.dims,
        }
    }

    pub(super) fn constant(&self) -> Option<&Tensor> {
        match self {
            Self::Constant(tensor) => Some(tensor),
            Self::Computed(_) => None,
        }
    }

    pub(super) fn kind(&self) -> NumberType {
        match self {
            Self::Constant(tensor) if tensor.dtype().is_float() => NumberType::Float,
            Self::Constant(tensor) if tensor.dtype() == candle_core::DType::U8 => NumberType::Truth,
            Self::Constant(_) => NumberType::Integer,
            Self::Computed(computed) => computed.kind,
        }
    }
}

/// One operation with the tensors it owns.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operator: Operator,
    pub(super) inputs: Vec<Value>,
    pub(super) owned: Vec<(ParameterRole, Tensor)>,
    pub(super) dims: Vec<usize>,
    pub(super) multiply_accumulates: u64,
    /// The node of the file it comes from.
    pub(super) node: usize,
    /// Whether it is what its node is measured by.
    pub(super) is_layer: bool,
}

/// A network for one batch size.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) batch: usize,
    /// The batch size that is written into the file; `None` if any will do.
    pub(super) fixed_batch: Option<usize>,
    pub(super) steps: Vec<Step>,
    pub(super) values: HashMap<String, Value>,
    pub(super) spent: Spent,
}

impl Plan {
    /// Adds a step, or computes it at once if it depends on nothing.
    ///
    /// # Errors
    /// In words: it is too large, its operands are no numbers for it, or what is wrong with an operation on constants.
    pub(super) fn emit(&mut self, step: Step, kind: NumberType) -> Result<Value, String> {
        limit::shape(&step.dims, self.batch)?;
        let work = limit::work(&step, self.batch)?;
        let constant = step.inputs.iter().all(|input| input.constant().is_some());
        check_operands(&step, constant)?;
        if constant {
            self.spent.constant(&step.dims, work)?;
            return fold(step).map(Value::Constant);
        }
        let computed = Computed {
            step: Some(self.steps.len()),
            dims: step.dims.clone(),
            kind,
        };
        self.steps.push(step);
        Ok(Value::Computed(computed))
    }
}

/// Only what moves constants about may be empty: lists of no places are common between operations on shapes.
fn check_operands(step: &Step, constant: bool) -> Result<(), String> {
    let (moves, any_kind) = match &step.operator {
        Operator::Tensor(operator) => (
            matches!(
                operator,
                TensorOperator::Reshape
                    | TensorOperator::Expand
                    | TensorOperator::Transpose(_)
                    | TensorOperator::Concat(_)
                    | TensorOperator::Slice { .. }
                    | TensorOperator::Gather { .. }
                    | TensorOperator::Cast(_)
            ),
            !matches!(
                operator,
                TensorOperator::MatMul
                    | TensorOperator::Softmax { .. }
                    | TensorOperator::Normalise { .. }
                    | TensorOperator::LocalResponse { .. }
                    | TensorOperator::Resize(_)
            ),
        ),
        _ => (false, false),
    };
    let is_empty = step.dims.contains(&0) || step.inputs.iter().any(|input| input.dims().contains(&0));
    if is_empty && !(moves && constant) {
        return Err("one of its values has no numbers at all".to_owned());
    }
    match any_kind || step.inputs.iter().all(|input| input.kind() == NumberType::Float) {
        true => Ok(()),
        false => Err("it computes with floating-point numbers, and others arrive".to_owned()),
    }
}

fn fold(step: Step) -> Result<Tensor, String> {
    let inputs: Vec<Tensor> = step
        .inputs
        .iter()
        .filter_map(|input| input.constant().cloned())
        .collect();
    if let Operator::Tensor(operator) = &step.operator
        && !matches!(operator, TensorOperator::Normalise { .. })
    {
        return ops::apply(operator, &inputs, &step.dims).map_err(|error| first_line(&error));
    }
    let owned: BTreeMap<String, Tensor> = step
        .owned
        .iter()
        .map(|(role, tensor)| (format!("folded.{}", role.name()), tensor.clone()))
        .collect();
    let node = Node {
        path: "folded".to_owned(),
        kind: "",
        settings: serde_json::Value::Null,
        operator: step.operator,
        inputs: Vec::new(),
        output_shape: step.dims[1.min(step.dims.len())..].to_vec(),
        batch: None,
        parameters: step
            .owned
            .iter()
            .map(|(role, tensor)| parameter(*role, tensor))
            .collect(),
        multiply_accumulates: 0,
        is_layer: false,
    };
    ops::forward(Kernels::of(&Device::Cpu), &node, &inputs, &Weights(owned), &step.dims)
        .map_err(|error| error.to_string())
}

pub(super) fn parameter(role: ParameterRole, tensor: &Tensor) -> Parameter {
    Parameter {
        role,
        shape: tensor.dims().to_vec(),
    }
}

/// candle's errors carry a backtrace.
pub(super) fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
