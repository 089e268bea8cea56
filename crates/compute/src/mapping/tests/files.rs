//! Whole files: several dicts, weights that are computed, and other formats.

use candle_core::Device;
use safetensors::tensor::TensorView;

use super::*;
use crate::fixtures::numbers;
use crate::weights::{Weights, check_weights};
use scv_domain::graph::{Activation, Operator, ParameterRole};

const NAMES: [&str; 4] = ["0", "1", "2", "3"];

/// Layers `0`, `1`, `3` and `6` of the network that `scripts/golden_pytorch.py` saved.
fn golden_graph() -> Graph {
    let operator = Operator::Conv2d {
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    let first = [
        (ParameterRole::Weight, [2, 1, 3, 3].as_slice()),
        (ParameterRole::Bias, &[2]),
    ];
    Builder::new(&[1, 8, 8])
        .then(operator.clone(), &[2, 6, 6], &first)
        .batch_norm(Some(0.1))
        .activation(Activation::Relu)
        .then(operator, &[3, 4, 4], &[(ParameterRole::Weight, &[3, 2, 3, 3])])
        .then(Operator::AdaptiveAvgPool2d, &[3, 1, 1], &[])
        .flatten()
        .linear(4)
        .build()
}

fn golden(name: &str) -> FittingWeights {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/pytorch");
    let bytes = std::fs::read(folder.join(name)).unwrap();
    fit(&bytes, &golden_graph(), &WeightOptions::default())
        .unwrap()
        .unwrap()
}

#[test]
fn state_dicts_training_states_and_whole_models_give_the_same_weights() {
    let plain = golden("plain_zip.pth");
    assert_eq!((plain.mapping.by, plain.mapping.pairs.len()), (MatchedBy::Key, 9));
    assert_eq!(plain.mapping.ignored, ["1.num_batches_tracked"]);
    check_weights(&plain.file, &golden_graph()).unwrap();
    Weights::read(&plain.file, &golden_graph(), &Device::Cpu).unwrap();
    for (name, place) in [
        ("named_zip.pth", None),
        ("named_legacy.pth", None),
        ("training_zip.pth", Some("state_dict")),
        ("training_legacy.pth", Some("state_dict")),
        ("whole_layers.pth", None),
        ("whole_class.pth", None),
    ] {
        let fitting = golden(name);
        assert_eq!(fitting.mapping.dict.as_deref(), place, "{name}");
        // A training state is one step further.
        assert_eq!(fitting.file == plain.file, place.is_none(), "{name}");
    }
    let named = golden("named_zip.pth").mapping;
    assert_eq!(named.by, MatchedBy::Shape);
    assert_eq!(
        pairs(&named)[6..8],
        [("3.weight", "features.3.weight"), ("6.weight", "classifier.weight")]
    );
}

#[test]
fn every_type_of_floating_point_numbers_is_read_from_safetensors() {
    let graph = Builder::new(&[2]).linear(1).build();
    let weight = [0.5_f32, -1.5].map(half::bf16::from_f32);
    let weight: Vec<u8> = weight.iter().flat_map(|number| number.to_le_bytes()).collect();
    let bias = 0.25_f64.to_le_bytes();
    let views = [
        ("net.weight", TensorView::new(Dtype::BF16, vec![1, 2], &weight).unwrap()),
        ("net.bias", TensorView::new(Dtype::F64, vec![1], &bias).unwrap()),
    ];
    let bytes = safetensors::serialize(views, None).unwrap();
    let fitting = fit(&bytes, &graph, &WeightOptions::default()).unwrap().unwrap();
    let weights = Weights::read(&fitting.file, &graph, &Device::Cpu).unwrap();
    let numbers = |key: &str| numbers(&weights, key);
    assert_eq!((numbers("0.weight"), numbers("0.bias")), (vec![0.5, -1.5], vec![0.25]));
}

#[test]
fn of_several_dicts_the_trained_one_is_taken_and_the_others_are_named() {
    let tensors = linear_layers(NAMES);
    let fitting = |paths: &[&str], options: &WeightOptions| {
        let dicts = paths.iter().map(|path| dict(path, &tensors)).collect();
        fit_dicts(&squares(), dicts, options).map(|fitting| fitting.mapping)
    };
    let taken = fitting(&["state_dict", "state_dict_ema", "best"], &WeightOptions::default()).unwrap();
    assert_eq!(taken.dict.as_deref(), Some("state_dict"));
    assert_eq!(taken.other_dicts, ["state_dict_ema", "best"]);
    let chosen = WeightOptions {
        dict: Some("state_dict_ema".to_owned()),
        map: Vec::new(),
    };
    let chosen_mapping = fitting(&["state_dict", "state_dict_ema"], &chosen).unwrap();
    assert_eq!(chosen_mapping.dict.as_deref(), Some("state_dict_ema"));
    assert_eq!(
        fitting(&["student", "teacher"], &WeightOptions::default()),
        Err(Unfit::SeveralDicts(vec!["student".to_owned(), "teacher".to_owned()]))
    );
    assert_eq!(
        fitting(&["student", "teacher"], &chosen),
        Err(Unfit::UnknownDict {
            path: "state_dict_ema".to_owned(),
            known: vec!["student".to_owned(), "teacher".to_owned()],
        })
    );
}

#[test]
fn modules_of_one_dict_that_fit_have_to_be_chosen() {
    let tensors: Vec<_> = ["model", "ema_model"]
        .into_iter()
        .flat_map(|module| {
            linear_layers(NAMES)
                .into_iter()
                .map(move |(key, shape)| (format!("{module}.{key}"), shape))
        })
        .collect();
    let state = || vec![dict("state_dict", &tensors)];
    let parts = ["state_dict.model", "state_dict.ema_model"].map(str::to_owned);
    assert_eq!(
        fit_dicts(&squares(), state(), &WeightOptions::default()),
        Err(Unfit::Parts(parts.to_vec()))
    );
    let options = WeightOptions {
        dict: Some("state_dict.ema_model".to_owned()),
        map: Vec::new(),
    };
    let mapping = fit_dicts(&squares(), state(), &options).unwrap().mapping;
    assert_eq!(weights_from(&mapping)[0], "ema_model.0.weight");
    assert_eq!(mapping.prefix.as_deref(), Some("ema_model."));
}

#[test]
fn dicts_that_fit_only_together_are_taken_together() {
    let tensors = linear_layers(NAMES);
    let head = [("weight", vec![2, 3]), ("bias", vec![2])];
    let dicts = vec![dict("features", &tensors[..6]), dict("head", &head)];
    let mapping = fit_dicts(&squares(), dicts, &WeightOptions::default()).unwrap().mapping;
    assert_eq!(weights_from(&mapping)[2..], ["features.2.weight", "head.weight"]);
}

/// The weights of a linear layer of two inputs and two outputs in a file of these tensors.
fn computed(tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> Vec<f32> {
    let graph = Builder::new(&[2]).linear(2).build();
    let shapes: Vec<_> = tensors.iter().map(|(key, shape, _)| (*key, shape.clone())).collect();
    let dicts = vec![dict("", &shapes)];
    let mut storages = storages(&dicts, |index, _| tensors[index].2.clone());
    let fitting = choose_and_read(&dicts, &mut storages, &graph, &WeightOptions::default()).unwrap();
    assert_eq!(fitting.mapping.pairs[0].computed_from.len(), 2);
    let weights = Weights::read(&fitting.file, &graph, &Device::Cpu).unwrap();
    weights
        .get("0.weight")
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

#[test]
fn a_weight_normalisation_is_computed_under_both_of_its_names_and_along_any_dimension() {
    let direction = || vec![3.0, 4.0, 6.0, 8.0];
    for (length, direction_key) in [
        ("fc.weight_g", "fc.weight_v"),
        (
            "fc.parametrizations.weight.original0",
            "fc.parametrizations.weight.original1",
        ),
    ] {
        for (shape, lengths, expected) in [
            (vec![2, 1], vec![5.0, 1.0], [3.0, 4.0, 0.6, 0.8]),
            (vec![1, 2], vec![45.0_f32.sqrt(), 80.0_f32.sqrt()], [3.0, 4.0, 6.0, 8.0]),
            (vec![], vec![2.0 * 125.0_f32.sqrt()], [6.0, 8.0, 12.0, 16.0]),
        ] {
            let found = computed(&[
                ("fc.bias", vec![2], vec![0.0; 2]),
                (length, shape, lengths),
                (direction_key, vec![2, 2], direction()),
            ]);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}

#[test]
fn other_parametrisations_are_refused_with_what_to_do() {
    for tensors in [
        ["fc.weight_orig", "fc.weight_u", "fc.weight_v"],
        [
            "fc.parametrizations.weight.original",
            "fc.parametrizations.weight.0._u",
            "fc.bias",
        ],
        ["fc.weight_orig", "fc.weight_mask", "fc.bias"],
        ["fc.weight_g", "fc.weight_v", "fc.bias"],
    ] {
        let state = dict("", &tensors.map(|key| (key, vec![3, 3])));
        let message = message(&squares(), state);
        assert!(message.contains("make it permanent before saving"), "{message}");
    }
}
