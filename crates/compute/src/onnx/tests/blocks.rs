//! Files read as blocks: what SCV exports comes back, and what blocks cannot say is named.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::onnx::blocks::to_blocks;
use crate::onnx::export::to_onnx;
use crate::onnx::proto::{NodeProto, TensorProto};
use crate::weights::Weights;
use scv_domain::block::{Block, lower};
use scv_domain::graph::Graph;

const CLASSES: usize = 10;

fn blocks(list: Value) -> Vec<Block> {
    serde_json::from_value(list).unwrap()
}

fn lowered(blocks: &[Block], [channels, height, width]: [usize; 3]) -> Graph {
    let shape = ImageShape {
        channels,
        height,
        width,
    };
    lower(blocks, shape, CLASSES).unwrap_or_else(|errors| panic!("{blocks:?}: {errors:?}"))
}

/// The blocks of an exported network, which must compute the same with the same weights.
fn read_back(list: &[Block], shape: [usize; 3]) -> Vec<Block> {
    let graph = lowered(list, shape);
    let weights = Weights::init(&graph, 3, &Device::Cpu).unwrap();
    let exported = to_onnx(&graph, &weights, "network").unwrap();
    let model = read(vec![named("network.onnx", exported)]).unwrap();
    let output = (graph.logits != graph.output()).then(|| "probabilities".to_owned());
    let options = ImportOptions {
        size: None,
        output: output.clone(),
    };
    let imported = import(&model, &options).unwrap();
    let found = to_blocks(&imported, output.as_deref()).unwrap_or_else(|problems| panic!("{list:?}: {problems:?}"));
    let other = lowered(&found, shape);
    assert_eq!(shapes(&other), shapes(&graph), "{list:?} became {found:?}");
    assert_eq!(other.multiply_accumulates(), graph.multiply_accumulates(), "{list:?}");
    assert_eq!(other.parameter_count(), graph.parameter_count(), "{list:?}");
    let same_weights = weights_of(&other, &graph, &weights);
    let images = images(2, &graph.input_shape);
    let before = output_of(&Network::new(graph.into(), weights), &images);
    let after = output_of(&Network::new(other.into(), same_weights), &images);
    let is_close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * (1.0 + b.abs());
    assert!(before.iter().zip(&after).all(is_close), "{list:?} became {found:?}");
    found
}

/// The shapes of the layers, without repetitions: an adaptive pooling that changes nothing is not in the file.
fn shapes(graph: &Graph) -> Vec<Vec<usize>> {
    let mut shapes: Vec<_> = graph.layers().map(|(_, node)| node.output_shape.clone()).collect();
    shapes.dedup();
    shapes
}

/// The weights of a network for one whose tensors have the same shapes in the same order.
fn weights_of(other: &Graph, graph: &Graph, weights: &Weights) -> Weights {
    let pairs = other.parameters().zip(graph.parameters());
    let tensors = pairs.map(|((key, parameter), (own_key, own))| {
        assert_eq!(parameter, own, "{own_key}");
        (key, weights.get(&own_key).unwrap().clone())
    });
    Weights(tensors.collect())
}

/// Layers for an image, followed by a classifier.
fn classified(layers: Value) -> Vec<Block> {
    let mut list = blocks(layers);
    list.extend(blocks(json!([
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": CLASSES } },
    ])));
    list
}

#[test]
fn the_examples_come_back_as_they_are() {
    for example in ["plain", "residual", "wide"] {
        let path = format!("{}/../../examples/{example}.json", env!("CARGO_MANIFEST_DIR"));
        let mut list: Vec<Block> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let found = read_back(&list, [1, 8, 8]);
        list.retain(|block| block.kind != "Dropout");
        assert_eq!(found, list, "{example}");
    }
    let page = include_str!("../../../../../docs/blocks.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    read_back(&blocks(serde_json::from_str(example).unwrap()), [3, 32, 32]);
}

#[test]
fn every_kind_with_any_parameters_comes_back_with_its_shapes_costs_and_outputs() {
    #[derive(Deserialize)]
    struct Case {
        kind: String,
        parameters: serde_json::Map<String, Value>,
        input: [usize; 3],
        torch: Option<Value>,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../../tests/golden/block_shapes.json")).unwrap();
    for case in cases.iter().filter(|case| case.torch.is_some()) {
        let [channels, rows, columns] = case.input;
        // In a file, a normalisation always has a scale and an offset.
        let mut parameters = case.parameters.clone();
        parameters.remove("affine");
        let list = classified(json!([
            { "kind": "Conv2d", "parameters": { "out_channels": channels, "kernel_size": 1 } },
            { "kind": case.kind, "parameters": parameters },
        ]));
        read_back(&list, [3, rows, columns]);
    }
}

#[test]
fn residuals_come_back_however_they_are_nested() {
    let relu = || json!({ "kind": "ReLU" });
    let conv = |kernel: usize| {
        let parameters = json!({ "out_channels": 3, "kernel_size": kernel, "padding": kernel / 2, "bias": false });
        json!({ "kind": "Conv2d", "parameters": parameters })
    };
    let inner = json!({ "kind": "Residual", "main": [conv(3), relu()], "shortcut": [conv(3)] });
    let outer = json!({ "kind": "Residual", "main": [inner, conv(3), { "kind": "SiLU" }] });
    let twice =
        json!({ "kind": "Residual", "main": [{ "kind": "Residual", "main": [conv(3)] }], "shortcut": [relu()] });
    let list = classified(json!([relu(), outer, twice, { "kind": "GELU" }]));
    assert_eq!(read_back(&list, [3, 6, 6]), list);
    let mut with_probabilities = list;
    with_probabilities.extend(blocks(json!([{ "kind": "Softmax" }])));
    assert_eq!(read_back(&with_probabilities, [3, 6, 6]), with_probabilities);
}

/// A convolution that keeps the shape of its input.
fn convolution(input: &str, name: &str) -> NodeProto {
    node("Conv", &[input, "kernel"], name, vec![ints("pads", &[1, 1, 1, 1])])
}

#[test]
fn what_other_tools_write_differently_is_read() {
    let zero = TensorProto {
        dims: Vec::new(),
        float_data: vec![0.0],
        ..numbers("zero", &[1])
    };
    let uneven = vec![ints("pads", &[0, 0, 1, 1]), ints("strides", &[2, 2])];
    let model = file(
        &[None, Some(3), Some(6), Some(6)],
        vec![
            node("Conv", &["x", "kernel"], "conv", uneven),
            node("Clip", &["conv", "zero"], "clip", Vec::new()),
            node(
                "ReduceMean",
                &["clip"],
                "mean",
                vec![ints("axes", &[2, 3]), int("keepdims", 0)],
            ),
            node("MatMul", &["mean", "weight"], "product", Vec::new()),
            node("Add", &["bias", "product"], "scores", Vec::new()),
        ],
        vec![
            numbers("kernel", &[4, 3, 3, 3]),
            zero,
            numbers("weight", &[4, 10]),
            numbers("bias", &[10]),
        ],
    );
    let imported = imported(&model).unwrap();
    let found = to_blocks(&imported, None).unwrap();
    let expected = blocks(json!([
        { "kind": "ZeroPad2d", "parameters": { "padding": [0, 1, 0, 1] } },
        { "kind": "Conv2d", "parameters": { "out_channels": 4, "kernel_size": 3, "stride": 2, "bias": false } },
        { "kind": "ReLU" },
        { "kind": "AdaptiveAvgPool2d", "parameters": { "output_size": 1 } },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 10 } },
    ]));
    assert_eq!(found, expected);
    let graph = lowered(&found, [3, 6, 6]);
    assert_eq!(graph.multiply_accumulates(), imported.graph.multiply_accumulates());
}

#[test]
fn every_node_that_blocks_cannot_say_is_named() {
    let model = file(
        &[None, Some(3), Some(6), Some(6)],
        vec![
            convolution("x", "first"),
            node("HardSwish", &["first"], "swish", Vec::new()),
            convolution("swish", "left"),
            convolution("swish", "right"),
            node("Concat", &["left", "right"], "both", vec![int("axis", 1)]),
            node("Transpose", &["both"], "turned", vec![ints("perm", &[0, 2, 3, 1])]),
            node("Add", &["turned", "turned"], "double", Vec::new()),
            node("Flatten", &["double"], "flat", Vec::new()),
        ],
        vec![numbers("kernel", &[3, 3, 3, 3])],
    );
    let problems = to_blocks(&imported(&model).unwrap(), None).unwrap_err();
    let described = problems
        .iter()
        .map(|problem| format!("{} ({}): {}", problem.node, problem.kind, problem.message));
    insta::assert_snapshot!(described.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_layer_that_two_branches_share_is_not_said_twice() {
    let model = file(
        &[None, Some(3), Some(6), Some(6)],
        vec![
            convolution("x", "a"),
            convolution("x", "b"),
            node("Add", &["a", "b"], "sum", Vec::new()),
            node("Add", &["sum", "b"], "again", Vec::new()),
        ],
        vec![numbers("kernel", &[3, 3, 3, 3])],
    );
    let problems = to_blocks(&imported(&model).unwrap(), None).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].node, "b");
    assert!(problems[0].message.contains("two branches"), "{problems:?}");
}
