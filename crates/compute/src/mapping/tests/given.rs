//! Mappings that the caller gives.

use super::*;

const WORDS: [&str; 4] = ["stem", "second", "first", "fc"];

fn options(map: &[(&str, &str)]) -> WeightOptions {
    let pair = |&(key, from): &(&str, &str)| GivenPair {
        key: key.to_owned(),
        from: from.to_owned(),
    };
    WeightOptions {
        dict: None,
        map: map.iter().map(pair).collect(),
    }
}

fn given(map: &[(&str, &str)]) -> Result<WeightMapping, Unfit> {
    let dicts = vec![dict("", &linear_layers(WORDS))];
    fit_dicts(&squares(), dicts, &options(map)).map(|fitting| fitting.mapping)
}

#[test]
fn a_mapping_settles_which_layer_is_which_and_the_rest_is_matched() {
    let mapping = given(&[("0", "stem"), ("1", "first"), ("2", "second")]).unwrap();
    assert_eq!(mapping.by, MatchedBy::Map);
    assert_eq!(
        weights_from(&mapping),
        ["stem.weight", "first.weight", "second.weight", "fc.weight"]
    );
    assert_eq!(mapping.pairs[7].by, MatchedBy::Shape);
    // Two of three layers leave no choice for the third.
    assert_eq!(
        weights_from(&given(&[("0", "stem"), ("2", "second")]).unwrap())[1],
        "first.weight"
    );
    assert!(given(&[("0", "stem")]).is_err());
}

#[test]
fn a_mapping_may_name_single_tensors_and_modules_around_several_layers() {
    let mapping = given(&[
        ("0.weight", "second.weight"),
        ("0.bias", "first.bias"),
        ("1", "stem"),
        ("2.weight", "first.weight"),
    ]);
    let mapping = mapping.unwrap();
    assert_eq!(
        pairs(&mapping)[..2],
        [("0.weight", "second.weight"), ("0.bias", "first.bias")]
    );
    assert_eq!(pairs(&mapping)[5], ("2.bias", "second.bias"));

    let graph = Builder::new(&[3]).linear(3).linear(3).build();
    let tensors = [
        ("weight", vec![3, 3]),
        ("bias", vec![3]),
        ("next.weight", vec![3, 3]),
        ("next.bias", vec![3]),
    ];
    let fitted = fit_dicts(&graph, vec![dict("", &tensors)], &options(&[("0", "next"), ("1", "")])).unwrap();
    assert_eq!(weights_from(&fitted.mapping), ["next.weight", "weight"]);
}

#[test]
fn a_mapping_that_names_what_is_not_there_or_twice_or_of_another_shape_is_located() {
    for (map, expected) in [
        (
            ("7", "stem"),
            "The mapping names \"7\", but the network has no layer or tensor of this name; its layers with weights are 0, 1, 2, 3.",
        ),
        (
            ("2", "third"),
            "The mapping takes \"third.weight\" for 2.weight, but the file has no such tensor; those of its shape are \
             stem.weight, second.weight, first.weight.",
        ),
        (("2", "stem"), "The mapping takes tensor stem.weight of the file twice."),
        (("0.weight", "second.weight"), "The mapping names 0.weight twice."),
        (
            ("2", "fc"),
            "The mapping takes tensor fc.weight of shape [2, 3] for 2.weight, which needs [3, 3].",
        ),
    ] {
        let errors = errors_of(given(&[("0", "stem"), map]).unwrap_err());
        assert_eq!(errors[0].message, expected);
    }
}
