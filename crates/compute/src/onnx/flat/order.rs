//! Sorts nodes, so that each comes after those whose values it reads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{FlatGraph, FlatNode};
use crate::error::OnnxError;

/// The maximum number of nodes that an error lists.
const MAX_LISTED: usize = 10;

/// The same graph with sorted nodes. Nodes that are sorted keep their order.
///
/// # Errors
/// A value that has two sources, or nodes that wait for each other.
pub(super) fn sorted(graph: FlatGraph<'_>) -> Result<FlatGraph<'_>, OnnxError> {
    let producers = producers(&graph)?;
    let mut waits = vec![0_usize; graph.nodes.len()];
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let sources: HashSet<usize> = reads(node).filter_map(|name| producers.get(name).copied()).collect();
        waits[index] = sources.len();
        for source in sources {
            readers[source].push(index);
        }
    }
    let ready = (0..waits.len()).filter(|&index| waits[index] == 0).map(Reverse);
    let mut ready: BinaryHeap<_> = ready.collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if order.len() < graph.nodes.len() {
        return Err(cycle(&graph.nodes, &waits, &readers));
    }
    let mut nodes: Vec<_> = graph.nodes.into_iter().map(Some).collect();
    let nodes = order.into_iter().filter_map(|index| nodes[index].take()).collect();
    Ok(FlatGraph { nodes, ..graph })
}

/// The values that must be there before a node is computed.
fn reads<'n>(node: &'n FlatNode<'_>) -> impl Iterator<Item = &'n str> {
    let conditions = node.guards.iter().map(|guard| guard.condition.as_str());
    node.input.iter().map(String::as_str).chain(conditions)
}

/// For each value, the node that produces it.
fn producers<'g>(graph: &'g FlatGraph<'_>) -> Result<HashMap<&'g str, usize>, OnnxError> {
    let mut known = HashSet::new();
    let constants = graph.constants.iter().map(|(name, _)| ("tensor", name.as_str()));
    let inputs = graph.inputs.iter().map(|input| ("input", input.name.as_str()));
    for (kind, name) in constants.chain(inputs) {
        if !known.insert(name) {
            return Err(OnnxError::Invalid(format!("{kind} {name:?} exists twice")));
        }
    }
    let mut producers = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if known.contains(name.as_str()) {
                return Err(OnnxError::Invalid(format!(
                    "node {:?} produces {name:?}, which is a tensor or input of the file too",
                    node.title()
                )));
            }
            if let Some(other) = producers.insert(name.as_str(), index) {
                return Err(OnnxError::Invalid(format!(
                    "{name:?} is produced by two nodes, {:?} and {:?}",
                    graph.nodes[other].title(),
                    node.title()
                )));
            }
        }
    }
    Ok(producers)
}

/// The error about nodes that wait for each other: those that are left, without the ones that only wait for them.
fn cycle(nodes: &[FlatNode<'_>], waits: &[usize], readers: &[Vec<usize>]) -> OnnxError {
    let mut left: HashSet<usize> = (0..nodes.len()).filter(|&index| waits[index] > 0).collect();
    let mut is_read = vec![0_usize; nodes.len()];
    let mut sources = vec![Vec::new(); nodes.len()];
    for &index in &left {
        for &reader in &readers[index] {
            is_read[index] += 1;
            sources[reader].push(index);
        }
    }
    let mut unread: Vec<usize> = left.iter().copied().filter(|&index| is_read[index] == 0).collect();
    while let Some(index) = unread.pop() {
        left.remove(&index);
        for &source in &sources[index] {
            is_read[source] -= 1;
            if is_read[source] == 0 {
                unread.push(source);
            }
        }
    }
    let mut left: Vec<usize> = left.into_iter().collect();
    left.sort_unstable();
    let names: Vec<_> = left
        .iter()
        .take(MAX_LISTED)
        .map(|&index| format!("{:?}", nodes[index].title()))
        .collect();
    let more = match left.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    OnnxError::Invalid(format!(
        "nodes {}{more} wait for each other in a cycle",
        names.join(", ")
    ))
}
