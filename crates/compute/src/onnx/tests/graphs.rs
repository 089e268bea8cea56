//! Graphs as exporters write them: in any order, with branches, in training mode, with names of any bytes.

use proptest::prelude::*;

use super::*;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto};
use scv_domain::input::InputNote;
use small::branch;

const IMAGE: [Option<i64>; 4] = [None, Some(3), Some(6), Some(6)];

fn graph_of(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

/// The scores of a network for two images.
fn scores(model: &ModelProto) -> Vec<f32> {
    let imported = imported(model).unwrap_or_else(|error| panic!("{error}"));
    let network = Network::from_import(imported, &Device::Cpu).unwrap();
    let images = images(2, &network.graph().input_shape);
    output_of(&network, &images)
}

/// A classifier with two branches that are added.
fn branched() -> ModelProto {
    let mut model = classifier(None, [0, -1]);
    let nodes = &mut graph_of(&mut model).node;
    nodes[2].input[0] = "sum".to_owned();
    nodes.insert(2, node("Sigmoid", &["conv"], "gate", Vec::new()));
    nodes.insert(3, node("Add", &["gate", "relu"], "sum", Vec::new()));
    model
}

proptest! {
    #[test]
    fn nodes_in_any_order_are_the_same_network(order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle()) {
        let sorted = branched();
        let mut shuffled = sorted.clone();
        let nodes = &sorted.graph.as_ref().unwrap().node;
        graph_of(&mut shuffled).node = order.iter().map(|&place| nodes[place].clone()).collect();
        prop_assert_eq!(scores(&shuffled), scores(&sorted));
        let paths = |model: &ModelProto| {
            let mut paths: Vec<_> = imported(model).unwrap().graph.layers().map(|(_, node)| node.path.clone()).collect();
            paths.sort();
            paths
        };
        prop_assert_eq!(paths(&shuffled), paths(&sorted));
    }
}

#[test]
fn nodes_that_wait_for_each_other_are_named() {
    let model = file(
        &IMAGE,
        vec![
            node("Relu", &["last"], "outside", Vec::new()),
            node("Add", &["x", "last"], "first", Vec::new()),
            node("Relu", &["first"], "middle", Vec::new()),
            node("Relu", &["middle"], "last", Vec::new()),
        ],
        Vec::new(),
    );
    assert_eq!(
        refusal(&model),
        "the graph of the ONNX file is invalid: nodes \"first\", \"middle\", \"last\" wait for each other in a cycle"
    );
}

#[test]
fn a_value_has_one_source() {
    let twice = |nodes: Vec<NodeProto>, constants| refusal(&file(&IMAGE, nodes, constants));
    let relu = |name: &str| node("Relu", &["x"], name, Vec::new());
    let text = twice(vec![relu("a"), relu("a")], Vec::new());
    assert!(text.contains("\"a\" is produced by two nodes"), "{text}");
    let text = twice(vec![relu("b")], vec![numbers("b", &[3])]);
    assert!(text.contains("produces \"b\", which is a tensor or input"), "{text}");
    let text = twice(vec![relu("x")], Vec::new());
    assert!(text.contains("produces \"x\", which is a tensor or input"), "{text}");
    let text = twice(vec![relu("a")], vec![numbers("b", &[3]), numbers("b", &[4])]);
    assert!(text.contains("tensor \"b\" exists twice"), "{text}");
}

/// A classifier whose scores go through an `If`: the first branch leaves them, the other one negates them.
fn with_condition(condition: NodeProto) -> ModelProto {
    let mut model = classifier(None, [0, -1]);
    let branches = vec![
        branch(
            "then_branch",
            vec![node("Identity", &["scores"], "chosen", Vec::new())],
            "chosen",
        ),
        branch(
            "else_branch",
            vec![node("Frobnicate", &["scores"], "chosen", Vec::new())],
            "chosen",
        ),
    ];
    let graph = graph_of(&mut model);
    graph.node.push(node("Shape", &["x"], "shape of x", Vec::new()));
    graph.node.push(condition);
    graph.node.push(node("If", &["condition"], "result", branches));
    graph
        .initializer
        .extend([list("limit", &[1, 3, 6, 6]), numbers("threshold", &[5])]);
    graph.output = vec![output("result")];
    model
}

#[test]
fn an_if_whose_condition_is_known_is_the_branch_that_is_taken() {
    let mut model = with_condition(node("Not", &["differs"], "condition", Vec::new()));
    let graph = graph_of(&mut model);
    graph
        .node
        .push(node("Slice", &["shape of x", "one", "four"], "sides", Vec::new()));
    graph
        .node
        .push(node("Slice", &["limit", "one", "four"], "expected", Vec::new()));
    graph
        .node
        .push(node("Equal", &["sides", "expected"], "equal", Vec::new()));
    graph.node.push(node("Not", &["equal"], "differs", Vec::new()));
    graph.initializer.extend([list("one", &[1]), list("four", &[4])]);
    assert_eq!(scores(&model), scores(&classifier(None, [0, -1])));
    // A branch that is taken must be sound.
    graph_of(&mut model).node.retain(|node| node.output[0] != "condition");
    graph_of(&mut model)
        .node
        .push(node("Identity", &["differs"], "condition", Vec::new()));
    let text = refusal(&model);
    assert!(text.contains("Frobnicate-17"), "{text}");
}

#[test]
fn an_if_that_depends_on_the_image_is_refused_with_the_reason() {
    let text = refusal(&with_condition(node(
        "Less",
        &["scores", "threshold"],
        "condition",
        Vec::new(),
    )));
    assert!(
        text.starts_with("1 node of the network cannot be computed: result (If-17): its condition depends on"),
        "{text}"
    );
}

#[test]
fn sparse_weights_are_read_in_both_forms() {
    let mut whole = classifier(None, [0, -1]);
    let weight = &mut graph_of(&mut whole).initializer[2];
    for (place, number) in weight.float_data.iter_mut().enumerate() {
        *number = if place % 7 == 0 { *number } else { 0.0 };
    }
    let weight = weight.clone();
    let kept: Vec<usize> = (0..weight.float_data.len()).filter(|place| place % 7 == 0).collect();
    let values = TensorProto {
        dims: vec![kept.len() as i64],
        float_data: kept.iter().map(|&place| weight.float_data[place]).collect(),
        ..weight
    };
    let positions: Vec<i64> = kept.iter().map(|&place| place as i64).collect();
    let pairs: Vec<i64> = positions.iter().flat_map(|place| [place / 144, place % 144]).collect();
    let of_pairs = TensorProto {
        dims: vec![kept.len() as i64, 2],
        ..list("", &pairs)
    };
    let sparse = |indices: TensorProto| {
        let mut model = whole.clone();
        let graph = graph_of(&mut model);
        graph.initializer.remove(2);
        graph.sparse_initializer.push(SparseTensorProto {
            values: Some(values.clone()),
            indices: Some(indices),
            dims: vec![5, 144],
        });
        read(vec![named("net.onnx", bytes(&model))]).unwrap()
    };
    for indices in [list("", &positions), of_pairs] {
        assert_eq!(scores(&sparse(indices)), scores(&whole));
    }
    let mut outside = positions.clone();
    *outside.last_mut().unwrap() = 720;
    let mut doubled = positions;
    doubled[1] = doubled[0];
    for (indices, reason) in [(outside, "out of range"), (doubled, "one place for each number")] {
        let text = refusal(&sparse(list("", &indices)));
        assert!(
            text.contains("sparse tensor \"weight\"") && text.contains(reason),
            "{text}"
        );
    }
}

#[test]
fn names_of_any_bytes_stay_different() {
    let model = classifier(None, [0, -1]);
    // Latin-1, where each of these bytes is a letter of its own.
    let mut encoded = bytes(&model);
    for (from, to) in [(&b"conv"[..], &b"con\xe9"[..]), (b"relu", b"rel\xe8")] {
        for place in 0..encoded.len() - from.len() {
            if encoded[place..].starts_with(from) {
                encoded[place..place + from.len()].copy_from_slice(to);
            }
        }
    }
    let renamed = read(vec![named("net.onnx", encoded)]).unwrap();
    assert_eq!(scores(&renamed), scores(&model));
    let imported = imported(&renamed).unwrap();
    let paths: Vec<_> = imported.graph.layers().map(|(_, node)| node.path.as_str()).collect();
    assert_eq!(paths, [r"con\xe9", r"rel\xe8", "scores"]);
}

#[test]
fn nodes_in_training_mode_run_as_at_inference_and_are_noted() {
    let parameters = || {
        ["scale", "offset", "mean", "variance"].map(|name| TensorProto {
            float_data: vec![0.5, 1.5, 2.5],
            ..numbers(name, &[3])
        })
    };
    let inputs = ["x", "scale", "offset", "mean", "variance"];
    let at_inference = file(
        &IMAGE,
        vec![node("BatchNormalization", &inputs, "y", Vec::new())],
        parameters().into(),
    );
    let mut by_attribute = at_inference.clone();
    graph_of(&mut by_attribute).node[0].attribute = vec![int("training_mode", 1)];
    let mut by_outputs = at_inference.clone();
    by_outputs.opset_import[0].version = 9;
    graph_of(&mut by_outputs).node[0]
        .output
        .extend(["new mean".to_owned(), "new variance".to_owned()]);
    let mut dropout = at_inference.clone();
    let graph = graph_of(&mut dropout);
    graph
        .node
        .push(node("Dropout", &["y", "", "training"], "dropped", Vec::new()));
    graph.initializer.push(TensorProto {
        int32_data: vec![1],
        data_type: 9,
        ..list("training", &[1])
    });
    graph.output = vec![output("dropped")];
    for (model, name) in [(by_attribute, "y"), (by_outputs, "y"), (dropout, "dropped")] {
        assert_eq!(scores(&model), scores(&at_inference));
        let notes = imported(&model).unwrap().input.notes;
        let expected = InputNote::TrainingMode {
            nodes: vec![name.to_owned()],
        };
        assert_eq!(notes, [expected]);
    }
    assert_eq!(imported(&at_inference).unwrap().input.notes, []);
}

#[test]
fn a_sparse_constant_of_a_node_is_read_too() {
    let sparse = SparseTensorProto {
        values: Some(numbers("", &[1])),
        indices: Some(list("", &[2])),
        dims: vec![3, 1, 1],
    };
    let attribute = AttributeProto {
        name: "sparse_value".to_owned(),
        sparse_tensor: Some(sparse),
        ..AttributeProto::default()
    };
    let nodes = vec![
        node("Add", &["x", "offset"], "y", Vec::new()),
        node("Constant", &[], "offset", vec![attribute]),
    ];
    let mut model = file(&IMAGE, nodes, Vec::new());
    graph_of(&mut model).output = vec![output("y")];
    let input = images(2, &[3, 6, 6]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let offset = (0.3_f32).sin();
    for (place, (before, after)) in input.iter().zip(scores(&model)).enumerate() {
        let expected = if place / 36 % 3 == 2 { before + offset } else { *before };
        assert!((after - expected).abs() < 1e-6);
    }
}
