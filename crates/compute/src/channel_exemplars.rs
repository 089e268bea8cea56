//! The images of a data set that activate each channel of each layer most, found in one pass.

use std::sync::Arc;

use candle_core::DType;
use tracing::Span;

use super::batches::ImageBatches;
use super::control::Control;
use super::error::Result;
use super::executor::Mode;
use super::feature_map::planes;
use super::network::Network;
use super::task::{DeviceContext, Task};
use scv_domain::exemplar::{Exemplars, MAX_CHANNELS};
use scv_domain::graph::Node;
use scv_domain::image::{ChannelStatistics, Images};

/// A network and the images to compare.
#[derive(Debug, Clone)]
pub struct ChannelExemplarsTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images.
    pub images: Images,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// Images per channel.
    pub count: usize,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

impl Task for ChannelExemplarsTask {
    /// For each layer, in execution order, the top-activating images of its channels; `None` for a layer with more than
    /// [`MAX_CHANNELS`].
    type Output = Vec<Option<Exemplars>>;

    fn span(&self) -> Span {
        tracing::info_span!("compute.channel_exemplars", images = self.images.count())
    }

    /// Runs all images. The activation of a channel is the largest number among its rows and columns.
    ///
    /// # Errors
    /// One image that needs more memory than the limit, cancellation, and as [`Network::forward`].
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Vec<Option<Exemplars>>> {
        let batches = ImageBatches::new(&self.network, &self.images, &self.statistics, self.activation_limit)?;
        let graph = self.network.graph();
        let count = self.count.min(self.images.count());
        let channels = |node: &Node| planes(&node.image_shape())[0];
        let mut layers: Vec<Option<Exemplars>> = graph
            .layers()
            .map(|(_, node)| (channels(node) <= MAX_CHANNELS).then(|| Exemplars::new(channels(node), count)))
            .collect();
        batches.for_each(&context.device, control, |indices, input| {
            let mut layer_index = 0;
            self.network.forward(input, Mode::Inference, &mut |index, value| {
                let node = &graph.nodes[index];
                if !node.is_layer {
                    return Ok(());
                }
                let layer = layers[layer_index].as_mut();
                layer_index += 1;
                let Some(layer) = layer else {
                    return Ok(());
                };
                let [channels, rows, columns] = planes(&node.image_shape());
                // A value that is the same for every image does not rank them.
                if node.inputs.is_empty() || value.elem_count() != indices.len() * channels * rows * columns {
                    return Ok(());
                }
                let by_channel = value.reshape((indices.len(), channels, rows * columns))?.max(2)?;
                let activations = by_channel.to_dtype(DType::F32)?.to_vec2::<f32>()?;
                for (&image, activations) in indices.iter().zip(&activations) {
                    layer.add(image, activations);
                }
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(layers)
    }
}
