//! A file's network run on numbers as they are, outside any server: what each layer makes, and how long it takes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::error::{ComputeError, Result};
use super::executor::Mode;
use super::gram::CentredGram;
use super::network::Network;
use super::onnx::import::Imported;

/// Numbers with their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The numbers, the last dimension running fastest.
    pub values: Vec<f32>,
}

/// A value that a network made, with its name in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Its name in the file.
    pub name: String,
    /// The numbers, images first.
    pub numbers: Numbers,
}

/// Runs a network on the CPU and answers with what its layers and the file's outputs are, in the order they are made.
///
/// # Errors
/// Numbers that do not fill their shape or are no input of the network, and a layer that cannot be computed.
pub fn trace(imported: Imported, input: &Numbers) -> Result<Vec<Traced>> {
    let device = Device::Cpu;
    let mut names: HashMap<usize, Vec<String>> = HashMap::new();
    for (node, _) in imported.graph.layers() {
        names.insert(node, vec![imported.names[node].clone()]);
    }
    for (name, value) in &imported.outputs {
        // A value may have one name as a layer's and another as an output of the file.
        let names = value.0.checked_sub(1).map(|node| names.entry(node).or_default());
        if let Some(names) = names.filter(|names| !names.contains(name)) {
            names.push(name.clone());
        }
    }
    let network = Network::of_import(imported, &device)?;
    let images = Tensor::from_slice(&input.values, input.shape.as_slice(), &device)?;
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

fn numbers(value: &Tensor) -> candle_core::Result<Numbers> {
    let floats = value.to_dtype(candle_core::DType::F32)?;
    Ok(Numbers {
        shape: value.dims().to_vec(),
        values: floats.flatten_all()?.to_vec1()?,
    })
}

/// How probe images pass through a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassTimes {
    /// Whether they run together, or one after the other.
    pub images_together: bool,
    /// The network alone.
    pub forward: Duration,
    /// The network with the Gram matrix of every layer.
    pub with_grams: Duration,
}

/// Times passes of noise through a network on the CPU: the median of several rounds.
///
/// # Errors
/// Those of [`Network::of_import`] and [`Network::forward`].
pub fn time_passes(imported: Imported, images: usize, rounds: usize) -> Result<PassTimes> {
    let network = Network::of_import(imported, &Device::Cpu)?;
    let shape = [&[images], network.graph().input_shape.as_slice()].concat();
    let input = Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu)?;
    let (mut forward, mut with_grams) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        let begin = Instant::now();
        network.forward(&input, Mode::Inference, &mut |_, _| Ok(()))?;
        forward.push(begin.elapsed());
        let begin = Instant::now();
        network.forward(&input, Mode::Inference, &mut |node, value| {
            if network.graph().nodes[node].is_layer {
                CentredGram::of(value)?;
            }
            Ok::<_, ComputeError>(())
        })?;
        with_grams.push(begin.elapsed());
    }
    Ok(PassTimes {
        images_together: network.graph().images_together,
        forward: median(forward),
        with_grams: median(with_grams),
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
