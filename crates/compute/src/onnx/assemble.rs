//! From plans to the network graph: which dimensions count images, and one node a step.

use std::collections::{BTreeMap, HashMap};

use candle_core::Tensor;
use serde_json::{Map, Value as Json, json};

use super::batch::{batch_axis, for_any_batch, inner};
use super::error::OnnxError;
use super::import::{Imported, Parts, entry_of};
use super::plan::{Plan, Step, Value, parameter};
use super::proto::{AttributeProto, AttributeType, NodeProto};
use crate::images::Layout;
use crate::weights::Weights;
use scv_domain::block::MAX_MULTIPLY_ACCUMULATES;
use scv_domain::graph::{BatchAxis, Graph, Node, Operator, ParameterRole, TensorOperator, ValueId};

/// A graph whose output has not been chosen yet.
pub(super) struct Assembled {
    graph: Graph,
    weights: BTreeMap<String, Tensor>,
    names: Vec<String>,
    /// The file's outputs; `None` for one that does not depend on the image.
    outputs: Vec<(String, Option<ValueId>)>,
}

/// The graph for batches of any size, if nothing but the batch itself differs between plans for two sizes.
pub(super) fn together(parts: &Parts<'_>, two: &Plan, three: &Plan) -> Option<Assembled> {
    if two.steps.len() != three.steps.len() {
        return None;
    }
    let mut assembly = Assembly::new(parts);
    for (a, b) in two.steps.iter().zip(&three.steps) {
        if a.operator != b.operator || a.node != b.node || a.inputs.len() != b.inputs.len() {
            return None;
        }
        let batch = batch_axis(&a.dims, &b.dims)??;
        let mut inputs = Vec::with_capacity(a.inputs.len());
        for (a, b) in a.inputs.iter().zip(&b.inputs) {
            inputs.push(match (a, b) {
                (Value::Computed(a), Value::Computed(b)) if a.step == b.step => Input::Step(a.step),
                (Value::Constant(a), Value::Constant(b)) => {
                    let batch = batch_axis(a.dims(), b.dims())?;
                    Input::Constant(for_any_batch(a, b, batch)?, batch)
                }
                _ => return None,
            });
        }
        assembly.add(a, inputs, Some(batch), two.batch);
    }
    Some(assembly.end(two, true))
}

/// The graph for one image at a time.
///
/// # Errors
/// The file is made for a batch of several images that cannot be taken apart.
pub(super) fn apart(parts: &Parts<'_>, plan: &Plan) -> Result<Assembled, OnnxError> {
    if plan.batch != 1 {
        return Err(OnnxError::Mismatch(format!(
            "the file is made for batches of {} images and cannot run others: export it with a batch of 1 or a dynamic one",
            plan.batch
        )));
    }
    let mut assembly = Assembly::new(parts);
    for step in &plan.steps {
        let inputs = step.inputs.iter().map(|input| match input {
            Value::Computed(computed) => Input::Step(computed.step),
            Value::Constant(tensor) => Input::Constant(tensor.clone(), None),
        });
        let batch = step.dims.first().map(|&first| BatchAxis {
            axis: 0,
            factor: first,
            inner: first,
        });
        assembly.add(step, inputs.collect(), batch, 1);
    }
    Ok(assembly.end(plan, false))
}

enum Input {
    /// What a step makes; `None` for the images.
    Step(Option<usize>),
    Constant(Tensor, Option<BatchAxis>),
}

struct Assembly<'a> {
    parts: &'a Parts<'a>,
    nodes: Vec<Node>,
    names: Vec<String>,
    weights: BTreeMap<String, Tensor>,
    /// By step: the value it makes.
    values: Vec<ValueId>,
    /// Paths that are taken, each with the number of those made from it.
    paths: HashMap<String, usize>,
    /// By node of the file: how many steps it has had.
    seen: HashMap<usize, usize>,
}

impl<'a> Assembly<'a> {
    fn new(parts: &'a Parts<'a>) -> Self {
        Self {
            parts,
            nodes: Vec::new(),
            names: Vec::new(),
            weights: BTreeMap::new(),
            values: Vec::new(),
            paths: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    fn add(&mut self, step: &Step, inputs: Vec<Input>, batch: Option<BatchAxis>, images: usize) {
        let source = &self.parts.graph.node[step.node];
        let base = self.path_of(source, step);
        let ids: Vec<ValueId> = inputs
            .into_iter()
            .enumerate()
            .map(|(place, input)| match input {
                Input::Step(None) => ValueId::INPUT,
                Input::Step(Some(step)) => self.values[step],
                Input::Constant(tensor, batch) => self.constant(format!("{base}.input{place}"), tensor, batch),
            })
            .collect();
        let multiply_accumulates = match &step.operator {
            Operator::Tensor(TensorOperator::MatMul) => {
                let inner = step.inputs[0].dims().last().copied().unwrap_or(0);
                (step.dims.iter().product::<usize>() * inner / images.max(1)) as u64
            }
            _ => step.multiply_accumulates,
        };
        for (role, tensor) in &step.owned {
            self.weights.insert(format!("{base}.{}", role.name()), tensor.clone());
        }
        let batch = batch.map(|batch| {
            let read = ids.iter().zip(&step.inputs).filter_map(|(id, input)| {
                let of_input = match id.0.checked_sub(1) {
                    Some(node) => self.nodes[node].batch,
                    None => Some(BatchAxis::FIRST),
                };
                of_input.map(|axis| (axis, input.dims().to_vec()))
            });
            let inner = inner(&step.operator, &step.dims, batch, read);
            BatchAxis { inner, ..batch }
        });
        let mut output_shape = step.dims.clone();
        if let Some(batch) = batch {
            output_shape.remove(batch.axis);
        }
        self.push(
            source,
            Node {
                path: base,
                kind: entry_of(source).map_or("", |entry| entry.kind),
                settings: if step.is_layer { settings(source) } else { json!({}) },
                operator: step.operator.clone(),
                inputs: ids,
                output_shape,
                batch,
                parameters: step
                    .owned
                    .iter()
                    .map(|(role, tensor)| parameter(*role, tensor))
                    .collect(),
                multiply_accumulates,
                is_layer: step.is_layer,
            },
        );
        self.values.push(ValueId(self.nodes.len()));
    }

    fn constant(&mut self, path: String, tensor: Tensor, batch: Option<BatchAxis>) -> ValueId {
        let mut output_shape = tensor.dims().to_vec();
        if let Some(batch) = batch {
            output_shape.remove(batch.axis);
        }
        let node = Node {
            kind: "Constant",
            settings: json!({}),
            operator: Operator::Tensor(TensorOperator::Constant),
            inputs: Vec::new(),
            output_shape,
            batch,
            parameters: vec![parameter(ParameterRole::Value, &tensor)],
            multiply_accumulates: 0,
            is_layer: false,
            path,
        };
        self.weights.insert(node.key(ParameterRole::Value), tensor);
        self.nodes.push(node);
        self.names.push(String::new());
        ValueId(self.nodes.len())
    }

    fn push(&mut self, source: &NodeProto, node: Node) {
        // A measured step is the last of its node, and makes the value that the file has a name for.
        let name = if node.is_layer {
            source.output.first().cloned()
        } else {
            None
        };
        self.names.push(name.unwrap_or_default());
        self.nodes.push(node);
    }

    /// A name for a step that no other has: the node's, or that of the value it makes.
    fn path_of(&mut self, source: &NodeProto, step: &Step) -> String {
        let count = self.seen.entry(step.node).or_default();
        *count += 1;
        let name = match source.name.as_str() {
            "" => source.output.first().map_or("", String::as_str),
            name => name,
        };
        let path = match (step.is_layer, *count) {
            (true, _) => name.to_owned(),
            (false, count) => format!("{name}#{count}"),
        };
        self.unique(path)
    }

    fn unique(&mut self, wanted: String) -> String {
        let mut path = wanted.clone();
        while self.paths.contains_key(&path) {
            let count = self.paths.entry(wanted.clone()).or_default();
            *count += 1;
            path = format!("{wanted}~{count}");
        }
        self.paths.insert(path.clone(), 0);
        path
    }

    fn end(self, plan: &Plan, together: bool) -> Assembled {
        let made = self
            .parts
            .graph
            .output
            .iter()
            .filter(|output| plan.values.contains_key(&output.name));
        let outputs = made.map(|output| {
            let id = match plan.values.get(&output.name) {
                Some(Value::Computed(computed)) => Some(computed.step.map_or(ValueId::INPUT, |step| self.values[step])),
                _ => None,
            };
            (output.name.clone(), id)
        });
        let outputs = outputs.collect();
        Assembled {
            graph: Graph {
                input_shape: self.parts.image.to_vec(),
                logits: ValueId(self.nodes.len()),
                nodes: self.nodes,
                images_together: together,
            },
            weights: self.weights,
            names: self.names,
            outputs,
        }
    }
}

impl Assembled {
    /// The network with its output chosen.
    ///
    /// # Errors
    /// Several outputs and none chosen, an output that is not there or does not depend on the image.
    pub(super) fn finish(mut self, wanted: Option<&str>, layout: Layout) -> Result<Imported, OnnxError> {
        let known = || self.outputs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let chosen = match (wanted, self.outputs.as_slice()) {
            (Some(wanted), outputs) => outputs.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
                let (wanted, known) = (wanted.to_owned(), known());
                OnnxError::UnknownOutput { wanted, known }
            })?,
            (None, [only]) => only,
            (None, _) => return Err(OnnxError::Outputs(known())),
        };
        if self.graph.multiply_accumulates() > MAX_MULTIPLY_ACCUMULATES {
            return Err(OnnxError::Mismatch(format!(
                "the network takes {} multiply-accumulates an image: the most is {MAX_MULTIPLY_ACCUMULATES}",
                self.graph.multiply_accumulates()
            )));
        }
        let id = chosen.1.ok_or_else(|| OnnxError::ConstantOutput(chosen.0.clone()))?;
        self.graph.logits = before_softmax(&self.graph, id);
        let outputs = self.outputs.into_iter().filter_map(|(name, id)| Some((name, id?)));
        Ok(Imported {
            outputs: outputs.collect(),
            graph: self.graph,
            weights: Weights(self.weights),
            names: self.names,
            layout,
        })
    }
}

/// Scores stand before a closing softmax, as in block networks, also where its answer is brought into another shape after it.
fn before_softmax(graph: &Graph, id: ValueId) -> ValueId {
    let mut at = id;
    while let Some(node) = at.0.checked_sub(1).map(|index| &graph.nodes[index]) {
        match &node.operator {
            Operator::Tensor(TensorOperator::Softmax { log: false, axes }) => {
                // In another shape, only shares of all numbers together are still those of classes.
                let of_all = |(axis, length): (usize, &usize)| *length == 1 || axes.contains(&axis);
                let is_whole = at == id || node.dims(1).iter().enumerate().all(of_all);
                return if is_whole { node.inputs[0] } else { id };
            }
            Operator::Reshape | Operator::Tensor(TensorOperator::Reshape) => at = node.inputs[0],
            _ => break,
        }
    }
    id
}

/// Longest list that is a setting and no table of numbers.
const MAX_LISTED: usize = 16;

/// The attributes of a node as JSON.
fn settings(node: &NodeProto) -> Json {
    let fields = node
        .attribute
        .iter()
        .filter_map(|attribute| Some((attribute.name.clone(), setting(attribute)?)));
    Json::Object(fields.collect::<Map<_, _>>())
}

fn setting(attribute: &AttributeProto) -> Option<Json> {
    match AttributeType::try_from(attribute.r#type).ok()? {
        AttributeType::Float => Some(json!(attribute.f)),
        AttributeType::Int => Some(json!(attribute.i)),
        AttributeType::String => std::str::from_utf8(&attribute.s).ok().map(|text| json!(text)),
        AttributeType::Floats if attribute.floats.len() <= MAX_LISTED => Some(json!(attribute.floats)),
        AttributeType::Ints if attribute.ints.len() <= MAX_LISTED => Some(json!(attribute.ints)),
        _ => None,
    }
}
