//! What a file takes is known before it is allocated.

use prost::Message as _;

use super::small::bytes_of;
use super::*;
use crate::allocations::allocated_by;
use crate::onnx::proto::{AttributeProto, AttributeType, DataType, NodeProto, SparseTensorProto, TensorProto};

/// The memory of the server that reads these files.
const MEMORY: u64 = 4 << 20;

/// What may be allocated besides what is counted.
const SLACK: usize = 2 << 20;

/// The refusal of an upload for want of memory. It comes before the memory is allocated.
fn refused(files: Vec<NamedFile>) -> String {
    let given: usize = files.iter().map(|file| file.bytes.len()).sum();
    let [memory, _] = MemoryBudget::shared(MEMORY);
    let held = memory.empty();
    let (outcome, bytes) = allocated_by(|| {
        let model = super::super::file::read(files, &held)?;
        import(
            &model,
            &ImportOptions {
                memory: memory.clone(),
                ..ImportOptions::default()
            },
        )
        .map(drop)
    });
    assert!(bytes < MEMORY as usize + 2 * given + SLACK, "{bytes} bytes");
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("of memory, and the server allows 3 MiB"), "{text}");
    text
}

fn refused_model(model: &ModelProto) -> String {
    refused(vec![named("net.onnx", bytes(model))])
}

/// A file whose only output is the sum of the images and of what some nodes compute.
fn adding(mut nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    nodes.push(node("ReduceSum", &["large"], "sum", vec![int("keepdims", 0)]));
    nodes.push(node("Add", &["x", "sum"], "y", Vec::new()));
    file(&[None, Some(1), Some(2), Some(2)], nodes, constants)
}

#[test]
fn a_zip_that_unpacks_to_more_than_there_is() {
    let noise: Vec<u8> = (0..8 << 20)
        .map(|place: u32| {
            if place.is_multiple_of(64) {
                (place.wrapping_mul(2_654_435_761) >> 24) as u8
            } else {
                0
            }
        })
        .collect();
    let archive = zipped(&[
        ("net.onnx", bytes(&adding(Vec::new(), Vec::new()))),
        ("net.data", noise),
    ]);
    let text = refused(vec![named("net.zip", archive)]);
    assert!(text.starts_with("it needs 9 MiB"), "{text}");
}

#[test]
fn a_zip_that_declares_another_size_than_it_has() {
    let mut archive = zipped(&[
        ("net.onnx", bytes(&adding(Vec::new(), Vec::new()))),
        ("net.data", vec![7; 5000]),
    ]);
    // The size stands in the header of the entry and in the directory.
    let (real, claimed) = (5000_u32.to_le_bytes(), 40_u32.to_le_bytes());
    while let Some(place) = archive.windows(4).position(|window| window == real) {
        archive[place..place + 4].copy_from_slice(&claimed);
    }
    let text = read(vec![named("net.zip", archive)]).unwrap_err().to_string();
    assert!(text.contains("the zip is damaged"), "{text}");
}

#[test]
fn constants_that_are_computed() {
    let nodes = vec![node("ConstantOfShape", &["shape"], "large", Vec::new())];
    let text = refused_model(&adding(nodes, vec![list("shape", &[1 << 20])]));
    assert!(text.contains("large (ConstantOfShape-17)"), "{text}");
}

#[test]
fn sparse_constants() {
    let sparse = SparseTensorProto {
        values: Some(numbers("large", &[1])),
        indices: Some(list("", &[3])),
        dims: vec![1 << 20],
    };
    let mut model = adding(Vec::new(), Vec::new());
    model.graph.as_mut().unwrap().sparse_initializer.push(sparse.clone());
    refused_model(&model);
    let attribute = AttributeProto {
        name: "sparse_value".to_owned(),
        sparse_tensor: Some(sparse),
        ..AttributeProto::default()
    };
    refused_model(&adding(
        vec![node("Constant", &[], "large", vec![attribute])],
        Vec::new(),
    ));
}

#[test]
fn integers_that_take_eight_bytes_when_they_are_read() {
    let weights = || bytes_of("large", DataType::Int8, &[1 << 19], &vec![0; 1 << 19]);
    let text = refused_model(&adding(Vec::new(), vec![weights()]));
    assert!(text.starts_with("it needs 4 MiB"), "{text}");
    let attribute = AttributeProto {
        name: "value".to_owned(),
        t: Some(weights()),
        r#type: AttributeType::Tensor as i32,
        ..AttributeProto::default()
    };
    refused_model(&adding(
        vec![node("Constant", &[], "large", vec![attribute])],
        Vec::new(),
    ));
}

#[test]
fn very_many_messages_of_two_bytes() {
    let mut model = adding(Vec::new(), Vec::new());
    let graph = model.graph.as_mut().unwrap();
    graph.initializer = vec![TensorProto::default(); 20_000];
    assert!(model.encoded_len() < 50_000);
    refused_model(&model);
}
