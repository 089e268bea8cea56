//! A network planned for one batch size: all shapes are known, and everything that does not depend on the images is
//! computed.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};

use super::limit::{self, ConstantBudget, OperandShapes};
use super::proto::DataType;
use crate::ops::{self, Kernels};
use crate::weights::Weights;
use scv_domain::graph::{Node, NumberType, Operator, Parameter, ParameterRole, TensorOperator};

/// A value of a file's graph.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The same for all images, and already computed.
    Constant(Tensor),
    /// The output of a step, or the images themselves.
    Computed(Computed),
}

/// A value that depends on the batch.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    /// The step that computes it; `None` for the images.
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
            Self::Constant(tensor) if tensor.dtype() == candle_core::DType::U8 => NumberType::Boolean,
            Self::Constant(_) => NumberType::Integer,
            Self::Computed(computed) => computed.kind,
        }
    }
}

/// One operation with its own tensors.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operator: Operator,
    pub(super) inputs: Vec<Value>,
    pub(super) owned: Vec<(ParameterRole, Tensor)>,
    pub(super) dims: Vec<usize>,
    pub(super) multiply_accumulates: u64,
    /// The index of its node in the file.
    pub(super) node: usize,
    /// Whether its output represents its node as a layer.
    pub(super) is_layer: bool,
}

/// A network for one batch size.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) batch: usize,
    /// The batch size that the file fixes; `None` if it leaves it open.
    pub(super) fixed_batch: Option<usize>,
    pub(super) steps: Vec<Step>,
    pub(super) values: HashMap<String, Value>,
    /// The element types of integers whose range matters: of constants, and of quantised values.
    pub(super) element_types: HashMap<String, DataType>,
    pub(super) constant_budget: ConstantBudget,
}

impl Plan {
    /// Adds a step, or computes it right away if all of its inputs are constants.
    ///
    /// # Errors
    /// The step is too large, it does not support the types of its inputs, or it fails on the constants.
    pub(super) fn emit(&mut self, step: Step, kind: NumberType) -> Result<Value, String> {
        limit::check_shape(&step.dims, self.batch)?;
        let weight = step.owned.iter().find(|(role, _)| *role == ParameterRole::Weight);
        let shapes = OperandShapes {
            input: step.inputs.first().map(Value::dims),
            weight: weight.map(|(_, weight)| weight.dims()),
            output: &step.dims,
        };
        let work = limit::work(&step.operator, &shapes, self.batch)?;
        let constant = step.inputs.iter().all(|input| input.constant().is_some());
        check_operands(&step, constant)?;
        if constant {
            self.constant_budget.charge(&step.dims, work)?;
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

/// Checks the types of the inputs, and that no value is empty. Only operators that rearrange constants may have empty
/// values, because empty lists are common in computations on shapes.
fn check_operands(step: &Step, constant: bool) -> Result<(), String> {
    let (rearranges, any_kind) = match &step.operator {
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
                    | TensorOperator::Resize { .. }
            ),
        ),
        _ => (false, false),
    };
    let is_empty = step.dims.contains(&0) || step.inputs.iter().any(|input| input.dims().contains(&0));
    if is_empty && !(rearranges && constant) {
        return Err("one of its values is empty".to_owned());
    }
    if any_kind || step.inputs.iter().all(|input| input.kind() == NumberType::Float) {
        Ok(())
    } else {
        Err("it needs floating-point inputs".to_owned())
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

/// The message of an error without the backtrace that candle appends.
pub(super) fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
