//! Runs the network of a file on given numbers, without a server: the outputs of its layers, and how long a pass takes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::error::{ComputeError, Result};
use super::executor::Mode;
use super::gram::CentredGram;
use super::network::Network;
use super::onnx::types::Imported;

/// An array of numbers with its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The numbers, in row-major order.
    pub values: Vec<f32>,
}

/// A value of a network, with its name in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Its name in the file.
    pub name: String,
    /// The numbers; the first dimension is the images.
    pub numbers: Numbers,
}

/// Runs a network on the CPU and returns the outputs of its layers and the outputs of the file, in execution order.
///
/// # Errors
/// An input whose numbers do not fill its shape or whose shape does not fit the network, and a layer that cannot be
/// computed.
pub fn trace(imported: Imported, input: &Numbers) -> Result<Vec<Traced>> {
    let device = Device::Cpu;
    let mut names: HashMap<usize, Vec<String>> = HashMap::new();
    for (node, _) in imported.graph.layers() {
        names.insert(node, vec![imported.names[node].clone()]);
    }
    for (name, value) in &imported.outputs {
        // A value may have one name as a layer and another as an output of the file.
        let names = value.0.checked_sub(1).map(|node| names.entry(node).or_default());
        if let Some(names) = names.filter(|names| !names.contains(name)) {
            names.push(name.clone());
        }
    }
    let shape = batch_shape(&imported, &input.shape);
    let network = Network::from_import(imported, &device)?;
    let images = Tensor::from_slice(&input.values, shape, &device)?;
    let mut traced = Vec::new();
    network.forward(&images, Mode::Inference, &mut |node, value| {
        for name in names.remove(&node).unwrap_or_default() {
            let numbers = numbers(value)?;
            traced.push(Traced { name, numbers });
        }
        Ok(())
    })?;
    Ok(traced)
}

/// The shape of a batch: that of the images, for numbers in the shape of the file's own input.
fn batch_shape(imported: &Imported, given: &[usize]) -> Vec<usize> {
    let dims = imported.input_dims.as_slice();
    let fits = |(given, stated): (&usize, &Option<usize>)| stated.is_none_or(|stated| stated == *given);
    if dims.len() != given.len() || !given.iter().zip(dims).all(fits) {
        return given.to_vec();
    }
    let images = match dims.first() {
        Some(None) => given[0],
        _ => 1,
    };
    [&[images], imported.graph.input_shape.as_slice()].concat()
}

fn numbers(value: &Tensor) -> candle_core::Result<Numbers> {
    let floats = value.to_dtype(candle_core::DType::F32)?;
    Ok(Numbers {
        shape: value.dims().to_vec(),
        values: floats.flatten_all()?.to_vec1()?,
    })
}

/// How long a pass takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassTimes {
    /// Whether the images run in one batch, rather than one after the other.
    pub is_batched: bool,
    /// The network alone.
    pub forward: Duration,
    /// The network with the Gram matrix of every layer.
    pub with_grams: Duration,
}

/// Times passes of noise through a network on the CPU: the median of several rounds.
///
/// # Errors
/// Those of [`Network::from_import`] and [`Network::forward`].
pub fn time_passes(imported: Imported, images: usize, rounds: usize) -> Result<PassTimes> {
    let network = Network::from_import(imported, &Device::Cpu)?;
    let shape = [&[images], network.graph().input_shape.as_slice()].concat();
    let input = Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu)?;
    let (mut forward, mut with_grams) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        network.forward(&input, Mode::Inference, &mut |_, _| Ok(()))?;
        forward.push(started.elapsed());
        let started = Instant::now();
        network.forward(&input, Mode::Inference, &mut |node, value| {
            if network.graph().nodes[node].is_layer {
                CentredGram::of(value)?;
            }
            Ok::<_, ComputeError>(())
        })?;
        with_grams.push(started.elapsed());
    }
    Ok(PassTimes {
        is_batched: network.graph().is_batched,
        forward: median(forward),
        with_grams: median(with_grams),
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
