//! Images that are kept out of a training, and what the network makes of them after each epoch.

use std::sync::Arc;

use rand::seq::SliceRandom;

use super::draw::{Draw, generator};
use crate::control::Control;
use crate::error::{ComputeError, Result};
use crate::evaluate::EvaluateTask;
use crate::task::{DeviceContext, Task};
use scv_domain::image::LabelledImages;
use scv_domain::training::{TrainSettings, Validation};

/// The train split in two parts.
pub(super) struct ValidationSplit {
    /// Indices of the images to train on, ascending.
    pub(super) training: Vec<usize>,
    /// The images that are kept out, if any are.
    pub(super) validation: Option<LabelledImages>,
}

impl ValidationSplit {
    /// Keeps the same share of each class out, give or take one image. The seed chooses the images.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`] if the share is less than one image.
    pub(super) fn of(data: &LabelledImages, settings: &TrainSettings) -> Result<Self> {
        let (count, share) = (data.images.count(), settings.validation_share);
        let is_kept_out = kept_out(&data.labels, settings);
        let (validation, training): (Vec<usize>, Vec<usize>) = (0..count).partition(|&image| is_kept_out[image]);
        if share > 0.0 && validation.is_empty() {
            return Err(ComputeError::Invalid(format!(
                "a validation share of {share} of {count} training images is less than one image: use a larger share, or 0"
            )));
        }
        let validation = (!validation.is_empty()).then(|| LabelledImages {
            images: data.images.select(&validation),
            labels: validation.iter().map(|&image| data.labels[image]).collect(),
        });
        Ok(Self { training, validation })
    }
}

/// Whether each image is kept out: every so many of the images in the order of their classes, which are shuffled within each
/// class. The last image of a class is not.
fn kept_out(labels: &[u16], settings: &TrainSettings) -> Vec<bool> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(&mut generator(settings.seed, Draw::Validation, 0));
    order.sort_by_key(|&image| labels[image]);
    let due = |images: usize| (images as f64 * settings.validation_share) as usize;
    let mut is_kept_out = vec![false; labels.len()];
    for (index, image) in order.into_iter().enumerate() {
        is_kept_out[image] = due(index + 1) > due(index);
    }
    keep_every_class(labels, &mut is_kept_out);
    is_kept_out
}

/// Leaves the training at least one image of each class: a network cannot learn a class that it never sees.
fn keep_every_class(labels: &[u16], is_kept_out: &mut [bool]) {
    let mut is_trained = vec![false; labels.iter().max().map_or(0, |&last| usize::from(last) + 1)];
    for (&label, &is_kept_out) in labels.iter().zip(&*is_kept_out) {
        is_trained[usize::from(label)] |= !is_kept_out;
    }
    for (&label, is_kept_out) in labels.iter().zip(is_kept_out) {
        if !is_trained[usize::from(label)] {
            is_trained[usize::from(label)] = true;
            *is_kept_out = false;
        }
    }
}

/// Evaluates the network as it is after an epoch. Its progress is not that of the training.
pub(super) fn validate(evaluation: EvaluateTask, context: &DeviceContext, control: &Control) -> Result<Validation> {
    let control = Control {
        progress: Arc::new(|_| {}),
        ..control.clone()
    };
    let report = evaluation.run(context, &control)?;
    Ok(Validation {
        accuracy: report.accuracy,
        loss: report.loss,
    })
}
