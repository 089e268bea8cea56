//! From an ONNX file to the network graph.
//!
//! Files compute with shapes: sizes are read off values, calculated with, and given to a reshaping. All of that is known
//! once the shape of the input is, so the file is planned for a given batch size, and whatever does not depend on the
//! images is computed there and then. Done for two batch sizes, the plans say which dimensions count images: those
//! that scale with the batch. If anything else differs between them, the network runs image by image.

use std::collections::HashMap;

use super::assemble::{apart, together};
use super::attributes::Attributes;
use super::constant;
use super::error::{NodeFault, OnnxError};
use super::file::{is_own, opset};
use super::input::InputShape;
use super::limit::Spent;
use super::lower::{Lowering, OperatorEntry, find};
use super::plan::{Computed, Plan, Value};
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::images::Layout;
use crate::weights::Weights;
use scv_domain::graph::{Graph, NumberType, ValueId};
use scv_domain::image::ImageShape;

/// The two batch sizes that are compared.
pub(super) const BATCHES: [usize; 2] = [2, 3];

/// What the user says about a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// Rows and columns, where the file leaves them open.
    pub size: Option<[usize; 2]>,
    /// The output to take, where there are several.
    pub output: Option<String>,
}

/// A network from a file.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Its graph.
    pub graph: Graph,
    /// Its weights, in main memory.
    pub weights: Weights,
    /// By node: the name that the file gives the value it makes; empty for a step between two of the file's nodes.
    pub names: Vec<String>,
    /// The file's outputs that depend on the image.
    pub outputs: Vec<(String, ValueId)>,
    /// How images are laid out in its input.
    pub layout: Layout,
}

impl Imported {
    /// Shape of the images that the network reads, whatever the order of their numbers.
    pub fn image_shape(&self) -> ImageShape {
        let [a, b, c] = [0, 1, 2].map(|axis| self.graph.input_shape.get(axis).copied().unwrap_or(1));
        let (channels, height, width) = match self.layout {
            Layout::ChannelsFirst => (a, b, c),
            Layout::ChannelsLast => (c, a, b),
        };
        ImageShape {
            channels,
            height,
            width,
        }
    }
}

/// Turns a file into a graph.
///
/// # Errors
/// Everything that is wrong with it, each fault with its node.
pub fn import(model: &ModelProto, options: &ImportOptions) -> Result<Imported, OnnxError> {
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| OnnxError::Unreadable("it holds no graph".to_owned()))?;
    let constants = constants(graph).map_err(OnnxError::Unreadable)?;
    let input = the_input(graph, &constants)?;
    let shape = InputShape::of(input, options.size)?;
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
            spent: Spent::default(),
        };
        lower_all(graph, opset(model), &mut plan).map(|()| plan)
    };
    let parts = Parts {
        graph,
        image: &shape.image,
    };
    let assembled = match (plan(BATCHES[0]), plan(BATCHES[1])) {
        (Ok(two), Ok(three)) => together(&parts, &two, &three),
        _ => None,
    };
    let assembled = match assembled {
        Some(assembled) => assembled,
        None => apart(&parts, &plan(shape.fixed_batch.unwrap_or(1)).map_err(OnnxError::Nodes)?)?,
    };
    assembled.finish(options.output.as_deref(), shape.layout)
}

/// What the assembly needs of the file.
pub(super) struct Parts<'a> {
    pub(super) graph: &'a GraphProto,
    /// Shape of one image.
    pub(super) image: &'a [usize],
}

/// All constants of a file as values, decoded once.
fn constants(graph: &GraphProto) -> Result<HashMap<String, Value>, String> {
    let decoded = graph.initializer.iter().map(|tensor| {
        let value = constant::weights(tensor)?;
        Ok((tensor.name.clone(), Value::Constant(value)))
    });
    decoded.collect()
}

/// Older files list their weights among the inputs.
fn the_input<'a>(graph: &'a GraphProto, constants: &HashMap<String, Value>) -> Result<&'a ValueInfoProto, OnnxError> {
    let inputs: Vec<_> = graph
        .input
        .iter()
        .filter(|input| !constants.contains_key(&input.name))
        .collect();
    match inputs.as_slice() {
        [only] => Ok(only),
        several => Err(OnnxError::Inputs(
            several.iter().map(|input| input.name.clone()).collect(),
        )),
    }
}

/// All nodes whose operator is not known, before any is planned.
fn check_operators(graph: &GraphProto, opset: i64) -> Result<(), OnnxError> {
    let unknown = graph.node.iter().filter(|node| entry_of(node).is_none());
    let faults: Vec<_> = unknown
        .map(|node| fault(node, opset, "there is no such operator in SCV".to_owned()))
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(OnnxError::Nodes(faults)),
    }
}

pub(super) fn entry_of(node: &NodeProto) -> Option<&'static OperatorEntry> {
    is_own(&node.domain).then(|| find(&node.op_type)).flatten()
}

/// Lowers every node. A node that reads what a faulty one should have made says nothing: it may well be right.
pub(super) fn lower_all(graph: &GraphProto, opset: i64, plan: &mut Plan) -> Result<(), Vec<NodeFault>> {
    let (mut faults, mut broken) = (Vec::new(), std::collections::HashSet::new());
    for (index, node) in graph.node.iter().enumerate() {
        let outcome = match node.input.iter().any(|name| broken.contains(name)) {
            true => None,
            false => Some(lower_one(node, index, opset, plan)),
        };
        match outcome {
            Some(Ok(values)) => {
                let named = node.output.iter().cloned().zip(values);
                plan.values.extend(named.filter(|(name, _)| !name.is_empty()));
            }
            Some(Err(reason)) => {
                faults.push(fault(node, opset, reason));
                broken.extend(node.output.iter().cloned());
            }
            None => broken.extend(node.output.iter().cloned()),
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults),
    }
}

fn lower_one(node: &NodeProto, index: usize, opset: i64, plan: &mut Plan) -> Result<Vec<Value>, String> {
    let entry = entry_of(node).ok_or("there is no such operator in SCV")?;
    let inputs = node.input.iter().map(|name| match name.as_str() {
        "" => Ok(None),
        name => plan
            .values
            .get(name)
            .cloned()
            .map(Some)
            .ok_or_else(|| format!("nothing before it makes {name:?}")),
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
    let made = (entry.lower)(&mut lowering)?;
    let is_float = made.first().is_some_and(|value| value.kind() == NumberType::Float);
    if entry.is_measured(computed)
        && is_float
        && plan.steps.len() > before
        && let Some(last) = plan.steps.last_mut()
    {
        last.is_layer = true;
    }
    Ok(made)
}

fn fault(node: &NodeProto, opset: i64, reason: String) -> NodeFault {
    let name = match node.name.as_str() {
        "" => node.output.first().cloned().unwrap_or_default(),
        name => name.to_owned(),
    };
    NodeFault {
        node: name,
        operator: node.op_type.clone(),
        opset,
        domain: node.domain.clone(),
        reason,
    }
}
