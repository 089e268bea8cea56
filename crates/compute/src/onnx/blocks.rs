//! Expresses the network of a file as blocks.

use candle_core::DType;

use super::types::Imported;
use scv_domain::block::{Block, NodeProblem, from_graph};
use scv_domain::graph::{Node, ParameterRole};
use scv_domain::image::ImageShape;

/// The blocks of an imported network, up to the chosen output or the only one, for images of a shape that may differ from the
/// file's.
///
/// # Errors
/// Every node that cannot be expressed as blocks.
pub fn to_blocks(
    imported: &Imported,
    output: Option<&str>,
    images: ImageShape,
) -> Result<Vec<Block>, Vec<NodeProblem>> {
    let mut outputs = imported.outputs.iter();
    let chosen = outputs.find(|(name, _)| output.is_none_or(|output| output == name));
    let end = chosen.map_or_else(|| imported.graph.output(), |(_, value)| *value);
    let numbers = |node: &Node, role: ParameterRole| {
        let tensor = imported.weights.get(&node.key(role))?;
        let tensor = tensor.to_dtype(DType::F32).ok()?;
        tensor.flatten_all().ok()?.to_vec1().ok()
    };
    let found = from_graph(&imported.graph, end, &numbers, images);
    found.map_err(|problems| problems.into_iter().map(|problem| in_file(imported, problem)).collect())
}

/// A problem with the name of the file's node. A step that is not a layer of its own is numbered after a `#`.
fn in_file(imported: &Imported, problem: NodeProblem) -> NodeProblem {
    let mut layers = imported.graph.layers();
    let node = match problem.node.rsplit_once('#') {
        Some((name, _)) if layers.all(|(_, layer)| layer.path != problem.node) => name.to_owned(),
        _ => problem.node,
    };
    NodeProblem { node, ..problem }
}
