//! Graphs of valid lists.

use serde_json::{Value, json};

use super::super::report;
use super::*;
use crate::graph::{Activation, Operator, ParameterRole, ValueId};

/// A small ResNet: a stem, an identity residual, one that halves the image, and a classifier.
fn residual_network() -> Value {
    json!([
        {"kind": "Conv2d", "parameters": {"out_channels": 16, "kernel_size": 3, "padding": 1, "bias": false}},
        {"kind": "BatchNorm2d"},
        {"kind": "ReLU", "parameters": {"inplace": true}},
        {"kind": "Residual", "main": [
            {"kind": "Conv2d", "parameters": {"out_channels": 16, "kernel_size": 3, "padding": "same"}},
            {"kind": "ReLU"}
        ]},
        {"kind": "Residual", "main": [
            {"kind": "Conv2d", "parameters": {"out_channels": 32, "kernel_size": 3, "stride": 2, "padding": 1}},
            {"kind": "Residual", "main": [{"kind": "Tanh"}], "shortcut": []}
        ], "shortcut": [
            {"kind": "Conv2d", "parameters": {"out_channels": 32, "kernel_size": 1, "stride": 2}}
        ]},
        {"kind": "AdaptiveAvgPool2d", "parameters": {"output_size": 1}},
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}},
        {"kind": "Softmax"}
    ])
}

#[test]
fn a_residual_network_becomes_nodes_in_execution_order() {
    let graph = graph(residual_network());
    let nodes: Vec<(&str, &str, Vec<usize>, String)> = graph
        .nodes
        .iter()
        .map(|node| {
            let inputs = node.inputs.iter().map(|input| input.0).collect();
            let shape: Vec<String> = node.output_shape.iter().map(usize::to_string).collect();
            (node.path.as_str(), node.kind, inputs, shape.join("x"))
        })
        .collect();
    let expected = [
        ("0", "Conv2d", vec![0], "16x32x32"),
        ("1", "BatchNorm2d", vec![1], "16x32x32"),
        ("2", "ReLU", vec![2], "16x32x32"),
        ("3.main.0", "Conv2d", vec![3], "16x32x32"),
        ("3.main.1", "ReLU", vec![4], "16x32x32"),
        ("3", "Residual", vec![5, 3], "16x32x32"),
        ("4.main.0", "Conv2d", vec![6], "32x16x16"),
        ("4.main.1.main.0", "Tanh", vec![7], "32x16x16"),
        ("4.main.1", "Residual", vec![8, 7], "32x16x16"),
        ("4.shortcut.0", "Conv2d", vec![6], "32x16x16"),
        ("4", "Residual", vec![9, 10], "32x16x16"),
        ("5", "AdaptiveAvgPool2d", vec![11], "32x1x1"),
        ("6", "Flatten", vec![12], "32"),
        ("7", "Linear", vec![13], "10"),
        ("8", "Softmax", vec![14], "10"),
    ];
    let expected = expected.map(|(path, kind, inputs, shape)| (path, kind, inputs, shape.to_owned()));
    assert_eq!(nodes, expected);
    assert_eq!(graph.input_shape, [3, 32, 32]);
}

#[test]
fn layers_read_other_layers_through_what_is_no_layer() {
    let graph = graph(residual_network());
    let names: Vec<&str> = graph.layers().map(|(_, node)| node.path.as_str()).collect();
    let name = |layer: &Option<usize>| layer.map_or("image", |layer| names[layer]);
    let edges = graph.layer_inputs();
    let edges: Vec<(&str, Vec<&str>)> = names
        .iter()
        .zip(&edges)
        .map(|(&layer, inputs)| (layer, inputs.iter().map(name).collect()))
        .collect();
    let expected = [
        ("0", vec!["image"]),
        ("1", vec!["0"]),
        ("2", vec!["1"]),
        ("3.main.0", vec!["2"]),
        ("3.main.1", vec!["3.main.0"]),
        ("3", vec!["3.main.1", "2"]),
        ("4.main.0", vec!["3"]),
        ("4.main.1.main.0", vec!["4.main.0"]),
        ("4.main.1", vec!["4.main.1.main.0", "4.main.0"]),
        ("4.shortcut.0", vec!["3"]),
        ("4", vec!["4.main.1", "4.shortcut.0"]),
        ("5", vec!["4"]),
        // The Flatten in between only arranges the numbers.
        ("7", vec!["5"]),
        ("8", vec!["7"]),
    ];
    assert_eq!(edges, expected);
}

#[test]
fn the_logits_are_the_input_of_a_final_softmax() {
    let with_softmax = graph(residual_network());
    assert_eq!(with_softmax.logits, ValueId(14));
    assert_eq!(with_softmax.output(), ValueId(15));

    let without = graph(json!([
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ]));
    assert_eq!(without.logits, without.output());
}

#[test]
fn weight_keys_are_paths_with_pytorchs_names() {
    let keys: Vec<String> = graph(residual_network()).parameters().map(|(key, _)| key).collect();
    let expected = [
        "0.weight",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "3.main.0.weight",
        "3.main.0.bias",
        "4.main.0.weight",
        "4.main.0.bias",
        "4.shortcut.0.weight",
        "4.shortcut.0.bias",
        "7.weight",
        "7.bias",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn costs_count_trainable_parameters_and_multiply_accumulates() {
    let graph = graph(residual_network());
    let parameters = 16 * 3 * 9 + 2 * 16 + (16 * 16 * 9 + 16) + (32 * 16 * 9 + 32) + (32 * 16 + 32) + 330;
    assert_eq!(graph.parameter_count(), parameters);
    let first = 32 * 32 * 16 * 3 * 9;
    let second = 32 * 32 * 16 * 16 * 9;
    let third = 16 * 16 * 32 * 16 * 9;
    let shortcut = 16 * 16 * 32 * 16;
    assert_eq!(graph.multiply_accumulates(), first + second + third + shortcut + 320);
}

#[test]
fn grouped_and_transposed_convolutions_count_only_connected_channels() {
    let graph = graph(json!([
        {"kind": "Conv2d", "parameters": {"out_channels": 6, "kernel_size": [1, 3], "groups": 3, "stride": 2}},
        {"kind": "ConvTranspose2d", "parameters": {"out_channels": 4, "kernel_size": 2, "stride": 2, "groups": 2}},
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ]));
    assert_eq!(graph.nodes[0].output_shape, [6, 16, 15]);
    assert_eq!(graph.nodes[0].multiply_accumulates, 16 * 15 * 6 * 3);
    assert_eq!(graph.nodes[1].output_shape, [4, 32, 30]);
    assert_eq!(graph.nodes[1].multiply_accumulates, 16 * 15 * 6 * 2 * 4);
    assert_eq!(graph.nodes[1].parameters[0].shape, [6, 2, 2, 2]);
}

#[test]
fn settings_contain_every_parameter_with_its_default_in_canonical_form() {
    let graph = graph(json!([
        {"kind": "Conv2d", "parameters": {"out_channels": 8, "kernel_size": [3, 3]}},
        {"kind": "MaxPool2d", "parameters": {"kernel_size": [2, 3], "stride": null}},
        {"kind": "ELU", "parameters": {"alpha": 2, "inplace": true}},
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ]));
    let settings: Vec<&Value> = graph.nodes.iter().map(|node| &node.settings).collect();
    assert_eq!(
        settings,
        [
            &json!({
                "in_channels": 3, "out_channels": 8, "kernel_size": 3, "stride": 1, "padding": 0,
                "dilation": 1, "groups": 1, "bias": true, "padding_mode": "zeros"
            }),
            &json!({"kernel_size": [2, 3], "stride": [2, 3], "padding": 0, "dilation": 1, "ceil_mode": false}),
            &json!({"alpha": 2.0}),
            &json!({"start_dim": 1, "end_dim": -1}),
            &json!({"in_features": 1200, "out_features": 10, "bias": true}),
        ]
    );
}

#[test]
fn operators_carry_their_parameters() {
    let graph = graph(json!([
        {"kind": "ConstantPad2d", "parameters": {"padding": [1, 0, -2, 3], "value": 0.5}},
        {"kind": "Conv2d", "parameters": {"out_channels": 4, "kernel_size": [5, 3], "dilation": [1, 2], "padding": "same"}},
        {"kind": "AvgPool2d", "parameters": {"kernel_size": 3, "stride": 2, "padding": 1, "divisor_override": 4}},
        {"kind": "GELU", "parameters": {"approximate": "tanh"}},
        {"kind": "ReLU6"},
        {"kind": "BatchNorm2d", "parameters": {"momentum": null, "affine": false}},
        {"kind": "Softmax", "parameters": {"dim": -1}},
        {"kind": "Flatten"},
        {"kind": "Dropout"},
        {"kind": "Linear", "parameters": {"out_features": 10, "bias": false}}
    ]));
    let operators: Vec<&Operator> = graph.nodes.iter().map(|node| &node.operator).collect();
    use crate::graph::PadMode;
    assert_eq!(
        operators,
        [
            &Operator::Pad2d {
                mode: PadMode::Constant(0.5),
                padding: [1, 0, -2, 3]
            },
            &Operator::Conv2d {
                stride: [1, 1],
                padding: [2, 2],
                dilation: [1, 2],
                groups: 1
            },
            &Operator::AvgPool2d {
                kernel: [3, 3],
                stride: [2, 2],
                padding: [1, 1],
                count_include_pad: true,
                divisor_override: Some(4),
            },
            &Operator::Activation(Activation::Gelu { tanh: true }),
            &Operator::Activation(Activation::Hardtanh { min: 0.0, max: 6.0 }),
            &Operator::BatchNorm2d {
                eps: 1e-5,
                momentum: None
            },
            &Operator::Softmax { dim: 2 },
            &Operator::Reshape,
            &Operator::Dropout { p: 0.5 },
            &Operator::Linear,
        ]
    );
    let roles: Vec<ParameterRole> = graph.nodes[5].parameters.iter().map(|p| p.role).collect();
    assert_eq!(roles, [ParameterRole::RunningMean, ParameterRole::RunningVar]);
    assert_eq!(graph.nodes[9].parameters.len(), 1);
}

#[test]
fn a_report_summarises_a_valid_list() {
    let list = blocks(residual_network());
    let report = report(&list, COLOUR, 10);
    let graph = lower(&list, COLOUR, 10).unwrap();
    assert!(report.errors.is_empty());
    assert_eq!(report.layers.len(), graph.nodes.len());
    assert_eq!(report.parameter_count, graph.parameter_count());
    assert_eq!(report.multiply_accumulates, graph.multiply_accumulates());
    assert_eq!(report.output_shape, Some(vec![10]));
    let sum = report.layers.iter().find(|layer| layer.path == "4").unwrap();
    assert_eq!(
        (sum.input_shape.as_slice(), sum.output_shape.as_slice()),
        (&[16, 32, 32][..], &[32, 16, 16][..])
    );
}

#[test]
fn a_report_of_an_invalid_list_goes_as_far_as_possible() {
    let list = blocks(json!([
        {"kind": "Conv2d", "parameters": {"out_channels": 8, "kernel_size": 3, "in_channels": 1}},
        {"kind": "ReLU"},
        {"kind": "MaxPool2d", "parameters": {"kernel_size": 99}},
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ]));
    let report = report(&list, COLOUR, 10);
    let paths: Vec<&str> = report.errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["0", "2"]);
    let layers: Vec<&str> = report.layers.iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(layers, ["1"]);
    assert_eq!(report.layers[0].output_shape, [8, 30, 30]);
    assert_eq!(report.output_shape, Some(vec![10]));
}

#[test]
fn a_list_round_trips_through_json() {
    let list = blocks(residual_network());
    let written = serde_json::to_value(&list).unwrap();
    assert_eq!(blocks(written), list);
}
