//! Comparison with PyTorch; `tests/golden/block_shapes.py` writes the expected values.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::catalogue;
use super::*;

const CASES: &str = include_str!("../../../../../tests/golden/block_shapes.json");

#[derive(Deserialize)]
struct Case {
    kind: String,
    parameters: Map<String, Value>,
    input: [usize; 3],
    torch: Option<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    output_shape: Vec<usize>,
    state_dict: Vec<(String, Vec<usize>)>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(CASES).unwrap()
}

/// The layer followed by a classifier, so that the list is a complete network.
fn lowered(case: &Case) -> Result<Graph, Vec<BlockError>> {
    let list = blocks(json!([
        {"kind": case.kind, "parameters": case.parameters},
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 10}}
    ]));
    let [channels, height, width] = case.input;
    lower(
        &list,
        ImageShape {
            channels,
            height,
            width,
        },
        10,
    )
}

#[test]
fn every_layer_has_the_output_shape_and_tensors_of_pytorch() {
    for case in cases() {
        let Some(expected) = &case.torch else { continue };
        let description = format!("{} {:?} on {:?}", case.kind, case.parameters, case.input);
        let graph = lowered(&case).unwrap_or_else(|errors| panic!("{description}: {errors:?}"));
        let node = &graph.nodes[0];
        assert_eq!(node.output_shape, expected.output_shape, "{description}");
        let tensors: Vec<(String, Vec<usize>)> = node
            .parameters
            .iter()
            .map(|parameter| (parameter.role.name().to_owned(), parameter.shape.clone()))
            .collect();
        assert_eq!(tensors, expected.state_dict, "{description}");
    }
}

#[test]
fn what_pytorch_rejects_is_rejected_at_that_block_only() {
    for case in cases().iter().filter(|case| case.torch.is_none()) {
        let description = format!("{} {:?} on {:?}", case.kind, case.parameters, case.input);
        let errors = lowered(case).expect_err(&description);
        assert!(
            errors.iter().all(|error| error.path == "0"),
            "{description}: {errors:?}"
        );
    }
}

#[test]
fn the_golden_cases_cover_every_layer_kind() {
    let cases = cases();
    for kind in catalogue()
        .iter()
        .filter(|kind| !["Linear", "Residual"].contains(&kind.name))
    {
        assert!(
            cases.iter().any(|case| case.kind == kind.name && case.torch.is_some()),
            "no case for {}",
            kind.name
        );
    }
}
