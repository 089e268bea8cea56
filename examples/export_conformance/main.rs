//! Writes networks of every kind of block as ONNX and as PyTorch source, with the outputs that SCV computes,
//! so that `scripts/check_export.py` can compare other runtimes with them:
//!
//!     cargo run --example export_conformance -- FOLDER

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use scv_compute::executor::Mode;
use scv_compute::network::Network;
use scv_compute::onnx::export::to_onnx;
use scv_compute::weights::Weights;
use scv_domain::block::{Block, lower, pytorch_source};
use scv_domain::graph::{Graph, ParameterRole};
use scv_domain::image::ImageShape;
use serde::Deserialize;
use serde_json::{Value, json};

/// Every layer kind with hundreds of settings; cases that PyTorch refuses are skipped.
const GOLDEN_LAYERS: &str = include_str!("../../tests/golden/block_shapes.json");
/// Cases that the golden layers lack: inputs beyond thresholds, layers in a row, branches.
const HANDMADE_CASES: &str = include_str!("cases.json");
const CLASSES: usize = 10;
const IMAGES: usize = 3;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Channels, height and width.
    input: [usize; 3],
    blocks: Vec<Block>,
}

fn main() -> Result<()> {
    let folder = std::env::args()
        .nth(1)
        .context("missing argument: the folder to write to")?;
    for case in example_lists()?
        .into_iter()
        .chain(serde_json::from_str::<Vec<Case>>(HANDMADE_CASES)?)
        .chain(golden_cases()?)
    {
        let folder = Path::new(&folder).join(&case.name);
        write(&case, &folder).with_context(|| case.name.clone())?;
    }
    Ok(())
}

fn write(case: &Case, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let [channels, height, width] = case.input;
    let input = ImageShape {
        channels,
        height,
        width,
    };
    let graph = lower(&case.blocks, input, CLASSES).map_err(|errors| anyhow!("{errors:?}"))?;
    let source = pytorch_source(&case.blocks, input, CLASSES, &case.name);
    let source = source.map_err(|errors| anyhow!("{errors:?}"))?;
    let weights = Weights::read(&weights_file(&graph)?, &graph, &Device::Cpu)?;
    fs::write(folder.join("model.py"), source)?;
    fs::write(folder.join("model.onnx"), to_onnx(&graph, &weights, &case.name)?)?;
    fs::write(folder.join("weights.safetensors"), weights.to_safetensors()?)?;

    let shape = [&[IMAGES], graph.input_shape.as_slice()].concat();
    let images: Vec<f32> = numbers(0, shape.iter().product()).map(|number| 4.0 * number).collect();
    let images = Tensor::from_vec(images, shape, &Device::Cpu)?;
    let mut output = None;
    let network = Network::new(Arc::new(graph), weights);
    let logits = network.forward(&images, Mode::Inference, &mut |_, value| {
        output = Some(value.clone());
        Ok(())
    })?;
    let output = output.context("the network has no layers")?;
    let tensors = [("images", &images), ("logits", &logits), ("output", &output)];
    fs::write(folder.join("expected.safetensors"), safetensors_file(&tensors)?)?;
    Ok(())
}

/// Weights of a reasonable size, and running statistics that differ from those of a new network.
fn weights_file(graph: &Graph) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for (position, (key, parameter)) in graph.parameters().enumerate() {
        let count = parameter.shape.iter().product();
        let fan_in: usize = parameter.shape.iter().skip(1).product();
        let scale = 2.0 / (fan_in as f32).sqrt();
        let values: Vec<f32> = numbers(position + 1, count)
            .map(|number| match parameter.role {
                ParameterRole::RunningVar => number + 1.5,
                _ => number * scale,
            })
            .collect();
        tensors.push((key, Tensor::from_vec(values, parameter.shape.as_slice(), &Device::Cpu)?));
    }
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor)).collect();
    safetensors_file(&tensors)
}

fn safetensors_file(tensors: &[(&str, &Tensor)]) -> Result<Vec<u8>> {
    let mut buffers = Vec::new();
    for (name, tensor) in tensors {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        buffers.push((*name, tensor.dims().to_vec(), bytes));
    }
    let mut views = Vec::new();
    for (name, shape, bytes) in &buffers {
        views.push((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?));
    }
    Ok(safetensors::serialize(views, None)?)
}

/// Pseudo-random numbers from -1 to 1, the same in every run.
fn numbers(series: usize, count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(move |at| ((at as f64 * 12.9898 + series as f64 * 78.233).sin() * 43_758.5).fract() as f32)
}

/// The block lists of this folder, for images in grey and in colour.
fn example_lists() -> Result<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let blocks: Vec<Block> = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        for input in [[1, 8, 8], [3, 32, 32]] {
            let name = format!("examples/{name}-{}x{}x{}", input[0], input[1], input[2]);
            let blocks = blocks.clone();
            cases.push(Case { name, input, blocks });
        }
    }
    Ok(cases)
}

/// The golden layers, each followed by a classifier, so that the whole is a network.
fn golden_cases() -> Result<Vec<Case>> {
    let listed: Vec<Value> = serde_json::from_str(GOLDEN_LAYERS)?;
    let mut cases = Vec::new();
    for (number, case) in listed.iter().enumerate().filter(|(_, case)| !case["torch"].is_null()) {
        let kind = case["kind"].as_str().context("a case has no kind")?;
        let blocks = json!([
            {"kind": kind, "parameters": case["parameters"]},
            {"kind": "Flatten"},
            {"kind": "Linear", "parameters": {"out_features": CLASSES}}
        ]);
        cases.push(Case {
            name: format!("golden/{kind}-{number:03}"),
            input: serde_json::from_value(case["input"].clone())?,
            blocks: serde_json::from_value(blocks)?,
        });
    }
    Ok(cases)
}
