//! The images of a data set that activate a group of targets most, found in one pass.

use std::sync::Arc;

use candle_core::DType;
use tracing::Span;

use super::batches::ImageBatches;
use super::control::Control;
use super::error::Result;
use super::network::Network;
use super::synthesis::Objective;
use super::task::{DeviceContext, Task};
use scv_domain::exemplar::Exemplars;
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::synthesis::TargetGroup;

/// A network, a group of targets in it, and the images to compare.
#[derive(Debug, Clone)]
pub struct ExemplarTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images.
    pub images: Images,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// The targets.
    pub group: TargetGroup,
    /// If set, the output has only the member of the group with this index.
    pub only: Option<usize>,
    /// Images per target.
    pub count: usize,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

impl Task for ExemplarTask {
    /// The top-activating images of each target, the highest activation first.
    type Output = Exemplars;

    fn span(&self) -> Span {
        tracing::info_span!("compute.top_activating_images", images = self.images.count())
    }

    /// Runs all images. Of images with equal activations the first comes first; an image whose activation is NaN is
    /// left out.
    ///
    /// # Errors
    /// A group that the network does not have, one image that needs more memory than the limit, cancellation, and as
    /// [`Network::forward`].
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Exemplars> {
        let batches = ImageBatches::new(&self.network, &self.images, &self.statistics, self.activation_limit)?;
        let objective = Objective::of(&self.network, self.group)?;
        let members = self.only.map_or(objective.members(), |_| 1);
        let mut found = Exemplars::new(members, self.count.min(self.images.count()));
        batches.for_each(&context.device, control, |indices, input| {
            let activations = objective.activations(&self.network, input)?;
            let activations = match self.only {
                Some(member) => activations.narrow(1, member, 1)?,
                None => activations,
            };
            let activations = activations.to_dtype(DType::F32)?.to_vec2::<f32>()?;
            for (&image, activations) in indices.iter().zip(&activations) {
                found.add(image, activations);
            }
            Ok(())
        })?;
        Ok(found)
    }
}
