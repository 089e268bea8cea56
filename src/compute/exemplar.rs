//! Which images of a data set a part of a network answers to most.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::batches::in_batches;
use super::control::Control;
use super::error::Result;
use super::network::Network;
use super::synthesis::Objective;
use crate::domain::image::{ChannelStatistics, Images};
use crate::domain::synthesis::{Activating, SynthesisTarget};

/// A network, what of it answers, and the images that it is asked about.
#[derive(Debug, Clone)]
pub struct ExemplarTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images.
    pub images: Images,
    /// How pixels become numbers.
    pub statistics: ChannelStatistics,
    /// What answers.
    pub target: SynthesisTarget,
    /// How many images are wanted.
    pub count: usize,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// The images that are answered to most, the strongest first; of equals the first. One whose answer is no number is left out.
///
/// # Errors
/// A target that is not there, cancellation, and as [`Network::forward`].
pub fn strongest(task: &ExemplarTask, batch: usize, device: &Device, control: &Control) -> Result<Vec<Activating>> {
    let objective = Objective::of(&task.network, task.target)?;
    let mut found = Vec::new();
    let images = (&task.images, &task.statistics);
    in_batches(&task.network, images, batch, device, control, |indices, read| {
        let answers = objective
            .answers(&task.network, read)?
            .to_dtype(DType::F32)?
            .to_vec1::<f32>()?;
        let finite = indices.iter().zip(answers).filter(|(_, answer)| answer.is_finite());
        found.extend(finite.map(|(&index, answer)| Activating {
            index,
            activation: answer.into(),
        }));
        // Stable: of equals the first come first.
        found.sort_by(|a, b| b.activation.total_cmp(&a.activation));
        found.truncate(task.count);
        Ok(())
    })?;
    Ok(found)
}
