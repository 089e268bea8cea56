//! Weights files that fit a network, and every way in which they can fail to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::fixtures::{Builder, numbers};

type Entry<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

/// A convolution `0`, a batch normalisation `1` and a linear layer `3`.
fn graph() -> Graph {
    Builder::new(&[1, 2, 2])
        .conv(2, 1)
        .batch_norm(Some(0.1))
        .flatten()
        .linear(3)
        .build()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn entries() -> Vec<Entry<'static>> {
    let entry = |key, shape: &[usize]| {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|index| index as f32 * 0.5 - 1.0).collect();
        (key, Dtype::F32, shape.to_vec(), floats(&values))
    };
    vec![
        entry("0.weight", &[2, 1, 1, 1]),
        entry("0.bias", &[2]),
        entry("1.weight", &[2]),
        entry("1.bias", &[2]),
        entry("1.running_mean", &[2]),
        entry("1.running_var", &[2]),
        entry("3.weight", &[3, 8]),
        entry("3.bias", &[3]),
    ]
}

fn file(entries: &[Entry<'_>]) -> Vec<u8> {
    let views = entries
        .iter()
        .map(|(key, dtype, shape, bytes)| (*key, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn errors(bytes: &[u8]) -> Vec<WeightError> {
    check_weights(bytes, &graph()).unwrap_err()
}

#[test]
fn a_file_that_fits_is_read_and_written_back_unchanged() {
    let bytes = file(&entries());
    check_weights(&bytes, &graph()).unwrap();
    let weights = Weights::read(&bytes, &graph(), &Device::Cpu).unwrap();
    assert_eq!(
        weights.get("3.bias").unwrap().to_vec1::<f32>().unwrap(),
        [-1.0, -0.5, 0.0]
    );

    let written = weights.to_safetensors().unwrap();
    let again = Weights::read(&written, &graph(), &Device::Cpu).unwrap();
    assert_eq!(again.to_safetensors().unwrap(), written);
    assert_eq!(again.get("3.weight").unwrap().dims(), [3, 8]);
}

#[test]
fn half_precision_and_the_batch_counter_of_pytorch_are_accepted() {
    let mut entries = entries();
    let half = |bits: [u16; 2]| bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    entries[1] = (
        "0.bias",
        Dtype::F16,
        vec![2],
        half([half::f16::from_f32(0.5).to_bits(), 0]),
    );
    entries[2] = (
        "1.weight",
        Dtype::BF16,
        vec![2],
        half([half::bf16::from_f32(-3.0).to_bits(), 0]),
    );
    entries.push(("1.num_batches_tracked", Dtype::I64, vec![], vec![0; 8]));

    let weights = Weights::read(&file(&entries), &graph(), &Device::Cpu).unwrap();

    assert_eq!(weights.get("0.bias").unwrap().to_vec1::<f32>().unwrap(), [0.5, 0.0]);
    assert_eq!(weights.get("1.weight").unwrap().to_vec1::<f32>().unwrap(), [-3.0, 0.0]);
}

#[test]
fn every_mismatch_is_listed() {
    let mut entries = entries();
    entries[0].2 = vec![1, 2, 1, 1];
    entries[1].1 = Dtype::I32;
    entries[3].3 = floats(&[f32::NAN, f32::INFINITY]);
    entries[6].0 = "module.3.weight";
    entries.push(("9.weight", Dtype::F32, vec![1], floats(&[0.0])));
    entries.push(("0.num_batches_tracked", Dtype::I64, vec![], vec![0; 8]));

    let found = errors(&file(&entries));

    let found: Vec<_> = found
        .iter()
        .map(|error| (error.key.as_deref().unwrap(), error.rule))
        .collect();
    let expected = [
        ("0.weight", WeightRule::Shape),
        ("0.bias", WeightRule::Dtype),
        ("1.bias", WeightRule::Finite),
        ("3.weight", WeightRule::Present),
        ("0.num_batches_tracked", WeightRule::Known),
        ("9.weight", WeightRule::Known),
        ("module.3.weight", WeightRule::Known),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_mismatch_says_what_to_do() {
    let mut entries = entries();
    entries[0].2 = vec![1, 2, 1, 1];
    entries[6].0 = "module.3.weight";
    let found = errors(&file(&entries));
    assert_eq!(
        found[0].message,
        "Tensor 0.weight has shape [1, 2, 1, 1] but the layer needs [2, 1, 1, 1]; change the block or the file."
    );
    assert_eq!(
        (found[0].expected.as_str(), found[0].actual.as_str()),
        ("[2, 1, 1, 1]", "[1, 2, 1, 1]")
    );
    assert!(
        found[2].message.contains("if it is meant to be 3.weight, rename it"),
        "{}",
        found[2].message
    );
}

#[test]
fn a_file_that_lies_about_its_size_is_refused_before_memory_is_reserved() {
    let claim = |length: u64, rest: &[u8]| [&length.to_le_bytes(), rest].concat();
    let header = |text: &str, data: usize| {
        let mut bytes = claim(text.len() as u64, text.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let good = file(&entries());
    for (bytes, hint) in [
        (vec![], "the file is empty"),
        (vec![1, 2, 3], "3 bytes is too short"),
        (
            claim(2_000_000_000, b"{}"),
            "has 10 bytes but claims a header of 2000000000 bytes",
        ),
        (claim(u64::MAX, b"{}"), "claims a header of 18446744073709551615 bytes"),
        (claim(2, b"no"), "invalid JSON"),
        (claim(17_000_000, &vec![b' '; 17_000_000]), "the limit is 16777216"),
        (good[..good.len() - 1].to_vec(), "not fully covered"),
        ([good.as_slice(), &[0]].concat(), "not fully covered"),
        (
            header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4),
            "not fully covered",
        ),
        (
            header(
                r#"{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,8]}}"#,
                8,
            ),
            "invalid shape",
        ),
        (
            header(
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
                8,
            ),
            "overflow",
        ),
        (
            header(
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
            ),
            "invalid offset for tensor `b`",
        ),
        (
            header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8),
            "invalid offset",
        ),
    ] {
        let found = errors(&bytes);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].key.as_ref(), found[0].rule), (None, WeightRule::Readable));
        assert!(
            found[0].message.contains(hint),
            "{} does not say {hint:?}",
            found[0].message
        );
    }
}

#[test]
fn a_file_of_another_format_is_refused_with_what_it_is_and_what_is_accepted() {
    for (bytes, actual) in [
        (
            b"<!DOCTYPE html><html><body>Sign in</body></html>".as_slice(),
            "the file is an HTML page; the download may have needed a login",
        ),
        (
            b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04".as_slice(),
            "the file is an HDF5 file, as TensorFlow and Keras write them",
        ),
        (
            b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c".as_slice(),
            "the file is a pickle that was not written by torch.save",
        ),
        (
            b"epoch,loss\n1,0.5\n2,0.25\n".as_slice(),
            "the file has 24 bytes but claims a header of 8028841062551220325 bytes; the file begins with the text \
             \"epoch,loss\\n1,0.5\"",
        ),
    ] {
        let found = errors(bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].key.as_ref(), found[0].rule), (None, WeightRule::Readable));
        assert_eq!(found[0].actual, actual);
        for format in ["safetensors", "torch.save(model.state_dict(), path)", "ONNX"] {
            assert!(found[0].message.contains(format), "{}", found[0].message);
        }
    }
}

#[test]
fn initial_weights_depend_on_the_seed_alone_and_keep_within_the_bounds_of_pytorch() {
    let draw = |seed| Weights::init(&graph(), seed, &Device::Cpu).unwrap();
    let weights = draw(7);
    assert_eq!(weights.to_safetensors().unwrap(), draw(7).to_safetensors().unwrap());
    assert_ne!(weights.to_safetensors().unwrap(), draw(8).to_safetensors().unwrap());

    let numbers = |key| numbers(&weights, key);
    let bound = 1.0 / 8f32.sqrt();
    let linear = [numbers("3.weight"), numbers("3.bias")].concat();
    assert!(linear.iter().all(|x| x.abs() <= bound));
    assert!(linear.iter().any(|x| *x > bound / 2.0) && linear.iter().any(|x| *x < -bound / 2.0));
    assert_eq!(numbers("1.weight"), [1.0, 1.0]);
    assert_eq!(numbers("1.bias"), [0.0, 0.0]);
    assert_eq!(numbers("1.running_mean"), [0.0, 0.0]);
    assert_eq!(numbers("1.running_var"), [1.0, 1.0]);
}

#[test]
fn the_fan_of_a_transposed_convolution_is_computed_from_its_second_dimension() {
    let operator = Operator::ConvTranspose2d {
        stride: [1, 1],
        padding: [0, 0],
        output_padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    let graph = Builder::new(&[100, 2, 2])
        .then(operator, &[1, 2, 2], &[(ParameterRole::Weight, &[100, 1, 1, 1])])
        .build();
    let weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
    let values = weights
        .get("0.weight")
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert!(
        values.iter().any(|x| x.abs() > 0.5),
        "with a fan of 1 the bound is 1, with a fan of 100 it is a tenth"
    );
}
