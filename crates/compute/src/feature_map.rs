//! Feature maps: the activations of a layer's channels for one image.

use std::sync::Arc;

use candle_core::DType;
use tracing::Span;

use super::control::Control;
use super::error::Result;
use super::executor::Mode;
use super::memory;
use super::network::{Network, check_index};
use super::task::{DeviceContext, Task};
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::insight::{ChannelChoice, FeatureMap};

/// An image and the layer to show.
#[derive(Debug, Clone)]
pub struct FeatureMapTask {
    /// The network.
    pub network: Arc<Network>,
    /// The image, a list of one.
    pub image: Images,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// Index of the layer among the graph's layers.
    pub layer: usize,
    /// Which channels.
    pub channels: ChannelChoice,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

impl Task for FeatureMapTask {
    type Output = Vec<FeatureMap>;

    fn span(&self) -> Span {
        tracing::info_span!("compute.feature_maps", layer = self.layer)
    }

    /// Runs the image and takes the chosen channels. The first dimension of a value counts channels, the last two are
    /// rows and columns; in a list of numbers, each number is a channel.
    ///
    /// # Errors
    /// A layer or channel that is out of range, one image that needs more memory than the limit, and as
    /// [`Network::forward`].
    fn run(self, context: &DeviceContext, _: &Control) -> Result<Vec<FeatureMap>> {
        memory::check_one_image(self.network.graph(), self.activation_limit)?;
        let (node_index, node) = self.network.layer(self.layer)?;
        let [channels, height, width] = planes(&node.image_shape());
        if let ChannelChoice::Given(given) = &self.channels {
            for &channel in given {
                check_index(node, "channel", channel, channels)?;
            }
        }
        let input = self
            .network
            .input_tensor(&self.image, &self.statistics, &context.device)?;
        let mut activations = Vec::new();
        self.network.forward(&input, Mode::Inference, &mut |index, value| {
            if index == node_index {
                activations = value.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            }
            Ok(())
        })?;
        let finite = activations.iter().copied().filter(|number| number.is_finite());
        let layer_range = finite.fold([f32::INFINITY, f32::NEG_INFINITY], |[min, max], number| {
            [min.min(number), max.max(number)]
        });
        let map = |channel: usize| FeatureMap {
            layer_range,
            channel,
            height,
            width,
            values: activations[channel * height * width..][..height * width].to_vec(),
        };
        Ok(match &self.channels {
            ChannelChoice::Given(given) => given.iter().copied().map(map).collect(),
            ChannelChoice::MostActive(count) => {
                let mut all: Vec<FeatureMap> = (0..channels).map(map).collect();
                // A stable sort, in which a mean of NaN comes last.
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
