//! Says the network of a file in the block language.

use candle_core::DType;

use super::types::Imported;
use scv_domain::block::{Block, NodeProblem, from_graph};
use scv_domain::graph::{Node, ParameterRole};

/// The blocks of an imported network, up to the chosen output or the only one.
///
/// # Errors
/// Every node that blocks cannot say.
pub fn to_blocks(imported: &Imported, output: Option<&str>) -> Result<Vec<Block>, Vec<NodeProblem>> {
    let mut outputs = imported.outputs.iter();
    let chosen = outputs.find(|(name, _)| output.is_none_or(|output| output == name));
    let end = chosen.map_or_else(|| imported.graph.output(), |(_, value)| *value);
    let numbers = |node: &Node| {
        let tensor = imported.weights.get(&node.key(ParameterRole::Value))?;
        let tensor = tensor.to_dtype(DType::F32).ok()?;
        tensor.flatten_all().ok()?.to_vec1().ok()
    };
    let found = from_graph(&imported.graph, end, &numbers);
    found.map_err(|problems| problems.into_iter().map(in_file).collect())
}

/// A problem with the name of the file's node. A step of a node is numbered after a `#`.
fn in_file(problem: NodeProblem) -> NodeProblem {
    let node = match problem.node.rsplit_once('#') {
        Some((name, step)) if step.parse::<usize>().is_ok() => name.to_owned(),
        _ => problem.node,
    };
    NodeProblem { node, ..problem }
}
