//! Which images of a data set each channel of each layer answers to most, found in one pass.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::batches::in_batches;
use super::control::Control;
use super::error::Result;
use super::executor::Mode;
use super::feature_map::planes;
use super::network::Network;
use scv_domain::exemplar::{Exemplars, MAX_CHANNELS};
use scv_domain::graph::Node;
use scv_domain::image::{ChannelStatistics, Images};

/// A network and the images that its channels are asked about.
#[derive(Debug, Clone)]
pub struct ChannelExemplarsTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images.
    pub images: Images,
    /// How pixels become numbers.
    pub statistics: ChannelStatistics,
    /// Images kept for each channel.
    pub count: usize,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// For each layer, in execution order, the images that its channels answer to most: by the greatest number among a channel's
/// rows and columns. None for a layer of more than [`MAX_CHANNELS`].
///
/// # Errors
/// Cancellation, and as [`Network::forward`].
pub fn channel_exemplars(
    task: &ChannelExemplarsTask,
    batch: usize,
    device: &Device,
    control: &Control,
) -> Result<Vec<Option<Exemplars>>> {
    let graph = task.network.graph();
    let count = task.count.min(task.images.count());
    let channels = |node: &Node| planes(&node.image_shape())[0];
    let mut layers: Vec<Option<Exemplars>> = graph
        .layers()
        .map(|(_, node)| (channels(node) <= MAX_CHANNELS).then(|| Exemplars::new(channels(node), count)))
        .collect();
    let images = (&task.images, &task.statistics);
    in_batches(&task.network, images, batch, device, control, |indices, read| {
        let mut place = 0;
        task.network.forward(read, Mode::Inference, &mut |index, value| {
            let node = &graph.nodes[index];
            if !node.is_layer {
                return Ok(());
            }
            let layer = layers[place].as_mut();
            place += 1;
            let Some(layer) = layer else {
                return Ok(());
            };
            let [channels, rows, columns] = planes(&node.image_shape());
            // A value that is the same for every image tells none from another.
            if node.inputs.is_empty() || value.elem_count() != indices.len() * channels * rows * columns {
                return Ok(());
            }
            let by_channel = value.reshape((indices.len(), channels, rows * columns))?.max(2)?;
            let greatest = by_channel.to_dtype(DType::F32)?.to_vec2::<f32>()?;
            for (&image, answers) in indices.iter().zip(&greatest) {
                layer.add(image, answers);
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(layers)
}
