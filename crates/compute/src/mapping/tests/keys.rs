//! Tensors that are told by their keys, or by shapes that no others have.

use proptest::prelude::*;

use super::*;

const NUMBERED: [&str; 4] = ["0", "1", "2", "3"];

#[test]
fn levels_that_wrappers_add_tell_nothing() {
    for (names, prefix) in [
        (
            ["_orig_mod.0", "_orig_mod.1", "_orig_mod.2", "_orig_mod.3"],
            Some("_orig_mod."),
        ),
        (
            [
                "model.module._orig_mod.0",
                "model.module._orig_mod.1",
                "model.module._orig_mod.2",
                "model.module._orig_mod.3",
            ],
            Some("model.module._orig_mod."),
        ),
        (["0", "1._orig_mod", "2", "3"], None),
        (["net.0.module", "net.1.module", "net.2", "net.3"], None),
    ] {
        let mapping = map_of(&squares(), dict("", &linear_layers(names))).unwrap();
        assert_eq!(
            (mapping.by, mapping.prefix.as_deref()),
            (MatchedBy::Key, prefix),
            "{names:?}"
        );
        let expected = names.map(|name| format!("{name}.weight"));
        assert_eq!(weights_from(&mapping), expected, "{names:?}");
    }
}

#[test]
fn parts_of_a_sequential_keep_their_numbers() {
    let mapping = map_of(
        &squares(),
        dict("", &linear_layers(["back.0", "back.1", "top.2", "top.3"])),
    )
    .unwrap();
    assert_eq!(mapping.by, MatchedBy::Key);
    assert_eq!(weights_from(&mapping)[2], "top.2.weight");
    // Two of the numbers occur twice.
    assert!(
        map_of(
            &squares(),
            dict("", &linear_layers(["back.0", "back.1", "top.0", "top.1"]))
        )
        .is_err()
    );
}

#[test]
fn the_key_decides_even_if_the_file_is_in_another_order() {
    let mut tensors = linear_layers(NUMBERED);
    tensors.reverse();
    let mapping = map_of(&squares(), dict("", &tensors)).unwrap();
    assert!(
        mapping
            .pairs
            .iter()
            .all(|pair| pair.key == pair.from && pair.by == MatchedBy::Key)
    );
}

#[test]
fn layers_whose_shapes_no_other_has_are_told_by_these() {
    let state = dict(
        "",
        &[
            ("out.weight", [2, 3].as_slice()),
            ("out.bias", &[2]),
            ("in.bias", &[3]),
            ("in.weight", &[3, 4]),
        ],
    );
    let mapping = map_of(&two_layers(4, 3, 2), state).unwrap();
    assert_eq!(mapping.by, MatchedBy::Shape);
    let expected = [
        ("0.weight", "in.weight"),
        ("0.bias", "in.bias"),
        ("1.weight", "out.weight"),
        ("1.bias", "out.bias"),
    ];
    assert_eq!(pairs(&mapping), expected);
}

#[test]
fn with_the_keys_of_the_network_shapes_and_unused_tensors_are_reported_by_key() {
    let tensors: Shapes = &[
        ("net.0.weight", &[3, 4]),
        ("net.0.bias", &[3]),
        ("net.1.weight", &[5, 3]),
        ("net.1.bias", &[2]),
        ("net.2.weight", &[1]),
    ];
    let graph = two_layers(4, 3, 2);
    let expected = [("net.1.weight", "Shape"), ("net.2.weight", "Known")];
    let found = errors_of(map_of(&graph, dict("", tensors)).unwrap_err());
    let found: Vec<_> = found
        .iter()
        .map(|error| {
            (
                error.tensors.given.as_ref().unwrap().key.as_str(),
                format!("{:?}", error.rule),
            )
        })
        .collect();
    assert_eq!(found, expected.map(|(key, rule)| (key, rule.to_owned())));
    assert!(message(&graph, dict("", tensors)).starts_with(
        "Tensor net.1.weight of the file has shape [5, 3] but 1.weight, its closest match, needs [2, 3]; \
         change the block or the file."
    ));
}

#[test]
fn weights_that_are_integers_are_refused_and_other_integers_ignored() {
    let mut state = dict("", &linear_layers(NUMBERED));
    state.entries.push(Entry {
        key: "n_averaged".to_owned(),
        element: ElementType::Int64,
        ..state.entries[0].clone()
    });
    assert_eq!(map_of(&squares(), state.clone()).unwrap().ignored, ["n_averaged"]);
    state.entries[2].element = ElementType::Int8;
    assert_eq!(
        message(&squares(), state),
        "Tensor 1.weight has type int8; save it as float32, float16, bfloat16 or float64."
    );
}

#[test]
fn keys_without_a_layer_and_networks_without_weights_are_accepted() {
    let single = Builder::new(&[4]).linear(2).build();
    for key in ["", "."] {
        let tensors = [(format!("{key}weight"), vec![2, 4]), (format!("{key}bias"), vec![2])];
        let mapping = map_of(&single, dict("", &tensors)).unwrap();
        assert_eq!(weights_from(&mapping), [format!("{key}weight")]);
    }
    let none = Builder::new(&[4]).flatten().build();
    assert_eq!(
        errors(&none, dict("", &[("a.weight", [1])])),
        [("a.weight".to_owned(), WeightRule::Known)]
    );
}

#[test]
fn weights_that_are_not_finite_do_not_fit() {
    let dicts = vec![dict("", &linear_layers(NUMBERED))];
    let mut storages = storages(&dicts, |index, entry| {
        let count = entry.shape.iter().product();
        vec![if index == 1 { f32::NAN } else { 0.0 }; count]
    });
    let unfit = choose_and_read(&dicts, &mut storages, &squares(), &WeightOptions::default()).unwrap_err();
    let [error] = errors_of(unfit).try_into().unwrap();
    assert_eq!(error.rule, WeightRule::Finite);
    assert!(error.message.contains("0.bias holds 3 NaN"), "{}", error.message);
}

proptest! {
    #[test]
    fn any_prefix_gives_the_same_mapping(prefix in "([a-z_]{1,6}[.]){0,4}") {
        let names = NUMBERED.map(|name| format!("{prefix}{name}"));
        let mapping = map_of(&squares(), dict("", &linear_layers(names.each_ref().map(String::as_str)))).unwrap();
        prop_assert_eq!(mapping.by, MatchedBy::Key);
        let expected = names.map(|name| format!("{name}.weight"));
        prop_assert_eq!(weights_from(&mapping), expected);
    }
}
