//! Checks the messages of exported files. `scripts/check_export.py` checks that runtimes compute the same outputs from
//! them as SCV.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::*;
use crate::onnx::proto::{AttributeProto, AttributeType, NodeProto, TensorProto};
use scv_domain::block::lower;
use scv_domain::image::ImageShape;

const CLASSES: usize = 10;

fn graph(input: [usize; 3], list: Value) -> Graph {
    let [channels, height, width] = input;
    let shape = ImageShape {
        channels,
        height,
        width,
    };
    let blocks: Vec<scv_domain::block::Block> = serde_json::from_value(list).unwrap();
    lower(&blocks, shape, CLASSES).unwrap()
}

/// A file of the given layers, followed by a classifier.
fn exported(input: [usize; 3], layers: Value) -> GraphProto {
    let mut list = layers.as_array().unwrap().clone();
    list.push(json!({"kind": "Flatten"}));
    list.push(json!({"kind": "Linear", "parameters": {"out_features": CLASSES}}));
    file_of(&graph(input, list.into())).graph.unwrap()
}

fn file_of(graph: &Graph) -> ModelProto {
    let weights = Weights::init(graph, 7, &Device::Cpu).unwrap();
    let bytes = to_onnx(graph, &weights, "a network").unwrap();
    ModelProto::decode(bytes.as_slice()).unwrap()
}

/// Name and operator of each node of one block.
fn operators<'a>(file: &'a GraphProto, path: &str) -> Vec<(&'a str, &'a str)> {
    let belongs = |name: &str| name == path || name.starts_with(&format!("{path}/"));
    let nodes = file.node.iter().filter(|node| belongs(&node.name));
    nodes.map(|node| (node.name.as_str(), node.op_type.as_str())).collect()
}

fn node<'a>(file: &'a GraphProto, name: &str) -> &'a NodeProto {
    file.node.iter().find(|node| node.name == name).unwrap()
}

fn attribute<'a>(file: &'a GraphProto, node_name: &str, name: &str) -> &'a AttributeProto {
    let node = node(file, node_name);
    node.attribute.iter().find(|attribute| attribute.name == name).unwrap()
}

fn tensor<'a>(file: &'a GraphProto, name: &str) -> &'a TensorProto {
    file.initializer.iter().find(|tensor| tensor.name == name).unwrap()
}

fn floats(file: &GraphProto, name: &str) -> Vec<f32> {
    let tensor = tensor(file, name);
    assert_eq!(tensor.data_type, DataType::Float as i32);
    let numbers = tensor.raw_data.chunks_exact(4);
    numbers
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn integers(file: &GraphProto, name: &str) -> Vec<i64> {
    let tensor = tensor(file, name);
    assert_eq!(tensor.data_type, DataType::Int64 as i32);
    let numbers = tensor.raw_data.chunks_exact(8);
    numbers
        .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// A value's name and shape as text.
fn described(value: &ValueInfoProto) -> String {
    let tensor = value.r#type.clone().unwrap().tensor_type.unwrap();
    assert_eq!(tensor.elem_type, DataType::Float as i32);
    let dims = tensor.shape.unwrap().dim.into_iter().map(|dim| match dim.dim_param {
        Some(name) => name,
        None => dim.dim_value.unwrap().to_string(),
    });
    format!("{} {}", value.name, dims.collect::<Vec<_>>().join("x"))
}

fn residual_network() -> Graph {
    graph(
        [3, 8, 8],
        json!([
            {"kind": "Conv2d", "parameters": {"out_channels": 4, "kernel_size": 3, "padding": 1, "bias": false}},
            {"kind": "BatchNorm2d"},
            {"kind": "Residual", "main": [{"kind": "ReLU"}], "shortcut": []},
            {"kind": "AdaptiveAvgPool2d", "parameters": {"output_size": 1}},
            {"kind": "Flatten"},
            {"kind": "Linear", "parameters": {"out_features": 10}},
            {"kind": "Softmax"}
        ]),
    )
}

#[test]
fn a_file_names_its_layers_by_path_and_its_tensors_by_key() {
    let network = residual_network();
    let model = file_of(&network);
    assert_eq!(
        (
            model.ir_version,
            model.opset_import[0].version,
            model.producer_name.as_str()
        ),
        (Some(8), 17, "SCV")
    );
    let file = model.graph.unwrap();
    assert_eq!(file.name, "a network");
    let nodes: Vec<(&str, &str, String, &str)> = file
        .node
        .iter()
        .map(|node| {
            let inputs = node.input.join(" ");
            (
                node.name.as_str(),
                node.op_type.as_str(),
                inputs,
                node.output[0].as_str(),
            )
        })
        .collect();
    let expected = [
        ("0", "Conv", "images 0.weight", "0"),
        (
            "1",
            "BatchNormalization",
            "0 1.weight 1.bias 1.running_mean 1.running_var",
            "1",
        ),
        ("2.main.0", "Relu", "1", "2.main.0"),
        ("2", "Add", "2.main.0 1", "2"),
        ("3", "GlobalAveragePool", "2", "3"),
        ("4", "Flatten", "3", "4"),
        ("5", "Gemm", "4 5.weight 5.bias", "logits"),
        ("6", "Softmax", "logits", "probabilities"),
    ];
    assert_eq!(
        nodes,
        expected.map(|(name, op, inputs, output)| (name, op, inputs.to_owned(), output))
    );
    let keys: Vec<&str> = file.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let expected: Vec<String> = network.parameters().map(|(key, _)| key).collect();
    assert_eq!(keys, expected);
}

#[test]
fn every_value_has_a_shape_with_an_open_batch() {
    let file = file_of(&residual_network()).graph.unwrap();
    let values = |values: &[ValueInfoProto]| values.iter().map(described).collect::<Vec<_>>();
    assert_eq!(values(&file.input), ["images batchx3x8x8"]);
    assert_eq!(values(&file.output), ["logits batchx10", "probabilities batchx10"]);
    assert_eq!(
        values(&file.value_info),
        [
            "0 batchx4x8x8",
            "1 batchx4x8x8",
            "2.main.0 batchx4x8x8",
            "2 batchx4x8x8",
            "3 batchx4x1x1",
            "4 batchx4"
        ]
    );
}

#[test]
fn without_a_closing_softmax_logits_are_the_only_output() {
    let file = exported([1, 2, 2], json!([]));
    let outputs: Vec<String> = file.output.iter().map(described).collect();
    assert_eq!(outputs, ["logits batchx10"]);
}

#[test]
fn weights_are_stored_as_they_are() {
    let network = residual_network();
    let weights = Weights::init(&network, 7, &Device::Cpu).unwrap();
    let file = file_of(&network).graph.unwrap();
    assert_eq!(tensor(&file, "5.weight").dims, [10, 4]);
    let expected = weights.get("5.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>();
    assert_eq!(floats(&file, "5.weight"), expected.unwrap());
}

#[test]
fn equal_networks_give_equal_bytes() {
    let network = residual_network();
    let weights = Weights::init(&network, 7, &Device::Cpu).unwrap();
    assert_eq!(
        to_onnx(&network, &weights, "x").unwrap(),
        to_onnx(&network, &weights, "x").unwrap()
    );
}

#[test]
fn convolutions_keep_their_kernel_settings() {
    let file = exported(
        [4, 9, 9],
        json!([
            {"kind": "Conv2d", "parameters": {"out_channels": 6, "kernel_size": [3, 1], "stride": [2, 1], "padding": [1, 0], "groups": 2}},
            {"kind": "ConvTranspose2d", "parameters": {"out_channels": 3, "kernel_size": 2, "stride": 2, "output_padding": [1, 0], "groups": 3}}
        ]),
    );
    let sizes = |node: &str, name: &str| attribute(&file, node, name).ints.clone();
    assert_eq!(sizes("0", "kernel_shape"), [3, 1]);
    assert_eq!(sizes("0", "strides"), [2, 1]);
    assert_eq!(sizes("0", "pads"), [1, 0, 1, 0]);
    assert_eq!(attribute(&file, "0", "group").i, 2);
    assert_eq!(sizes("1", "output_padding"), [1, 0]);
    assert_eq!(attribute(&file, "1", "group").i, 3);
    assert_eq!(attribute(&file, "1", "group").r#type, AttributeType::Int as i32);
}

#[test]
fn an_output_padding_beyond_the_stride_becomes_zeros_after_the_image() {
    let layer = |padding: usize| {
        let parameters = json!({
            "out_channels": 2, "kernel_size": 3, "stride": 2, "dilation": 4, "output_padding": [3, 0], "padding": padding
        });
        exported(
            [1, 5, 5],
            json!([{"kind": "ConvTranspose2d", "parameters": parameters}]),
        )
    };
    let lengthened = layer(0);
    assert_eq!(
        operators(&lengthened, "0"),
        [("0/lengthened", "Pad"), ("0", "ConvTranspose")]
    );
    assert_eq!(integers(&lengthened, "0/pads"), [0, 0, 0, 0, 0, 0, 2, 0]);
    assert_eq!(attribute(&lengthened, "0", "pads").ints, [0, 0, 1, 0]);

    let cut_less = layer(4);
    assert_eq!(operators(&cut_less, "0"), [("0", "ConvTranspose")]);
    assert_eq!(attribute(&cut_less, "0", "pads").ints, [4, 4, 1, 4]);
}

#[test]
fn the_overhang_of_the_last_window_becomes_padding() {
    let pool = |kind: &str, parameters: Value| json!([{"kind": kind, "parameters": parameters}]);
    let pads = |file: &GraphProto| attribute(file, "0", "pads").ints.clone();

    let floor = exported(
        [1, 6, 6],
        pool("MaxPool2d", json!({"kernel_size": 3, "stride": 2, "padding": 1})),
    );
    assert_eq!(pads(&floor), [1, 1, 1, 1]);

    let ceil = pool("MaxPool2d", json!({"kernel_size": 3, "stride": 2, "ceil_mode": true}));
    let ceil = exported([1, 6, 7], ceil);
    assert_eq!(operators(&ceil, "0"), [("0", "MaxPool")]);
    assert_eq!(pads(&ceil), [0, 0, 1, 0]);

    // More padding than kernel size, which runtimes refuse.
    let wide = json!({"kernel_size": 2, "dilation": 5, "stride": 4, "padding": 1, "ceil_mode": true});
    let wide = exported([1, 13, 10], pool("MaxPool2d", wide));
    assert_eq!(operators(&wide, "0"), [("0/padded", "Pad"), ("0", "MaxPool")]);
    assert_eq!(pads(&wide), [0, 0, 0, 0]);
    assert_eq!(floats(&wide, "0/value"), [f32::NEG_INFINITY]);
}

#[test]
fn a_mean_counts_padding_but_never_the_overhang() {
    let mean = |parameters: Value| exported([1, 6, 6], json!([{"kind": "AvgPool2d", "parameters": parameters}]));
    let counts = |file: &GraphProto, node: &str| attribute(file, node, "count_include_pad").i;

    let padded = mean(json!({"kernel_size": 3, "stride": 3, "padding": 1}));
    assert_eq!(counts(&padded, "0"), 1);

    let hanging = mean(json!({"kernel_size": 4, "ceil_mode": true}));
    assert_eq!(operators(&hanging, "0"), [("0", "AveragePool")]);
    assert_eq!(counts(&hanging, "0"), 0);

    let both = mean(json!({"kernel_size": 4, "stride": 3, "padding": 1, "ceil_mode": true}));
    assert_eq!(operators(&both, "0"), [("0/padded", "Pad"), ("0", "AveragePool")]);
    assert_eq!(integers(&both, "0/pads"), [0, 0, 1, 1, 0, 0, 1, 1]);
    assert_eq!(attribute(&both, "0", "pads").ints, [0, 0, 2, 2]);

    let divided = mean(json!({"kernel_size": 2, "divisor_override": 8}));
    assert_eq!(operators(&divided, "0"), [("0/mean", "AveragePool"), ("0", "Mul")]);
    assert_eq!(floats(&divided, "0/factor"), [0.5]);
}

#[test]
fn an_adaptive_mean_with_windows_of_equal_size_is_an_ordinary_pooling() {
    let adaptive = |size: Value| {
        let layer = json!([{"kind": "AdaptiveAvgPool2d", "parameters": {"output_size": size}}]);
        exported([1, 6, 5], layer)
    };
    assert_eq!(operators(&adaptive(json!(1)), "0"), [("0", "GlobalAveragePool")]);
    assert_eq!(operators(&adaptive(json!([null, null])), "0"), [("0", "Identity")]);
    let divides = adaptive(json!([3, 1]));
    assert_eq!(operators(&divides, "0"), [("0", "AveragePool")]);
    assert_eq!(attribute(&divides, "0", "kernel_shape").ints, [2, 5]);
}

#[test]
fn adaptive_windows_of_several_sizes_are_gathered_and_weighted() {
    let layer = json!([{"kind": "AdaptiveAvgPool2d", "parameters": {"output_size": [null, 3]}}]);
    let file = exported([1, 6, 5], layer);
    let expected = [
        ("0/column_gathered", "Gather"),
        ("0/column_weighted", "Mul"),
        ("0", "ReduceSum"),
    ];
    assert_eq!(operators(&file, "0"), expected);
    // Of five columns: 0 to 1, 1 to 3, 3 to 4.
    assert_eq!(integers(&file, "0/column_places"), [0, 1, 1, 1, 2, 3, 3, 4, 4]);
    let third = 1.0 / 3.0;
    assert_eq!(
        floats(&file, "0/column_weights"),
        [0.5, 0.5, 0.0, third, third, third, 0.5, 0.5, 0.0]
    );
    assert_eq!(integers(&file, "0/column_axis"), [4]);
}

#[test]
fn padding_keeps_its_mode_and_its_cropping() {
    let file = exported(
        [1, 5, 6],
        json!([
            {"kind": "ConstantPad2d", "parameters": {"padding": [1, -2, 3, 0], "value": 0.5}},
            {"kind": "ReflectionPad2d", "parameters": {"padding": 1}},
            {"kind": "ReplicationPad2d", "parameters": {"padding": [0, 2, 0, 0]}}
        ]),
    );
    assert_eq!(integers(&file, "0/pads"), [0, 0, 3, 1, 0, 0, 0, -2]);
    assert_eq!(floats(&file, "0/value"), [0.5]);
    let mode = |node: &str| String::from_utf8(attribute(&file, node, "mode").s.clone()).unwrap();
    assert_eq!([mode("0"), mode("1"), mode("2")], ["constant", "reflect", "edge"]);
}

#[test]
fn functions_that_onnx_lacks_are_composed_and_the_last_operator_is_named_by_the_path() {
    let function = |kind: &str, parameters: Value| {
        let file = exported([1, 2, 2], json!([{"kind": kind, "parameters": parameters}]));
        let nodes = operators(&file, "0");
        assert_eq!(nodes.last().map(|(name, _)| *name), Some("0"));
        nodes.iter().map(|(_, op)| *op).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(function("GELU", json!({})), "Div Erf Add Mul Mul");
    assert_eq!(
        function("GELU", json!({"approximate": "tanh"})),
        "Mul Mul Mul Add Mul Tanh Add Mul Mul"
    );
    assert_eq!(function("SiLU", json!({})), "Sigmoid Mul");
    assert_eq!(function("Softplus", json!({})), "Softplus");
    assert_eq!(
        function("Softplus", json!({"beta": 2})),
        "Mul Softplus Div Greater Where"
    );
    assert_eq!(
        function("Softplus", json!({"threshold": 1})),
        "Mul Softplus Div Greater Where"
    );
    assert_eq!(function("ReLU6", json!({})), "Clip");
    assert_eq!(function("Dropout", json!({"p": 0.25})), "Dropout");
    assert_eq!(function("Dropout", json!({"p": 1})), "Identity");
}

#[test]
fn a_normalisation_without_scale_gets_constants_that_are_not_weights() {
    let file = exported(
        [2, 3, 3],
        json!([{"kind": "BatchNorm2d", "parameters": {"affine": false, "eps": 0.25}}]),
    );
    assert_eq!(
        node(&file, "0").input,
        ["images", "0/ones", "0/zeros", "0.running_mean", "0.running_var"]
    );
    assert_eq!(floats(&file, "0/ones"), [1.0, 1.0]);
    assert_eq!(attribute(&file, "0", "epsilon").f, 0.25);
}

#[test]
fn dimension_indices_include_the_batch() {
    let file = exported(
        [2, 3, 4],
        json!([
            {"kind": "Flatten", "parameters": {"start_dim": 2}},
            {"kind": "Softmax", "parameters": {"dim": -1}}
        ]),
    );
    assert_eq!(operators(&file, "0"), [("0", "Reshape")]);
    assert_eq!(integers(&file, "0/shape"), [0, 2, 12]);
    assert_eq!(attribute(&file, "1", "axis").i, 2);
    assert_eq!(operators(&file, "2"), [("2", "Flatten")]);
}

#[test]
fn missing_and_misshapen_weights_are_reported_with_their_layer() {
    let network = residual_network();
    let error = to_onnx(&network, &Weights::default(), "x").unwrap_err().to_string();
    assert_eq!(error, "layer 0 (Conv2d): tensor 0.weight is missing");

    let mut weights = Weights::init(&network, 7, &Device::Cpu).unwrap();
    let odd = Tensor::zeros((4, 10), candle_core::DType::F32, &Device::Cpu).unwrap();
    weights.0.insert("5.weight".into(), odd);
    let error = to_onnx(&network, &weights, "x").unwrap_err().to_string();
    assert_eq!(
        error,
        "layer 5 (Linear): tensor 5.weight has shape [4, 10], not [10, 4]"
    );
}

#[test]
fn what_onnx_cannot_express_is_reported_with_its_layer() {
    let shape = [2, 3].as_slice();
    let network = crate::fixtures::Builder::new(shape).linear(4).build();
    let weights = Weights::init(&network, 7, &Device::Cpu).unwrap();
    let error = to_onnx(&network, &weights, "x").unwrap_err().to_string();
    assert_eq!(
        error,
        "layer 0 (Test): ONNX's Gemm needs a flat input, not one of shape [2, 3]"
    );

    let empty = crate::fixtures::Builder::new(shape).build();
    let error = to_onnx(&empty, &weights, "x").unwrap_err().to_string();
    assert!(error.contains("nothing to export"), "{error}");
}
