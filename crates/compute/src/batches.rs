//! Showing a network many images, so many at a time.

use candle_core::{Device, Tensor};

use super::control::{Control, Hundredths};
use super::error::Result;
use super::network::Network;
use scv_domain::image::{ChannelStatistics, Images};

/// Gives `each` the indices of a batch of images and what the network reads of them, `[images, …]`, batch after batch.
///
/// # Errors
/// Cancellation, and those of `each`.
pub(super) fn in_batches(
    network: &Network,
    (images, statistics): (&Images, &ChannelStatistics),
    batch: usize,
    device: &Device,
    control: &Control,
    mut each: impl FnMut(&[usize], &Tensor) -> Result<()>,
) -> Result<()> {
    let all: Vec<usize> = (0..images.count()).collect();
    let batches = all.chunks(batch.max(1));
    let mut watch = Hundredths::new(control, batches.len());
    for batch in batches {
        control.between_steps()?;
        each(batch, &network.input_of(&images.select(batch), statistics, device)?)?;
        watch.step();
    }
    Ok(())
}
