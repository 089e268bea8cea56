//! A graph with its weights, ready to run.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::error::{ComputeError, Result};
use crate::images::{self, Layout};
use crate::weights::Weights;
use scv_domain::graph::liveness::values_to_free;
use scv_domain::graph::{Graph, Node, ValueId};
use scv_domain::image::{ChannelOrder, ChannelStatistics, ImageShape, Images};

/// A network on a device. [`Network::forward`] runs it.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) graph: Arc<Graph>,
    pub(super) weights: Weights,
    /// For each node, the values that no later node reads.
    pub(super) to_free: Vec<Vec<ValueId>>,
    pub(super) layout: Layout,
    /// The shape and colour order that images are converted to. A network of blocks takes the images of its data set as
    /// they are.
    pub(super) image_format: Option<(ImageShape, ChannelOrder)>,
}

impl Network {
    /// A network from a graph and the weights that [`Weights::read`] or [`Weights::init`] made for it.
    pub fn new(graph: Arc<Graph>, weights: Weights) -> Network {
        Network {
            to_free: values_to_free(&graph),
            graph,
            weights,
            layout: Layout::ChannelsFirst,
            image_format: None,
        }
    }

    /// The graph that is run.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How many classes it has, if its output has one number per class: only one dimension may be longer than 1.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`], with the shape of the output.
    pub fn classes(&self) -> Result<usize> {
        let shape = self.graph.image_shape(self.graph.logits);
        if shape.iter().filter(|&&length| length > 1).count() > 1 {
            return Err(ComputeError::Invalid(format!(
                "the network's output has shape {shape:?} instead of one number per class, so it has no classes"
            )));
        }
        Ok(shape.iter().product())
    }

    /// Checks the index of a class.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`], with the range.
    pub(super) fn check_class(&self, class: usize) -> Result<()> {
        let classes = self.classes()?;
        if class >= classes {
            let last = classes.saturating_sub(1);
            return Err(ComputeError::Invalid(format!(
                "class {class} is out of range (0–{last})"
            )));
        }
        Ok(())
    }

    /// A layer by its index among the layers, with the index of its node.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`], with the range.
    pub(super) fn layer(&self, layer: usize) -> Result<(usize, &Node)> {
        self.graph.layers().nth(layer).ok_or_else(|| {
            let last = self.graph.layers().count().saturating_sub(1);
            ComputeError::Invalid(format!("layer {layer} is out of range (0–{last})"))
        })
    }

    /// The weights it is run with.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The order of the dimensions of [`Graph::input_shape`].
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes of its weights.
    pub fn byte_len(&self) -> u64 {
        self.weights.byte_len()
    }

    /// The network's input for images: resized and recoloured if it reads another shape.
    ///
    /// # Errors
    /// As [`images::to_tensor`].
    pub fn input_tensor(&self, images: &Images, statistics: &ChannelStatistics, device: &Device) -> Result<Tensor> {
        let fitted = self
            .image_format
            .map(|(shape, order)| images::fitted(images, shape, order));
        self.to_layout(images::to_tensor(
            fitted.as_ref().unwrap_or(images),
            statistics,
            device,
        )?)
    }

    /// Shape of the images it reads.
    pub fn image_shape(&self) -> ImageShape {
        if let Some((shape, _)) = self.image_format {
            return shape;
        }
        let [channels, height, width] = match (self.graph.input_shape.as_slice(), self.layout) {
            (&[channels, height, width], Layout::ChannelsFirst)
            | (&[height, width, channels], Layout::ChannelsLast) => [channels, height, width],
            // A network that reads no planes reads a list of numbers.
            (other, _) => [1, 1, other.iter().product()],
        };
        ImageShape {
            channels,
            height,
            width,
        }
    }

    /// Normalises pixels from 0 to 1 in the order red, green, blue, `[images, channels, height, width]`, and brings the
    /// channels into the network's order. Differentiable.
    ///
    /// # Errors
    /// The statistics do not have one number per channel, or the device is out of memory.
    pub fn normalise(&self, pixels: &Tensor, statistics: &ChannelStatistics) -> Result<Tensor> {
        let channels = statistics.mean.len();
        let per_channel = |numbers: &[f32]| Tensor::from_slice(numbers, (1, channels, 1, 1), pixels.device());
        let ordered = match self.image_format {
            Some((_, ChannelOrder::Bgr)) if channels == 3 => {
                pixels.index_select(&Tensor::new(&[2u32, 1, 0], pixels.device())?, 1)?
            }
            _ => pixels.clone(),
        };
        let centred = ordered.broadcast_sub(&per_channel(&statistics.mean)?)?;
        Ok(centred.broadcast_div(&per_channel(&statistics.std)?)?)
    }

    /// Brings numbers `[images, channels, height, width]` into the network's layout. Differentiable.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn to_layout(&self, numbers: Tensor) -> Result<Tensor> {
        Ok(match self.layout {
            Layout::ChannelsFirst => numbers,
            Layout::ChannelsLast => numbers.permute((0, 2, 3, 1))?.contiguous()?,
        })
    }
}

/// Checks the index of a channel, row or column of a layer; `what` says which of these it is.
///
/// # Errors
/// [`ComputeError::Invalid`], with the range.
pub(super) fn check_index(layer: &Node, what: &str, index: usize, count: usize) -> Result<()> {
    if index < count {
        return Ok(());
    }
    Err(ComputeError::Invalid(format!(
        "{what} {index} of layer {} is out of range (0–{})",
        layer.path,
        count.saturating_sub(1)
    )))
}
