//! Which images of a data set the parts of a network answer to most, for a group of parts in one pass.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::batches::in_batches;
use super::control::Control;
use super::error::Result;
use super::network::Network;
use super::synthesis::Objective;
use scv_domain::exemplar::Exemplars;
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::synthesis::TargetGroup;

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
    pub group: TargetGroup,
    /// Of the group only the member of this index, whose answers alone are kept then.
    pub only: Option<usize>,
    /// How many images are wanted of each.
    pub count: usize,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// The images that each of the group answers to most, the strongest first; of equals the first. One whose answer is no number
/// is left out.
///
/// # Errors
/// A group that is not there, cancellation, and as [`Network::forward`].
pub fn strongest(task: &ExemplarTask, batch: usize, device: &Device, control: &Control) -> Result<Exemplars> {
    let objective = Objective::of(&task.network, task.group)?;
    let members = task.only.map_or(objective.members(), |_| 1);
    let mut found = Exemplars::new(members, task.count.min(task.images.count()));
    let images = (&task.images, &task.statistics);
    in_batches(&task.network, images, batch, device, control, |indices, read| {
        let answers = objective.answers(&task.network, read)?;
        let answers = match task.only {
            Some(member) => answers.narrow(1, member, 1)?,
            None => answers,
        };
        let answers = answers.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        for (&image, answers) in indices.iter().zip(&answers) {
            found.add(image, answers);
        }
        Ok(())
    })?;
    Ok(found)
}
