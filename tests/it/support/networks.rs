//! Networks for the digits, and weights for them.

use std::collections::BTreeMap;

use candle_core::Device;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use scv_compute::weights::Weights;
use scv_domain::block::lower;
use scv_domain::image::ImageShape;
use serde_json::{Value, json};

/// A small convolutional network.
pub fn small_cnn() -> Value {
    json!([
        { "kind": "Conv2d", "parameters": { "out_channels": 8, "kernel_size": 3, "padding": 1 } },
        { "kind": "BatchNorm2d" },
        { "kind": "ReLU" },
        { "kind": "MaxPool2d", "parameters": { "kernel_size": 2 } },
        { "kind": "Conv2d", "parameters": { "out_channels": 16, "kernel_size": 3, "padding": 1 } },
        { "kind": "ReLU" },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 10 } },
    ])
}

/// The smallest possible network: one linear layer.
pub fn perceptron() -> Value {
    json!([{ "kind": "Flatten" }, { "kind": "Linear", "parameters": { "out_features": 10 } }])
}

/// The weights with which the training of a network starts, as a safetensors file.
pub fn initial_weights(blocks: &Value, seed: u64) -> Vec<u8> {
    let blocks: Vec<_> = serde_json::from_value(blocks.clone()).unwrap();
    let shape = ImageShape {
        channels: 1,
        height: 8,
        width: 8,
    };
    let graph = lower(&blocks, shape, 10).unwrap();
    let weights = Weights::init(&graph, seed, &Device::Cpu).unwrap();
    weights.to_safetensors().unwrap()
}

/// A safetensors file with constant tensors, each given by its key, shape and number.
pub fn constant_weights(tensors: &[(&str, &[usize], f32)]) -> Vec<u8> {
    let bytes = |shape: &[usize], number: f32| number.to_le_bytes().repeat(shape.iter().product());
    let tensors: BTreeMap<_, _> = tensors
        .iter()
        .map(|&(key, shape, number)| (key, (shape.to_vec(), bytes(shape, number))))
        .collect();
    let views = tensors
        .iter()
        .map(|(key, (shape, bytes))| (key, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}
