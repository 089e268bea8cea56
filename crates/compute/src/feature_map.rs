//! What the channels of a layer answer to one image, place by place.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::error::Result;
use super::executor::Mode;
use super::memory;
use super::network::{Network, check_within};
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::insight::{ChannelChoice, FeatureMap};

/// An image and the layer whose answer to it is wanted.
#[derive(Debug, Clone)]
pub struct FeatureMapTask {
    /// The network.
    pub network: Arc<Network>,
    /// The image, a list of one.
    pub image: Images,
    /// How pixels become numbers.
    pub statistics: ChannelStatistics,
    /// The layer: its place among the graph's layers.
    pub layer: usize,
    /// Which channels.
    pub channels: ChannelChoice,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// The activations of a layer's channels for one image. The first dimension of a value counts channels, the last two rows and
/// columns; of a list of numbers each is a channel.
///
/// # Errors
/// A layer or channel that is not there, one image that takes more memory than may be held, and as [`Network::forward`].
pub fn feature_maps(task: &FeatureMapTask, device: &Device) -> Result<Vec<FeatureMap>> {
    let graph = task.network.graph();
    memory::check_one_image(graph, task.activation_limit)?;
    let (wanted, node) = task.network.layer(task.layer)?;
    let [channels, height, width] = planes(&node.image_shape());
    if let ChannelChoice::Given(given) = &task.channels {
        for &channel in given {
            check_within(node, "channels", channel, channels)?;
        }
    }
    let input = task.network.input_of(&task.image, &task.statistics, device)?;
    let mut answer = Vec::new();
    task.network.forward(&input, Mode::Inference, &mut |index, value| {
        if index == wanted {
            answer = value.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        }
        Ok(())
    })?;
    let finite = answer.iter().copied().filter(|number| number.is_finite());
    let layer_range = finite.fold([f32::INFINITY, f32::NEG_INFINITY], |[least, most], number| {
        [least.min(number), most.max(number)]
    });
    let map = |channel: usize| FeatureMap {
        layer_range,
        channel,
        height,
        width,
        values: answer[channel * height * width..][..height * width].to_vec(),
    };
    Ok(match &task.channels {
        ChannelChoice::Given(given) => given.iter().copied().map(map).collect(),
        ChannelChoice::MostActive(count) => {
            let mut all: Vec<FeatureMap> = (0..channels).map(map).collect();
            // Stable, and a mean that is no number stands last.
            let key = |map: &FeatureMap| {
                Some(map.mean())
                    .filter(|mean| !mean.is_nan())
                    .unwrap_or(f64::NEG_INFINITY)
            };
            all.sort_by(|a, b| key(b).total_cmp(&key(a)));
            all.truncate(*count);
            all
        }
    })
}

/// Channels, rows and columns of a value for one image.
pub fn planes(shape: &[usize]) -> [usize; 3] {
    match shape {
        [] => [1, 1, 1],
        [numbers] => [*numbers, 1, 1],
        [channels, columns] => [*channels, 1, *columns],
        [channels @ .., rows, columns] => [channels.iter().product(), *rows, *columns],
    }
}

#[cfg(test)]
mod tests;
