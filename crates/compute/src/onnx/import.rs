//! Turns an ONNX file into the network graph.
//!
//! ONNX files compute with shapes: nodes read the sizes of values, calculate with them, and pass them to a reshaping.
//! All of these sizes are known once the shape of the input is known. So the file is planned for one batch size, and
//! everything that does not depend on the images is computed during planning. Comparing the plans for two batch sizes
//! shows which dimensions count images: those that scale with the batch. If anything else differs between the plans,
//! the network runs image by image.

use std::collections::{HashMap, HashSet};

use super::adapt::adapted;
use super::assemble::{Assembled, assemble_batched, assemble_per_image};
use super::attributes::Attributes;
use super::constant;
use super::flat::{FlatGraph, FlatNode};
use super::input::InputShape;
use super::limit::ConstantBudget;
use super::lower::Lowering;
use super::plan::{Computed, Plan, Value};
use super::proto::{ModelProto, ValueInfoProto};
pub use super::types::ImportOptions;
use super::types::{BATCHES, Imported, SourceGraph, entry_of};
use crate::error::{NodeError, OnnxError};
use scv_domain::graph::NumberType;
use scv_domain::input::InputNote;
use scv_memory::MemoryBudget;

/// Why a node with an unknown operator cannot be computed.
const UNSUPPORTED: &str = "SCV does not support this operator";

/// Rows and columns of images that networks are often made for, with which an error can advise.
const USUAL_SIDES: [usize; 14] = [224, 384, 256, 320, 640, 512, 448, 336, 299, 128, 96, 64, 32, 16];

/// What the size of images is a multiple of in networks that halve it several times.
const USUAL_FACTOR: usize = 32;

/// Turns a file into a graph.
///
/// # Errors
/// Everything that is wrong with the file, each error with its node.
pub fn import(model: &ModelProto, options: &ImportOptions) -> Result<Imported, OnnxError> {
    import_at(model, options).map_err(|error| match error {
        OnnxError::Nodes(errors) => with_advice(errors, model, options),
        error => error,
    })
}

fn import_at(model: &ModelProto, options: &ImportOptions) -> Result<Imported, OnnxError> {
    let mut graph = FlatGraph::of(model)?;
    let training = graph.for_inference();
    let (input, ignored) = image_input(&graph)?;
    let mut shape = InputShape::of(&graph, input, options)?;
    if !ignored.is_empty() {
        shape.format.notes.push(InputNote::IgnoredInputs { names: ignored });
    }
    if !training.is_empty() {
        shape.format.notes.push(InputNote::TrainingMode { nodes: training });
    }
    check_operators(&graph)?;
    let (graph, images) = adapted(graph, &shape)?;
    // The weights of the result share the memory of the constants.
    let mut budget = ConstantBudget::new(&options.memory);
    let assembled = Planning {
        constants: graph.values(&mut budget)?,
        graph: &graph,
        shape: &shape,
        images: &images,
        memory: &options.memory,
    }
    .assembled()?;
    assembled.choose_output(options.output.as_deref(), shape)
}

/// The errors of nodes. If the file leaves the size of its images open and takes another size, the error names that one.
fn with_advice(errors: Vec<NodeError>, model: &ModelProto, options: &ImportOptions) -> OnnxError {
    let Some(size) = open_size(model, options) else {
        return OnnxError::Nodes(errors);
    };
    let rounded = size.map(|side| side.next_multiple_of(USUAL_FACTOR));
    let of_images = options.images.map(|images| [images.height, images.width]);
    let usual = USUAL_SIDES.map(|side| [side; 2]);
    let others = of_images.into_iter().chain([rounded]).chain(usual);
    let mut fitting = others.filter(|&other| {
        let options = ImportOptions {
            size: Some(other),
            ..options.clone()
        };
        other != size && import_at(model, &options).is_ok()
    });
    match fitting.next() {
        Some(fitting) => OnnxError::Size { size, fitting, errors },
        None => OnnxError::Nodes(errors),
    }
}

/// The size that a file was read for, if it leaves it open.
fn open_size(model: &ModelProto, options: &ImportOptions) -> Option<[usize; 2]> {
    let graph = FlatGraph::of(model).ok()?;
    let (input, _) = image_input(&graph).ok()?;
    let shape = InputShape::of(&graph, input, options).ok()?;
    let images = options.images.map(|images| [images.height, images.width]);
    options.size.or(images).filter(|_| shape.is_size_open)
}

/// A graph to be planned for batches of several sizes.
struct Planning<'a> {
    graph: &'a FlatGraph<'a>,
    constants: HashMap<String, Value>,
    shape: &'a InputShape,
    /// The name of the images.
    images: &'a str,
    memory: &'a MemoryBudget,
}

impl Planning<'_> {
    fn assembled(&self) -> Result<Assembled, OnnxError> {
        let source = SourceGraph {
            graph: self.graph,
            image_shape: &self.shape.image,
        };
        // A file that does not take the first size is not tried with the second.
        let two = self.plan(BATCHES[0]).ok();
        let both = two.and_then(|two| Some((two, self.plan(BATCHES[1]).ok()?)));
        let batched = both.and_then(|(two, three)| assemble_batched(&source, &two, &three));
        match batched {
            Some(batched) => Ok(batched),
            None => {
                let plan = self
                    .plan(self.shape.fixed_batch.unwrap_or(1))
                    .map_err(OnnxError::Nodes)?;
                assemble_per_image(&source, &plan)
            }
        }
    }

    fn plan(&self, batch: usize) -> Result<Plan, Vec<NodeError>> {
        let images = Computed {
            step: None,
            dims: [&[batch], self.shape.image.as_slice()].concat(),
            kind: NumberType::Float,
        };
        let mut values = self.constants.clone();
        values.insert(self.images.to_owned(), Value::Computed(images));
        let mut element_types = self.graph.element_types();
        element_types.insert(self.shape.name.clone(), self.shape.element_type);
        let mut plan = Plan {
            batch,
            fixed_batch: self.shape.fixed_batch,
            steps: Vec::new(),
            values,
            element_types,
            constant_budget: ConstantBudget::new(self.memory),
        };
        lower_all(self.graph, &mut plan).map(|()| plan)
    }
}

/// The only input that nodes read, and the names of the others.
fn image_input<'a>(graph: &FlatGraph<'a>) -> Result<(&'a ValueInfoProto, Vec<String>), OnnxError> {
    let of_nodes = graph.nodes.iter().flat_map(|node| &node.input).map(String::as_str);
    let read: HashSet<&str> = of_nodes.chain(graph.outputs.iter().copied()).collect();
    let inputs = graph.inputs.iter().copied();
    let (read, ignored): (Vec<_>, Vec<_>) = inputs.partition(|input| read.contains(input.name.as_str()));
    match read.as_slice() {
        [only] => Ok((only, ignored.into_iter().map(|input| input.name.clone()).collect())),
        several => Err(OnnxError::Inputs(
            several.iter().map(|input| input.name.clone()).collect(),
        )),
    }
}

/// Finds all nodes with an unsupported operator, before any node is planned. Those of branches count only where these are taken.
fn check_operators(graph: &FlatGraph<'_>) -> Result<(), OnnxError> {
    let always = graph
        .nodes
        .iter()
        .filter(|node| node.guards.is_empty() && !node.is_if());
    let errors: Vec<_> = always
        .filter(|node| entry_of(node).is_none())
        .map(|node| node_error(node, UNSUPPORTED.to_owned()))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(OnnxError::Nodes(errors))
    }
}

/// Lowers every node. A node that reads a value of an invalid node reports no error, because it may well be right.
pub(super) fn lower_all(graph: &FlatGraph<'_>, plan: &mut Plan) -> Result<(), Vec<NodeError>> {
    let (mut errors, mut broken) = (Vec::new(), HashSet::new());
    for (index, node) in graph.nodes.iter().enumerate() {
        if !is_taken(node, plan) {
            continue;
        }
        let is_sound = inputs_of(node, plan).iter().all(|name| !broken.contains(name));
        match is_sound.then(|| lower_one(node, index, plan)) {
            Some(Ok(values)) => {
                let named = node.output.iter().cloned().zip(values);
                plan.values.extend(named.filter(|(name, _)| !name.is_empty()));
            }
            Some(Err(reason)) => {
                errors.push(node_error(node, reason));
                broken.extend(&node.output);
            }
            None => broken.extend(&node.output),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Whether a node is computed: each condition that it stands under must be known, and true.
fn is_taken(node: &FlatNode<'_>, plan: &Plan) -> bool {
    let mut guards = node.guards.iter();
    guards.all(|guard| condition(&guard.condition, plan) == Some(guard.is))
}

/// A condition that does not depend on the images.
fn condition(name: &str, plan: &Plan) -> Option<bool> {
    let numbers = constant::integers(plan.values.get(name)?.constant()?).ok()?;
    numbers.first().map(|&number| number != 0)
}

/// The values that a node reads: of an `If`, those of the branch that is taken.
fn inputs_of<'n>(node: &'n FlatNode<'_>, plan: &Plan) -> &'n [String] {
    match node.input.first() {
        Some(name) if node.is_if() => match condition(name, plan) {
            Some(is) => node.branch(is),
            None => &node.input[..1],
        },
        _ => &node.input,
    }
}

fn lower_one(node: &FlatNode<'_>, index: usize, plan: &mut Plan) -> Result<Vec<Value>, String> {
    let inputs = inputs_of(node, plan).iter().map(|name| match name.as_str() {
        "" => Ok(None),
        name => plan
            .values
            .get(name)
            .cloned()
            .map(Some)
            .ok_or_else(|| format!("no node produces {name:?}")),
    });
    let inputs: Vec<Option<Value>> = inputs.collect::<Result<_, _>>()?;
    if node.is_if() {
        if condition(&node.input[0], plan).is_none() {
            return Err(
                "its condition depends on the image: SCV runs networks that do the same for every image".to_owned(),
            );
        }
        return Ok(inputs.into_iter().flatten().collect());
    }
    let entry = entry_of(node).ok_or(UNSUPPORTED)?;
    let computed = inputs
        .iter()
        .flatten()
        .filter(|value| value.constant().is_none())
        .count();
    let before = plan.steps.len();
    let mut lowering = Lowering {
        attributes: Attributes(node),
        opset: node.opset,
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

fn node_error(node: &FlatNode<'_>, reason: String) -> NodeError {
    NodeError {
        node: node.title().to_owned(),
        operator: node.op_type.to_owned(),
        opset: node.opset,
        domain: node.domain.to_owned(),
        reason,
    }
}
