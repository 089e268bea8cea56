//! Weights in other files: whole paths count, and what is stored must be what the network says.

use super::*;
use crate::onnx::file::data_files;

/// The classifier with two of its tensors in other files, at these locations.
fn split_in_two(locations: [&str; 2]) -> (ModelProto, [Vec<u8>; 2]) {
    let mut model = classifier(None, [0, -1]);
    let tensors = &mut model.graph.as_mut().unwrap().initializer;
    let data = [(0, locations[0]), (2, locations[1])].map(|(index, location)| {
        let tensor = &mut tensors[index];
        tensor.data_location = 1;
        tensor.external_data = vec![entry("location", location)];
        tensor.float_data.drain(..).flat_map(f32::to_le_bytes).collect()
    });
    (model, data)
}

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto {
        key: key.into(),
        value: value.into(),
    }
}

#[test]
fn files_of_one_name_in_two_folders_are_told_apart() {
    let (model, [kernel, weight]) = split_in_two(["a/w.bin", "b/w.bin"]);
    let whole = classifier(None, [0, -1]);
    let expected = run_once(&whole);
    for kernel_first in [true, false] {
        let mut files = vec![("net/a/w.bin", kernel.clone()), ("net/b/w.bin", weight.clone())];
        if !kernel_first {
            files.reverse();
        }
        files.insert(0, ("net/net.onnx", bytes(&model)));
        let read = read(vec![named("net.zip", zipped(&files))]).unwrap();
        assert_eq!(run_once(&read), expected);
    }
    let network = || named("net.onnx", bytes(&model));
    let uploaded = vec![
        network(),
        named("b\\w.bin", weight.clone()),
        named("./a/w.bin", kernel.clone()),
    ];
    assert_eq!(run_once(&read(uploaded).unwrap()), expected);
    // Without their paths, nobody can say which is which.
    for files in [
        vec![network(), named("w.bin", kernel.clone()), named("w.bin", weight)],
        vec![network(), named("w.bin", kernel)],
    ] {
        let location = "a/w.bin".to_owned();
        assert_eq!(read(files).unwrap_err(), OnnxError::MissingData { location });
    }
}

fn run_once(model: &ModelProto) -> Vec<f32> {
    let network = Network::from_import(imported(model).unwrap(), &Device::Cpu).unwrap();
    output_of(&network, &images(2, &[3, 6, 6]))
}

#[test]
fn a_file_is_found_by_its_name_alone_if_that_is_unique() {
    let (model, [kernel, weight]) = split_in_two(["deep/kernel.bin", "weight.bin"]);
    let files = vec![
        named("net.onnx", bytes(&model)),
        named("kernel.bin", kernel),
        named("weight.bin", weight),
    ];
    assert!(read(files).is_ok());
    assert_eq!(data_files(&bytes(&model)).unwrap(), ["deep/kernel.bin", "weight.bin"]);
}

#[test]
fn places_that_are_no_numbers_or_do_not_fit_are_refused_with_the_tensor() {
    for (key, value, reason) in [
        (
            "offset",
            "0x10",
            "with the offset \"0x10\", which is not a number of bytes",
        ),
        ("offset", "-4", "with the offset \"-4\", which is not a number of bytes"),
        ("offset", "1000000000", "reaches beyond the end"),
        (
            "length",
            "432.0",
            "with the length \"432.0\", which is not a number of bytes",
        ),
        (
            "length",
            "428",
            "of shape [4, 3, 3, 3] takes 432 bytes, but 428 are stored",
        ),
        (
            "length",
            "18446744073709551615",
            "takes 432 bytes, but 18446744073709551615 are stored",
        ),
    ] {
        let (mut model, [kernel, weight]) = split_in_two(["kernel.bin", "weight.bin"]);
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.external_data.push(entry(key, value));
        let files = vec![
            named("net.onnx", bytes(&model)),
            named("kernel.bin", kernel),
            named("weight.bin", weight),
        ];
        let text = read(files).unwrap_err().to_string();
        assert!(text.contains("tensor \"kernel\"") && text.contains(reason), "{text}");
    }
}

#[test]
fn a_file_that_is_no_network_is_told_with_the_way_to_one() {
    let text = |files: Vec<NamedFile>| read(files).unwrap_err().to_string();
    let zip = |names: &[&str]| {
        let files: Vec<_> = names.iter().map(|name| (*name, b"content".to_vec())).collect();
        named("net.zip", zipped(&files))
    };
    let without = text(vec![zip(&["weights.bin", "readme.txt"])]);
    assert!(
        without.contains("the zip holds \"weights.bin\", \"readme.txt\"; expected one file that ends in .onnx"),
        "{without}"
    );
    let several = text(vec![zip(&["a.onnx", "b.onnx"])]);
    assert!(
        several.contains("the zip holds 2 networks, \"a.onnx\", \"b.onnx\""),
        "{several}"
    );
    for (file, kind) in [
        (
            zip(&["net/data.pkl", "net/version"]),
            "a PyTorch file: load the network in PyTorch",
        ),
        (
            zip(&["net/data.pkl", "net/constants.pkl", "net/code/__torch__.py"]),
            "a TorchScript file: load it with torch.jit.load",
        ),
        (
            zip(&["config.json", "model.weights.h5"]),
            "an archive of Keras: load the network in Keras",
        ),
        (
            zip(&["net/saved_model.pb"]),
            "a SavedModel of TensorFlow: convert its folder",
        ),
        (
            named("net.onnx", b"\x1c\0\0\0TFL3\0\0".to_vec()),
            "a TensorFlow Lite file: convert it",
        ),
        (named("net.onnx", b"\x89HDF\r\n\x1a\n".to_vec()), "an HDF5 file"),
        (
            named("net.onnx", b"\x40\0\0\0\0\0\0\0{\"fc.weight\":{}}".to_vec()),
            "a safetensors file: it has weights without a network",
        ),
        (named("net.onnx", b"ftrt\0\0\0\0".to_vec()), "an engine of TensorRT"),
        (
            named("net.onnx", b"\x08\x01\x12\x20\x0a\x09\x22\x05serve\x2a\x00".to_vec()),
            "a SavedModel of TensorFlow",
        ),
        (
            named("net.onnx", b"<?xml version=\"1.0\"?><net name=\"a\">".to_vec()),
            "a network of OpenVINO",
        ),
    ] {
        let text = text(vec![file]);
        assert!(text.contains(&format!("the file is {kind}")), "{text}");
    }
}

#[test]
fn weights_in_other_files_are_loaded_or_reported_as_missing() {
    let (model, data) = split();
    let network = || named("net.onnx", bytes(&model));
    let whole = read(vec![network(), named("net.data", data.clone())]).unwrap();
    assert_eq!(imported(&whole).unwrap().graph.parameter_count(), 108 + 144 * 5 + 5);
    let location = "./net.data".to_owned();
    assert_eq!(read(vec![network()]).unwrap_err(), OnnxError::MissingData { location });
    let short = read(vec![network(), named("net.data", data[..400].to_vec())])
        .unwrap_err()
        .to_string();
    assert!(short.contains("beyond the end"), "{short}");
}

#[test]
fn a_zip_is_read_like_the_files_in_it() {
    let (model, data) = split();
    let archive = zipped(&[
        ("a/net.onnx", bytes(&model)),
        ("a/net.data", data),
        ("a/._net.onnx", vec![1]),
    ]);
    let whole = read(vec![named("net.zip", archive.clone())]).unwrap();
    assert!(imported(&whole).is_ok());
    let damaged = read(vec![named("net.zip", archive[..archive.len() / 2].to_vec())])
        .unwrap_err()
        .to_string();
    assert!(damaged.contains("the zip is damaged"), "{damaged}");
}
