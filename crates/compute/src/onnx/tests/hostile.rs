//! Files that claim too much, and bytes that are not files.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::allocations::allocated_by;
use crate::memory;
use crate::onnx::proto::NodeProto;

const IMAGE: [Option<i64>; 4] = [None, Some(3), Some(8), Some(8)];

/// Single operations with huge or odd numbers.
fn claims() -> Vec<ModelProto> {
    const HUGE: i64 = 1 << 40;
    let one = |operator: &str, attributes, constants: Vec<_>| {
        let inputs: Vec<String> = constants
            .iter()
            .map(|tensor: &super::super::proto::TensorProto| tensor.name.clone())
            .collect();
        let inputs: Vec<&str> = std::iter::once("x").chain(inputs.iter().map(String::as_str)).collect();
        file(&IMAGE, vec![node(operator, &inputs, "y", attributes)], constants)
    };
    // Computed while the file is imported, because it does not depend on the images.
    let known = |operator: &str, attributes, constants: Vec<super::super::proto::TensorProto>| {
        let inputs: Vec<String> = constants.iter().map(|tensor| tensor.name.clone()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let nodes = vec![
            node(operator, &inputs, "known", attributes),
            node("Add", &["x", "known"], "y", Vec::new()),
        ];
        file(&IMAGE, nodes, constants)
    };
    let kernel = || numbers("kernel", &[2, 3, 3, 3]);
    let mut models = vec![
        one("Expand", vec![], vec![list("to", &[1_000_000, 1_000_000, 8, 8])]),
        one("Pad", vec![], vec![list("pads", &[0, 0, HUGE, HUGE, 0, 0, HUGE, HUGE])]),
        one(
            "Pad",
            vec![],
            vec![list("pads", &[0, 0, i64::MAX, 0, 0, 0, i64::MAX, 0])],
        ),
        one("Pad", vec![], vec![list("pads", &[0, 0, -5, 0, 0, 0, -5, 0])]),
        one(
            "Pad",
            vec![],
            vec![list("pads", &[0, 0, i64::MIN, 0, 0, 0, i64::MIN, 0])],
        ),
        one("Conv", vec![ints("pads", &[HUGE, 0, HUGE, 0])], vec![kernel()]),
        one(
            "Conv",
            vec![ints("pads", &[50_000, 50_000, 50_000, 50_000])],
            vec![kernel()],
        ),
        one("Conv", vec![ints("dilations", &[HUGE, 1])], vec![kernel()]),
        one("Conv", vec![ints("strides", &[0, 0])], vec![kernel()]),
        one("Conv", vec![ints("strides", &[-1, 1])], vec![kernel()]),
        one("Conv", vec![int("group", HUGE)], vec![kernel()]),
        one(
            "ConvTranspose",
            vec![ints("strides", &[60_000, 60_000])],
            vec![numbers("kernel", &[3, 2, 3, 3])],
        ),
        one(
            "ConvTranspose",
            vec![ints("output_padding", &[HUGE, HUGE])],
            vec![numbers("kernel", &[3, 2, 3, 3])],
        ),
        one("MaxPool", vec![ints("kernel_shape", &[HUGE, HUGE])], vec![]),
        one(
            "MaxPool",
            vec![
                ints("kernel_shape", &[60_000, 60_000]),
                ints("pads", &[60_000, 60_000, 60_000, 60_000]),
            ],
            vec![],
        ),
        one("AveragePool", vec![ints("kernel_shape", &[0, 0])], vec![]),
        one("LRN", vec![int("size", HUGE)], vec![]),
        one("DepthToSpace", vec![int("blocksize", i64::MAX)], vec![]),
        one("Reshape", vec![], vec![list("to", &[i64::MAX, i64::MAX, -1])]),
        one("Reshape", vec![], vec![list("to", &[-2, 3])]),
        one("Reshape", vec![], vec![list("to", &[0, 0, 0, 0, 0])]),
        one("Unsqueeze", vec![], vec![list("axes", &(0..100).collect::<Vec<_>>())]),
        one(
            "Slice",
            vec![],
            vec![
                list("from", &[0]),
                list("to", &[i64::MAX]),
                list("axes", &[i64::MIN]),
                list("by", &[1]),
            ],
        ),
        one(
            "Slice",
            vec![],
            vec![
                list("from", &[5]),
                list("to", &[5]),
                list("axes", &[2]),
                list("by", &[i64::MIN]),
            ],
        ),
        one("Split", vec![], vec![list("parts", &[i64::MAX])]),
        one("Gather", vec![int("axis", i64::MIN)], vec![list("places", &[0])]),
        one("Gather", vec![int("axis", 1)], vec![list("places", &[i64::MAX])]),
        one("Transpose", vec![ints("perm", &[0, 0, 0, 0])], vec![]),
        one("Flatten", vec![int("axis", 9)], vec![]),
        one("ReduceMean", vec![ints("axes", &[1, 1])], vec![]),
        one("Cast", vec![int("to", -1)], vec![]),
        one(
            "InstanceNormalization",
            vec![],
            vec![numbers("scale", &[7]), numbers("bias", &[7])],
        ),
        one("LayerNormalization", vec![], vec![numbers("scale", &[500, 1, 1, 1, 8])]),
        one("Tile", vec![], vec![list("times", &[1, 1, 60_000, 60_000])]),
        one("Tile", vec![], vec![list("times", &[1, 1, HUGE, -1])]),
        one(
            "GroupNormalization",
            vec![int("num_groups", 0)],
            vec![numbers("a", &[3]), numbers("b", &[3])],
        ),
        one("Gemm", vec![], vec![numbers("weight", &[0, 0])]),
        one("MatMul", vec![], vec![numbers("weight", &[8, 0])]),
        known("ConstantOfShape", vec![], vec![list("shape", &[1_000_000, 1_000_000])]),
        known("ConstantOfShape", vec![], vec![list("shape", &[-1])]),
        known(
            "Range",
            vec![],
            vec![list("a", &[0]), list("b", &[i64::MAX]), list("c", &[1])],
        ),
        known(
            "Range",
            vec![],
            vec![list("a", &[i64::MAX]), list("b", &[i64::MIN]), list("c", &[-1])],
        ),
        known("Range", vec![], vec![list("a", &[0]), list("b", &[5]), list("c", &[0])]),
        known(
            "Expand",
            vec![],
            vec![numbers("a", &[1]), list("to", &[1 << 20, 1 << 20])],
        ),
        known(
            "Add",
            vec![],
            vec![numbers("a", &[20_000, 1]), numbers("b", &[1, 20_000])],
        ),
        known("Gemm", vec![], vec![numbers("a", &[3, 0]), numbers("b", &[0, 3])]),
        known("Exp", vec![], vec![list("a", &[1, 2])]),
        known("Div", vec![], vec![list("a", &[i64::MIN, 1]), list("b", &[-1, 0])]),
        known("Softmax", vec![], vec![list("a", &[1, 2])]),
        known(
            "InstanceNormalization",
            vec![],
            vec![numbers("a", &[1]), numbers("b", &[1]), numbers("c", &[1])],
        ),
    ];
    let scales = |scales: &[f32]| super::super::proto::TensorProto {
        float_data: scales.to_vec(),
        ..numbers("scales", &[4])
    };
    for factors in [
        [1.0, 1.0, 1e9, 1e9],
        [1.0, 1.0, f32::NAN, 1.0],
        [1.0, 1.0, -1.0, f32::INFINITY],
        [0.0; 4],
    ] {
        models.push(one("Resize", vec![], vec![list("roi", &[]), scales(&factors)]));
    }
    for size in [[1, i64::MAX, 8, 8], [1, 3, HUGE, HUGE], [1, 3, -1, 8], [i64::MAX; 4]] {
        let input: Vec<_> = size.iter().map(|&dim| Some(dim)).collect();
        models.push(file(&input, vec![node("Relu", &["x"], "y", vec![])], vec![]));
    }
    models
}

/// A product of two constants that are not too large themselves.
fn product_of_constants() -> ModelProto {
    let nodes = vec![
        node("Expand", &["one", "to"], "matrix", vec![]),
        node("MatMul", &["matrix", "matrix"], "known", vec![]),
        node("Mul", &["x", "known"], "y", vec![]),
    ];
    let constants = vec![numbers("one", &[1]), list("to", &[4_000, 4_000])];
    file(&IMAGE, nodes, constants)
}

#[test]
fn an_excessive_claim_is_refused_before_memory_is_allocated_for_it() {
    for model in claims() {
        let (outcome, bytes) = allocated_by(|| imported(&model));
        let what = &model.graph.as_ref().unwrap().node;
        assert!(outcome.is_err(), "{what:?} was accepted");
        assert!(bytes < 16 << 20, "{what:?} allocated {bytes} bytes");
    }
}

#[test]
fn a_product_of_constants_that_takes_too_long_is_refused_before_it_is_computed() {
    // The budget is charged before the work, and its error ends the import.
    let text = refusal(&product_of_constants());
    assert!(
        text.contains("the network's constants take too much memory or time to compute"),
        "{text}"
    );
}

#[test]
fn a_file_of_another_format_is_refused_with_what_it_is() {
    for (bytes, text) in [
        (b"<!DOCTYPE html><html>".to_vec(), "the file is an HTML page"),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "the file is a Git LFS pointer",
        ),
        (b"\x89HDF\r\n\x1a\n".to_vec(), "the file is an HDF5 file"),
    ] {
        let refusal = read(vec![named("net.onnx", bytes)]).unwrap_err().to_string();
        assert!(refusal.contains(text), "{refusal}");
    }
}

#[test]
fn many_nodes_with_the_same_name_get_distinct_paths() {
    let named = |index: usize| NodeProto {
        name: "same".to_owned(),
        ..node("Relu", &["x"], &format!("output {index}"), Vec::new())
    };
    let nodes: Vec<_> = (0..20_000).map(named).collect();
    let imported = imported(&file(&IMAGE, nodes, Vec::new())).unwrap();
    let paths: std::collections::HashSet<_> = imported.graph.nodes.iter().map(|node| &node.path).collect();
    assert_eq!(paths.len(), 20_000);
}

#[test]
fn a_file_of_empty_parts_is_refused_before_it_is_decoded() {
    // Field 7 of a model is its graph, field 5 of a graph its constants: each empty one takes two bytes.
    let graph = [0x2a_u8, 0].repeat(2_000_000);
    let length = [0, 7, 14].map(|shift| 0x80 | (graph.len() >> shift & 0x7f) as u8);
    let bytes = [&[0x3a][..], &length, &[(graph.len() >> 21) as u8], &graph].concat();
    let text = read(vec![named("net.onnx", bytes)]).unwrap_err().to_string();
    assert!(text.contains("more than 1048576 nodes, tensors and names"), "{text}");
}

#[test]
fn a_large_data_file_is_not_copied_for_every_tensor() {
    let (mut model, data) = split();
    let graph = model.graph.as_mut().unwrap();
    let kernel = graph.initializer[0].clone();
    graph.initializer.extend(std::iter::repeat_n(kernel, 10));
    let text = read(vec![named("net.onnx", bytes(&model)), named("net.data", data)])
        .unwrap_err()
        .to_string();
    assert!(text.contains("more bytes than its data files hold"), "{text}");
}

#[test]
fn a_path_outside_the_folder_is_refused() {
    for location in [
        "../net.data",
        "/etc/passwd",
        "a/../../net.data",
        "C:\\net.data",
        "..\\net.data",
    ] {
        let (mut model, data) = split();
        model.graph.as_mut().unwrap().initializer[0].external_data[0].value = location.to_owned();
        let text = read(vec![named("net.onnx", bytes(&model)), named("net.data", data)])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("\"kernel\" is stored in") && text.contains("a path outside the network's folder"),
            "{text}"
        );
    }
    let (model, data) = split();
    for name in ["../net.data", "/net.data"] {
        let archive = zipped(&[("net.onnx", bytes(&model)), (name, data.clone())]);
        let text = read(vec![named("net.zip", archive)]).unwrap_err().to_string();
        assert!(text.contains(&format!("the zip holds {name:?}")), "{text}");
    }
}

#[test]
fn a_zip_bomb_is_read_only_up_to_the_limit() {
    let (model, _) = split();
    let archive = zipped(&[("net.onnx", bytes(&model)), ("net.data", vec![0; 40 << 20])]);
    assert!(archive.len() < 100_000, "{} bytes", archive.len());
    let text = read(vec![named("net.zip", archive)]).unwrap_err().to_string();
    assert!(
        text.contains("the zip unpacks to more than") && text.contains("100 times its size"),
        "{text}"
    );
}

#[test]
fn weights_that_are_nan_are_refused_by_name() {
    let mut model = classifier(None, [0, -1]);
    let kernel = &mut model.graph.as_mut().unwrap().initializer[0];
    kernel.float_data[3..5].fill(f32::NAN);
    let text = refusal(&model);
    assert!(text.contains("\"kernel\" holds 2 NaN values"), "{text}");
    // Masks use infinity.
    model.graph.as_mut().unwrap().initializer[0].float_data[3..5].fill(f32::NEG_INFINITY);
    assert!(imported(&model).is_ok());
}

static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let sound = [classifier(None, [0, -1]), classifier(Some(1), [1, -1])];
    let claims = claims().into_iter().chain([product_of_constants()]);
    claims.chain(sound).map(|model| bytes(&model)).collect()
});

/// Tries out a file that is accepted, unless that would take long.
fn try_out(model: &ModelProto) {
    let Ok(imported) = imported(model) else { return };
    let graph = &imported.graph;
    if graph.multiply_accumulates() < 10_000_000 && memory::of_inference(graph, 2) < 16 << 20 {
        let _ = Network::from_import(imported, &Device::Cpu);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(vec![named("net.onnx", bytes)]);
    }

    #[test]
    fn no_damage_to_a_file_makes_its_import_or_its_trial_panic(
        which in any::<prop::sample::Index>(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = which.get(&FILES).clone();
        for (place, byte) in places {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Ok(model) = read(vec![named("net.onnx", bytes)]) {
            try_out(&model);
        }
    }
}
