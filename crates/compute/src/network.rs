//! A graph with its weights, ready to run.

use std::sync::Arc;

use bytes::Bytes;
use candle_core::{Device, Tensor};

use crate::error::{ComputeError, Result};
use crate::images::{self, Layout};
use crate::memory;
use crate::onnx::file::decode;
use crate::onnx::import::{ImportOptions, Imported, import};
use crate::weights::Weights;
use scv_domain::graph::{Graph, Node, ValueId};
use scv_domain::image::{ChannelOrder, ChannelStatistics, ImageShape, Images};

mod trial;

/// A network on a device. [`Network::forward`] runs it.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) graph: Arc<Graph>,
    pub(super) weights: Weights,
    /// By node: the values that nothing reads once the node is done.
    pub(super) spent: Vec<Vec<ValueId>>,
    layout: Layout,
    /// What images are made to before they go in; a network of blocks takes those of its data set as they are.
    reads: Option<(ImageShape, ChannelOrder)>,
}

/// What a network is loaded from.
#[derive(Debug, Clone)]
pub enum NetworkFile {
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
            reads: None,
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
            NetworkFile::Onnx { bytes, options, order } => {
                let imported = import(&decode(bytes)?, options)?;
                let reads = Some((imported.image_shape(), *order));
                Ok(Network {
                    reads,
                    ..Network::of_import(imported, device)?
                })
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

    /// How many classes it has, if it answers with one number for each: in one dimension, whatever others of 1 are beside it.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`], with what it answers with.
    pub fn classes(&self) -> Result<usize> {
        let answer = self.graph.image_shape(self.graph.logits);
        if answer.iter().filter(|&&length| length > 1).count() > 1 {
            return Err(ComputeError::Invalid(format!(
                "the network answers with numbers of shape {answer:?} and not with one for each class, so it has no classes"
            )));
        }
        Ok(answer.iter().product())
    }

    /// Makes sure that it has a class of an index.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`], with the classes that it has.
    pub(super) fn check_class(&self, class: usize) -> Result<()> {
        let classes = self.classes()?;
        if class >= classes {
            return Err(ComputeError::Invalid(format!(
                "the network has classes 0 to {}, and none of index {class}",
                classes.saturating_sub(1)
            )));
        }
        Ok(())
    }

    /// A layer by its place in the list of layers, with the place of its node.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`], with the places that there are.
    pub(super) fn layer(&self, layer: usize) -> Result<(usize, &Node)> {
        self.graph.layers().nth(layer).ok_or_else(|| {
            let last = self.graph.layers().count().saturating_sub(1);
            ComputeError::Invalid(format!(
                "the network has layers of index 0 to {last}, and none of index {layer}"
            ))
        })
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

    /// Images as the network takes them: resized and recoloured where they are of another shape than it reads.
    ///
    /// # Errors
    /// As [`images::to_tensor`].
    pub fn input_of(&self, images: &Images, statistics: &ChannelStatistics, device: &Device) -> Result<Tensor> {
        let fitted = self.reads.map(|(shape, order)| images::fitted(images, shape, order));
        self.laid_out(images::to_tensor(
            fitted.as_ref().unwrap_or(images),
            statistics,
            device,
        )?)
    }

    /// Shape of the images it reads.
    pub fn image_shape(&self) -> ImageShape {
        let of_input = match (self.graph.input_shape.as_slice(), self.layout) {
            (&[channels, height, width], Layout::ChannelsFirst)
            | (&[height, width, channels], Layout::ChannelsLast) => [channels, height, width],
            // What reads no planes reads a list of numbers.
            (other, _) => [1, 1, other.iter().product()],
        };
        let [channels, height, width] = of_input;
        self.reads.map_or(
            ImageShape {
                channels,
                height,
                width,
            },
            |(shape, _)| shape,
        )
    }

    /// Pixels from 0 to 1 in the order red, green, blue, `[images, channels, height, width]`, as the numbers that it reads, not
    /// yet in its layout. Gradients follow.
    ///
    /// # Errors
    /// The statistics are not one number a channel, or the device has no memory left.
    pub fn normalised(&self, shares: &Tensor, statistics: &ChannelStatistics) -> Result<Tensor> {
        let channels = statistics.mean.len();
        let of_channels = |numbers: &[f32]| Tensor::from_slice(numbers, (1, channels, 1, 1), shares.device());
        let ordered = match self.reads {
            Some((_, ChannelOrder::Bgr)) if channels == 3 => {
                shares.index_select(&Tensor::new(&[2u32, 1, 0], shares.device())?, 1)?
            }
            _ => shares.clone(),
        };
        let centred = ordered.broadcast_sub(&of_channels(&statistics.mean)?)?;
        Ok(centred.broadcast_div(&of_channels(&statistics.std)?)?)
    }

    /// Numbers `[images, channels, height, width]` in its layout. Gradients follow.
    ///
    /// # Errors
    /// The device has no memory left.
    pub fn laid_out(&self, numbers: Tensor) -> Result<Tensor> {
        Ok(match self.layout {
            Layout::ChannelsFirst => numbers,
            Layout::ChannelsLast => numbers.permute((0, 2, 3, 1))?.contiguous()?,
        })
    }
}

/// Bytes of activations that a trial of two images may hold: they run before anybody has said how much there may be.
const TRIAL_BYTES: u64 = 8 << 30;

/// Makes sure that a layer has a channel, row or column of an index; `what` names all of them.
///
/// # Errors
/// [`ComputeError::Invalid`], with those that there are.
pub(super) fn check_within(layer: &Node, what: &str, index: usize, count: usize) -> Result<()> {
    match index < count {
        true => Ok(()),
        false => Err(ComputeError::Invalid(format!(
            "layer {} has {what} 0 to {}, and none of index {index}",
            layer.path,
            count.saturating_sub(1)
        ))),
    }
}

/// A network that two images are too much for cannot be tried, nor measured on probe images.
fn check_room(graph: &Graph) -> Result<()> {
    memory::check(memory::of_inference(graph, 2), TRIAL_BYTES, || {
        "two images: make its input smaller".to_owned()
    })
}

/// A value is spent at the last node that reads it, or where it is made if nothing reads it.
pub(super) fn spent_values(graph: &Graph) -> Vec<Vec<ValueId>> {
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
