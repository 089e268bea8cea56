//! Passes many images through a network, batch by batch.

use candle_core::{Device, Tensor};

use super::control::{Control, PercentProgress};
use super::error::Result;
use super::memory;
use super::network::Network;
use scv_domain::image::{ChannelStatistics, Images};

/// Maximum number of images in a batch.
const MAX_BATCH: usize = 256;

/// Images for a network, in batches as large as memory allows.
pub(super) struct ImageBatches<'a> {
    network: &'a Network,
    images: &'a Images,
    statistics: &'a ChannelStatistics,
    batch_size: usize,
}

impl<'a> ImageBatches<'a> {
    /// Batches whose activations take at most `activation_limit` bytes.
    ///
    /// # Errors
    /// A single image needs more memory than that.
    pub(super) fn new(
        network: &'a Network,
        images: &'a Images,
        statistics: &'a ChannelStatistics,
        activation_limit: u64,
    ) -> Result<Self> {
        Ok(Self {
            network,
            images,
            statistics,
            batch_size: memory::batch_size(network.graph(), MAX_BATCH, activation_limit)?,
        })
    }

    /// Calls `visit` with the indices of the images of each batch, and with the network's input for them,
    /// `[images, …]`.
    ///
    /// # Errors
    /// Cancellation, and those of `visit`.
    pub(super) fn for_each(
        &self,
        device: &Device,
        control: &Control,
        mut visit: impl FnMut(&[usize], &Tensor) -> Result<()>,
    ) -> Result<()> {
        let all: Vec<usize> = (0..self.images.count()).collect();
        let batches = all.chunks(self.batch_size);
        let mut progress = PercentProgress::new(control, batches.len());
        for batch in batches {
            control.between_steps()?;
            let images = self.images.select(batch);
            visit(batch, &self.network.input_tensor(&images, self.statistics, device)?)?;
            progress.step();
        }
        Ok(())
    }
}
