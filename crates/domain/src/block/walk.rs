//! One pass over a block list, which checks every block against the output of the blocks before it.

use serde_json::json;

use super::catalogue::product;
use super::check_block::{BlockOutcome, check_block, check_size};
use super::error::{BlockError, Problem};
use super::lower::BlockSummary;
use super::network_rules;
use super::residual::RESIDUAL;
use super::{Block, MAX_MULTIPLY_ACCUMULATES, MAX_NESTING, MAX_PARAMETERS};
use crate::graph::{BatchAxis, Node, Operator, ValueId};
use crate::image::ImageShape;

/// The result of one pass over the blocks, in execution order.
#[derive(Default)]
pub(super) struct Walk {
    pub nodes: Vec<Node>,
    pub layers: Vec<BlockSummary>,
    pub errors: Vec<BlockError>,
    pub parameter_count: u64,
    pub multiply_accumulates: u64,
    pub output_shape: Option<Vec<usize>>,
}

/// The value that flows from block to block. Its shape is unknown if an error hides it.
///
/// After an error the graph is not used, so the value does not have to exist.
#[derive(Clone)]
struct Flow {
    value: ValueId,
    shape: Option<Vec<usize>>,
}

impl Flow {
    fn with_shape(self, shape: Option<Vec<usize>>) -> Self {
        Self { shape, ..self }
    }
}

/// A block and its position.
struct PlacedBlock<'a> {
    block: &'a Block,
    path: String,
    index: usize,
    depth: usize,
}

impl Walk {
    pub fn over(blocks: &[Block], input: ImageShape, classes: usize) -> Self {
        let mut walk = Self::default();
        if let Some(problem) = network_rules::check_list(blocks) {
            walk.errors.push(problem.at("", 0, ""));
            return walk;
        }
        let shape = input.dims();
        let problem = network_rules::check_input(&shape).or_else(|| check_size(&shape));
        let shape = problem.is_none().then_some(shape);
        walk.errors.extend(problem.map(|problem| problem.at("", 0, "")));

        let flow = walk.walk_list(
            blocks,
            None,
            Flow {
                value: ValueId::INPUT,
                shape,
            },
        );
        if let (Some(shape), Some(last)) = (&flow.shape, blocks.last()) {
            let index = blocks.len() - 1;
            let problem = network_rules::check_output(shape, classes);
            walk.errors
                .extend(problem.map(|p| p.at(&index.to_string(), index, &last.kind)));
        }
        walk.output_shape = flow.shape;
        walk
    }

    fn walk_list(&mut self, blocks: &[Block], parent: Option<(&PlacedBlock<'_>, &str)>, flow: Flow) -> Flow {
        blocks.iter().enumerate().fold(flow, |flow, (position, block)| {
            let placed = match parent {
                None => PlacedBlock {
                    block,
                    path: position.to_string(),
                    index: position,
                    depth: 0,
                },
                Some((parent, branch)) => PlacedBlock {
                    block,
                    path: format!("{}.{branch}.{position}", parent.path),
                    index: parent.index,
                    depth: parent.depth + 1,
                },
            };
            self.walk_block(&placed, flow)
        })
    }

    fn walk_block(&mut self, placed: &PlacedBlock<'_>, flow: Flow) -> Flow {
        let checked = check_block(placed.block, flow.shape.as_deref());
        for problem in checked.problems {
            self.push_error(placed, problem);
        }
        match checked.outcome {
            BlockOutcome::Residual => self.walk_residual(placed, flow),
            BlockOutcome::Invalid { output_shape } => flow.with_shape(output_shape),
            BlockOutcome::Layer {
                kind,
                settings,
                layer,
                output_shape,
            } => {
                let node = Node {
                    path: placed.path.clone(),
                    kind: kind.name,
                    settings,
                    is_layer: layer.operator.is_measured(),
                    operator: layer.operator,
                    inputs: vec![flow.value],
                    output_shape,
                    batch: Some(BatchAxis::FIRST),
                    parameters: layer.parameters,
                    multiply_accumulates: layer.multiply_accumulates,
                };
                self.push_node(placed, node, flow.shape)
            }
        }
    }

    fn walk_residual(&mut self, placed: &PlacedBlock<'_>, flow: Flow) -> Flow {
        if placed.depth >= MAX_NESTING {
            self.push_error(placed, network_rules::nested_too_deep());
            return flow.with_shape(None);
        }
        let main_blocks = placed.block.main.as_deref();
        let shortcut_blocks = placed.block.shortcut.as_deref().unwrap_or_default();
        let main = match main_blocks {
            Some(blocks @ [_, ..]) => self.walk_list(blocks, Some((placed, "main")), flow.clone()),
            _ => {
                self.push_error(placed, network_rules::missing_main(main_blocks.is_some()));
                flow.clone().with_shape(None)
            }
        };
        let shortcut = self.walk_list(shortcut_blocks, Some((placed, "shortcut")), flow.clone());
        match (main.shape, shortcut.shape) {
            (Some(main), Some(shortcut)) if main != shortcut => {
                self.push_error(
                    placed,
                    network_rules::branches_differ(&main, &shortcut, shortcut_blocks.is_empty()),
                );
                flow.with_shape(None)
            }
            (Some(output_shape), Some(_)) => {
                let node = Node {
                    path: placed.path.clone(),
                    kind: RESIDUAL,
                    settings: json!({}),
                    operator: Operator::Add,
                    inputs: vec![main.value, shortcut.value],
                    is_layer: true,
                    output_shape,
                    batch: Some(BatchAxis::FIRST),
                    parameters: Vec::new(),
                    multiply_accumulates: 0,
                };
                self.push_node(placed, node, flow.shape)
            }
            // Branches that can be added have the same shape, so the known shape is that of the sum.
            (main, shortcut) => flow.with_shape(main.or(shortcut)),
        }
    }

    /// Appends a node and checks the totals against their limits.
    fn push_node(&mut self, placed: &PlacedBlock<'_>, node: Node, input_shape: Option<Vec<usize>>) -> Flow {
        let trainable = node.parameters.iter().filter(|parameter| parameter.role.is_trainable());
        let parameter_count = trainable.fold(0, |sum: u64, parameter| sum.saturating_add(product(&parameter.shape)));
        let before = [self.parameter_count, self.multiply_accumulates];
        self.parameter_count = before[0].saturating_add(parameter_count);
        self.multiply_accumulates = before[1].saturating_add(node.multiply_accumulates);
        for problem in [
            network_rules::check_limit("parameters", before[0], self.parameter_count, MAX_PARAMETERS),
            network_rules::check_limit(
                "multiply-accumulates per image",
                before[1],
                self.multiply_accumulates,
                MAX_MULTIPLY_ACCUMULATES,
            ),
        ] {
            self.errors.extend(problem.map(|problem| placed.error(problem)));
        }
        let output_shape = node.output_shape.clone();
        self.layers.extend(input_shape.map(|input_shape| BlockSummary {
            path: node.path.clone(),
            kind: node.kind,
            input_shape,
            output_shape: output_shape.clone(),
            parameter_count,
            multiply_accumulates: node.multiply_accumulates,
        }));
        self.nodes.push(node);
        Flow {
            value: ValueId(self.nodes.len()),
            shape: Some(output_shape),
        }
    }

    fn push_error(&mut self, placed: &PlacedBlock<'_>, problem: Problem) {
        self.errors.push(placed.error(problem));
    }
}

impl PlacedBlock<'_> {
    fn error(&self, problem: Problem) -> BlockError {
        problem.at(&self.path, self.index, &self.block.kind)
    }
}
