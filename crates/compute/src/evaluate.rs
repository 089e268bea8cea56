//! How well a network does on labelled images.

use candle_core::{DType, Device};

use crate::batches::in_batches;
use crate::control::Control;
use crate::error::{ComputeError, Result};
use crate::executor::Mode;
use crate::network::Network;
use scv_domain::evaluation::{Answer, MAX_CLASSES, Report, Tally};
use scv_domain::image::{ChannelStatistics, LabelledImages};

/// Runs all images through a network, `batch` at a time.
///
/// # Errors
/// If there are no images, if a label is beyond the network's classes, if an answer is NaN or infinite, if the work is
/// cancelled, and as [`Network::forward`].
pub fn evaluate(
    network: &Network,
    data: &LabelledImages,
    statistics: &ChannelStatistics,
    batch: usize,
    device: &Device,
    control: &Control,
) -> Result<Report> {
    let classes = network.classes()?;
    check_labels(data, classes)?;
    let mut tally = Tally::default();
    let images = (&data.images, statistics);
    in_batches(network, images, batch, device, control, |indices, read| {
        let logits = network.forward(read, Mode::Inference, &mut |_, _| Ok(()))?;
        let logits = logits.reshape((indices.len(), classes))?.to_dtype(DType::F32)?;
        for (row, &image) in logits.to_vec2::<f32>()?.iter().zip(indices) {
            if row.iter().any(|logit| !logit.is_finite()) {
                return Err(ComputeError::AnswerNotFinite { image });
            }
            let label = data.labels[image];
            tally.add(label, &Answer::of(row, label));
        }
        Ok(())
    })?;
    Ok(tally.report())
}

/// Refuses labels that do not match the images or the classes.
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
            "the network answers with {classes} numbers, and {MAX_CLASSES} classes can be told apart"
        )));
    }
    match data.labels.iter().find(|&&label| usize::from(label) >= classes) {
        Some(label) => Err(ComputeError::Invalid(format!(
            "label {label} is beyond the {classes} classes of the network"
        ))),
        None => Ok(()),
    }
}

/// How many predictions equal the labels.
pub(super) fn right_answers(predictions: &[usize], labels: &[u16]) -> usize {
    predictions
        .iter()
        .zip(labels)
        .filter(|&(&prediction, &label)| prediction == usize::from(label))
        .count()
}

#[cfg(test)]
mod tests;
