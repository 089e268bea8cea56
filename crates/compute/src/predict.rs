//! What a network says about images.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::error::{ComputeError, Result};
use super::executor::Mode;
use super::memory;
use super::network::Network;
use scv_domain::evaluation::softmax;
use scv_domain::image::{ChannelStatistics, Images};

/// A network and the images it is asked about.
#[derive(Debug, Clone)]
pub struct PredictTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images.
    pub images: Images,
    /// How pixels become numbers.
    pub statistics: ChannelStatistics,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// The probability of each class, for each image: the softmax of the logits.
///
/// # Errors
/// The images take more memory than may be held, an answer is NaN or infinite, and as [`Network::forward`].
pub fn predict(task: &PredictTask, device: &Device) -> Result<Vec<Vec<f64>>> {
    let count = task.images.count();
    memory::check(
        memory::of_inference(task.network.graph(), count),
        task.activation_limit,
        || format!("{count} images at once: ask about fewer"),
    )?;
    let input = task.network.input_of(&task.images, &task.statistics, device)?;
    let logits = task.network.forward(&input, Mode::Inference, &mut |_, _| Ok(()))?;
    let rows = logits.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let of_image = |(image, row): (usize, &Vec<f32>)| match row.iter().all(|logit| logit.is_finite()) {
        true => Ok(softmax(row)),
        false if count == 1 => Err(ComputeError::Invalid(
            "the network's answer to the image is NaN or infinite: look for weights that are too large".to_owned(),
        )),
        false => Err(ComputeError::AnswerNotFinite { image }),
    };
    rows.iter().enumerate().map(of_image).collect()
}
