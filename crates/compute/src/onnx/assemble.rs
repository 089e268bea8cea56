//! Builds the network graph from plans: one node per step, with the dimension that counts images.

use std::collections::{BTreeMap, HashMap};

use candle_core::Tensor;
use serde_json::{Map, Value as Json, json};

use super::batch::{batch_axis, batch_invariant_constant, inner_stride};
use super::flat::FlatNode;
use super::input::InputShape;
use super::lower::Measured;
use super::plan::{Plan, Step, Value, parameter};
use super::proto::{AttributeProto, AttributeType};
use super::types::{Imported, SourceGraph, entry_of};
use crate::error::{OnnxError, OutputShape};
use crate::weights::Weights;
use scv_domain::block::MAX_MULTIPLY_ACCUMULATES;
use scv_domain::graph::{BatchAxis, Graph, Node, Operator, ParameterRole, TensorOperator, ValueId};

/// A graph whose output has not been chosen yet.
pub(super) struct Assembled {
    graph: Graph,
    weights: BTreeMap<String, Tensor>,
    names: Vec<String>,
    outputs: Vec<Output>,
}

/// An output of a file.
struct Output {
    name: String,
    /// `None` if it does not depend on the image.
    value: Option<ValueId>,
}

/// Builds a graph for batches of any size, if only the batch itself differs between the plans for two sizes.
pub(super) fn assemble_batched(source: &SourceGraph<'_>, two: &Plan, three: &Plan) -> Option<Assembled> {
    if two.steps.len() != three.steps.len() {
        return None;
    }
    let mut assembly = Assembly::new(source);
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
                    Input::Constant(batch_invariant_constant(a, b, batch)?, batch)
                }
                _ => return None,
            });
        }
        assembly.add(a, inputs, Some(batch), two.batch);
    }
    Some(assembly.finish(two, true))
}

/// Builds a graph that runs one image at a time.
///
/// # Errors
/// The file is made for a batch of several images that cannot be separated.
pub(super) fn assemble_per_image(source: &SourceGraph<'_>, plan: &Plan) -> Result<Assembled, OnnxError> {
    if plan.batch != 1 {
        return Err(OnnxError::Mismatch(format!(
            "the file is made for batches of {} images and cannot run other sizes: export it with a batch size of 1 \
             or a dynamic one",
            plan.batch
        )));
    }
    let mut assembly = Assembly::new(source);
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
    Ok(assembly.finish(plan, false))
}

enum Input {
    /// The output of a step; `None` for the images.
    Step(Option<usize>),
    Constant(Tensor, Option<BatchAxis>),
}

struct Assembly<'a> {
    source: &'a SourceGraph<'a>,
    nodes: Vec<Node>,
    names: Vec<String>,
    weights: BTreeMap<String, Tensor>,
    /// For each step, the value that it computes.
    values: Vec<ValueId>,
    /// For each step, the index of its node in the file.
    sources: Vec<usize>,
    /// Paths in use, each with the number of paths derived from it.
    paths: HashMap<String, usize>,
    /// For each node of the file, the number of its steps so far.
    step_counts: HashMap<usize, usize>,
}

impl<'a> Assembly<'a> {
    fn new(source: &'a SourceGraph<'a>) -> Self {
        Self {
            source,
            nodes: Vec::new(),
            names: Vec::new(),
            weights: BTreeMap::new(),
            values: Vec::new(),
            sources: Vec::new(),
            paths: HashMap::new(),
            step_counts: HashMap::new(),
        }
    }

    fn add(&mut self, step: &Step, inputs: Vec<Input>, batch: Option<BatchAxis>, images: usize) {
        let node = &self.source.graph.nodes[step.node];
        let described = self.scaled_product(step).unwrap_or(node);
        let path = self.path_of(node, step);
        let ids: Vec<ValueId> = inputs
            .into_iter()
            .enumerate()
            .map(|(index, input)| match input {
                Input::Step(None) => ValueId::INPUT,
                Input::Step(Some(step)) => self.values[step],
                Input::Constant(tensor, batch) => self.constant(format!("{path}.input{index}"), tensor, batch),
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
            self.weights.insert(format!("{path}.{}", role.name()), tensor.clone());
        }
        let batch = batch.map(|batch| {
            let inputs = ids.iter().zip(&step.inputs).filter_map(|(id, input)| {
                let of_input = match id.0.checked_sub(1) {
                    Some(node) => self.nodes[node].batch,
                    None => Some(BatchAxis::FIRST),
                };
                of_input.map(|axis| (axis, input.dims().to_vec()))
            });
            let inner = inner_stride(&step.operator, &step.dims, batch, inputs);
            BatchAxis { inner, ..batch }
        });
        let mut output_shape = step.dims.clone();
        if let Some(batch) = batch {
            output_shape.remove(batch.axis);
        }
        self.push(
            node,
            Node {
                path,
                kind: entry_of(described).map_or("", |entry| entry.kind),
                settings: if step.is_layer { settings(described) } else { json!({}) },
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
        self.sources.push(step.node);
    }

    /// The node whose product of whole numbers a step scales, and so is the layer of.
    fn scaled_product(&self, step: &Step) -> Option<&'a FlatNode<'a>> {
        let nodes = &self.source.graph.nodes;
        let products = step.inputs.iter().filter_map(|input| match input {
            Value::Computed(computed) => Some(&nodes[self.sources[computed.step?]]),
            Value::Constant(_) => None,
        });
        let is_product =
            |node: &&FlatNode<'_>| entry_of(node).is_some_and(|entry| entry.measured == Measured::OnceScaled);
        let scales = step.is_layer && nodes[step.node].op_type == "Mul";
        products.into_iter().find(is_product).filter(|_| scales)
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

    fn push(&mut self, source: &FlatNode<'_>, node: Node) {
        // The step that is a layer is the last one of its node, and computes the value that the file names.
        let name = if node.is_layer {
            source.output.first().cloned()
        } else {
            None
        };
        self.names.push(name.unwrap_or_default());
        self.nodes.push(node);
    }

    /// A unique path for a step: the name of its node, or that of the value it computes.
    fn path_of(&mut self, source: &FlatNode<'_>, step: &Step) -> String {
        let count = self.step_counts.entry(step.node).or_default();
        *count += 1;
        let name = source.title();
        let path = if step.is_layer {
            name.to_owned()
        } else {
            format!("{name}#{count}")
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

    fn finish(self, plan: &Plan, is_batched: bool) -> Assembled {
        let outputs = self.source.graph.outputs.iter();
        let outputs = outputs.filter_map(|&name| {
            let value = match plan.values.get(name)? {
                Value::Computed(computed) => Some(computed.step.map_or(ValueId::INPUT, |step| self.values[step])),
                Value::Constant(_) => None,
            };
            let name = name.to_owned();
            Some(Output { name, value })
        });
        let outputs = outputs.collect();
        Assembled {
            graph: Graph {
                input_shape: self.source.image_shape.to_vec(),
                logits: ValueId(self.nodes.len()),
                nodes: self.nodes,
                is_batched,
            },
            weights: self.weights,
            names: self.names,
            outputs,
        }
    }
}

impl Assembled {
    /// Chooses the output of the network.
    ///
    /// # Errors
    /// There are several outputs and none is chosen, or the chosen one does not exist or does not depend on the image.
    pub(super) fn choose_output(mut self, wanted: Option<&str>, input: InputShape) -> Result<Imported, OnnxError> {
        let chosen = match (wanted, self.outputs.as_slice()) {
            (Some(wanted), outputs) => outputs.iter().find(|output| output.name == wanted).ok_or_else(|| {
                let (wanted, known) = (wanted.to_owned(), self.known_outputs());
                OnnxError::UnknownOutput { wanted, known }
            })?,
            (None, [only]) => only,
            (None, _) => return Err(OnnxError::Outputs(self.known_outputs())),
        };
        if self.graph.multiply_accumulates() > MAX_MULTIPLY_ACCUMULATES {
            return Err(OnnxError::Mismatch(format!(
                "the network takes {} multiply-accumulates per image; the limit is {MAX_MULTIPLY_ACCUMULATES}",
                self.graph.multiply_accumulates()
            )));
        }
        let id = chosen
            .value
            .ok_or_else(|| OnnxError::ConstantOutput(chosen.name.clone()))?;
        self.graph.logits = before_softmax(&self.graph, id);
        let outputs = self.outputs.into_iter();
        Ok(Imported {
            outputs: outputs
                .filter_map(|output| Some((output.name, output.value?)))
                .collect(),
            graph: self.graph,
            weights: Weights(self.weights),
            names: self.names,
            layout: input.layout(),
            input: input.format,
            input_dims: input.dims,
        })
    }

    /// The outputs of the file, to choose from.
    fn known_outputs(&self) -> Vec<OutputShape> {
        let outputs = self.outputs.iter().map(|output| OutputShape {
            name: output.name.clone(),
            shape: output.value.map(|value| self.graph.image_shape(value).to_vec()),
        });
        outputs.collect()
    }
}

/// The scores, which are the input of a closing softmax, as in block networks. The softmax may be followed by
/// reshaping and quantisation.
fn before_softmax(graph: &Graph, id: ValueId) -> ValueId {
    let mut at = id;
    while let Some(node) = at.0.checked_sub(1).map(|index| &graph.nodes[index]) {
        match &node.operator {
            Operator::Tensor(TensorOperator::Softmax { log: false, axes }) => {
                // After reshaping, the outputs are class probabilities only if the softmax runs over all numbers of an
                // image.
                let is_covered = |(axis, length): (usize, &usize)| *length == 1 || axes.contains(&axis);
                let is_over_classes = at == id || node.dims(1).iter().enumerate().all(is_covered);
                return if is_over_classes { node.inputs[0] } else { id };
            }
            Operator::Reshape | Operator::Tensor(TensorOperator::Reshape) => at = node.inputs[0],
            // Steps are in the order of the numbers that they stand for.
            Operator::Tensor(TensorOperator::Quantise { .. } | TensorOperator::Dequantise) => at = node.inputs[0],
            _ => break,
        }
    }
    id
}

/// The maximum length of a list that counts as a setting rather than as data.
const MAX_SETTING_LENGTH: usize = 16;

/// The attributes of a node as JSON.
fn settings(node: &FlatNode<'_>) -> Json {
    let attributes = node.attributes.iter();
    let fields = attributes.filter_map(|(name, attribute)| Some(((*name).to_owned(), setting(attribute)?)));
    Json::Object(fields.collect::<Map<_, _>>())
}

fn setting(attribute: &AttributeProto) -> Option<Json> {
    match AttributeType::try_from(attribute.r#type).ok()? {
        AttributeType::Float => Some(json!(attribute.f)),
        AttributeType::Int => Some(json!(attribute.i)),
        AttributeType::String => std::str::from_utf8(&attribute.s).ok().map(|text| json!(text)),
        AttributeType::Floats if attribute.floats.len() <= MAX_SETTING_LENGTH => Some(json!(attribute.floats)),
        AttributeType::Ints if attribute.ints.len() <= MAX_SETTING_LENGTH => Some(json!(attribute.ints)),
        _ => None,
    }
}
