//! How long each value of a graph is needed.

use super::{Graph, ValueId};

/// For each node, the values that no later node reads. A value is freed at the last node that reads it, or at the node
/// that computes it if nothing reads it.
pub fn values_to_free(graph: &Graph) -> Vec<Vec<ValueId>> {
    let mut last_use: Vec<usize> = (0..=graph.nodes.len()).map(|value| value.saturating_sub(1)).collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last_use[input.0] = index;
        }
    }
    let mut to_free = vec![Vec::new(); graph.nodes.len()];
    for (value, &node) in last_use.iter().enumerate() {
        if let Some(values) = to_free.get_mut(node) {
            values.push(ValueId(value));
        }
    }
    to_free
}
