//! The rows of layers.

use scv_compute::activations::ActivationLayer;
use scv_domain::graph::Graph;
use scv_store::NewLayer;

fn numbers(shape: &[usize]) -> Vec<i32> {
    shape.iter().map(|&size| size as i32).collect()
}

/// A layer of which nothing is known but its name and what it makes.
pub(super) fn given_layer(index: usize, layer: ActivationLayer) -> NewLayer {
    NewLayer {
        index: index as i32,
        name: layer.name,
        kind: "Activations".to_owned(),
        parameters: serde_json::json!({}),
        input_shape: Vec::new(),
        output_shape: numbers(&layer.shape),
        parameter_count: 0,
        multiply_accumulates: 0,
    }
}

/// The layers of a network, in execution order.
pub(super) fn new_layers(graph: &Graph) -> Vec<NewLayer> {
    graph
        .layers()
        .enumerate()
        .map(|(index, (_, node))| NewLayer {
            index: index as i32,
            name: node.path.clone(),
            kind: node.kind.to_owned(),
            parameters: node.settings.clone(),
            input_shape: node
                .inputs
                .first()
                .map_or_else(Vec::new, |&input| numbers(&graph.image_shape(input))),
            output_shape: numbers(&node.image_shape()),
            parameter_count: node.parameter_count() as i64,
            multiply_accumulates: node.multiply_accumulates as i64,
        })
        .collect()
}
