//! The rows of layers.

use scv_compute::activations::ActivationLayer;
use scv_domain::graph::Graph;
use scv_domain::version::IMAGE_INPUT;
use scv_store::NewLayer;

fn row_shape(shape: &[usize]) -> Vec<i32> {
    shape.iter().map(|&size| size as i32).collect()
}

/// The row of a layer whose activations were computed elsewhere: only its name and the shape of its output are known.
pub(super) fn activation_layer_row(index: usize, layer: ActivationLayer) -> NewLayer {
    NewLayer {
        index: index as i32,
        name: layer.name,
        kind: "Activations".to_owned(),
        parameters: serde_json::json!({}),
        input_shape: Vec::new(),
        output_shape: row_shape(&layer.shape),
        parameter_count: 0,
        multiply_accumulates: 0,
        inputs: None,
    }
}

/// The rows of a network's layers, in execution order.
pub(super) fn layer_rows(graph: &Graph) -> Vec<NewLayer> {
    graph
        .layers()
        .zip(graph.layer_inputs())
        .enumerate()
        .map(|(index, ((_, node), inputs))| NewLayer {
            index: index as i32,
            name: node.path.clone(),
            kind: node.kind.to_owned(),
            parameters: node.settings.clone(),
            input_shape: node
                .inputs
                .first()
                .map_or_else(Vec::new, |&input| row_shape(&graph.image_shape(input))),
            output_shape: row_shape(&node.image_shape()),
            parameter_count: node.parameter_count() as i64,
            multiply_accumulates: node.multiply_accumulates as i64,
            inputs: Some(
                inputs
                    .into_iter()
                    .map(|layer| layer.map_or(IMAGE_INPUT, |layer| layer as i32))
                    .collect(),
            ),
        })
        .collect()
}
