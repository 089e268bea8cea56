//! Runs the operator test cases that the ONNX project publishes: a model with one operator, its inputs, and the
//! expected outputs.

use candle_core::Tensor;
use prost::Message as _;

use super::constant;
use super::file::{OLDEST_OPSET, decode, is_onnx_domain};
use super::flat::FlatGraph;
use super::import::lower_all;
use super::limit::ConstantBudget;
use super::plan::{Plan, Value};
use super::proto::{DataType, ModelProto, TensorProto};
use crate::error::OnnxError;
use crate::trace::Numbers;
use scv_memory::MemoryBudget;

/// Computes the outputs of a case. Its inputs are constants, so everything is computed during planning.
///
/// # Errors
/// If the model is refused, or if a tensor cannot be read.
pub fn run(model: &[u8], inputs: &[Vec<u8>]) -> Result<Vec<Numbers>, OnnxError> {
    let memory = MemoryBudget::default();
    let model = decode(&as_old_as_supported(model)?, &memory.empty())?;
    let mut constant_budget = ConstantBudget::new(&memory);
    let graph = FlatGraph::of(&model)?;
    let mut types = graph.element_types();
    let mut values = graph.values(&mut constant_budget)?;
    for (input, bytes) in graph.inputs.iter().zip(inputs) {
        let proto = proto(bytes)?;
        let value = constant::tensor(&proto).map_err(OnnxError::Unreadable)?;
        types.extend(DataType::try_from(proto.data_type).map(|found| (input.name.clone(), found)));
        values.insert(input.name.clone(), Value::Constant(value));
    }
    let mut plan = Plan {
        batch: 1,
        fixed_batch: None,
        steps: Vec::new(),
        values,
        element_types: types,
        constant_budget,
    };
    lower_all(&graph, &mut plan).map_err(OnnxError::Nodes)?;
    graph
        .outputs
        .iter()
        .map(|&output| {
            let value = plan.values.get(output).and_then(Value::constant);
            numbers(value.ok_or_else(|| OnnxError::Unreadable(format!("no node produces {output:?}")))?)
        })
        .collect()
}

/// Reads a published tensor.
///
/// # Errors
/// If it cannot be read.
pub fn expected(bytes: &[u8]) -> Result<Numbers, OnnxError> {
    numbers(&tensor(bytes)?)
}

/// A case of an operator that has not changed for long is published with the operator set that it is from. The oldest supported one
/// has it as it was.
fn as_old_as_supported(model: &[u8]) -> Result<Vec<u8>, OnnxError> {
    let mut model = ModelProto::decode(model).map_err(|error| OnnxError::Unreadable(error.to_string()))?;
    for set in &mut model.opset_import {
        if is_onnx_domain(&set.domain) {
            set.version = set.version.max(OLDEST_OPSET);
        }
    }
    Ok(model.encode_to_vec())
}

fn tensor(bytes: &[u8]) -> Result<Tensor, OnnxError> {
    constant::tensor(&proto(bytes)?).map_err(OnnxError::Unreadable)
}

fn proto(bytes: &[u8]) -> Result<TensorProto, OnnxError> {
    TensorProto::decode(bytes).map_err(|error| OnnxError::Unreadable(error.to_string()))
}

fn numbers(tensor: &Tensor) -> Result<Numbers, OnnxError> {
    let values = constant::floats(tensor).map_err(|error| OnnxError::Unreadable(error.to_string()))?;
    let shape = tensor.dims().to_vec();
    Ok(Numbers { shape, values })
}
