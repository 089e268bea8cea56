//! Files read as blocks: what SCV exports comes back, and what cannot be expressed as blocks is named.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::onnx::blocks::to_blocks;
use crate::onnx::export::to_onnx;
use crate::onnx::proto::{NodeProto, TensorProto};
use crate::weights::Weights;
use scv_domain::block::{Block, MAX_BLOCKS, NodeProblem, from_graph, lower};
use scv_domain::graph::{Graph, Node, ParameterRole};

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
        output: output.clone(),
        ..ImportOptions::default()
    };
    let imported = import(&model, &options).unwrap();
    let found = to_blocks(&imported, output.as_deref(), imported.image_shape())
        .unwrap_or_else(|problems| panic!("{list:?}: {problems:?}"));
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

/// A convolution that keeps the shape of its input, and reads its weights from the constant of a name.
fn convolution(input: &str, kernel: &str, name: &str) -> NodeProto {
    node("Conv", &[input, kernel], name, vec![ints("pads", &[1, 1, 1, 1])])
}

/// Distinct weights of convolutions with three channels.
fn kernels(names: &[&str]) -> Vec<TensorProto> {
    let kernel = |(index, name): (usize, &&str)| {
        let mut kernel = numbers(name, &[3, 3, 3, 3]);
        kernel.float_data.rotate_left(index);
        kernel
    };
    names.iter().enumerate().map(kernel).collect()
}

/// The blocks of a file for its own images.
fn blocks_of(model: &ModelProto) -> Result<Vec<Block>, Vec<NodeProblem>> {
    let imported = imported(model).unwrap();
    to_blocks(&imported, None, imported.image_shape())
}

/// What cannot be expressed as blocks.
fn problems_of(model: &ModelProto) -> Vec<String> {
    let problems = blocks_of(model).unwrap_err().into_iter();
    let described = problems.map(|problem| format!("{} ({}): {}", problem.node, problem.kind, problem.message));
    described.collect()
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
    let found = to_blocks(&imported, None, imported.image_shape()).unwrap();
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
fn every_node_that_cannot_be_expressed_as_blocks_is_named() {
    let model = file(
        &[None, Some(3), Some(6), Some(6)],
        vec![
            convolution("x", "first kernel", "first"),
            node("HardSwish", &["first"], "swish", Vec::new()),
            convolution("swish", "left kernel", "left"),
            convolution("swish", "right kernel", "right"),
            node("Concat", &["left", "right"], "both", vec![int("axis", 1)]),
            node("Transpose", &["both"], "turned", vec![ints("perm", &[0, 2, 3, 1])]),
            node("Add", &["turned", "turned"], "double", Vec::new()),
            node("Flatten", &["double"], "flat", Vec::new()),
        ],
        kernels(&["first kernel", "left kernel", "right kernel"]),
    );
    insta::assert_snapshot!(problems_of(&model).join("\n"));
}

#[test]
fn a_layer_that_two_branches_share_is_not_read_twice() {
    let model = file(
        &[None, Some(3), Some(6), Some(6)],
        vec![
            convolution("x", "one", "a"),
            convolution("x", "other", "b"),
            node("Add", &["a", "b"], "sum", Vec::new()),
            node("Add", &["sum", "b"], "again", Vec::new()),
        ],
        kernels(&["one", "other"]),
    );
    let problems = problems_of(&model);
    assert_eq!(
        problems,
        ["b (Conv2d): two branches read its output, which blocks cannot share"]
    );
}

#[test]
fn layers_that_share_their_weights_are_named() {
    let shares = |problems: &[String], node: &str| {
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with(node) && problems[0].contains("shares its weights with a"),
            "{problems:?}"
        );
    };
    let tied = |kernel: &str| {
        let nodes = vec![
            convolution("x", "one", "a"),
            node("Identity", &["one"], "copy", Vec::new()),
            convolution("a", kernel, "b"),
        ];
        file(&[None, Some(3), Some(6), Some(6)], nodes, kernels(&["one", "other"]))
    };
    shares(&problems_of(&tied("one")), "b");
    shares(&problems_of(&tied("copy")), "b");
    blocks_of(&tied("other")).unwrap();

    // A linear layer keeps its weights transposed or not.
    let linear = |operator: &str, attributes| {
        let nodes = vec![
            node("Flatten", &["x"], "flat", Vec::new()),
            node(operator, &["flat", "weight"], "a", attributes),
            node("Relu", &["a"], "relu", Vec::new()),
            node("MatMul", &["relu", "weight"], "b", Vec::new()),
        ];
        file(
            &[None, Some(3), Some(2), Some(2)],
            nodes,
            vec![numbers("weight", &[12, 12])],
        )
    };
    shares(&problems_of(&linear("MatMul", Vec::new())), "b");
    shares(&problems_of(&linear("Gemm", Vec::new())), "b");

    // Normalisations that have learned nothing have equal weights, which exporters store once.
    let ones = TensorProto {
        float_data: vec![1.0; 3],
        ..numbers("ones", &[3])
    };
    let normalisation = |input: &str, name: &str| {
        node(
            "BatchNormalization",
            &[input, "ones", "ones", "ones", "ones"],
            name,
            Vec::new(),
        )
    };
    let nodes = vec![normalisation("x", "a"), normalisation("a", "b")];
    blocks_of(&file(&[None, Some(3), Some(6), Some(6)], nodes, vec![ones])).unwrap();
}

#[test]
fn a_choice_that_the_size_of_the_images_decides_is_made_only_for_sizes_where_it_makes_no_difference() {
    let convolution = |pads: [i64; 4]| {
        let attributes = vec![ints("pads", &pads), ints("strides", &[2, 2])];
        vec![node("Conv", &["x", "kernel"], "layer", attributes)]
    };
    let pooling = |operator: &str| {
        let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        vec![node(operator, &["x"], "layer", attributes)]
    };
    // With symmetric padding, with uneven padding, and with windows that may extend beyond the end.
    for nodes in [
        convolution([1, 1, 1, 1]),
        convolution([0, 0, 1, 1]),
        pooling("MaxPool"),
        pooling("AveragePool"),
    ] {
        let model = file(&[None, Some(3), Some(6), Some(6)], nodes, kernels(&["kernel"]));
        let imported = imported(&model).unwrap();
        let for_images = |height: usize, width: usize| {
            let shape = ImageShape {
                channels: 3,
                height,
                width,
            };
            to_blocks(&imported, None, shape)
        };
        let found = for_images(6, 6).unwrap();
        assert_eq!(for_images(8, 12).as_ref(), Ok(&found));
        for (height, width) in [(7, 7), (6, 7)] {
            let problems = for_images(height, width).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            let size = format!("export the file for images of {height}x{width}");
            assert!(
                problems[0].node == "layer" && problems[0].message.ends_with(&size),
                "{problems:?}"
            );
        }
    }
    // Without padding, and where the file's size decides the matter, there is no choice.
    for (size, nodes) in [(6, convolution([0, 0, 0, 0])), (7, pooling("MaxPool"))] {
        let model = file(&[None, Some(3), Some(size), Some(size)], nodes, kernels(&["kernel"]));
        let shape = ImageShape {
            channels: 3,
            height: 9,
            width: 11,
        };
        to_blocks(&imported(&model).unwrap(), None, shape).unwrap();
    }
}

/// A mean over windows that is multiplied by a constant.
fn scaled_mean(size: i64, ceil: i64) -> ModelProto {
    let attributes = vec![
        ints("kernel_shape", &[2, 2]),
        ints("strides", &[2, 2]),
        int("ceil_mode", ceil),
    ];
    let four = TensorProto {
        float_data: vec![4.0],
        ..numbers("four", &[1])
    };
    let nodes = vec![
        node("AveragePool", &["x"], "mean", attributes),
        node("Mul", &["mean", "four"], "sum", Vec::new()),
    ];
    file(&[None, Some(3), Some(size), Some(size)], nodes, vec![four])
}

#[test]
fn a_scaled_mean_has_another_divisor_only_if_no_window_extends_beyond_the_end() {
    let expected = json!([
        { "kind": "AvgPool2d", "parameters": { "kernel_size": 2, "divisor_override": 1 } },
    ]);
    assert_eq!(blocks_of(&scaled_mean(4, 1)).unwrap(), blocks(expected.clone()));
    assert_eq!(blocks_of(&scaled_mean(5, 0)).unwrap(), blocks(expected));
    assert_eq!(
        problems_of(&scaled_mean(5, 1)),
        ["sum (Mul): blocks have no Mul with a constant"]
    );
}

#[test]
fn only_a_row_of_numbers_is_the_bias_of_a_linear_layer() {
    let with_bias = |dims: &[i64]| {
        let nodes = vec![
            node("Reshape", &["x", "shape"], "rows", Vec::new()),
            node("MatMul", &["rows", "weight"], "product", Vec::new()),
            node("Add", &["product", "bias"], "scores", Vec::new()),
        ];
        let constants = vec![
            list("shape", &[-1, 4]),
            numbers("weight", &[4, 4]),
            numbers("bias", dims),
        ];
        blocks_of(&file(&[None, Some(1), Some(2), Some(2)], nodes, constants))
    };
    for dims in [&[4][..], &[1, 4]] {
        let found = with_bias(dims).unwrap();
        assert_eq!(
            found,
            blocks(json!([
                { "kind": "Flatten" },
                { "kind": "Linear", "parameters": { "out_features": 4 } },
            ]))
        );
    }
    with_bias(&[1]).unwrap_err();
    let added_to_rows = vec![
        node("MatMul", &["x", "weight"], "product", Vec::new()),
        node("Add", &["product", "bias"], "scores", Vec::new()),
    ];
    let constants = vec![numbers("weight", &[4, 4]), numbers("bias", &[4, 1])];
    let model = file(&[None, Some(1), Some(4), Some(4)], added_to_rows, constants);
    assert_eq!(
        problems_of(&model).last().unwrap(),
        "scores (Add): blocks have no Add with a constant"
    );
}

#[test]
fn a_problem_has_the_name_of_the_files_node_whatever_it_is_called() {
    let model = file(
        &[None, Some(3), Some(6), Some(6)],
        vec![
            node("HardSwish", &["x"], "swish#2", Vec::new()),
            node(
                "GroupNormalization",
                &["swish#2", "ones", "ones"],
                "normal",
                vec![int("num_groups", 1)],
            ),
        ],
        vec![numbers("ones", &[1])],
    );
    let problems = blocks_of(&model).unwrap_err();
    let names: Vec<_> = problems.iter().map(|problem| problem.node.as_str()).collect();
    assert_eq!(names.first(), Some(&"swish#2"));
    assert!(names.iter().skip(1).all(|name| *name == "normal"), "{names:?}");
}

#[test]
fn a_large_constant_in_a_long_chain_is_not_read() {
    let chain = |length: usize| {
        let mut nodes = vec![node("ConstantOfShape", &["shape"], "large", Vec::new())];
        let mut last = "x".to_owned();
        for index in 0..length {
            let name = format!("product{index}");
            nodes.push(node("Mul", &[&last, "large"], &name, Vec::new()));
            last = name;
        }
        file(
            &[None, Some(3), Some(8), Some(8)],
            nodes,
            vec![list("shape", &[1, 3, 8, 8])],
        )
    };
    let read = AtomicUsize::new(0);
    let imported = imported(&chain(300)).unwrap();
    let tensors = |node: &Node, role: ParameterRole| {
        read.fetch_add(1, Ordering::Relaxed);
        let tensor = imported.weights.get(&node.key(role))?;
        tensor.flatten_all().ok()?.to_vec1().ok()
    };
    let problems = from_graph(
        &imported.graph,
        imported.graph.output(),
        &tensors,
        imported.image_shape(),
    )
    .unwrap_err();
    assert_eq!(problems.len(), 300);
    assert_eq!(
        read.into_inner(),
        0,
        "the constant is not read, because it is no single number"
    );

    let problems = problems_of(&chain(16 * MAX_BLOCKS));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("operators, and the limit is 8192"), "{problems:?}");
}
