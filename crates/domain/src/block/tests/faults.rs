//! Errors of invalid lists.

use serde_json::{Value, json};

use super::ErrorRule::*;
use super::*;

/// The faults of a block on 3x32x32 images, followed by blocks that turn any output into ten scores.
fn faults_of(block: Value) -> Vec<(String, ErrorRule, String)> {
    faults(json!([
        block,
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ]))
}

#[test]
fn every_error_is_reported_at_its_block_and_none_is_a_consequence() {
    let errors = errors(json!([
        {"kind": "Conv2d", "parameters": {"out_channels": 0, "kernel_size": 3, "pading": 1}},
        {"kind": "BatchNorm2d", "parameters": {"num_features": 16, "eps": "small"}},
        {"kind": "Relu"},
        {"kind": "Residual", "main": [
            {"kind": "Conv2d", "parameters": {"kernel_size": 3, "groups": 1.5}},
            {"kind": "Dropout", "parameters": {"p": 1.5}}
        ], "shortcut": [{"kind": "Convolution"}]},
        {"kind": "MaxPool2d", "parameters": {"kernel_size": 2, "padding": 2}},
        {"kind": "Linear", "parameters": {"out_features": 12}}
    ]));
    insta::assert_json_snapshot!(errors);
}

#[test]
fn an_error_reads_as_a_located_sentence() {
    let errors = errors(json!([
        {"kind": "Residual", "main": [{"kind": "Conv2d", "parameters": {"out_channels": 3, "kernel_size": 3}}]},
        {"kind": "AdaptiveAvgPool2d", "parameters": {"output_size": 4}}
    ]));
    let sentences: Vec<String> = errors.iter().map(BlockError::to_string).collect();
    assert_eq!(
        sentences,
        [
            "block 0 (Residual): `main` outputs 3x30x30, but the input, which is added to it, is 3x32x32: \
             make the shapes equal, for instance with a Conv2d of kernel_size 1 in `shortcut` that \
             has the output channels and the stride of `main`."
        ]
    );
}

#[test]
fn an_error_at_the_end_says_which_blocks_are_missing() {
    let end = |block: Value| errors(json!([block])).remove(0).message;
    assert_eq!(
        end(json!({"kind": "AdaptiveAvgPool2d", "parameters": {"output_size": 4}})),
        "The network outputs values of shape 3x4x4, but the data set has 10 classes: end it with Flatten and a Linear \
         of out_features 10."
    );
    assert!(end(json!({"kind": "Flatten"})).contains("outputs 3072 scores"));
    let scores = json!({"kind": "Conv2d", "parameters": {"out_channels": 10, "kernel_size": 32}});
    assert!(end(scores).ends_with("end it with Flatten."));
}

#[test]
fn a_misspelt_kind_or_parameter_gets_a_suggestion() {
    let errors = errors(json!([
        {"kind": "conv2D"},
        {"kind": "BatchNorm"},
        {"kind": "Transformer"},
        {"kind": "AvgPool2d", "parameters": {"kernel": 2}},
        {"kind": "Sigmoid", "parameters": {"inplace": true}}
    ]));
    let expected: Vec<&str> = errors
        .iter()
        .map(|error| error.expected.as_deref().unwrap_or_default())
        .collect();
    assert_eq!(expected[0], "Conv2d");
    assert_eq!(expected[1], "BatchNorm2d");
    assert!(expected[2].starts_with("Conv2d, ConvTranspose2d, MaxPool2d"));
    assert_eq!(expected[3], "kernel_size");
    assert!(errors[4].message.contains("takes no parameters"));
    assert_eq!(
        errors.len(),
        5,
        "a misspelt parameter is not reported as missing too: {errors:?}"
    );
}

#[test]
fn one_block_may_break_several_rules() {
    assert_eq!(
        faults_of(json!({"kind": "Conv2d", "parameters": {
            "out_channels": 7, "kernel_size": 40, "groups": 2, "in_channels": 4, "bias": 1
        }})),
        [
            fault("0", WrongType, "bias"),
            fault("0", ShapeMismatch, "in_channels"),
            fault("0", ShapeMismatch, "groups"),
            fault("0", Conflict, "out_channels"),
            fault("0", ShapeMismatch, "kernel_size"),
        ]
    );
}

#[test]
fn rules_between_parameters_hold_even_where_the_shape_is_unknown() {
    assert_eq!(
        faults(json!([
            {"kind": "Conv2d"},
            {"kind": "MaxPool2d", "parameters": {"kernel_size": 3, "padding": 2}},
            {"kind": "Hardtanh", "parameters": {"min_val": 2}},
            {"kind": "ConvTranspose2d", "parameters": {
                "out_channels": 4, "kernel_size": 2, "stride": [3, 2], "output_padding": 2
            }},
            {"kind": "Linear", "parameters": {"out_features": 10}}
        ])),
        [
            fault("0", MissingParameter, "out_channels"),
            fault("0", MissingParameter, "kernel_size"),
            fault("1", Conflict, "padding"),
            fault("2", Conflict, "max_val"),
            fault("3", Conflict, "output_padding"),
        ]
    );
}

#[test]
fn same_padding_is_rejected_if_it_would_be_uneven() {
    let same = |parameters: Value| {
        let mut all = json!({"out_channels": 4, "kernel_size": 2, "padding": "same"});
        all.as_object_mut()
            .unwrap()
            .extend(parameters.as_object().unwrap().clone());
        errors(json!([{"kind": "Conv2d", "parameters": all}, {"kind": "Flatten"},
            {"kind": "Linear", "parameters": {"out_features": 10}}]))
    };
    let uneven = same(json!({}));
    assert_eq!(uneven.len(), 1);
    assert!(
        uneven[0].message.contains("ZeroPad2d with padding [0, 1, 0, 1]"),
        "{}",
        uneven[0]
    );
    let wide = same(json!({"kernel_size": [3, 4]}));
    assert!(
        wide[0].message.contains("ZeroPad2d with padding [1, 2, 1, 1]"),
        "{}",
        wide[0]
    );
    let strided = same(json!({"kernel_size": 3, "stride": 2}));
    assert_eq!((strided.len(), strided[0].rule), (1, Conflict));
}

#[test]
fn linear_needs_a_flatten_and_image_layers_do_not_accept_flat_input() {
    let flat = errors(json!([{"kind": "Linear", "parameters": {"out_features": 10}}]));
    assert_eq!(flat.len(), 1);
    assert!(flat[0].message.contains("put a Flatten before it"), "{}", flat[0]);
    assert_eq!(
        faults(json!([
            {"kind": "Flatten"},
            {"kind": "BatchNorm2d"},
            {"kind": "ReLU"},
            {"kind": "Linear", "parameters": {"out_features": 10, "in_features": 12}}
        ])),
        [fault("1", ShapeMismatch, ""), fault("3", ShapeMismatch, "in_features")]
    );
}

#[test]
fn the_batch_dimension_is_not_allowed() {
    for dim in [0, -4] {
        assert_eq!(
            faults_of(json!({"kind": "Softmax", "parameters": {"dim": dim}})),
            [fault("0", ShapeMismatch, "dim")]
        );
    }
    assert_eq!(
        faults_of(json!({"kind": "Flatten", "parameters": {"start_dim": 0}})),
        [fault("0", ShapeMismatch, "start_dim")]
    );
}

#[test]
fn only_a_residual_contains_blocks_and_it_must() {
    assert_eq!(
        faults(json!([
            {"kind": "ReLU", "main": [], "shortcut": []},
            {"kind": "Residual"},
            {"kind": "Residual", "main": []},
            {"kind": "Residual", "main": [{"kind": "ReLU"}], "parameters": {"shortcut": []}},
            {"kind": "Flatten"},
            {"kind": "Linear", "parameters": {"out_features": 10}}
        ])),
        [
            fault("0", UnknownParameter, "main"),
            fault("0", UnknownParameter, "shortcut"),
            fault("1", MissingParameter, "main"),
            fault("2", Empty, "main"),
            fault("3", UnknownParameter, "shortcut"),
        ]
    );
}

#[test]
fn wrong_types_and_values_out_of_range_are_distinguished() {
    let kernel = |kernel: Value| faults_of(json!({"kind": "MaxPool2d", "parameters": {"kernel_size": kernel}}))[0].1;
    for wrong in [
        json!(2.0),
        json!("2"),
        json!(null),
        json!([2]),
        json!([2, 2, 2]),
        json!({}),
        json!([2, null]),
    ] {
        assert_eq!(kernel(wrong.clone()), WrongType, "{wrong}");
    }
    for outside in [
        json!(0),
        json!(-3),
        json!([2, 0]),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(65_537),
    ] {
        assert_eq!(kernel(outside.clone()), OutOfRange, "{outside}");
    }
    assert_eq!(
        faults_of(json!({"kind": "Conv2d", "parameters": {
            "out_channels": 4, "kernel_size": 3, "padding": "full", "padding_mode": "circular"
        }})),
        [
            fault("0", OutOfRange, "padding"),
            fault("0", OutOfRange, "padding_mode")
        ]
    );
    assert_eq!(
        faults_of(json!({"kind": "BatchNorm2d", "parameters": {"track_running_stats": false}})),
        [fault("0", OutOfRange, "track_running_stats")]
    );
}

#[test]
fn a_block_with_an_unknown_field_is_rejected() {
    let error = serde_json::from_value::<Block>(json!({"kind": "ReLU", "params": {}})).unwrap_err();
    assert!(error.to_string().contains("params"), "{error}");
}
