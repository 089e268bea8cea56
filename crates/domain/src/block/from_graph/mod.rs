//! Says a graph in the block language: the reverse of lowering, for networks that come from other tools.
//!
//! The graph is read backwards, from its output. Each step says one operator, or several that compute one block together. Where
//! two branches are added, both are read back to the value that they begin with, and become a residual.

mod branch;
mod layer;
mod pattern;
mod view;

use std::collections::HashSet;

use serde_json::Value;

use super::check_block::{BlockOutcome, check_block};
use super::error::format_shape;
use super::residual::RESIDUAL;
use super::{Block, MAX_NESTING};
use crate::graph::{BatchAxis, Graph, Node, ValueId};
use branch::common_values;
use view::View;

/// Why a node that is read by two branches cannot be said, unless both begin with it.
const SHARED: &str = "two branches read its output, which blocks cannot share";

/// The numbers of a constant of the graph, if they are known.
pub type Constants<'a> = &'a dyn Fn(&Node) -> Option<Vec<f32>>;

/// A node that blocks cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeProblem {
    /// Path of the node.
    pub node: String,
    /// Its kind.
    pub kind: String,
    /// What blocks cannot say about it.
    pub message: String,
}

/// Blocks that compute the same value as a graph. They have the same weights, except that a network for inference may lack
/// what only matters in training, such as dropout.
///
/// # Errors
/// Every node that blocks cannot say, in execution order.
pub fn from_graph(graph: &Graph, output: ValueId, constants: Constants<'_>) -> Result<Vec<Block>, Vec<NodeProblem>> {
    let view = View { graph, constants };
    let mut reader = Reader {
        begins: common_values(&view),
        view,
        said: HashSet::new(),
        problems: Vec::new(),
    };
    let blocks = reader.branch(output, ValueId::INPUT, 0);
    if reader.problems.is_empty() {
        return Ok(blocks);
    }
    reader.problems.sort_by_key(|(index, _)| *index);
    Err(reader.problems.into_iter().map(|(_, problem)| problem).collect())
}

/// Blocks for the nodes between two values.
struct Said {
    /// Ways to say it; the first valid one with the right output shape is taken.
    ways: Vec<Vec<Block>>,
    /// The value that the blocks read.
    input: ValueId,
}

struct Reader<'a> {
    view: View<'a>,
    /// For each value, the last one that all its inputs are computed from.
    begins: Vec<ValueId>,
    /// Nodes that a block stands for.
    said: HashSet<usize>,
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
        if self.said.contains(&index) {
            self.problem(
                index,
                "two branches read its output, which blocks cannot share".to_owned(),
            );
            return None;
        }
        if node.batch != Some(BatchAxis::FIRST) {
            self.problem(
                index,
                "it moves the dimension of the batch, which blocks keep first".to_owned(),
            );
        }
        // A pattern that reaches across the beginning of the branch has a value that other nodes read.
        let pattern = pattern::find(&self.view, at).filter(|said| said.input >= begin);
        let inputs = self.view.computed_inputs(at);
        let said = match (pattern, inputs.as_slice()) {
            (Some(said), _) => said,
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
        Some((self.checked(at, &said), said.input))
    }

    /// The residual of two branches. If it is something else, its branches are read all the same, for their problems.
    fn join(&mut self, at: ValueId, inputs: &[ValueId], depth: usize) -> Option<Vec<Block>> {
        let index = at.0 - 1;
        self.said.insert(index);
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
        let mut branches = branches.into_iter();
        Some(vec![Block {
            kind: RESIDUAL.to_owned(),
            main: branches.next(),
            shortcut: branches.next().filter(|blocks| !blocks.is_empty()),
            ..Block::default()
        }])
    }

    /// The first way that gives the value's shape.
    fn checked(&mut self, at: ValueId, said: &Said) -> Vec<Block> {
        let view = self.view;
        for index in view.between(at, said.input) {
            if !self.said.insert(index) {
                self.problem(index, SHARED.to_owned());
            }
        }
        let (from, to) = (view.graph.shape(said.input), view.graph.shape(at));
        let mut reason = None;
        for way in &said.ways {
            match shape_after(way, from) {
                Ok(shape) if shape == to => return way.clone(),
                Ok(shape) => {
                    let (got, needed) = (format_shape(&shape), format_shape(to));
                    reason.get_or_insert(format!("as a block its output would be {got}, not {needed}"));
                }
                Err(message) => {
                    reason.get_or_insert(message);
                }
            }
        }
        if let Some(reason) = reason {
            self.problem(at.0 - 1, reason);
        }
        Vec::new()
    }

    fn problem(&mut self, index: usize, message: String) {
        let node = &self.view.graph.nodes[index];
        let problem = NodeProblem {
            node: node.path.clone(),
            kind: node.kind.to_owned(),
            message,
        };
        self.problems.push((index, problem));
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
