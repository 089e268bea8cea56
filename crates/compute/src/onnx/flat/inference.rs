//! Nodes in training mode, as they are in files that were exported without `model.eval()`, become those for inference.

use std::collections::HashMap;

use super::{Constant, FlatGraph, FlatNode};
use crate::onnx::constant;
use crate::onnx::file::is_onnx_domain;

/// Runs every node that is in training mode as at inference; the names of these nodes.
pub(super) fn convert(graph: &mut FlatGraph<'_>) -> Vec<String> {
    let flags = flags(graph);
    let mut converted = Vec::new();
    for node in graph.nodes.iter_mut().filter(|node| is_onnx_domain(node.domain)) {
        let is_training = match node.op_type {
            "BatchNormalization" => is_training_normalisation(node),
            // A flag that is computed may be set.
            "Dropout" => node
                .input
                .get(2)
                .is_some_and(|flag| !flag.is_empty() && flags.get(flag) != Some(&false)),
            _ => false,
        };
        if is_training {
            node.attributes.retain(|(name, _)| *name != "training_mode");
            if node.op_type == "Dropout" {
                node.input.truncate(1);
            }
            node.output.truncate(1);
            converted.push(node.title().to_owned());
        }
    }
    converted
}

/// Up to operator set 13, the outputs for statistics of the batch tell.
fn is_training_normalisation(node: &FlatNode<'_>) -> bool {
    let has_statistics = node.output.iter().skip(1).any(|name| !name.is_empty());
    let is_set = node.attribute("training_mode").is_some_and(|mode| mode.i != 0);
    is_set || (node.opset < 14 && has_statistics)
}

/// The constants that are one number, and whether it is not zero.
fn flags(graph: &FlatGraph<'_>) -> HashMap<String, bool> {
    let nodes = graph.nodes.iter().filter(|node| node.op_type == "Constant");
    let of_nodes = nodes.filter_map(|node| Some((node.output.first()?, node.attribute("value")?.t.as_ref()?)));
    let of_graph = graph.constants.iter().filter_map(|(name, constant)| match constant {
        Constant::Dense(tensor) => Some((name, *tensor)),
        _ => None,
    });
    let single = of_nodes
        .chain(of_graph)
        .filter(|(_, tensor)| tensor.dims.iter().product::<i64>() == 1);
    let read = single.filter_map(|(name, tensor)| {
        let numbers = constant::floats(&constant::tensor(tensor).ok()?).ok()?;
        Some((name.clone(), numbers.first() != Some(&0.0)))
    });
    read.collect()
}
