//! The operator cases that the ONNX project publishes: a file of one operator, its inputs and the expected outputs.

use std::collections::HashMap;

use candle_core::Tensor;
use prost::Message as _;

use super::constant;
use super::error::OnnxError;
use super::file::{decode, opset};
use super::import::lower_all;
use super::limit::Spent;
use super::plan::{Plan, Value};
use super::proto::TensorProto;
use crate::trace::Numbers;

/// Computes the outputs of a case. Its inputs are known, so all of it is computed while it is planned.
///
/// # Errors
/// The file is refused, or in words what is wrong with a tensor.
pub fn run(model: &[u8], inputs: &[Vec<u8>]) -> Result<Vec<Numbers>, OnnxError> {
    let model = decode(model)?;
    let graph = model.graph.clone().unwrap_or_default();
    let mut values = HashMap::new();
    for tensor in &graph.initializer {
        values.insert(
            tensor.name.clone(),
            Value::Constant(constant::tensor(tensor).map_err(OnnxError::Unreadable)?),
        );
    }
    let open = graph
        .input
        .iter()
        .filter(|input| !values.contains_key(&input.name))
        .map(|input| input.name.clone());
    let open: Vec<String> = open.collect();
    for (name, bytes) in open.into_iter().zip(inputs) {
        values.insert(name, Value::Constant(tensor(bytes)?));
    }
    let mut plan = Plan {
        batch: 1,
        fixed_batch: None,
        steps: Vec::new(),
        values,
        spent: Spent::default(),
    };
    lower_all(&graph, opset(&model), &mut plan).map_err(OnnxError::Nodes)?;
    graph
        .output
        .iter()
        .map(|output| {
            let value = plan.values.get(&output.name).and_then(Value::constant);
            numbers(value.ok_or_else(|| OnnxError::Unreadable(format!("nothing makes {:?}", output.name)))?)
        })
        .collect()
}

/// The numbers of a published tensor.
///
/// # Errors
/// In words what is wrong with it.
pub fn expected(bytes: &[u8]) -> Result<Numbers, OnnxError> {
    numbers(&tensor(bytes)?)
}

fn tensor(bytes: &[u8]) -> Result<Tensor, OnnxError> {
    let proto = TensorProto::decode(bytes).map_err(|error| OnnxError::Unreadable(error.to_string()))?;
    constant::tensor(&proto).map_err(OnnxError::Unreadable)
}

fn numbers(tensor: &Tensor) -> Result<Numbers, OnnxError> {
    let values = constant::floats(tensor).map_err(|error| OnnxError::Unreadable(error.to_string()))?;
    let shape = tensor.dims().to_vec();
    Ok(Numbers { shape, values })
}
