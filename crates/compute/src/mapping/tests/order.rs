//! Layers of equal shapes: what tells them apart, and what does not.

use proptest::prelude::*;

use super::*;

/// Eleven square layers and a last one of another shape.
fn deep() -> Graph {
    let squares = (0..11).fold(Builder::new(&[3]), |graph, _| graph.linear(3));
    squares.linear(2).build()
}

/// The tensors of [`deep`] in a class that numbers them, with the layers in the given order.
fn deep_tensors(name: impl Fn(usize) -> String, order: &[usize]) -> Vec<(String, Vec<usize>)> {
    let layers = order.iter().flat_map(|&index| {
        let outputs = if index == 11 { 2 } else { 3 };
        let name = if index == 11 { "head".to_owned() } else { name(index) };
        [
            (format!("{name}.weight"), vec![outputs, 3]),
            (format!("{name}.bias"), vec![outputs]),
        ]
    });
    layers.collect()
}

#[test]
fn numbers_in_names_tell_the_order_of_layers_in_files_that_are_sorted_as_text() {
    for name in [
        (|index| format!("features.{}", 2 * index)) as fn(usize) -> String,
        |index| format!("conv{}", index + 1),
        |index| format!("layer{}.{}.conv{}", index / 4, index % 4 / 2, index % 2),
        |index| format!("block_{index}_conv"),
    ] {
        let in_order: Vec<usize> = (0..12).collect();
        let written = deep_tensors(name, &in_order);
        let mut sorted = written.clone();
        sorted.sort();
        let expected: Vec<String> = (0..11).map(|index| format!("{}.weight", name(index))).collect();
        for tensors in [written, sorted] {
            let mapping = map_of(&deep(), dict("", &tensors)).unwrap();
            assert_eq!(mapping.by, MatchedBy::Number);
            assert_eq!(weights_from(&mapping)[..11], expected);
            assert_eq!(mapping.pairs.last().unwrap().by, MatchedBy::Shape);
        }
    }
}

#[test]
fn a_wrapper_of_some_layers_does_not_keep_numbers_from_telling() {
    let names = ["stage1.conv", "stage2._orig_mod.conv", "stage3.conv", "head"];
    let mapping = map_of(&squares(), dict("", &linear_layers(names))).unwrap();
    assert_eq!(mapping.by, MatchedBy::Number);
    assert_eq!(weights_from(&mapping)[1], "stage2._orig_mod.conv.weight");
}

#[test]
fn layers_whose_names_tell_no_order_are_refused_with_candidates_and_a_mapping_to_correct() {
    let expected = "Layers 0, 1, 2 could each be any of stem, second, first of the file: these have equal shapes, and their names \
                    do not tell their order. Say which is which with `map`, as {\"0\": \"stem\", \"1\": \"second\", \"2\": \"first\"} \
                    in the right order.";
    let tensors = linear_layers(["stem", "second", "first", "fc"]);
    assert_eq!(message(&squares(), dict("", &tensors)), expected);
    let [(_, rule)] = errors(&squares(), dict("", &tensors)).try_into().unwrap();
    assert_eq!(rule, WeightRule::Distinct);
}

#[test]
fn names_that_differ_in_more_than_numbers_tell_no_order() {
    for names in [
        ["encoder.0", "encoder.1", "decoder.0", "fc"],
        ["conv", "conv1", "conv2", "fc"],
        ["bn1", "layer1.0.bn1", "layer1.0.bn2", "fc"],
        ["a1", "a01", "a2", "fc"],
    ] {
        let message = message(&squares(), dict("", &linear_layers(names)));
        assert!(
            message.contains("their names do not tell their order"),
            "{names:?}: {message}"
        );
    }
}

#[test]
fn numbers_that_the_order_of_an_unsorted_file_contradicts_are_not_believed() {
    let tensors = linear_layers(["conv1", "conv3", "conv2", "fc"]);
    let refused = message(&squares(), dict("", &tensors));
    assert!(
        refused.contains("the numbers in their names contradict their order in the file"),
        "{refused}"
    );
    let unordered = TensorDict {
        is_ordered: false,
        ..dict("", &tensors)
    };
    let mapping = map_of(&squares(), unordered).unwrap();
    assert_eq!(weights_from(&mapping)[2], "conv3.weight", "safetensors has no order");
}

#[test]
fn numbers_that_the_order_of_other_layers_contradicts_are_not_believed() {
    // The third layer can only be conv1, so that the network does not run in the order of the numbers.
    let graph = Builder::new(&[3]).linear(3).linear(3).linear(4).linear(2).build();
    let tensors: Shapes = &[
        ("conv1.weight", &[4, 3]),
        ("conv1.bias", &[4]),
        ("conv2.weight", &[3, 3]),
        ("conv2.bias", &[3]),
        ("conv3.weight", &[3, 3]),
        ("conv3.bias", &[3]),
        ("fc.weight", &[2, 4]),
        ("fc.bias", &[2]),
    ];
    let refused = message(&graph, dict("", tensors));
    assert!(refused.contains("contradict the order of other layers"), "{refused}");
}

#[test]
fn everything_that_is_missing_unused_or_of_another_shape_is_listed_at_once() {
    let tensors: Shapes = &[
        ("a.weight", &[3, 4]),
        ("a.bias", &[3]),
        ("act.slope", &[2]),
        ("head.weight", &[10, 3]),
        ("head.bias", &[10]),
    ];
    let graph = Builder::new(&[4]).linear(3).linear(5).linear(2).build();
    let expected = [
        ("1.bias", WeightRule::Shape),
        ("1.weight", WeightRule::Shape),
        ("2.bias", WeightRule::Present),
        ("2.weight", WeightRule::Present),
        ("act.slope", WeightRule::Known),
    ];
    assert_eq!(
        errors(&graph, dict("", tensors)),
        expected.map(|(key, rule)| (key.to_owned(), rule))
    );
    assert!(message(&graph, dict("", tensors)).contains(
        "Tensor head.weight of the file has shape [10, 3] but 1.weight, its closest match, needs [5, 3]; \
         change the block or the file."
    ));
}

proptest! {
    #[test]
    fn the_order_of_the_entries_changes_an_outcome_only_to_or_from_a_refusal(
        order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(),
        kind in 0..3_usize,
    ) {
        let name = [
            (|index| format!("features.{}", 3 * index)) as fn(usize) -> String,
            |index| format!("conv{index}"),
            |index| char::from(b'a' + index as u8).to_string(),
        ][kind];
        if let Ok(mapping) = map_of(&deep(), dict("", &deep_tensors(name, &order))) {
            let expected: Vec<String> = (0..11).map(|index| format!("{}.weight", name(index))).collect();
            prop_assert_eq!(&weights_from(&mapping)[..11], expected);
            prop_assert!(kind != 2, "letters tell no order");
        }
    }
}
