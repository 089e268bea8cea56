//! A graph with its weights, ready to run.

use std::sync::Arc;

use crate::compute::weights::Weights;
use crate::domain::graph::{Graph, ValueId};

/// A network on a device. [`Network::forward`] runs it.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) graph: Arc<Graph>,
    pub(super) weights: Weights,
    /// By node: the values that nothing reads once the node is done.
    pub(super) spent: Vec<Vec<ValueId>>,
}

impl Network {
    /// Joins a graph with the weights that [`Weights::read`] or [`Weights::init`] made for it.
    pub fn new(graph: Arc<Graph>, weights: Weights) -> Network {
        let spent = spent_values(&graph);
        Network { graph, weights, spent }
    }

    /// The graph that is run.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The weights it is run with.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// A value is spent at the last node that reads it, or where it is made if nothing reads it.
fn spent_values(graph: &Graph) -> Vec<Vec<ValueId>> {
    let mut last_use: Vec<usize> = (0..=graph.nodes.len()).map(|value| value.saturating_sub(1)).collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last_use[input.0] = index;
        }
    }
    let mut spent = vec![Vec::new(); graph.nodes.len()];
    for (value, &node) in last_use.iter().enumerate() {
        if let Some(values) = spent.get_mut(node) {
            values.push(ValueId(value));
        }
    }
    spent
}
