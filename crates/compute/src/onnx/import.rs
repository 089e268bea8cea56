//! Turns an ONNX file into the network graph.
//!
//! ONNX files compute with shapes: nodes read the sizes of values, calculate with them, and pass them to a reshaping.
//! All of these sizes are known once the shape of the input is known. So the file is planned for one batch size, and
//! everything that does not depend on the images is computed during planning. Comparing the plans for two batch sizes
//! shows which dimensions count images: those that scale with the batch. If anything else differs between the plans,
//! the network runs image by image.

use std::collections::{HashMap, HashSet};

use super::assemble::{assemble_batched, assemble_per_image};
use super::attributes::Attributes;
use super::constant;
use super::file::opset;
use super::input::InputShape;
use super::limit::ConstantBudget;
use super::lower::Lowering;
use super::plan::{Computed, Plan, Value};
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::types::{BATCHES, Imported, SourceGraph, entry_of};
use crate::error::{NodeError, OnnxError};
use scv_domain::graph::NumberType;

/// The user's choices for a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// Height and width, if the file leaves them open.
    pub size: Option<[usize; 2]>,
    /// The output to use, if there are several.
    pub output: Option<String>,
}

/// Why a node with an unknown operator cannot be computed.
const UNSUPPORTED: &str = "SCV does not support this operator";

/// Turns a file into a graph.
///
/// # Errors
/// Everything that is wrong with the file, each error with its node.
pub fn import(model: &ModelProto, options: &ImportOptions) -> Result<Imported, OnnxError> {
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| OnnxError::Unreadable("it holds no graph".to_owned()))?;
    let input = image_input(graph)?;
    let shape = InputShape::of(input, options.size)?;
    let constants = constants(graph).map_err(OnnxError::Unreadable)?;
    check_operators(graph, opset(model))?;
    let plan = |batch: usize| {
        let images = Computed {
            step: None,
            dims: [&[batch], shape.image.as_slice()].concat(),
            kind: NumberType::Float,
        };
        let mut values = constants.clone();
        values.insert(input.name.clone(), Value::Computed(images));
        let mut plan = Plan {
            batch,
            fixed_batch: shape.fixed_batch,
            steps: Vec::new(),
            values,
            constant_budget: ConstantBudget::default(),
        };
        lower_all(graph, opset(model), &mut plan).map(|()| plan)
    };
    let source = SourceGraph {
        graph,
        image_shape: &shape.image,
    };
    let assembled = match (plan(BATCHES[0]), plan(BATCHES[1])) {
        (Ok(two), Ok(three)) => assemble_batched(&source, &two, &three),
        _ => None,
    };
    let assembled = match assembled {
        Some(assembled) => assembled,
        None => assemble_per_image(
            &source,
            &plan(shape.fixed_batch.unwrap_or(1)).map_err(OnnxError::Nodes)?,
        )?,
    };
    assembled.choose_output(options.output.as_deref(), shape.layout)
}

/// All constants of a file as values.
fn constants(graph: &GraphProto) -> Result<HashMap<String, Value>, String> {
    let decoded = graph.initializer.iter().map(|tensor| {
        let value = constant::tensor_without_nan(tensor)?;
        Ok((tensor.name.clone(), Value::Constant(value)))
    });
    decoded.collect()
}

/// The only input without a constant. Older files list their weights among the inputs.
fn image_input(graph: &GraphProto) -> Result<&ValueInfoProto, OnnxError> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<_> = graph
        .input
        .iter()
        .filter(|input| !constants.contains(input.name.as_str()))
        .collect();
    match inputs.as_slice() {
        [only] => Ok(only),
        several => Err(OnnxError::Inputs(
            several.iter().map(|input| input.name.clone()).collect(),
        )),
    }
}

/// Finds all nodes with an unsupported operator, before any node is planned.
fn check_operators(graph: &GraphProto, opset: i64) -> Result<(), OnnxError> {
    let unsupported = graph.node.iter().filter(|node| entry_of(node).is_none());
    let errors: Vec<_> = unsupported
        .map(|node| node_error(node, opset, UNSUPPORTED.to_owned()))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(OnnxError::Nodes(errors))
    }
}

/// Lowers every node. A node that reads a value of an invalid node reports no error, because it may well be right.
pub(super) fn lower_all(graph: &GraphProto, opset: i64, plan: &mut Plan) -> Result<(), Vec<NodeError>> {
    let (mut errors, mut broken) = (Vec::new(), HashSet::new());
    for (index, node) in graph.node.iter().enumerate() {
        let outcome = if node.input.iter().any(|name| broken.contains(name)) {
            None
        } else {
            Some(lower_one(node, index, opset, plan))
        };
        match outcome {
            Some(Ok(values)) => {
                let named = node.output.iter().cloned().zip(values);
                plan.values.extend(named.filter(|(name, _)| !name.is_empty()));
            }
            Some(Err(reason)) => {
                errors.push(node_error(node, opset, reason));
                broken.extend(node.output.iter().cloned());
            }
            None => broken.extend(node.output.iter().cloned()),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn lower_one(node: &NodeProto, index: usize, opset: i64, plan: &mut Plan) -> Result<Vec<Value>, String> {
    let entry = entry_of(node).ok_or(UNSUPPORTED)?;
    let inputs = node.input.iter().map(|name| match name.as_str() {
        "" => Ok(None),
        name => plan
            .values
            .get(name)
            .cloned()
            .map(Some)
            .ok_or_else(|| format!("no earlier node produces {name:?}")),
    });
    let inputs: Vec<_> = inputs.collect::<Result<_, _>>()?;
    let computed = inputs
        .iter()
        .flatten()
        .filter(|value| value.constant().is_none())
        .count();
    let before = plan.steps.len();
    let mut lowering = Lowering {
        attributes: Attributes(node),
        opset,
        inputs,
        plan,
        index,
    };
    let outputs = (entry.lower)(&mut lowering)?;
    let is_float = outputs.first().is_some_and(|value| value.kind() == NumberType::Float);
    if entry.is_measured(computed)
        && is_float
        && plan.steps.len() > before
        && let Some(last) = plan.steps.last_mut()
    {
        last.is_layer = true;
    }
    Ok(outputs)
}

fn node_error(node: &NodeProto, opset: i64, reason: String) -> NodeError {
    let name = match node.name.as_str() {
        "" => node.output.first().cloned().unwrap_or_default(),
        name => name.to_owned(),
    };
    NodeError {
        node: name,
        operator: node.op_type.clone(),
        opset,
        domain: node.domain.clone(),
        reason,
    }
}
