//! Any input gives a graph or errors, and never a panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{catalogue, report};
use super::*;

/// Values that are often valid, and often just invalid.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => (0_i64..9).prop_map(Value::from),
        2 => (-9_i64..70_000).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => prop_oneof![Just(65_536), Just(65_535), Just(-65_536)].prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => prop_oneof![Just("same"), Just("valid"), Just("tanh"), Just("é")].prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!({"a": [1]})),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2).prop_map(Value::from),
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
        ]
    })
}

/// A block with its required parameters, sometimes with other parameters, or with an unknown name.
fn leaf_block() -> impl Strategy<Value = Block> {
    let chosen = prop::sample::select(catalogue().iter().collect::<Vec<_>>());
    let values = || prop::collection::vec((value(), 0..12_u8), 9);
    (chosen, values(), 0..40_u8).prop_map(|(kind, values, oddity)| {
        let mut parameters = Map::new();
        for (spec, (value, chance)) in kind.parameters.iter().zip(values) {
            match chance {
                0 => parameters.insert(spec.name.to_owned(), value),
                _ if spec.is_required() => parameters.insert(spec.name.to_owned(), json!(chance % 4 + 1)),
                _ => None,
            };
        }
        if oddity == 0 {
            parameters.insert("größe".repeat(40), Value::Null);
        }
        let name = if oddity == 1 {
            kind.name.to_uppercase()
        } else {
            kind.name.to_owned()
        };
        Block {
            kind: name,
            parameters,
            main: None,
            shortcut: None,
        }
    })
}

fn block() -> impl Strategy<Value = Block> {
    let nested = leaf_block().prop_recursive(10, 40, 3, |inner| {
        let list = || prop::option::weighted(0.9, prop::collection::vec(inner.clone(), 0..3));
        (list(), list()).prop_map(|(main, shortcut)| Block {
            kind: "Residual".to_owned(),
            main,
            shortcut,
            ..Block::default()
        })
    });
    prop_oneof![5 => leaf_block(), 1 => nested]
}

fn image() -> impl Strategy<Value = ImageShape> {
    let size = || prop_oneof![18 => 1..40_usize, 1 => Just(0), 1 => any::<usize>()];
    (size(), size(), size()).prop_map(|(channels, height, width)| ImageShape {
        channels,
        height,
        width,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_list_becomes_a_consistent_graph_or_errors(
        list in prop::collection::vec(block(), 0..5),
        image in image(),
        classes in prop_oneof![9 => Just(10), 1 => 0..20_usize],
        has_classifier in any::<bool>(),
    ) {
        let mut list = list;
        if has_classifier {
            list.extend(blocks(json!([
                {"kind": "Flatten"},
                {"kind": "Linear", "parameters": {"out_features": 10}}
            ])));
        }
        let report = report(&list, image, classes);
        match lower(&list, image, classes) {
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                prop_assert_eq!(&errors, &report.errors);
            }
            Ok(graph) => {
                prop_assert!(report.errors.is_empty());
                prop_assert_eq!(graph.image_shape(graph.logits), [classes]);
                for (position, node) in graph.nodes.iter().enumerate() {
                    prop_assert!(node.inputs.iter().all(|input| input.0 <= position));
                    prop_assert!(!node.output_shape.contains(&0));
                }
                prop_assert_eq!(graph.parameter_count(), report.parameter_count);
                prop_assert_eq!(graph.multiply_accumulates(), report.multiply_accumulates);
            }
        }
    }
}
