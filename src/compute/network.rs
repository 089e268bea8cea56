//! A graph with its weights, ready to run.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::compute::error::{ComputeError, Result};
use crate::compute::images::{self, Layout};
use crate::compute::ingest::DEFAULT_ACTIVATION_LIMIT;
use crate::compute::onnx::file::{NamedFile, read};
use crate::compute::onnx::import::{ImportOptions, Imported, import};
use crate::compute::weights::Weights;
use crate::domain::graph::{Graph, ValueId};
use crate::domain::image::{ChannelStatistics, Images};

mod trial;

/// A network on a device. [`Network::forward`] runs it.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) graph: Arc<Graph>,
    pub(super) weights: Weights,
    /// By node: the values that nothing reads once the node is done.
    pub(super) spent: Vec<Vec<ValueId>>,
    layout: Layout,
}

/// What a network is loaded from.
#[derive(Debug, Clone)]
pub enum NetworkFile {
    /// A graph of blocks, and the safetensors file with its weights.
    Blocks {
        /// The graph.
        graph: Arc<Graph>,
        /// The bytes of the file.
        weights: Arc<[u8]>,
    },
    /// An ONNX file that holds all of its weights.
    Onnx {
        /// Its bytes.
        bytes: Arc<[u8]>,
        /// What the user says about it.
        options: ImportOptions,
    },
}

impl Network {
    /// Joins a graph with the weights that [`Weights::read`] or [`Weights::init`] made for it.
    pub fn new(graph: Arc<Graph>, weights: Weights) -> Network {
        let spent = spent_values(&graph);
        Network {
            graph,
            weights,
            spent,
            layout: Layout::ChannelsFirst,
        }
    }

    /// Reads a network from its file onto a device.
    ///
    /// # Errors
    /// Weights that do not fit the blocks, an ONNX file that cannot be read or computed, or no memory left.
    pub fn load(file: &NetworkFile, device: &Device) -> Result<Network> {
        match file {
            NetworkFile::Blocks { graph, weights } => {
                Ok(Network::new(Arc::clone(graph), Weights::read(weights, graph, device)?))
            }
            NetworkFile::Onnx { bytes, options } => {
                let name = "network.onnx".to_owned();
                let model = read(vec![NamedFile {
                    name,
                    bytes: bytes.to_vec(),
                }])?;
                Network::of_import(import(&model, options)?, device)
            }
        }
    }

    /// Brings what an ONNX file was turned into onto a device. If images that run together do not come out as each
    /// alone does, the network runs them one after the other.
    ///
    /// # Errors
    /// If the network fails on an image, or if the device has no memory left.
    pub fn of_import(imported: Imported, device: &Device) -> Result<Network> {
        let weights = imported.weights.to_device(device)?;
        let mut network = Network {
            layout: imported.layout,
            ..Network::new(Arc::new(imported.graph), weights)
        };
        check_room(&network.graph)?;
        if network.graph.images_together && !trial::keeps_images_apart(&network, device)? {
            network = network.one_by_one();
        }
        Ok(network)
    }

    /// The same network, running its images one after the other.
    fn one_by_one(self) -> Network {
        let graph = Graph {
            images_together: false,
            ..(*self.graph).clone()
        };
        Network {
            graph: Arc::new(graph),
            ..self
        }
    }

    /// The graph that is run.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The weights it is run with.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// How images are laid out in its input: the order of the dimensions of [`Graph::input_shape`].
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes that its weights take.
    pub fn byte_len(&self) -> u64 {
        self.weights.byte_len()
    }

    /// Images as the network takes them.
    ///
    /// # Errors
    /// As [`images::to_tensor`].
    pub fn input_of(&self, images: &Images, statistics: &ChannelStatistics, device: &Device) -> Result<Tensor> {
        let tensor = images::to_tensor(images, statistics, device)?;
        Ok(match self.layout {
            Layout::ChannelsFirst => tensor,
            Layout::ChannelsLast => tensor.permute((0, 2, 3, 1))?.contiguous()?,
        })
    }
}

/// A network that two images are too much for cannot be tried, nor measured on probe images.
fn check_room(graph: &Graph) -> Result<()> {
    let needed = peak_activation_bytes(graph, 2);
    match needed <= DEFAULT_ACTIVATION_LIMIT {
        true => Ok(()),
        false => Err(ComputeError::Invalid(format!(
            "two images take {} MiB of activations in this network, and {} MiB may be held",
            needed.div_ceil(1 << 20),
            DEFAULT_ACTIVATION_LIMIT >> 20
        ))),
    }
}

/// Most bytes of single-precision values that are alive together while `images` pass: the images all the time, any
/// other value from the node that makes it to the last node that reads it.
pub(super) fn peak_activation_bytes(graph: &Graph, images: usize) -> u64 {
    let count = |dims: &[usize]| dims.iter().map(|&dim| dim as u64).product::<u64>();
    let mut sizes = vec![count(&graph.input_shape) * images as u64];
    sizes.extend(graph.nodes.iter().map(|node| count(&node.dims(images))));
    let mut alive = sizes[0];
    let mut peak = alive;
    for (index, spent) in spent_values(graph).iter().enumerate() {
        alive += sizes[index + 1];
        peak = peak.max(alive);
        let freed = spent.iter().filter(|&&value| value != ValueId::INPUT);
        alive -= freed.map(|value| sizes[value.0]).sum::<u64>();
    }
    peak * size_of::<f32>() as u64
}

/// A value is spent at the last node that reads it, or where it is made if nothing reads it.
fn spent_values(graph: &Graph) -> Vec<Vec<ValueId>> {
    let mut last_use: Vec<usize> = (0..=graph.nodes.len()).map(|value| value.saturating_sub(1)).collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last_use[input.0] = index;
        }
    }
    let mut spent = vec![Vec::new(); graph.nodes.len()];
    for (value, &node) in last_use.iter().enumerate() {
        if let Some(values) = spent.get_mut(node) {
            values.push(ValueId(value));
        }
    }
    spent
}
