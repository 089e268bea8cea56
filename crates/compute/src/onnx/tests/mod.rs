//! What becomes of files: networks that run, or refusals that say what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hostile;
mod small;

use std::io::Write as _;

use candle_core::{Device, Tensor};
use prost::Message as _;

use super::case;
use super::error::OnnxError;
use super::file::{NamedFile, read};
use super::import::{ImportOptions, Imported, import};
use super::proto::{ModelProto, StringStringEntryProto};
use crate::error::ComputeError;
use crate::executor::Mode;
use crate::network::{Network, NetworkFile};
use crate::trace::{Numbers, trace};
use scv_domain::image::ChannelOrder;
use scv_domain::image::{ChannelStatistics, ImageShape, Images};
use small::{bytes, classifier, file, int, ints, list, node, numbers, output};

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

fn answer(network: &Network, images: &Tensor) -> Vec<f32> {
    let answer = network.forward(images, Mode::Inference, &mut |_, _| Ok(())).unwrap();
    answer.flatten_all().unwrap().to_vec1().unwrap()
}

/// The network of a file, whether its images run together, and whether a batch gives what its images give alone.
fn run(model: &ModelProto) -> (Network, bool) {
    let network = Network::of_import(imported(model).unwrap(), &Device::Cpu).unwrap();
    let images = images(3, &network.graph().input_shape);
    let together = answer(&network, &images);
    let alone = (0..3).flat_map(|image| answer(&network, &images.narrow(0, image, 1).unwrap()));
    let same = together
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
fn a_batch_of_one_that_is_written_into_a_file_does_not_keep_it_from_running_batches() {
    for reshape in [[1, -1], [1, 144], [-1, 144], [0, -1]] {
        let (network, same) = run(&classifier(Some(1), reshape));
        assert!(network.graph().images_together && same, "{reshape:?}");
    }
}

#[test]
fn a_network_that_computes_across_its_batch_runs_its_images_one_by_one() {
    // The mean over the first dimension of a file made for one image is the image itself.
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
        assert!(!network.graph().images_together && same);
    }
}

#[test]
fn values_are_shown_image_by_image_wherever_a_network_keeps_its_batch() {
    // The batch goes behind, and then into one dimension with the channels.
    let model = file(
        &[None, Some(3), Some(4), Some(4)],
        vec![
            node("Transpose", &["x"], "behind", vec![ints("perm", &[1, 2, 3, 0])]),
            node("Relu", &["behind"], "last", Vec::new()),
            node("Transpose", &["last"], "front", vec![ints("perm", &[3, 0, 1, 2])]),
            node("Reshape", &["front", "shape"], "merged", Vec::new()),
            node("Sigmoid", &["merged"], "planes", Vec::new()),
        ],
        vec![list("shape", &[-1, 1, 4, 4])],
    );
    let imported = imported(&model).unwrap();
    let network = Network::of_import(imported, &Device::Cpu).unwrap();
    let images = images(2, &[3, 4, 4]);
    let mut seen = Vec::new();
    let tap = &mut |node: usize, value: &Tensor| {
        if network.graph().nodes[node].is_layer {
            seen.push((value.dims().to_vec(), network.graph().nodes[node].image_shape()));
        }
        Ok(())
    };
    network.forward(&images, Mode::Inference, tap).unwrap();
    assert!(network.graph().images_together);
    assert_eq!(
        seen,
        [
            (vec![2, 3, 4, 4], vec![3, 4, 4]),
            (vec![2, 3, 1, 4, 4], vec![3, 1, 4, 4])
        ]
    );
}

#[test]
fn images_that_stand_inside_a_merged_dimension_are_shown_apart_too() {
    // As PyTorch's attention has it: places in front, then images, then both in one dimension.
    let model = file(
        &[None, Some(3), Some(4), Some(4)],
        vec![
            node("Reshape", &["x", "tokens"], "batched", Vec::new()),
            node("Transpose", &["batched"], "places", vec![ints("perm", &[1, 0, 2])]),
            node("Reshape", &["places", "flat"], "merged", Vec::new()),
            node("Gemm", &["merged", "weight"], "scores", Vec::new()),
            node("Relu", &["scores"], "answer", Vec::new()),
        ],
        vec![
            list("tokens", &[0, 3, 16]),
            list("flat", &[-1, 16]),
            numbers("weight", &[16, 5]),
        ],
    );
    let network = Network::of_import(imported(&model).unwrap(), &Device::Cpu).unwrap();
    assert!(network.graph().images_together);
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
    let together = layers(&images);
    assert_eq!(together[0].dims(), [4, 3, 5]);
    for image in 0..4 {
        let alone = layers(&images.narrow(0, image, 1).unwrap());
        for (together, alone) in together.iter().zip(&alone) {
            let difference = (together.narrow(0, image, 1).unwrap() - alone).unwrap().abs().unwrap();
            assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
        }
    }
}

#[test]
fn a_file_is_loaded_with_its_images_laid_out_as_it_wants_them() {
    let channels_last = file(
        &[None, Some(2), Some(2), Some(3)],
        vec![
            node("Transpose", &["x"], "front", vec![ints("perm", &[0, 3, 1, 2])]),
            node("Relu", &["front"], "relu", Vec::new()),
        ],
        Vec::new(),
    );
    let load = |model: &ModelProto| {
        let file = NetworkFile::Onnx {
            bytes: bytes(model).into(),
            options: ImportOptions::default(),
            order: ChannelOrder::Rgb,
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
    let input = network.input_of(&images, &statistics, &Device::Cpu).unwrap();
    assert_eq!(input.dims(), [1, 2, 2, 3]);
    let seen: Vec<u8> = answer(&network, &input)
        .iter()
        .map(|number| number.round() as u8)
        .collect();
    assert_eq!(seen, pixels);

    assert_eq!(
        load(&classifier(None, [0, -1])).unwrap().byte_len(),
        4 * (108 + 144 * 5 + 5)
    );
    let refused = load(&file(
        &[None, Some(2)],
        vec![node("Relu", &["x"], "y", Vec::new())],
        Vec::new(),
    ));
    assert!(matches!(refused, Err(ComputeError::Onnx(OnnxError::NoImages { .. }))));
}

#[test]
fn a_case_of_an_operator_is_computed_from_its_inputs() {
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
    graph.node.push(node("Identity", &["scores"], "answer", Vec::new()));
    graph.output = vec![output("answer")];
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
        [("conv", conv), ("relu", conv), ("scores", scores), ("answer", scores)]
    );
}

#[test]
fn all_faults_are_listed_at_once() {
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
            node("Relu", &["conv"], "says nothing", Vec::new()),
            node("Reshape", &["x", "shape"], "reshape", Vec::new()),
        ],
        vec![numbers("kernel", &[2, 5, 3, 3]), list("shape", &[7, 7])],
    );
    let Err(OnnxError::Nodes(faults)) = imported(&misfits) else {
        panic!("it is refused for its nodes")
    };
    let nodes: Vec<_> = faults.iter().map(|fault| fault.node.as_str()).collect();
    assert_eq!(nodes, ["conv", "reshape"]);
    assert!(
        faults[0].reason.starts_with("3 channels arrive"),
        "{}",
        faults[0].reason
    );
}

#[test]
fn open_sizes_have_to_be_stated() {
    let pooled = file(
        &[None, Some(3), None, None],
        vec![
            node("GlobalAveragePool", &["x"], "pool", Vec::new()),
            node("Flatten", &["pool"], "flat", Vec::new()),
        ],
        Vec::new(),
    );
    let text = refusal(&pooled);
    assert!(text.contains("state `height` and `width`"), "{text}");
    let options = ImportOptions {
        size: Some([5, 7]),
        ..ImportOptions::default()
    };
    assert_eq!(import(&pooled, &options).unwrap().graph.input_shape, [3, 5, 7]);
    let fixed = classifier(None, [0, -1]);
    assert!(matches!(import(&fixed, &options), Err(OnnxError::Mismatch(_))));
}

#[test]
fn one_of_several_outputs_has_to_be_chosen() {
    let mut model = classifier(None, [0, -1]);
    model.graph.as_mut().unwrap().output.push(output("flat"));
    assert_eq!(
        imported(&model).unwrap_err(),
        OnnxError::Outputs(vec!["scores".into(), "flat".into()])
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
fn an_output_that_no_image_changes_is_refused() {
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
fn the_scores_stand_before_a_closing_softmax() {
    for output_name in ["shares", "laid out"] {
        let mut model = classifier(None, [0, -1]);
        let graph = model.graph.as_mut().unwrap();
        graph.node.push(node("Softmax", &["scores"], "shares", Vec::new()));
        graph
            .node
            .push(node("Unsqueeze", &["shares", "places"], "unpacked", Vec::new()));
        graph.node.push(node("Flatten", &["unpacked"], "laid out", Vec::new()));
        graph.initializer.push(list("places", &[2, 3]));
        graph.output = vec![output(output_name)];
        let imported = imported(&model).unwrap();
        assert_eq!(imported.names[imported.graph.logits.0 - 1], "scores");
    }
}

#[test]
fn shares_of_parts_of_an_answer_are_no_shares_of_classes() {
    let mut model = classifier(None, [0, -1]);
    let graph = model.graph.as_mut().unwrap();
    graph
        .node
        .push(node("Unsqueeze", &["scores", "places"], "unpacked", Vec::new()));
    // Of each number alone: 1 everywhere.
    graph
        .node
        .push(node("Softmax", &["unpacked"], "shares", vec![int("axis", 2)]));
    graph.node.push(node("Flatten", &["shares"], "laid out", Vec::new()));
    graph.initializer.push(list("places", &[2]));
    graph.output = vec![output("laid out")];
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

#[test]
fn weights_in_other_files_are_brought_in_or_asked_for() {
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
fn a_zip_stands_for_the_files_in_it() {
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

#[test]
fn what_is_no_network_is_refused_by_name() {
    for bytes in [&b""[..], b"\x89PNG\r\n", b"hello", &[0; 64]] {
        let text = read(vec![named("net.onnx", bytes.to_vec())]).unwrap_err().to_string();
        assert!(text.starts_with("the ONNX file cannot be read"), "{text}");
    }
    let mut old = classifier(None, [0, -1]);
    old.opset_import[0].version = 5;
    assert_eq!(
        read(vec![named("net.onnx", bytes(&old))]).unwrap_err(),
        OnnxError::TooOld { found: 5 }
    );
    let text = refusal(&file(
        &[None, Some(80)],
        vec![node("Relu", &["x"], "y", Vec::new())],
        Vec::new(),
    ));
    assert!(text.contains("SCV feeds batches of images"), "{text}");
}
