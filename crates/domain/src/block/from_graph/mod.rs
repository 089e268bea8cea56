//! Expresses a graph as blocks: the reverse of lowering, for networks that come from other tools.
//!
//! The graph is read backwards, from its output. Each step reads one operator, or several that compute one block together. Where
//! two branches are added, both are read back to the value that they begin with, and become a residual. What only shows in the
//! whole network is checked at the end: layers that share their weights, and operators whose meaning depends on the image size.

mod branch;
mod layer;
mod pattern;
mod view;
mod whole;

use std::collections::HashSet;

use serde_json::Value;

use super::check_block::{BlockOutcome, check_block};
use super::error::format_shape;
use super::residual::RESIDUAL;
use super::{Block, MAX_BLOCKS, MAX_NESTING};
use crate::graph::{BatchAxis, Graph, Node, ParameterRole, ValueId};
use crate::image::ImageShape;
use branch::common_values;
use view::View;

/// Nodes that other tools write for one block, at most. The most are those of an adaptive pooling or of a GELU.
const NODES_PER_BLOCK: usize = 16;

/// Maximum number of nodes of a graph that is read.
const MAX_NODES: usize = NODES_PER_BLOCK * MAX_BLOCKS;

/// Why a node that is read by two branches cannot be expressed as blocks, unless both begin with it.
const SHARED: &str = "two branches read its output, which blocks cannot share";

/// The numbers of one of a node's tensors, if they are known.
pub type Tensors<'a> = &'a dyn Fn(&Node, ParameterRole) -> Option<Vec<f32>>;

/// A node that cannot be expressed as blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeProblem {
    /// Path of the node.
    pub node: String,
    /// Its kind.
    pub kind: String,
    /// What cannot be expressed as blocks.
    pub message: String,
}

/// Blocks that compute the same value as a graph, for images of a shape that may differ from the graph's. They have the same
/// weights, except that a network for inference may lack what only matters in training, such as dropout.
///
/// # Errors
/// Every node that cannot be expressed as blocks, in execution order.
pub fn from_graph(
    graph: &Graph,
    output: ValueId,
    tensors: Tensors<'_>,
    images: ImageShape,
) -> Result<Vec<Block>, Vec<NodeProblem>> {
    let view = View { graph, tensors };
    if graph.nodes.len() > MAX_NODES {
        let count = graph.nodes.len();
        let message = format!("the network has {count} operators, and the limit is {MAX_NODES}: simplify the file");
        return Err(graph
            .nodes
            .last()
            .map(|last| problem(last, message))
            .into_iter()
            .collect());
    }
    let mut reader = Reader {
        begins: common_values(&view),
        view,
        read: HashSet::new(),
        steps: Vec::new(),
        problems: Vec::new(),
    };
    let blocks = reader.branch(output, ValueId::INPUT, 0);
    reader.check_weights();
    reader.check_size(images);
    if reader.problems.is_empty() {
        return Ok(blocks);
    }
    reader.problems.sort_by_key(|(index, _)| *index);
    Err(reader.problems.into_iter().map(|(_, problem)| problem).collect())
}

/// Blocks for the nodes between two values.
struct Said {
    /// Ways to express them; the first valid one with the right output shape is taken.
    ways: Vec<Vec<Block>>,
    /// The value that the blocks read.
    input: ValueId,
}

/// One step from a value to another, that has been read.
struct Step {
    at: ValueId,
    input: ValueId,
    /// The blocks that give the value's shape; the first ones are taken.
    ways: Vec<Vec<Block>>,
}

struct Reader<'a> {
    view: View<'a>,
    /// For each value, the last one that all its inputs are computed from.
    begins: Vec<ValueId>,
    /// Nodes that have been read.
    read: HashSet<usize>,
    /// The steps so far.
    steps: Vec<Step>,
    problems: Vec<(usize, NodeProblem)>,
}

impl Reader<'_> {
    /// The blocks from one value to another that is computed from it alone.
    fn branch(&mut self, end: ValueId, begin: ValueId, depth: usize) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut at = end;
        while at != begin {
            let Some((step, input)) = self.step(at, begin, depth) else {
                break;
            };
            blocks.extend(step.into_iter().rev());
            at = input;
        }
        blocks.reverse();
        blocks
    }

    /// The blocks that compute a value, and the value that they read. `None` if the branch cannot be followed further.
    fn step(&mut self, at: ValueId, begin: ValueId, depth: usize) -> Option<(Vec<Block>, ValueId)> {
        let index = at.0 - 1;
        let node = &self.view.graph.nodes[index];
        if self.read.contains(&index) {
            self.problem(index, SHARED.to_owned());
            return None;
        }
        if node.batch != Some(BatchAxis::FIRST) {
            self.problem(
                index,
                "it moves the dimension of the batch, which blocks keep first".to_owned(),
            );
        }
        // A pattern that reaches across the beginning of the branch has a value that other nodes read.
        let pattern = pattern::find(&self.view, at).filter(|found| found.input >= begin);
        let inputs = self.view.computed_inputs(at);
        let found = match (pattern, inputs.as_slice()) {
            (Some(found), _) => found,
            (None, &[input]) => {
                let ways = layer::ways(&self.view, at, input).unwrap_or_else(|reason| {
                    self.problem(index, reason);
                    Vec::new()
                });
                Said { ways, input }
            }
            (None, []) => {
                self.problem(index, "it does not depend on the image".to_owned());
                return None;
            }
            (None, several) => return Some((self.join(at, several, depth)?, self.begins[at.0])),
        };
        let input = found.input;
        Some((self.checked(at, found), input))
    }

    /// The residual of two branches. If it is something else, its branches are read all the same, for their problems.
    fn join(&mut self, at: ValueId, inputs: &[ValueId], depth: usize) -> Option<Vec<Block>> {
        let index = at.0 - 1;
        self.read.insert(index);
        if depth >= MAX_NESTING {
            self.problem(index, format!("branches are nested more than {MAX_NESTING} deep"));
            return None;
        }
        let (begin, view) = (self.begins[at.0], self.view);
        let shape = view.graph.shape(at);
        let is_sum = view.is_sum(at) && inputs.len() == 2;
        let reason = if !is_sum {
            Some("blocks join branches only by adding two of them".to_owned())
        } else if inputs.iter().any(|input| view.graph.shape(*input) != shape) {
            Some("it adds values of different shapes".to_owned())
        } else if inputs.iter().all(|input| *input == begin) {
            Some("it adds a value to itself".to_owned())
        } else {
            None
        };
        if let Some(reason) = reason {
            self.problem(index, reason);
        }
        let mut branches: Vec<_> = inputs
            .iter()
            .map(|input| self.branch(*input, begin, depth + 1))
            .collect();
        // The branch without blocks is the shortcut.
        branches.sort_by_key(Vec::is_empty);
        // The sum has the shape of either branch.
        self.steps.push(Step {
            at,
            input: inputs[0],
            ways: vec![Vec::new()],
        });
        let mut branches = branches.into_iter();
        Some(vec![Block {
            kind: RESIDUAL.to_owned(),
            main: branches.next(),
            shortcut: branches.next().filter(|blocks| !blocks.is_empty()),
            ..Block::default()
        }])
    }

    /// The first way that gives the value's shape.
    fn checked(&mut self, at: ValueId, found: Said) -> Vec<Block> {
        let view = self.view;
        for index in view.between(at, found.input) {
            if !self.read.insert(index) {
                self.problem(index, SHARED.to_owned());
            }
        }
        let (from, to) = (view.graph.shape(found.input), view.graph.shape(at));
        let mut reason = None;
        let mut ways = found.ways;
        ways.retain(|way| match shape_after(way, from) {
            Ok(shape) if shape == to => true,
            Ok(shape) => {
                let (got, needed) = (format_shape(&shape), format_shape(to));
                reason.get_or_insert(format!("as a block its output would be {got}, not {needed}"));
                false
            }
            Err(message) => {
                reason.get_or_insert(message);
                false
            }
        });
        let first = ways.first().cloned();
        match (&first, reason) {
            (None, Some(reason)) => self.problem(at.0 - 1, reason),
            _ => self.steps.push(Step {
                at,
                input: found.input,
                ways,
            }),
        }
        first.unwrap_or_default()
    }

    fn problem(&mut self, index: usize, message: String) {
        let node = &self.view.graph.nodes[index];
        self.problems.push((index, problem(node, message)));
    }
}

fn problem(node: &Node, message: String) -> NodeProblem {
    NodeProblem {
        node: node.path.clone(),
        kind: node.kind.to_owned(),
        message,
    }
}

/// The shape after some blocks, or what is wrong with them.
fn shape_after(blocks: &[Block], from: &[usize]) -> Result<Vec<usize>, String> {
    let mut shape = from.to_vec();
    for block in blocks {
        let checked = check_block(block, Some(&shape));
        if let Some(problem) = checked.problems.into_iter().next() {
            return Err(problem.at("", 0, "").message);
        }
        match checked.outcome {
            BlockOutcome::Layer { output_shape, .. } => shape = output_shape,
            BlockOutcome::Invalid { .. } | BlockOutcome::Residual => {
                return Err(format!("{} is not valid", block.kind));
            }
        }
    }
    Ok(shape)
}

/// A block with those of the parameters that differ from the defaults; null stands for a default.
fn block(kind: &str, parameters: Value) -> Block {
    let mut block = Block {
        kind: kind.to_owned(),
        ..Block::default()
    };
    if let Value::Object(given) = parameters {
        let spec = super::catalogue::find_kind(kind);
        let default = |name: &str| spec.and_then(|spec| spec.parameter(name)?.default_value());
        block.parameters = given
            .into_iter()
            .filter(|(name, value)| !value.is_null() && default(name).as_ref() != Some(value))
            .collect();
    }
    block
}
