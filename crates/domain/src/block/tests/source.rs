//! Block lists as PyTorch source. `scripts/check_export.py` checks that PyTorch builds the same network
//! from it.

use serde_json::{Value, json};

use super::super::pytorch_source;
use super::*;

const RESIDUAL_EXAMPLE: &str = include_str!("../../../../../examples/residual.json");

fn source(layers: Value) -> String {
    let mut list = blocks(layers);
    list.extend(blocks(json!([
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ])));
    pytorch_source(&list, COLOUR, 10, "Network").unwrap()
}

/// The line that a layer is written on.
fn line(kind: &str, parameters: Value) -> String {
    let source = source(json!([{"kind": kind, "parameters": parameters}]));
    let line = source.lines().find(|line| line.contains(&format!("nn.{kind}(")));
    line.unwrap().trim().trim_end_matches(',').to_owned()
}

#[test]
fn a_residual_network_is_written_in_idiomatic_python() {
    let list: Vec<Block> = serde_json::from_str(RESIDUAL_EXAMPLE).unwrap();
    insta::assert_snapshot!(pytorch_source(&list, COLOUR, 10, "residual network").unwrap());
}

#[test]
fn input_sizes_are_written_and_defaults_are_omitted() {
    let conv = json!({"out_channels": 8, "kernel_size": [3, 3], "stride": 1, "padding": "same", "bias": false});
    assert_eq!(
        line("Conv2d", conv),
        r#"nn.Conv2d(3, 8, kernel_size=3, padding="same", bias=False)"#
    );
    let transposed = json!({"out_channels": 4, "kernel_size": [2, 4], "stride": 2, "output_padding": 1});
    assert_eq!(
        line("ConvTranspose2d", transposed),
        "nn.ConvTranspose2d(3, 4, kernel_size=(2, 4), stride=2, output_padding=1)"
    );
    let pool = json!({"kernel_size": [2, 3], "stride": [2, 3], "ceil_mode": true});
    assert_eq!(line("MaxPool2d", pool), "nn.MaxPool2d((2, 3), ceil_mode=True)");
    let mean = json!({"kernel_size": 2, "stride": 1, "count_include_pad": false, "divisor_override": 3});
    assert_eq!(
        line("AvgPool2d", mean),
        "nn.AvgPool2d(2, stride=1, count_include_pad=False, divisor_override=3)"
    );
    let adaptive = json!({"output_size": [null, 4]});
    assert_eq!(line("AdaptiveAvgPool2d", adaptive), "nn.AdaptiveAvgPool2d((None, 4))");
    let pad = json!({"padding": [1, -2, 3, 0], "value": 2});
    assert_eq!(line("ConstantPad2d", pad), "nn.ConstantPad2d((1, -2, 3, 0), 2.0)");
    assert_eq!(line("ZeroPad2d", json!({"padding": -1})), "nn.ZeroPad2d(-1)");
    let normal = json!({"momentum": null, "eps": 1e-7});
    assert_eq!(
        line("BatchNorm2d", normal),
        "nn.BatchNorm2d(3, eps=1e-7, momentum=None)"
    );
    assert_eq!(line("Dropout", json!({"p": 0.5, "inplace": true})), "nn.Dropout()");
    assert_eq!(
        line("GELU", json!({"approximate": "tanh"})),
        r#"nn.GELU(approximate="tanh")"#
    );
    assert_eq!(line("Softplus", json!({"beta": 2})), "nn.Softplus(beta=2.0)");
    assert_eq!(line("Softmax", json!({})), "nn.Softmax(dim=1)");
    assert!(source(json!([])).contains("nn.Flatten(),\n            nn.Linear(3072, 10),\n"));
}

#[test]
fn a_layer_that_does_not_fit_on_one_line_has_one_line_per_argument() {
    let layer = json!({
        "out_channels": 6, "kernel_size": [3, 5], "stride": [2, 1], "padding": [1, 2], "groups": 3, "bias": false
    });
    let source = source(json!([{"kind": "Conv2d", "parameters": layer}]));
    let expected = "
            nn.Conv2d(
                3,
                6,
                kernel_size=(3, 5),
                stride=(2, 1),
                padding=(1, 2),
                groups=3,
                bias=False,
            ),
";
    assert!(source.contains(expected), "{source}");
}

#[test]
fn lines_of_deeply_nested_residuals_are_split_to_fit() {
    let innermost =
        json!({"kind": "Conv2d", "parameters": {"out_channels": 3, "kernel_size": [1, 3], "padding": [0, 1]}});
    let nested = (0..super::super::MAX_NESTING).fold(
        innermost,
        |inside, _| json!({"kind": "Residual", "main": [inside], "shortcut": []}),
    );
    let source = source(json!([nested]));
    assert!(source.contains("kernel_size=(\n"), "{source}");
    let fits = |line: &str| line.len() <= 88 || line.ends_with('(') || line.ends_with("(),");
    assert!(source.lines().all(fits), "{source}");
    assert_eq!(
        source.matches("shortcut=nn.Identity(),").count(),
        super::super::MAX_NESTING
    );
}

#[test]
fn only_the_helpers_that_a_network_needs_are_written() {
    let plain = source(json!([{"kind": "ReLU"}]));
    assert!(!plain.contains("class Residual") && !plain.contains("num_batches_tracked"));
    let normal = source(json!([{"kind": "BatchNorm2d"}]));
    assert!(normal.contains("num_batches_tracked"));
}

#[test]
fn the_output_is_named_scores_or_probabilities() {
    let list = json!([
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ]);
    let scores = pytorch_source(&blocks(list.clone()), COLOUR, 10, "Network").unwrap();
    assert!(
        scores.contains("\"\"\"Outputs 10 scores for each 3x32x32 image.\"\"\""),
        "{scores}"
    );
    let mut list = blocks(list);
    list.extend(blocks(json!([{"kind": "Softmax"}])));
    let probabilities = pytorch_source(&list, COLOUR, 10, "Network").unwrap();
    assert!(probabilities.contains("    print(probabilities)\n"), "{probabilities}");
}

#[test]
fn class_names_are_converted_to_valid_python() {
    let named = |text: &str| {
        let list = blocks(json!([{"kind": "Flatten"}, {"kind": "Linear", "parameters": {"out_features": 10}}]));
        let source = pytorch_source(&list, COLOUR, 10, text).unwrap();
        let class = source.lines().find_map(|line| line.strip_prefix("class "));
        class.unwrap().trim_end_matches("(nn.Sequential):").to_owned()
    };
    assert_eq!(named("my resnet-18"), "MyResnet18");
    assert_eq!(named("18 layers"), "Network18Layers");
    assert_eq!(named(""), "Network");
    assert_eq!(named("residual"), "ResidualNetwork");
    assert_eq!(named("none"), "NoneNetwork");
    assert_eq!(named("größe\"\"\"\nimport os"), "GrEImportOs");
    assert_eq!(named(&"9".repeat(300)).len(), 64);
}

#[test]
fn an_invalid_list_gives_the_errors_of_lowering() {
    let list = blocks(json!([{"kind": "Conv3d"}]));
    assert_eq!(
        pytorch_source(&list, COLOUR, 10, "Network").unwrap_err(),
        lower(&list, COLOUR, 10).unwrap_err()
    );
}
