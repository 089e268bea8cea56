//! State dicts that fit a network, and every way in which they can fail to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::Device;

use super::*;
use crate::error::WeightRule;
use crate::fixtures::Builder;
use crate::pytorch::element::ElementType;
use crate::pytorch::read_state_dict;
use crate::weights::{Weights, check_weights};
use scv_domain::graph::{Activation, Operator, ParameterRole};

/// Layers `0`, `1`, `3` and `6` of the network that `scripts/golden_pytorch.py` saved.
fn graph() -> Graph {
    let operator = Operator::Conv2d {
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    let first = [
        (ParameterRole::Weight, [2, 1, 3, 3].as_slice()),
        (ParameterRole::Bias, &[2]),
    ];
    Builder::new(&[1, 8, 8])
        .then(operator.clone(), &[2, 6, 6], &first)
        .batch_norm(Some(0.1))
        .activation(Activation::Relu)
        .then(operator, &[3, 4, 4], &[(ParameterRole::Weight, &[3, 2, 3, 3])])
        .then(Operator::AdaptiveAvgPool2d, &[3, 1, 1], &[])
        .flatten()
        .linear(4)
        .build()
}

fn golden(name: &str) -> StateDict {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/pytorch");
    read_state_dict(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// A state dict with tensors of these shapes.
fn state(tensors: &[(&str, &[usize])]) -> StateDict {
    let entry = |&(key, shape): &(&str, &[usize])| {
        let count = shape.iter().product::<usize>();
        Entry {
            key: key.to_owned(),
            element: ElementType::Float32,
            shape: shape.to_vec(),
            numbers: Some((0..count).map(|index| index as f32).collect()),
        }
    };
    StateDict {
        entries: tensors.iter().map(entry).collect(),
        wrapper_keys: Vec::new(),
        is_parallel: false,
    }
}

/// Two linear layers `0` and `1` of the given widths.
fn two_layers(input: usize, hidden: usize, output: usize) -> Graph {
    Builder::new(&[input]).linear(hidden).linear(output).build()
}

fn pairs(mapping: &Mapping) -> Vec<(&str, &str)> {
    let pairs = mapping.pairs.iter();
    pairs
        .map(|pair| (pair.graph_key.as_str(), pair.state_key.as_str()))
        .collect()
}

fn errors(graph: &Graph, state: &StateDict) -> Vec<(String, WeightRule)> {
    let errors = map(graph, state).unwrap_err();
    errors
        .into_iter()
        .map(|error| (error.key.unwrap(), error.rule))
        .collect()
}

#[test]
fn the_keys_of_the_network_decide() {
    let mapping = map(&graph(), &golden("plain_zip.pth")).unwrap();
    assert_eq!(mapping.by, MappedBy::Key);
    assert_eq!(mapping.pairs.len(), 9);
    assert!(mapping.pairs.iter().all(|pair| pair.graph_key == pair.state_key));
    assert_eq!(mapping.ignored, ["1.num_batches_tracked"]);
}

#[test]
fn layers_of_other_names_are_told_by_their_order() {
    for name in [
        "named_zip.pth",
        "named_legacy.pth",
        "training_zip.pth",
        "training_legacy.pth",
    ] {
        let mapping = map(&graph(), &golden(name)).unwrap();
        assert_eq!(mapping.by, MappedBy::Order);
        let expected = [
            ("0.weight", "features.0.weight"),
            ("0.bias", "features.0.bias"),
            ("1.weight", "features.1.weight"),
            ("1.bias", "features.1.bias"),
            ("1.running_mean", "features.1.running_mean"),
            ("1.running_var", "features.1.running_var"),
            ("3.weight", "features.3.weight"),
            ("6.weight", "classifier.weight"),
            ("6.bias", "classifier.bias"),
        ];
        assert_eq!(pairs(&mapping), expected);
        assert_eq!(mapping.pairs[6].shape, [3, 2, 3, 3]);
    }
}

#[test]
fn mapped_tensors_are_read_as_the_weights_of_the_network() {
    let graph = graph();
    let (plain, named) = (golden("plain_zip.pth"), golden("named_legacy.pth"));
    let file = |state: &StateDict| map(&graph, state).unwrap().to_safetensors(state).unwrap();
    assert_eq!(file(&plain), file(&named));

    check_weights(&file(&named), &graph).unwrap();
    let weights = Weights::read(&file(&named), &graph, &Device::Cpu).unwrap();

    let bias = weights.get("6.bias").unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(Some(bias), plain.get("6.bias").unwrap().numbers);
}

#[test]
fn weights_that_are_not_finite_do_not_fit() {
    let mut state = state(&[
        ("a.weight", &[3, 4]),
        ("a.bias", &[3]),
        ("b.weight", &[2, 3]),
        ("b.bias", &[2]),
    ]);
    state.entries[1].numbers = Some(vec![0.0, f32::NAN, f32::INFINITY]);
    let [error] = map(&two_layers(4, 3, 2), &state).unwrap_err().try_into().unwrap();
    assert_eq!(error.rule, WeightRule::Finite);
    assert_eq!(error.tensors.needed.map(|tensor| tensor.key).as_deref(), Some("0.bias"));
    assert!(error.message.contains("a.bias holds 2 NaN"), "{}", error.message);
}

#[test]
fn layers_in_another_order_are_matched_by_shape_if_their_shapes_are_distinct() {
    let state = state(&[
        ("out.weight", &[2, 3]),
        ("out.bias", &[2]),
        ("in.bias", &[3]),
        ("in.weight", &[3, 4]),
    ]);
    let mapping = map(&two_layers(4, 3, 2), &state).unwrap();
    assert_eq!(mapping.by, MappedBy::Shape);
    let expected = [
        ("0.weight", "in.weight"),
        ("0.bias", "in.bias"),
        ("1.weight", "out.weight"),
        ("1.bias", "out.bias"),
    ];
    assert_eq!(pairs(&mapping), expected);
}

#[test]
fn layers_of_the_same_shape_in_another_order_are_ambiguous() {
    let graph = Builder::new(&[3]).linear(3).linear(3).linear(2).build();
    let (square, out): (&[usize], &[usize]) = (&[3, 3], &[2, 3]);
    let state = state(&[
        ("out.weight", out),
        ("out.bias", &[2]),
        ("a.weight", square),
        ("a.bias", &[3]),
        ("b.weight", square),
        ("b.bias", &[3]),
    ]);
    let keys = ["0.bias", "0.weight", "1.bias", "1.weight"];
    assert_eq!(
        errors(&graph, &state),
        keys.map(|key| (key.to_owned(), WeightRule::Present))
    );
    assert_eq!(
        map(&graph, &state).unwrap_err()[1].message,
        "Tensor 0.weight could be any of a.weight, b.weight: they have its shape, and the layers of the file are not \
         in the order of the network; rename the keys of the file to those of the network."
    );
}

#[test]
fn everything_that_is_missing_unused_or_of_another_shape_is_listed_at_once() {
    let state = state(&[
        ("conv.weight", &[2, 1, 3, 3]),
        ("conv.bias", &[2]),
        ("act.slope", &[2]),
        ("conv2.weight", &[3, 2, 3, 3]),
        ("head.weight", &[10, 3]),
        ("head.bias", &[10]),
        ("extra.weight", &[5, 5]),
    ]);
    let expected = [
        ("1.bias", WeightRule::Present),
        ("1.running_mean", WeightRule::Present),
        ("1.running_var", WeightRule::Present),
        ("1.weight", WeightRule::Present),
        ("6.bias", WeightRule::Shape),
        ("6.weight", WeightRule::Shape),
        ("act.slope", WeightRule::Known),
        ("extra.weight", WeightRule::Known),
    ];
    assert_eq!(
        errors(&graph(), &state),
        expected.map(|(key, rule)| (key.to_owned(), rule))
    );
    let errors = map(&graph(), &state).unwrap_err();
    assert_eq!(
        errors[5].message,
        "Tensor head.weight of the file has shape [10, 3] but 6.weight, its closest match, needs [4, 3]; \
         change the block or the file."
    );
    assert_eq!(
        errors[0].message,
        "No tensor of the file has the position and the shape [2] of tensor 1.bias; add it to the file."
    );
}

#[test]
fn with_the_keys_of_the_network_shapes_and_unused_tensors_are_reported_by_key() {
    let state = state(&[
        ("0.weight", &[3, 4]),
        ("0.bias", &[3]),
        ("1.weight", &[5, 3]),
        ("1.bias", &[2]),
        ("2.weight", &[1]),
    ]);
    let expected = [("1.weight", WeightRule::Shape), ("2.weight", WeightRule::Known)];
    let graph = two_layers(4, 3, 2);
    assert_eq!(
        errors(&graph, &state),
        expected.map(|(key, rule)| (key.to_owned(), rule))
    );
    assert_eq!(
        map(&graph, &state).unwrap_err()[0].message,
        "Tensor 1.weight has shape [5, 3] but the layer needs [2, 3]; change the block or the file."
    );
}

#[test]
fn weights_that_are_integers_are_refused_and_other_integers_ignored() {
    let mut state = state(&[
        ("0.weight", &[3, 4]),
        ("0.bias", &[3]),
        ("positions", &[7]),
        ("1.weight", &[2, 3]),
        ("1.bias", &[2]),
    ]);
    state.entries[2].numbers = None;
    let mapping = map(&two_layers(4, 3, 2), &state).unwrap();
    assert_eq!(
        (mapping.pairs.len(), mapping.ignored),
        (4, vec!["positions".to_owned()])
    );

    state.entries[3].numbers = None;
    state.entries[3].element = ElementType::Int8;
    assert_eq!(
        map(&two_layers(4, 3, 2), &state).unwrap_err()[0].message,
        "Tensor 1.weight has type int8; save it as float32, float16, bfloat16 or float64."
    );
}

#[test]
fn keys_without_a_layer_and_networks_without_weights_are_accepted() {
    let single = Builder::new(&[4]).linear(2).build();
    let mapping = map(&single, &state(&[("weight", &[2, 4]), ("bias", &[2])])).unwrap();
    assert_eq!(pairs(&mapping), [("0.weight", "weight"), ("0.bias", "bias")]);

    let odd = map(&single, &state(&[(".weight", &[2, 4]), (".bias", &[2])])).unwrap();
    assert_eq!(pairs(&odd), [("0.weight", ".weight"), ("0.bias", ".bias")]);

    let none = Builder::new(&[4]).activation(Activation::Relu).build();
    assert_eq!(map(&none, &state(&[])).unwrap().pairs, []);
    assert_eq!(
        errors(&none, &state(&[("a.weight", &[1])])),
        [("a.weight".to_owned(), WeightRule::Known)]
    );
}

#[test]
fn a_mapping_works_only_with_its_own_state_dict() {
    let graph = two_layers(4, 3, 2);
    let mine = state(&[
        ("0.weight", &[3, 4]),
        ("0.bias", &[3]),
        ("1.weight", &[2, 3]),
        ("1.bias", &[2]),
    ]);
    let mapping = map(&graph, &mine).unwrap();
    let error = mapping
        .to_safetensors(&state(&[("0.weight", &[3, 4])]))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the state dict has no numbers for 0.bias");
    let other = state(&[
        ("0.weight", &[1]),
        ("0.bias", &[3]),
        ("1.weight", &[2, 3]),
        ("1.bias", &[2]),
    ]);
    assert!(mapping.to_safetensors(&other).is_err());
}
