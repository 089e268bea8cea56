//! Which images of a data set a part of a network answers to most.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::control::{Control, Hundredths};
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
    let all: Vec<usize> = (0..task.images.count()).collect();
    let batches = all.chunks(batch.max(1));
    let mut watch = Hundredths::new(control, batches.len());
    let mut found = Vec::new();
    for batch in batches {
        control.check()?;
        let read = task
            .network
            .input_of(&task.images.select(batch), &task.statistics, device)?;
        let answers = objective
            .answers(&task.network, &read)?
            .to_dtype(DType::F32)?
            .to_vec1::<f32>()?;
        let finite = batch.iter().zip(answers).filter(|(_, answer)| answer.is_finite());
        found.extend(finite.map(|(&index, answer)| Activating {
            index,
            activation: answer.into(),
        }));
        // Stable: of equals the first come first.
        found.sort_by(|a, b| b.activation.total_cmp(&a.activation));
        found.truncate(task.count);
        watch.step();
    }
    Ok(found)
}
