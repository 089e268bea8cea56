//! Networks from files.

use std::sync::Arc;

use bytes::Bytes;
use candle_core::Device;
use tracing::Span;

use crate::control::Control;
use crate::error::Result;
use crate::memory;
use crate::network::Network;
use crate::onnx::file::decode;
use crate::onnx::import::{ImportOptions, import};
use crate::onnx::types::Imported;
use crate::task::{DeviceContext, Task};
use crate::weights::Weights;
use scv_domain::graph::Graph;
use scv_domain::image::ChannelOrder;

mod batch_independence;

use batch_independence::is_batch_independent;

/// The most bytes of activations for the two images of the trial, if the caller has no lower limit.
const MAX_TRIAL_BYTES: u64 = 8 << 30;

/// What a network is loaded from. As a [`Task`], it loads the network onto the engine's device.
#[derive(Debug, Clone)]
pub enum NetworkSource {
    /// A graph of blocks, and the safetensors file with its weights.
    Blocks {
        /// The graph.
        graph: Arc<Graph>,
        /// The bytes of the file.
        weights: Bytes,
    },
    /// An ONNX file that holds all of its weights.
    Onnx {
        /// Its bytes.
        bytes: Bytes,
        /// What the user says about it.
        options: ImportOptions,
        /// The order of the colours in its input.
        order: ChannelOrder,
        /// Bytes of activations that its trial may hold.
        activation_limit: u64,
    },
}

impl Task for NetworkSource {
    type Output = Arc<Network>;

    fn span(&self) -> Span {
        tracing::info_span!("compute.load")
    }

    /// As [`Network::load`].
    fn run(self, context: &DeviceContext, _: &Control) -> Result<Arc<Network>> {
        Network::load(&self, &context.device).map(Arc::new)
    }
}

impl Network {
    /// Loads a network onto a device.
    ///
    /// # Errors
    /// Weights that do not fit the blocks, an ONNX file that cannot be read or computed, or no memory left.
    pub fn load(source: &NetworkSource, device: &Device) -> Result<Network> {
        match source {
            NetworkSource::Blocks { graph, weights } => {
                Ok(Network::new(Arc::clone(graph), Weights::read(weights, graph, device)?))
            }
            NetworkSource::Onnx {
                bytes,
                options,
                order,
                activation_limit,
            } => {
                let imported = import(&decode(bytes, &options.memory.empty())?, options)?;
                let image_format = Some((imported.image_shape(), *order));
                let limit = MAX_TRIAL_BYTES.min(*activation_limit);
                Ok(Network {
                    image_format,
                    ..Network::tried(imported, device, limit)?
                })
            }
        }
    }

    /// Brings an imported ONNX file onto a device. If the images of a batch influence each other, the network runs them
    /// one after the other.
    ///
    /// # Errors
    /// The network fails on an image, or the device is out of memory.
    pub fn from_import(imported: Imported, device: &Device) -> Result<Network> {
        Network::tried(imported, device, MAX_TRIAL_BYTES)
    }

    fn tried(imported: Imported, device: &Device, limit: u64) -> Result<Network> {
        let weights = imported.weights.to_device(device)?;
        let mut network = Network {
            layout: imported.layout,
            ..Network::new(Arc::new(imported.graph), weights)
        };
        check_trial_memory(&network.graph, limit)?;
        if network.graph.is_batched && !is_batch_independent(&network, device)? {
            network = network.one_by_one();
        }
        Ok(network)
    }

    /// The same network, running its images one after the other.
    fn one_by_one(self) -> Network {
        let graph = Graph {
            is_batched: false,
            ..(*self.graph).clone()
        };
        Network {
            graph: Arc::new(graph),
            ..self
        }
    }
}

/// A network that is too large for two images can be neither tried nor measured on probe images.
fn check_trial_memory(graph: &Graph, limit: u64) -> Result<()> {
    memory::check(
        memory::of_inference(graph, 2),
        limit,
        "two images",
        "make its input smaller",
    )
}
