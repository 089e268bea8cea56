//! One pass over a block list: every block judged on what the ones before it make.

use serde_json::json;

use super::catalogue::product;
use super::error::{BlockError, Problem};
use super::judge::{Verdict, judge, too_large};
use super::lower::BlockSummary;
use super::residual::RESIDUAL;
use super::whole;
use super::{Block, MAX_MULTIPLY_ACCUMULATES, MAX_NESTING, MAX_PARAMETERS};
use crate::graph::{BatchAxis, Node, Operator, ValueId};
use crate::image::ImageShape;

/// One pass over the blocks, in execution order.
#[derive(Default)]
pub(super) struct Walk {
    pub nodes: Vec<Node>,
    pub layers: Vec<BlockSummary>,
    pub errors: Vec<BlockError>,
    pub parameter_count: u64,
    pub multiply_accumulates: u64,
    pub output_shape: Option<Vec<usize>>,
}

/// A value on its way from block to block; its shape is unknown after a fault that hides it.
///
/// Once there is an error the graph is not used, so the value need not exist then.
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

/// Where a block stands.
struct Place<'a> {
    block: &'a Block,
    path: String,
    index: usize,
    depth: usize,
}

impl Walk {
    pub fn over(blocks: &[Block], input: ImageShape, classes: usize) -> Self {
        let mut walk = Self::default();
        if let Some(problem) = whole::wrong_list(blocks) {
            walk.errors.push(problem.at("", 0, ""));
            return walk;
        }
        let shape = input.dims();
        let problem = whole::wrong_input(&shape).or_else(|| too_large(&shape));
        let shape = problem.is_none().then_some(shape);
        walk.errors.extend(problem.map(|problem| problem.at("", 0, "")));

        let flow = walk.list(
            blocks,
            None,
            Flow {
                value: ValueId::INPUT,
                shape,
            },
        );
        if let (Some(shape), Some(last)) = (&flow.shape, blocks.last()) {
            let index = blocks.len() - 1;
            let problem = whole::wrong_output(shape, classes);
            walk.errors
                .extend(problem.map(|p| p.at(&index.to_string(), index, &last.kind)));
        }
        walk.output_shape = flow.shape;
        walk
    }

    fn list(&mut self, blocks: &[Block], parent: Option<(&Place<'_>, &str)>, flow: Flow) -> Flow {
        blocks.iter().enumerate().fold(flow, |flow, (position, block)| {
            let place = match parent {
                None => Place {
                    block,
                    path: position.to_string(),
                    index: position,
                    depth: 0,
                },
                Some((parent, branch)) => Place {
                    block,
                    path: format!("{}.{branch}.{position}", parent.path),
                    index: parent.index,
                    depth: parent.depth + 1,
                },
            };
            self.block(&place, flow)
        })
    }

    fn block(&mut self, place: &Place<'_>, flow: Flow) -> Flow {
        let judged = judge(place.block, flow.shape.as_deref());
        for problem in judged.problems {
            self.fault(place, problem);
        }
        match judged.verdict {
            Verdict::Residual => self.residual(place, flow),
            Verdict::Faulty { output_shape } => flow.with_shape(output_shape),
            Verdict::Layer {
                kind,
                settings,
                layer,
                output_shape,
            } => {
                let node = Node {
                    path: place.path.clone(),
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
                self.take(place, node, flow.shape)
            }
        }
    }

    fn residual(&mut self, place: &Place<'_>, flow: Flow) -> Flow {
        if place.depth >= MAX_NESTING {
            self.fault(place, whole::too_deep());
            return flow.with_shape(None);
        }
        let main_blocks = place.block.main.as_deref();
        let shortcut_blocks = place.block.shortcut.as_deref().unwrap_or_default();
        let main = match main_blocks {
            Some(blocks @ [_, ..]) => self.list(blocks, Some((place, "main")), flow.clone()),
            _ => {
                self.fault(place, whole::no_main(main_blocks.is_some()));
                flow.clone().with_shape(None)
            }
        };
        let shortcut = self.list(shortcut_blocks, Some((place, "shortcut")), flow.clone());
        match (main.shape, shortcut.shape) {
            (Some(main), Some(shortcut)) if main != shortcut => {
                self.fault(
                    place,
                    whole::branches_differ(&main, &shortcut, shortcut_blocks.is_empty()),
                );
                flow.with_shape(None)
            }
            (Some(output_shape), Some(_)) => {
                let node = Node {
                    path: place.path.clone(),
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
                self.take(place, node, flow.shape)
            }
            // Branches that can be added have one shape, so the known one is that of the sum.
            (main, shortcut) => flow.with_shape(main.or(shortcut)),
        }
    }

    /// Appends a node and keeps the totals within the limits.
    fn take(&mut self, place: &Place<'_>, node: Node, input_shape: Option<Vec<usize>>) -> Flow {
        let trainable = node.parameters.iter().filter(|parameter| parameter.role.is_trainable());
        let parameter_count = trainable.fold(0, |sum: u64, parameter| sum.saturating_add(product(&parameter.shape)));
        let before = [self.parameter_count, self.multiply_accumulates];
        self.parameter_count = before[0].saturating_add(parameter_count);
        self.multiply_accumulates = before[1].saturating_add(node.multiply_accumulates);
        for problem in [
            whole::exceeded("parameters", before[0], self.parameter_count, MAX_PARAMETERS),
            whole::exceeded(
                "multiply-accumulates an image",
                before[1],
                self.multiply_accumulates,
                MAX_MULTIPLY_ACCUMULATES,
            ),
        ] {
            self.errors.extend(problem.map(|problem| place.error(problem)));
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

    fn fault(&mut self, place: &Place<'_>, problem: Problem) {
        self.errors.push(place.error(problem));
    }
}

impl Place<'_> {
    fn error(&self, problem: Problem) -> BlockError {
        problem.at(&self.path, self.index, &self.block.kind)
    }
}
