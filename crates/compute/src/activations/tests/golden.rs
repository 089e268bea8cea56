//! Files written by numpy and safetensors.

use super::*;

/// The numbers that the script writes into an array of this name.
fn expected(name: &str, count: usize) -> Vec<f32> {
    let kind = name.chars().next().unwrap();
    let number = |index: usize| {
        let number = (index * 37 % 64) as f32 - 32.0;
        match kind {
            'f' | 'b' => number / 4.0,
            'u' => number + 32.0,
            _ => number,
        }
    };
    (0..count).map(number).collect()
}

fn assert_as_expected(layers: &[(String, Vec<usize>, Vec<f32>)]) {
    for (name, shape, numbers) in layers {
        let expected_shape: &[usize] = match name.as_str() {
            "float32_single" => &[],
            "uint8_columns" => &[5, 3, 2],
            _ => &[2, 3],
        };
        assert_eq!(shape, expected_shape, "{name}");
        let count = GOLDEN_PROBES * shape.iter().product::<usize>();
        assert_eq!(*numbers, expected(name, count), "{name}");
    }
}

fn names(layers: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<&str> {
    layers.iter().map(|(name, ..)| name.as_str()).collect()
}

#[test]
fn every_kind_of_number_that_numpy_saves_is_read_in_the_order_of_the_archive() {
    let layers = read(&golden("stored.npz"), GOLDEN_PROBES);
    assert_as_expected(&layers);
    assert_eq!(layers.len(), 21);
    assert_eq!(names(&layers)[..4], ["float16", "float32", "float64", "int8"]);
    assert_eq!(names(&layers)[20], "float32_single");
}

#[test]
fn deflated_arrays_are_read_like_stored_ones() {
    let stored = read(&golden("stored.npz"), GOLDEN_PROBES);
    assert_eq!(read(&golden("deflated.npz"), GOLDEN_PROBES), stored);
}

#[test]
fn all_three_versions_of_the_npy_header_are_read() {
    let layers = read(&golden("versions.npz"), GOLDEN_PROBES);
    assert_as_expected(&layers);
    assert_eq!(layers.len(), 3);
}

#[test]
fn layers_of_a_safetensors_file_have_the_order_of_their_numbers() {
    let layers = read(&golden("sorted.safetensors"), GOLDEN_PROBES);
    assert_as_expected(&layers);
    assert_eq!(layers.len(), 12);
    // The package puts the longest types first.
    assert_eq!(layers[11].0, "uint8_layer");
}

#[test]
fn a_safetensors_file_may_state_the_order_of_its_layers() {
    let layers = read(&golden("ordered.safetensors"), GOLDEN_PROBES);
    assert_as_expected(&layers);
    assert_eq!(
        names(&layers),
        [
            "uint64_layer",
            "uint32_layer",
            "uint16_layer",
            "uint8_layer",
            "int64_layer",
            "int32_layer",
            "int16_layer",
            "int8_layer",
            "float64_layer",
            "float32_layer",
            "float16_layer",
            "bfloat16_layer",
        ]
    );
}

#[test]
fn numbers_beyond_single_precision_become_infinite_and_are_not_an_error() {
    let header = npy("(4, 1)", &[]);
    let text = String::from_utf8_lossy(&header[10..]).replace("<f4", "<f8");
    let numbers = [1e300_f64, -1e300, f64::NAN, 0.1].map(f64::to_le_bytes).concat();
    let array = [&header[..10], text.as_bytes(), &numbers].concat();
    let layers = read(&npz(CompressionMethod::Stored, &[("a", array)]), 4);
    let numbers = &layers[0].2;
    assert_eq!(numbers[..2], [f32::INFINITY, f32::NEG_INFINITY]);
    assert!(numbers[2].is_nan());
    assert_eq!(numbers[3], 0.1);
}
