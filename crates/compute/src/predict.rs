//! The classes that a network predicts for images.

use std::sync::Arc;

use candle_core::DType;
use tracing::Span;

use super::control::Control;
use super::error::{ComputeError, Result};
use super::executor::Mode;
use super::memory;
use super::network::Network;
use super::task::{DeviceContext, Task};
use scv_domain::evaluation::softmax;
use scv_domain::image::{ChannelStatistics, Images};

/// A network and the images to classify.
#[derive(Debug, Clone)]
pub struct PredictTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images.
    pub images: Images,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

impl Task for PredictTask {
    /// For each image, the probability of each class.
    type Output = Vec<Vec<f64>>;

    fn span(&self) -> Span {
        tracing::info_span!("compute.predict", images = self.images.count())
    }

    /// Takes the softmax of the logits.
    ///
    /// # Errors
    /// The images need more memory than the limit, an output is NaN or infinite, and as [`Network::forward`].
    fn run(self, context: &DeviceContext, _: &Control) -> Result<Vec<Vec<f64>>> {
        let count = self.images.count();
        memory::check(
            memory::of_inference(self.network.graph(), count),
            self.activation_limit,
            format_args!("{count} images in one pass"),
            "send fewer images",
        )?;
        let input = self
            .network
            .input_tensor(&self.images, &self.statistics, &context.device)?;
        let logits = self.network.forward(&input, Mode::Inference, &mut |_, _| Ok(()))?;
        let rows = logits.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let probabilities = |(image, row): (usize, &Vec<f32>)| {
            if row.iter().all(|logit| logit.is_finite()) {
                return Ok(softmax(row));
            }
            Err(if count == 1 {
                ComputeError::Invalid(
                    "the network's output for the image is NaN or infinite: check for weights that are too large"
                        .to_owned(),
                )
            } else {
                ComputeError::OutputNotFinite { image }
            })
        };
        rows.iter().enumerate().map(probabilities).collect()
    }
}
