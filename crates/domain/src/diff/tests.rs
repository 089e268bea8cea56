use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::id::{LayerId, VersionId};

fn layer(index: usize, kind: &str, channels: i32) -> Layer {
    Layer {
        id: LayerId(index as i64),
        version_id: VersionId(1),
        index: index as i32,
        name: index.to_string(),
        kind: kind.to_owned(),
        parameters: json!({ "out_channels": channels }),
        input_shape: vec![1, 8, 8],
        output_shape: vec![channels, 8, 8],
        parameter_count: 0,
        multiply_accumulates: 0,
        inputs: None,
    }
}

/// Layers of the given kinds and channel counts.
fn layers(of: &[(&str, i32)]) -> Vec<Layer> {
    let each = of.iter().enumerate();
    each.map(|(index, (kind, channels))| layer(index, kind, *channels))
        .collect()
}

/// A layer with its shapes, parameters and number of trained numbers.
fn with(kind: &str, parameters: Value, [inputs, outputs]: [&[i32]; 2], parameter_count: i64) -> Layer {
    Layer {
        parameters,
        input_shape: inputs.to_vec(),
        output_shape: outputs.to_vec(),
        parameter_count,
        ..layer(0, kind, 0)
    }
}

#[test]
fn equal_layers_of_blocks_and_of_onnx_files_are_the_same() {
    let image: [&[i32]; 2] = [&[3, 8, 8], &[4, 8, 8]];
    let cases = [
        (
            "Conv2d",
            json!({ "bias": true, "dilation": 1, "groups": 1, "in_channels": 3, "kernel_size": [3, 3], "out_channels": 4,
                    "padding": 1, "padding_mode": "zeros", "stride": 1 }),
            json!({ "kernel_shape": [3, 3], "pads": [1, 1, 1, 1] }),
            image,
            112,
        ),
        (
            "MaxPool2d",
            json!({ "ceil_mode": false, "dilation": 1, "kernel_size": 2, "padding": 0, "stride": 2 }),
            json!({ "kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 0 }),
            [&[4, 8, 8], &[4, 4, 4]],
            0,
        ),
        (
            "AvgPool2d",
            json!({ "ceil_mode": false, "count_include_pad": true, "divisor_override": null, "kernel_size": 2, "padding": 0,
                    "stride": 2 }),
            json!({ "kernel_shape": [2, 2], "strides": [2, 2] }),
            [&[4, 8, 8], &[4, 4, 4]],
            0,
        ),
        (
            "Linear",
            json!({ "bias": false, "in_features": 6, "out_features": 5 }),
            json!({ "transB": 1 }),
            [&[6], &[5]],
            30,
        ),
        ("ELU", json!({ "alpha": 1.0 }), json!({}), image, 0),
        (
            "LeakyReLU",
            json!({ "negative_slope": 0.01 }),
            json!({ "alpha": 0.01 }),
            image,
            0,
        ),
        ("Softmax", json!({ "dim": 1 }), json!({ "axis": -1 }), [&[5], &[5]], 0),
    ];
    for (kind, block, onnx, shapes, count) in cases {
        let (block, onnx) = (with(kind, block, shapes, count), with(kind, onnx, shapes, count));
        assert_eq!(differences(&block, &onnx), [], "{kind}");
        let entries = diff(std::slice::from_ref(&block), std::slice::from_ref(&onnx)).expect("few layers");
        assert_eq!(entries[0].change, Change::Same, "{kind}");
        assert_eq!(
            entries[0].pair(),
            Some((&block, &onnx)),
            "layers are listed as they were given"
        );
    }
    let pool = with("GlobalAveragePool", json!({}), [&[4, 8, 8], &[4, 1, 1]], 0);
    let adaptive = with(
        "AdaptiveAvgPool2d",
        json!({ "output_size": [1, 1] }),
        [&[4, 8, 8], &[4, 1, 1]],
        0,
    );
    assert_eq!(differences(&pool, &adaptive), []);
}

#[test]
fn differences_between_formats_are_told_in_the_terms_of_blocks() {
    let block = json!({ "bias": true, "dilation": 1, "groups": 1, "in_channels": 3, "kernel_size": 3, "out_channels": 4,
                        "padding": 1, "padding_mode": "zeros", "stride": 1 });
    let onnx = json!({ "kernel_shape": [5, 3], "pads": [2, 1, 2, 1] });
    let shapes: [&[i32]; 2] = [&[3, 8, 8], &[4, 8, 8]];
    let found = differences(&with("Conv2d", block, shapes, 112), &with("Conv2d", onnx, shapes, 180));
    let told: Vec<_> = found
        .iter()
        .map(|found| (found.name.as_str(), found.other_value.clone()))
        .collect();
    let expected = [
        ("bias", json!(false)),
        ("kernel_size", json!([5, 3])),
        ("padding", json!([2, 1])),
    ];
    assert_eq!(told, expected.map(|(name, value)| (name, Some(value))));
}

/// The change of each entry, with the indices of both layers.
fn changes(layers: &[Layer], others: &[Layer]) -> Vec<(Change, Option<i32>, Option<i32>)> {
    let index = |layer: &Option<Layer>| layer.as_ref().map(|layer| layer.index);
    diff(layers, others)
        .expect("few enough layers to align")
        .iter()
        .map(|entry| (entry.change, index(&entry.layer), index(&entry.other_layer)))
        .collect()
}

#[test]
fn a_layer_with_a_different_parameter_is_changed_and_lists_the_differences() {
    let entries = diff(
        &layers(&[("Conv2d", 8), ("ReLU", 8)]),
        &layers(&[("Conv2d", 16), ("ReLU", 8)]),
    );
    let entries = entries.expect("few enough layers to align");
    assert_eq!(entries[0].change, Change::Changed);
    let names: Vec<_> = entries[0].differences.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["outputShape", "out_channels"]);
    assert_eq!(entries[0].differences[1].value, Some(json!(8)));
    assert_eq!(entries[0].differences[1].other_value, Some(json!(16)));
    assert_eq!(entries[1].change, Change::Same);
    let counts = Counts::of(&entries);
    assert_eq!(
        (counts.same, counts.changed, counts.added, counts.removed),
        (1, 1, 0, 0)
    );
}

#[test]
fn an_inserted_block_is_added_and_leaves_the_layers_after_it_the_same() {
    let (conv8, conv16, relu) = (("Conv2d", 8), ("Conv2d", 16), ("ReLU", 0));
    let shallow = layers(&[conv8, relu, conv16, relu, conv16, relu]);
    let deep = layers(&[conv8, relu, conv8, relu, conv16, relu, conv16, relu]);
    let added: Vec<_> = changes(&shallow, &deep)
        .into_iter()
        .filter(|(change, ..)| *change != Change::Same)
        .collect();
    assert_eq!(added.len(), 2, "{added:?}");
    assert!(added.iter().all(|(change, ..)| *change == Change::Added), "{added:?}");
}

#[test]
fn a_run_that_replaces_another_pairs_up_in_order() {
    let before = layers(&[("Conv2d", 8), ("ReLU", 8), ("Linear", 10)]);
    let after = layers(&[("Conv2d", 8), ("GELU", 8), ("LayerNorm", 8), ("Linear", 10)]);
    assert_eq!(
        changes(&before, &after),
        [
            (Change::Same, Some(0), Some(0)),
            (Change::Changed, Some(1), Some(1)),
            (Change::Added, None, Some(2)),
            (Change::Same, Some(2), Some(3)),
        ]
    );
}

#[test]
fn a_parameter_without_a_value_does_not_differ_from_one_that_is_missing() {
    let (mut one, other) = (layer(0, "Conv2d", 8), layer(0, "Conv2d", 8));
    one.parameters = json!({ "out_channels": 8, "groups": null });
    assert_eq!(differences(&one, &other), []);
}

#[test]
fn a_parameter_that_only_one_layer_has_is_a_difference() {
    let (one, mut other) = (layer(0, "Conv2d", 8), layer(0, "Conv2d", 8));
    other.parameters = json!({ "out_channels": 8, "groups": 2 });
    let differences = differences(&one, &other);
    assert_eq!(differences.len(), 1);
    assert_eq!(
        (differences[0].value.clone(), differences[0].other_value.clone()),
        (None, Some(json!(2)))
    );
}

#[test]
fn too_many_layers_are_rejected_before_aligning_starts() {
    let many = vec![layer(0, "ReLU", 1); 5_000];
    let others = vec![layer(0, "GELU", 1); 5_000];
    let error = diff(&many, &others).map_err(|error| error.to_string());
    assert!(error.is_err_and(|error| error.contains("5000 and 5000 layers")));
    assert!(diff(&many, &many).is_ok(), "identical layers do not count");
}

fn networks() -> impl Strategy<Value = Vec<Layer>> {
    let one = (prop::sample::select(vec!["Conv2d", "ReLU", "Linear"]), 1..4_i32);
    prop::collection::vec(one, 0..16).prop_map(|of| layers(&of))
}

proptest! {
    #[test]
    fn a_version_does_not_differ_from_itself(network in networks()) {
        let entries = diff(&network, &network).expect("few enough layers to align");
        prop_assert_eq!(Counts::of(&entries), Counts { same: network.len(), ..Counts::default() });
    }

    #[test]
    fn every_layer_is_in_one_entry_and_in_order(a in networks(), b in networks()) {
        let entries = diff(&a, &b).expect("few enough layers to align");
        let own: Vec<_> = entries.iter().filter_map(|entry| entry.layer.clone()).collect();
        let others: Vec<_> = entries.iter().filter_map(|entry| entry.other_layer.clone()).collect();
        prop_assert_eq!((own, others), (a, b));
    }

    #[test]
    fn swapping_the_versions_swaps_additions_and_removals(a in networks(), b in networks()) {
        let forward = diff(&a, &b).expect("few enough layers to align");
        let backward = diff(&b, &a).expect("few enough layers to align");
        prop_assert_eq!(forward.into_iter().map(reversed).collect::<Vec<_>>(), backward);
    }
}
