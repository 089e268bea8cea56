//! Limits of block lists.

use serde_json::{Value, json};

use super::super::{MAX_BLOCKS, MAX_NESTING};
use super::ErrorRule::*;
use super::*;

/// Nested residuals.
fn nested(depth: usize) -> Value {
    (0..depth).fold(
        json!({"kind": "ReLU"}),
        |inner, _| json!({"kind": "Residual", "main": [inner]}),
    )
}

fn with_classifier(mut list: Vec<Value>) -> Value {
    list.push(json!({"kind": "Flatten"}));
    list.push(json!({"kind": "Linear", "parameters": {"out_features": 10}}));
    Value::Array(list)
}

#[test]
fn an_empty_list_is_rejected() {
    assert_eq!(faults(json!([])), [fault("", Empty, "")]);
}

#[test]
fn a_network_has_at_most_512_blocks_including_nested_ones() {
    let list = |inside: usize| {
        let main = vec![json!({"kind": "ReLU"}); inside];
        with_classifier(vec![json!({"kind": "Residual", "main": main})])
    };
    assert_eq!(graph(list(MAX_BLOCKS - 3)).nodes.len(), MAX_BLOCKS);
    assert_eq!(faults(list(MAX_BLOCKS - 2)), [fault("", TooLarge, "")]);
}

#[test]
fn residuals_are_nested_at_most_eight_deep() {
    assert_eq!(
        graph(with_classifier(vec![nested(MAX_NESTING)])).nodes.len(),
        MAX_NESTING + 3
    );
    let path = format!("0{}", ".main.0".repeat(MAX_NESTING));
    assert_eq!(
        faults(with_classifier(vec![nested(MAX_NESTING + 1)])),
        [fault(&path, TooLarge, "")]
    );
}

#[test]
fn values_that_are_too_large_are_rejected() {
    let pad = |padding: i64| json!({"kind": "ZeroPad2d", "parameters": {"padding": padding}});
    assert_eq!(faults(with_classifier(vec![pad(65_536)])), [fault("0", TooLarge, "")]);
    assert_eq!(faults(with_classifier(vec![pad(5_000)])), [fault("0", TooLarge, "")]);
    let enlarged = json!({"kind": "ConvTranspose2d", "parameters": {
        "out_channels": 1, "kernel_size": 1, "stride": 65_536
    }});
    assert_eq!(faults(with_classifier(vec![enlarged])), [fault("0", TooLarge, "")]);
}

#[test]
fn the_block_that_exceeds_a_total_limit_is_reported() {
    let linear = json!({"kind": "Linear", "parameters": {"out_features": 20_000}});
    let list = json!([{"kind": "Flatten"}, linear, linear, linear,
        {"kind": "Linear", "parameters": {"out_features": 10}}]);
    assert_eq!(faults(list), [fault("2", TooLarge, "")]);

    let costly = json!({"kind": "Conv2d", "parameters": {
        "out_channels": 1_024, "kernel_size": 3, "padding": 1
    }});
    let list = with_classifier(
        [
            vec![costly; 12],
            vec![json!({"kind": "AdaptiveAvgPool2d",
        "parameters": {"output_size": 1}})],
        ]
        .concat(),
    );
    assert_eq!(faults(list), [fault("11", TooLarge, "")]);
}

#[test]
fn the_largest_kernels_do_not_overflow() {
    let all = 65_536;
    let list = with_classifier(vec![json!({"kind": "Conv2d", "parameters": {
        "out_channels": all, "kernel_size": all, "dilation": all, "padding": all, "stride": all
    }})]);
    assert_eq!(faults(list), [fault("0", ShapeMismatch, "kernel_size")]);
    let list = with_classifier(vec![
        json!({"kind": "AdaptiveAvgPool2d", "parameters": {"output_size": 1}}),
        json!({"kind": "Conv2d", "parameters": {"out_channels": all, "kernel_size": 1}}),
        json!({"kind": "Conv2d", "parameters": {"out_channels": all, "kernel_size": 40_001, "padding": 20_000}}),
    ]);
    let faults = faults(list);
    assert_eq!(faults, [fault("2", TooLarge, ""), fault("2", TooLarge, "")]);
}

#[test]
fn images_without_pixels_and_huge_images_are_rejected() {
    let list = blocks(with_classifier(vec![]));
    for (width, rule) in [(0, OutOfRange), (usize::MAX, TooLarge)] {
        let shape = ImageShape {
            channels: 3,
            height: 32,
            width,
        };
        let errors = lower(&list, shape, 10).unwrap_err();
        assert_eq!((errors.len(), errors[0].rule), (1, rule));
    }
}
