//! Evaluates a network on labelled images.

use std::sync::Arc;

use candle_core::DType;
use tracing::Span;

use crate::batches::ImageBatches;
use crate::control::Control;
use crate::error::{ComputeError, Result};
use crate::executor::Mode;
use crate::network::Network;
use crate::task::{DeviceContext, Task};
use scv_domain::evaluation::{Classification, MAX_CLASSES, Report, Tally};
use scv_domain::image::{ChannelStatistics, LabelledImages};

/// A network and the labelled images to test it on.
#[derive(Debug, Clone)]
pub struct EvaluateTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images with their classes.
    pub data: LabelledImages,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

impl Task for EvaluateTask {
    type Output = Report;

    fn span(&self) -> Span {
        tracing::info_span!("compute.evaluate", images = self.data.images.count())
    }

    /// Runs all images through the network.
    ///
    /// # Errors
    /// No images, a label that is not a class of the network, an output that is NaN or infinite, one image that needs
    /// more memory than the limit, cancellation, and as [`Network::forward`].
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Report> {
        let (network, images) = (&self.network, &self.data.images);
        let batches = ImageBatches::new(network, images, &self.statistics, self.activation_limit)?;
        let classes = network.classes()?;
        check_labels(&self.data, classes)?;
        let mut tally = Tally::default();
        batches.for_each(&context.device, control, |indices, input| {
            let logits = network.forward(input, Mode::Inference, &mut |_, _| Ok(()))?;
            let logits = logits.reshape((indices.len(), classes))?.to_dtype(DType::F32)?;
            for (row, &image) in logits.to_vec2::<f32>()?.iter().zip(indices) {
                if row.iter().any(|logit| !logit.is_finite()) {
                    return Err(ComputeError::OutputNotFinite { image });
                }
                let label = self.data.labels[image];
                tally.add(label, &Classification::from_logits(row, label));
            }
            Ok(())
        })?;
        Ok(tally.report())
    }
}

/// Checks that the labels match the images and the classes.
pub(super) fn check_labels(data: &LabelledImages, classes: usize) -> Result<()> {
    let count = data.images.count();
    if count == 0 {
        return Err(ComputeError::Invalid("there are no images".into()));
    }
    if data.labels.len() != count {
        return Err(ComputeError::Invalid(format!(
            "there are {count} images but {} labels",
            data.labels.len()
        )));
    }
    if classes > MAX_CLASSES {
        return Err(ComputeError::Invalid(format!(
            "the network has {classes} classes; the limit is {MAX_CLASSES}"
        )));
    }
    match data.labels.iter().find(|&&label| usize::from(label) >= classes) {
        Some(label) => Err(ComputeError::Invalid(format!(
            "label {label} is out of range: the network has {classes} classes"
        ))),
        None => Ok(()),
    }
}

/// How many predictions equal the labels.
pub(super) fn count_correct(predictions: &[usize], labels: &[u16]) -> usize {
    predictions
        .iter()
        .zip(labels)
        .filter(|&(&prediction, &label)| prediction == usize::from(label))
        .count()
}

#[cfg(test)]
mod tests;
