//! The documentation agrees with the code.

use super::super::{
    MAX_BLOCKS, MAX_DIMENSION, MAX_MULTIPLY_ACCUMULATES, MAX_NESTING, MAX_PARAMETERS, MAX_VALUE_LENGTH, ParameterType,
    catalogue, catalogue_markdown, report,
};
use super::*;
use serde_json::json;

const PAGE: &str = include_str!("../../../../../docs/blocks.md");

#[test]
fn the_page_lists_the_catalogue() {
    let (_, listed) = PAGE.split_once("<!-- catalogue -->\n\n").unwrap();
    let expected = catalogue_markdown();
    assert!(
        listed == expected,
        "docs/blocks.md must end, after the line <!-- catalogue -->, with:\n\n{expected}"
    );
}

#[test]
fn the_example_of_the_page_is_valid_and_has_the_stated_costs() {
    let (_, rest) = PAGE.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let list: Vec<Block> = serde_json::from_str(example).unwrap();
    let report = report(
        &list,
        ImageShape {
            channels: 3,
            height: 32,
            width: 32,
        },
        10,
    );
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let stated = format!(
        "{} parameters and {} multiply-accumulates",
        thousands(report.parameter_count),
        thousands(report.multiply_accumulates)
    );
    assert!(PAGE.contains(&stated), "the page must contain: {stated}");
}

#[test]
fn the_page_states_the_limits_and_quotes_a_real_error() {
    for limit in [
        MAX_DIMENSION as u64,
        MAX_VALUE_LENGTH,
        MAX_PARAMETERS,
        MAX_MULTIPLY_ACCUMULATES,
        MAX_BLOCKS as u64,
        MAX_NESTING as u64,
    ] {
        assert!(PAGE.contains(&format!("| {} |", thousands(limit))), "{limit}");
    }
    let list = serde_json::json!([
        {"kind": "Conv2d", "parameters": {"out_channels": 16, "kernel_size": 3}},
        {"kind": "BatchNorm2d", "parameters": {"num_features": 32}}
    ]);
    let quoted = errors(list)[0].to_string();
    assert!(PAGE.contains(&format!("```text\n{quoted}\n```")), "{quoted}");
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|g| str::from_utf8(g).unwrap())
        .collect();
    groups.join(",")
}

#[test]
fn every_default_is_an_allowed_value() {
    for kind in catalogue() {
        for spec in kind
            .parameters
            .iter()
            .filter(|spec| spec.value != ParameterType::Blocks)
        {
            if let Some(default) = spec.default_value() {
                assert_eq!(spec.value.check(&default), Ok(default), "{}.{}", kind.name, spec.name);
            }
        }
    }
}

#[test]
fn kinds_are_unique_and_every_kind_and_parameter_is_described() {
    let mut names: Vec<&str> = catalogue().iter().map(|kind| kind.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), catalogue().len());
    for kind in catalogue() {
        assert!(kind.summary.ends_with('.'), "{}", kind.name);
        for spec in &kind.parameters {
            assert!(spec.description.ends_with('.'), "{}.{}", kind.name, spec.name);
        }
    }
}

#[test]
fn a_json_schema_says_what_values_a_parameter_may_have() {
    let schema = |kind: &str, parameter: &str| {
        let kind = catalogue().iter().find(|spec| spec.name == kind).unwrap();
        let spec = kind.parameters.iter().find(|spec| spec.name == parameter).unwrap();
        spec.value.json_schema()
    };
    assert_eq!(schema("Linear", "bias"), json!({ "type": "boolean" }));
    let size = json!({ "type": "integer", "minimum": 1, "maximum": MAX_DIMENSION });
    let sizes = json!({ "type": "array", "items": size, "minItems": 2, "maxItems": 2 });
    assert_eq!(schema("Conv2d", "out_channels")["type"], "integer");
    assert_eq!(schema("Conv2d", "kernel_size"), json!({ "anyOf": [size, sizes] }));
    // `null` stands for a size that stays, and only within a list.
    let output = schema("AdaptiveAvgPool2d", "output_size");
    let alternatives = output["anyOf"].as_array().unwrap();
    assert_eq!(alternatives.len(), 2, "{output}");
    assert_eq!(alternatives[0]["type"], "integer");
    assert_eq!(alternatives[1]["items"]["anyOf"][1], json!({ "type": "null" }));
    let modes = schema("Conv2d", "padding_mode");
    assert!(modes["enum"].as_array().unwrap().contains(&json!("zeros")), "{modes}");
    for parameter in catalogue().iter().flat_map(|kind| &kind.parameters) {
        let schema = parameter.value.json_schema();
        let is_said = ["type", "anyOf", "enum"].iter().any(|key| schema.get(key).is_some());
        assert!(is_said, "{}: {schema}", parameter.name);
    }
}
