//! Imports files: the result is a network that runs, or an error that says what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocks;
mod data_files;
mod functions;
mod graphs;
mod hostile;
mod inputs;
mod memory;
mod operators;
mod quantised;
mod small;

use std::io::Write as _;

use candle_core::{Device, Tensor};
use prost::Message as _;

use super::case;
use super::file::{NEWEST_OPSET, NamedFile, OLDEST_OPSET};
use super::import::{ImportOptions, import};
use super::proto::{ModelProto, StringStringEntryProto};
use super::types::Imported;
use crate::error::{ComputeError, OnnxError, OutputShape};
use crate::executor::Mode;
use crate::images::Layout;
use crate::load::NetworkSource;
use crate::network::Network;
use crate::trace::{Numbers, trace};
use scv_domain::image::{ChannelOrder, ChannelStatistics, ImageShape, Images};
use scv_memory::MemoryBudget;
use small::{bytes, classifier, file, int, ints, list, node, numbers, output};

fn read(files: Vec<NamedFile>) -> Result<ModelProto, OnnxError> {
    super::file::read(files, &MemoryBudget::default().empty())
}

fn imported(model: &ModelProto) -> Result<Imported, OnnxError> {
    import(model, &ImportOptions::default())
}

fn refusal(model: &ModelProto) -> String {
    imported(model).unwrap_err().to_string()
}

fn named(name: &str, bytes: Vec<u8>) -> NamedFile {
    let name = name.to_owned();
    let bytes = bytes.into();
    NamedFile { name, bytes }
}

fn images(count: usize, shape: &[usize]) -> Tensor {
    let numbers = (0..count * shape.iter().product::<usize>()).map(|place| (place as f32 * 0.37).sin());
    Tensor::from_vec(numbers.collect::<Vec<_>>(), [&[count], shape].concat(), &Device::Cpu).unwrap()
}

fn output_of(network: &Network, images: &Tensor) -> Vec<f32> {
    let output = network.forward(images, Mode::Inference, &mut |_, _| Ok(())).unwrap();
    output.flatten_all().unwrap().to_vec1().unwrap()
}

/// The network of a file, and whether a batch gives the same outputs as its images one by one.
fn run(model: &ModelProto) -> (Network, bool) {
    let network = Network::from_import(imported(model).unwrap(), &Device::Cpu).unwrap();
    let images = images(3, &network.graph().input_shape);
    let batched = output_of(&network, &images);
    let alone = (0..3).flat_map(|image| output_of(&network, &images.narrow(0, image, 1).unwrap()));
    let same = batched
        .iter()
        .zip(alone)
        .all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()));
    (network, same)
}

#[test]
fn a_network_keeps_the_names_kinds_and_costs_of_its_layers() {
    let imported = imported(&classifier(None, [0, -1])).unwrap();
    let layers: Vec<_> = imported
        .graph
        .layers()
        .map(|(index, node)| (imported.names[index].as_str(), node.kind))
        .collect();
    assert_eq!(layers, [("conv", "Conv2d"), ("relu", "ReLU"), ("scores", "Linear")]);
    let (_, conv) = imported.graph.layers().next().unwrap();
    assert_eq!(conv.image_shape(), [4, 6, 6]);
    assert_eq!(conv.settings, serde_json::json!({ "pads": [1, 1, 1, 1] }));
    assert_eq!(conv.multiply_accumulates, 4 * 27 * 36);
    assert_eq!(imported.graph.parameter_count(), 108 + 144 * 5 + 5);
}

#[test]
fn a_file_with_a_fixed_batch_of_one_still_runs_batches() {
    for reshape in [[1, -1], [1, 144], [-1, 144], [0, -1]] {
        let (network, same) = run(&classifier(Some(1), reshape));
        assert!(network.graph().is_batched && same, "{reshape:?}");
    }
}

#[test]
fn a_network_that_computes_across_its_batch_runs_its_images_one_by_one() {
    // In a file for one image, the mean over the first dimension is the image itself.
    let across = file(
        &[Some(1), Some(3), Some(4), Some(4)],
        vec![
            node("ReduceMean", &["x"], "mean", vec![ints("axes", &[0])]),
            node("Mul", &["x", "mean"], "product", Vec::new()),
            node("Flatten", &["product"], "flat", Vec::new()),
        ],
        Vec::new(),
    );
    let softmax = file(
        &[Some(1), Some(3), Some(4), Some(4)],
        vec![
            node("Softmax", &["x"], "share", vec![int("axis", 0)]),
            node("Mul", &["x", "share"], "product", Vec::new()),
        ],
        Vec::new(),
    );
    for model in [across, softmax] {
        let (network, same) = run(&model);
        assert!(!network.graph().is_batched && same);
    }
}

#[test]
fn values_are_returned_image_by_image_wherever_a_network_keeps_its_batch() {
    // The batch moves to the last dimension, and then into one dimension with the channels.
    let model = file(
        &[None, Some(3), Some(4), Some(4)],
        vec![
            node("Transpose", &["x"], "batch_last", vec![ints("perm", &[1, 2, 3, 0])]),
            node("Relu", &["batch_last"], "last", Vec::new()),
            node("Transpose", &["last"], "front", vec![ints("perm", &[3, 0, 1, 2])]),
            node("Reshape", &["front", "shape"], "merged", Vec::new()),
            node("Sigmoid", &["merged"], "planes", Vec::new()),
        ],
        vec![list("shape", &[-1, 1, 4, 4])],
    );
    let imported = imported(&model).unwrap();
    let network = Network::from_import(imported, &Device::Cpu).unwrap();
    let images = images(2, &[3, 4, 4]);
    let mut seen = Vec::new();
    let tap = &mut |node: usize, value: &Tensor| {
        if network.graph().nodes[node].is_layer {
            seen.push((value.dims().to_vec(), network.graph().nodes[node].image_shape()));
        }
        Ok(())
    };
    network.forward(&images, Mode::Inference, tap).unwrap();
    assert!(network.graph().is_batched);
    assert_eq!(
        seen,
        [
            (vec![2, 3, 4, 4], vec![3, 4, 4]),
            (vec![2, 3, 1, 4, 4], vec![3, 1, 4, 4])
        ]
    );
}

#[test]
fn images_inside_a_merged_dimension_are_separated_too() {
    // Like PyTorch's attention: positions first, then images, then both in one dimension.
    let model = file(
        &[None, Some(3), Some(4), Some(4)],
        vec![
            node("Reshape", &["x", "tokens"], "batched", Vec::new()),
            node("Transpose", &["batched"], "places", vec![ints("perm", &[1, 0, 2])]),
            node("Reshape", &["places", "flat"], "merged", Vec::new()),
            node("Gemm", &["merged", "weight"], "scores", Vec::new()),
            node("Relu", &["scores"], "result", Vec::new()),
        ],
        vec![
            list("tokens", &[0, 3, 16]),
            list("flat", &[-1, 16]),
            numbers("weight", &[16, 5]),
        ],
    );
    let network = Network::from_import(imported(&model).unwrap(), &Device::Cpu).unwrap();
    assert!(network.graph().is_batched);
    let images = images(4, &[3, 4, 4]);
    let layers = |images: &Tensor| {
        let mut seen = Vec::new();
        let tap = &mut |node: usize, value: &Tensor| {
            if network.graph().nodes[node].is_layer {
                assert_eq!(value.dims()[1..], network.graph().nodes[node].image_shape());
                seen.push(value.clone());
            }
            Ok(())
        };
        network.forward(images, Mode::Inference, tap).unwrap();
        seen
    };
    let batched = layers(&images);
    assert_eq!(batched[0].dims(), [4, 3, 5]);
    for image in 0..4 {
        let alone = layers(&images.narrow(0, image, 1).unwrap());
        for (batched, alone) in batched.iter().zip(&alone) {
            let difference = (batched.narrow(0, image, 1).unwrap() - alone).unwrap().abs().unwrap();
            assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
        }
    }
}

#[test]
fn a_loaded_network_gets_images_in_the_layout_that_its_file_needs() {
    let channels_last = file(
        &[None, Some(2), Some(2), Some(3)],
        vec![
            node("Transpose", &["x"], "front", vec![ints("perm", &[0, 3, 1, 2])]),
            node("Relu", &["front"], "relu", Vec::new()),
        ],
        Vec::new(),
    );
    let load = |model: &ModelProto| {
        let file = NetworkSource::Onnx {
            bytes: bytes(model).into(),
            options: ImportOptions::default(),
            order: ChannelOrder::Rgb,
            activation_limit: u64::MAX,
        };
        Network::load(&file, &Device::Cpu)
    };
    let network = load(&channels_last).unwrap();
    let shape = ImageShape {
        channels: 3,
        height: 2,
        width: 2,
    };
    let pixels: Vec<u8> = (0..12).collect();
    let images = Images {
        shape,
        pixels: pixels.clone().into(),
    };
    let statistics = ChannelStatistics {
        mean: vec![0.0; 3],
        std: vec![1.0 / 255.0; 3],
    };
    let input = network.input_tensor(&images, &statistics, &Device::Cpu).unwrap();
    assert_eq!(input.dims(), [1, 2, 2, 3]);
    let seen: Vec<u8> = output_of(&network, &input)
        .iter()
        .map(|number| number.round() as u8)
        .collect();
    assert_eq!(seen, pixels);

    assert_eq!(
        load(&classifier(None, [0, -1])).unwrap().byte_len(),
        4 * (108 + 144 * 5 + 5)
    );
    let refused = load(&file(&[None], vec![node("Relu", &["x"], "y", Vec::new())], Vec::new()));
    assert!(matches!(refused, Err(ComputeError::Onnx(OnnxError::NoImages { .. }))));
}

#[test]
fn a_test_case_of_an_operator_is_computed_from_its_inputs() {
    let model = file(
        &[Some(2), Some(3)],
        vec![node("Relu", &["x"], "y", Vec::new())],
        Vec::new(),
    );
    let input = numbers("x", &[2, 3]);
    let made = case::run(&bytes(&model), &[input.encode_to_vec()]).unwrap();
    let given = case::expected(&input.encode_to_vec()).unwrap();
    assert_eq!(made[0].shape, [2, 3]);
    assert_eq!(
        made[0].values,
        given.values.iter().map(|&number| number.max(0.0)).collect::<Vec<_>>()
    );
}

#[test]
fn a_trace_names_layers_and_outputs_as_the_file_does() {
    let mut model = classifier(Some(1), [1, -1]);
    let graph = model.graph.as_mut().unwrap();
    graph.node.push(node("Identity", &["scores"], "result", Vec::new()));
    graph.output = vec![output("result")];
    let numbers = images(2, &[3, 6, 6]);
    let input = Numbers {
        shape: vec![2, 3, 6, 6],
        values: numbers.flatten_all().unwrap().to_vec1().unwrap(),
    };
    let traced = trace(imported(&model).unwrap(), &input).unwrap();
    let names: Vec<_> = traced
        .iter()
        .map(|value| (value.name.as_str(), value.numbers.shape.as_slice()))
        .collect();
    let (conv, scores): (&[usize], &[usize]) = (&[2, 4, 6, 6], &[2, 5]);
    assert_eq!(
        names,
        [("conv", conv), ("relu", conv), ("scores", scores), ("result", scores)]
    );
}

#[test]
fn the_errors_of_all_nodes_are_listed() {
    let unknown = file(
        &[None, Some(3), Some(4), Some(4)],
        vec![
            node("Celebrate", &["x"], "first", Vec::new()),
            node("Relu", &["first"], "fine", Vec::new()),
            node("Mourn", &["fine"], "second", Vec::new()),
        ],
        Vec::new(),
    );
    let text = refusal(&unknown);
    assert!(text.starts_with("2 nodes of the network cannot be computed"), "{text}");
    assert!(
        text.contains("first (Celebrate-17)") && text.contains("second (Mourn-17)"),
        "{text}"
    );

    let misfits = file(
        &[None, Some(3), Some(4), Some(4)],
        vec![
            node("Conv", &["x", "kernel"], "conv", Vec::new()),
            node("Relu", &["conv"], "not reported", Vec::new()),
            node("Reshape", &["x", "shape"], "reshape", Vec::new()),
        ],
        vec![numbers("kernel", &[2, 5, 3, 3]), list("shape", &[7, 7])],
    );
    let Err(OnnxError::Nodes(errors)) = imported(&misfits) else {
        panic!("it must be refused for its nodes")
    };
    let nodes: Vec<_> = errors.iter().map(|error| error.node.as_str()).collect();
    assert_eq!(nodes, ["conv", "reshape"]);
    assert!(
        errors[0].reason.starts_with("its input has 3 channels, but the kernel"),
        "{}",
        errors[0].reason
    );
}

#[test]
fn open_sizes_must_be_set() {
    let pooled = file(
        &[None, Some(3), None, None],
        vec![
            node("GlobalAveragePool", &["x"], "pool", Vec::new()),
            node("Flatten", &["pool"], "flat", Vec::new()),
        ],
        Vec::new(),
    );
    let text = refusal(&pooled);
    assert!(text.contains("set `height` and `width`"), "{text}");
    let options = ImportOptions {
        size: Some([5, 7]),
        ..ImportOptions::default()
    };
    assert_eq!(import(&pooled, &options).unwrap().graph.input_shape, [3, 5, 7]);
    let fixed = classifier(None, [0, -1]);
    assert!(matches!(import(&fixed, &options), Err(OnnxError::Mismatch(_))));
}

#[test]
fn one_of_several_outputs_must_be_chosen() {
    let mut model = classifier(None, [0, -1]);
    model.graph.as_mut().unwrap().output.push(output("flat"));
    let of_shape = |name: &str, length| OutputShape {
        name: name.to_owned(),
        shape: Some(vec![length]),
    };
    assert_eq!(
        imported(&model).unwrap_err(),
        OnnxError::Outputs(vec![of_shape("scores", 5), of_shape("flat", 144)])
    );
    let choose = |name: &str| {
        let options = ImportOptions {
            output: Some(name.to_owned()),
            ..ImportOptions::default()
        };
        import(&model, &options)
    };
    let chosen = choose("flat").unwrap();
    assert_eq!(chosen.graph.image_shape(chosen.graph.logits), [144]);
    assert!(matches!(choose("none"), Err(OnnxError::UnknownOutput { .. })));
}

#[test]
fn an_output_that_does_not_depend_on_the_image_is_refused() {
    let mut model = classifier(None, [0, -1]);
    let graph = model.graph.as_mut().unwrap();
    graph.node.push(node("Relu", &["bias"], "constant", Vec::new()));
    graph.output = vec![output("constant")];
    assert_eq!(
        imported(&model).unwrap_err(),
        OnnxError::ConstantOutput("constant".into())
    );
}

#[test]
fn the_scores_are_the_input_of_a_closing_softmax() {
    for output_name in ["probabilities", "flattened"] {
        let mut model = classifier(None, [0, -1]);
        let graph = model.graph.as_mut().unwrap();
        graph
            .node
            .push(node("Softmax", &["scores"], "probabilities", Vec::new()));
        graph
            .node
            .push(node("Unsqueeze", &["probabilities", "places"], "unpacked", Vec::new()));
        graph.node.push(node("Flatten", &["unpacked"], "flattened", Vec::new()));
        graph.initializer.push(list("places", &[2, 3]));
        graph.output = vec![output(output_name)];
        let imported = imported(&model).unwrap();
        assert_eq!(imported.names[imported.graph.logits.0 - 1], "scores");
    }
}

#[test]
fn a_softmax_over_parts_of_the_output_does_not_give_class_probabilities() {
    let mut model = classifier(None, [0, -1]);
    let graph = model.graph.as_mut().unwrap();
    graph
        .node
        .push(node("Unsqueeze", &["scores", "places"], "unpacked", Vec::new()));
    // Over each number alone: 1 everywhere.
    graph
        .node
        .push(node("Softmax", &["unpacked"], "probabilities", vec![int("axis", 2)]));
    graph
        .node
        .push(node("Flatten", &["probabilities"], "flattened", Vec::new()));
    graph.initializer.push(list("places", &[2]));
    graph.output = vec![output("flattened")];
    let imported = imported(&model).unwrap();
    assert_eq!(imported.graph.logits, imported.graph.output());
}

/// The classifier with its kernel in another file.
fn split() -> (ModelProto, Vec<u8>) {
    let mut model = classifier(None, [0, -1]);
    let kernel = &mut model.graph.as_mut().unwrap().initializer[0];
    let bytes = kernel.float_data.drain(..).flat_map(f32::to_le_bytes).collect();
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: key.into(),
        value: value.into(),
    };
    kernel.data_location = 1;
    kernel.external_data = vec![
        entry("location", "./net.data"),
        entry("offset", "0"),
        entry("length", "432"),
    ];
    (model, bytes)
}

/// A zip of files.
fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn files_that_are_not_networks_are_refused_with_the_reason() {
    for bytes in [&b""[..], b"\x89PNG\r\n", b"hello", &[0; 64]] {
        let text = read(vec![named("net.onnx", bytes.to_vec())]).unwrap_err().to_string();
        assert!(text.starts_with("the ONNX file cannot be read"), "{text}");
    }
    let with_opset = |version| {
        let mut model = classifier(None, [0, -1]);
        model.opset_import[0].version = version;
        read(vec![named("net.onnx", bytes(&model))]).unwrap_err()
    };
    let (oldest, newest) = (OLDEST_OPSET, NEWEST_OPSET);
    assert_eq!(with_opset(5), OnnxError::TooOld { found: 5, oldest });
    let found = newest + 1;
    assert_eq!(with_opset(found), OnnxError::TooNew { found, newest });
    let text = refusal(&file(
        &[Some(80)],
        vec![node("Relu", &["x"], "y", Vec::new())],
        Vec::new(),
    ));
    assert!(text.contains("SCV needs a batch of images"), "{text}");
}
