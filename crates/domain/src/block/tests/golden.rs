//! What PyTorch says, asked by `tests/golden/block_shapes.py`.

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
    torch: Option<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    output_shape: Vec<usize>,
    state_dict: Vec<(String, Vec<usize>)>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(CASES).unwrap()
}

/// The layer with a classifier behind it, so that the whole is a network.
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
fn every_layer_has_the_shape_and_the_tensors_that_pytorch_gives_it() {
    for case in cases() {
        let Some(answer) = &case.torch else { continue };
        let named = format!("{} {:?} on {:?}", case.kind, case.parameters, case.input);
        let graph = lowered(&case).unwrap_or_else(|errors| panic!("{named}: {errors:?}"));
        let node = &graph.nodes[0];
        assert_eq!(node.output_shape, answer.output_shape, "{named}");
        let tensors: Vec<(String, Vec<usize>)> = node
            .parameters
            .iter()
            .map(|parameter| (parameter.role.name().to_owned(), parameter.shape.clone()))
            .collect();
        assert_eq!(tensors, answer.state_dict, "{named}");
    }
}

#[test]
fn what_pytorch_refuses_is_refused_at_that_block_alone() {
    for case in cases().iter().filter(|case| case.torch.is_none()) {
        let named = format!("{} {:?} on {:?}", case.kind, case.parameters, case.input);
        let errors = lowered(case).expect_err(&named);
        assert!(errors.iter().all(|error| error.path == "0"), "{named}: {errors:?}");
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
