//! Functions that a file defines itself.

use super::*;
use crate::onnx::proto::{AttributeProto, AttributeType, FunctionProto, TensorProto};
use small::{branch, call, function};

const IMAGE: [Option<i64>; 4] = [None, Some(3), Some(6), Some(6)];

fn with_functions(model: ModelProto, functions: Vec<FunctionProto>) -> ModelProto {
    let model = ModelProto { functions, ..model };
    read(vec![named("net.onnx", bytes(&model))]).unwrap()
}

fn scores(model: &ModelProto) -> Vec<f32> {
    let imported = imported(model).unwrap_or_else(|error| panic!("{error}"));
    let network = Network::from_import(imported, &Device::Cpu).unwrap();
    let images = images(2, &network.graph().input_shape);
    output_of(&network, &images)
}

fn float(name: &str, number: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        f: number,
        r#type: AttributeType::Float as i32,
        ..AttributeProto::default()
    }
}

/// An attribute that takes its value from one of the call.
fn referring(name: &str, to: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ref_attr_name: to.to_owned(),
        r#type: AttributeType::Float as i32,
        ..AttributeProto::default()
    }
}

#[test]
fn functions_within_functions_compute_what_their_bodies_do() {
    let leaky = |input: &str, name: &str, alpha: f32| node("LeakyRelu", &[input], name, vec![float("alpha", alpha)]);
    let plain = file(
        &IMAGE,
        vec![
            leaky("x", "a", 0.25),
            node("Sigmoid", &["a"], "b", Vec::new()),
            leaky("b", "c", 0.5),
            node("Sigmoid", &["c"], "d", Vec::new()),
            node("Add", &["d", "x"], "y", Vec::new()),
        ],
        Vec::new(),
    );
    let calls = file(
        &IMAGE,
        vec![
            call("block", &["x"], "b", vec![float("slope", 0.25)]),
            call("block", &["b"], "d", Vec::new()),
            node("Add", &["d", "x"], "y", Vec::new()),
        ],
        Vec::new(),
    );
    let leak = function(
        "leak",
        &["in"],
        vec![node("LeakyRelu", &["in"], "out", vec![referring("alpha", "strength")])],
    );
    // Its nodes are in the wrong order, and its names are those of the graph.
    let block = FunctionProto {
        output: vec!["y".to_owned()],
        attribute_proto: vec![float("slope", 0.5)],
        ..function(
            "block",
            &["x"],
            vec![
                node("Sigmoid", &["b"], "y", Vec::new()),
                call("leak", &["x"], "b", vec![referring("strength", "slope")]),
            ],
        )
    };
    let model = with_functions(calls, vec![block, leak]);
    assert_eq!(scores(&model), scores(&plain));
    let imported = imported(&model).unwrap();
    let paths: Vec<_> = imported.graph.layers().map(|(_, node)| node.path.as_str()).collect();
    assert_eq!(paths, ["b/b/out", "b/y", "d/b/out", "d/y", "y"]);
}

#[test]
fn a_function_has_its_own_operator_set() {
    let axes = |name: &str| AttributeProto {
        name: name.to_owned(),
        ..ints("axes", &[2, 3])
    };
    let mean = FunctionProto {
        opset_import: vec![crate::onnx::proto::OperatorSetIdProto {
            domain: String::new(),
            version: 13,
        }],
        ..function(
            "mean",
            &["in"],
            vec![node("ReduceMean", &["in"], "out", vec![axes("axes")])],
        )
    };
    // Newer sets have the axes as an input.
    let mut calls = file(
        &IMAGE,
        vec![
            call("mean", &["x"], "a", Vec::new()),
            node("ReduceMean", &["a", "axes"], "y", Vec::new()),
        ],
        vec![list("axes", &[1])],
    );
    calls.opset_import[0].version = 18;
    let model = with_functions(calls, vec![mean]);
    let network = Network::from_import(imported(&model).unwrap(), &Device::Cpu).unwrap();
    assert_eq!(network.graph().image_shape(network.graph().logits), [1, 1, 1]);
}

#[test]
fn a_function_without_an_optional_input_and_with_branches_is_inlined() {
    let add = function("maybe", &["a", "b"], vec![node("Clip", &["a", "b"], "out", Vec::new())]);
    let bodies = vec![
        branch(
            "then_branch",
            vec![call("maybe", &["in"], "chosen", Vec::new())],
            "chosen",
        ),
        branch("else_branch", Vec::new(), "in"),
    ];
    let chosen = function("chosen", &["in", "flag"], vec![node("If", &["flag"], "out", bodies)]);
    let flag = |set: i32| TensorProto {
        int32_data: vec![set],
        data_type: 9,
        ..list("flag", &[1])
    };
    for set in [0, 1] {
        let calls = file(
            &IMAGE,
            vec![call("chosen", &["x", "flag"], "y", Vec::new())],
            vec![flag(set)],
        );
        let model = with_functions(calls, vec![add.clone(), chosen.clone()]);
        let images = images(2, &[3, 6, 6]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        if set == 1 {
            assert_eq!(scores(&model), images);
        } else {
            assert_eq!(imported(&model).unwrap().graph.nodes.len(), 0);
        }
    }
}

#[test]
fn functions_that_call_each_other_in_a_circle_are_refused() {
    let a = function("a", &["in"], vec![call("b", &["in"], "out", Vec::new())]);
    let b = function("b", &["in"], vec![call("a", &["in"], "out", Vec::new())]);
    let calls = file(&IMAGE, vec![call("a", &["x"], "y", Vec::new())], Vec::new());
    let text = refusal(&with_functions(calls, vec![a, b]));
    assert!(text.contains("function \"a\" calls itself"), "{text}");
}

#[test]
fn functions_that_double_are_refused_before_they_fill_the_memory() {
    let mut functions: Vec<_> = (0..60)
        .map(|level| {
            let inner = format!("f{}", level + 1);
            let calls = vec![
                call(&inner, &["in"], "middle", Vec::new()),
                call(&inner, &["middle"], "out", Vec::new()),
            ];
            function(&format!("f{level}"), &["in"], calls)
        })
        .collect();
    functions.push(function("f60", &["in"], vec![node("Relu", &["in"], "out", Vec::new())]));
    let calls = file(&IMAGE, vec![call("f0", &["x"], "y", Vec::new())], Vec::new());
    let model = with_functions(calls, functions);
    let (outcome, bytes) = crate::allocations::allocated_by(|| imported(&model));
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("more than 100000 nodes"), "{text}");
    assert!(bytes < 512 << 20, "{bytes} bytes");
}
