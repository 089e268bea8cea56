//! Predictions for uploaded images.

use std::sync::Arc;

use bytes::Bytes;

use super::image_file::{MIDDLE, decode, to_planes, unpacked_bytes};
use super::network::{RunnableVersion, is_classifier_of};
use super::{Library, ServiceError, StoredPicture};
use scv_compute::control::Control;
use scv_compute::images::fitted;
use scv_compute::predict::PredictTask;
use scv_domain::dataset::Split;
use scv_domain::dataset_record::Dataset;
use scv_domain::id::VersionId;
use scv_domain::image::{ChannelOrder, Images};
use scv_domain::upload::{InversionReason, PreprocessingStep, border_lightness};
use scv_domain::version::Version;
use scv_picture::Raster;

/// Images of the data set that the lightness of its background is estimated from.
const BACKGROUND_SAMPLE: usize = 500;

/// A request for a prediction.
#[derive(Debug, Clone)]
pub struct PredictRequest {
    /// The version.
    pub version: VersionId,
    /// A PNG or JPEG file.
    pub file: Bytes,
    /// Whether to invert the image. If `None`, it is inverted if its background is light and that of the data set is dark, or
    /// the other way round.
    pub invert: Option<bool>,
}

/// The prediction of a version for an image.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The version.
    pub version: Version,
    /// The data set that its classes are of.
    pub dataset: Dataset,
    /// The probability of each class, in the order of the classes.
    pub probabilities: Vec<f64>,
    /// How the image was converted.
    pub preprocessing_steps: Vec<PreprocessingStep>,
    /// The converted image, before it is normalised.
    pub prepared_image: StoredPicture,
}

impl Library {
    /// Predicts the class of an image.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version; `BAD_USER_INPUT` for one that cannot be run or is not a classifier, and for a file that is
    /// not PNG or JPEG or is too large.
    pub async fn predict(&self, request: PredictRequest) -> Result<Prediction, ServiceError> {
        let version = self.ready_version(request.version).await?;
        let dataset = self.dataset(version.dataset_id).await?;
        // Nothing large is held while something else is waited for.
        let (images, preprocessing_steps) = self.preprocess(request.file, &dataset, request.invert).await?;
        let subject = self.run_version(version, dataset).await?;
        if !is_classifier_of(&subject.network, &subject.dataset) {
            return Err(ServiceError::bad_input(format!(
                "the version's output is not one number for each of the {} classes of {}, so it cannot predict them",
                subject.dataset.class_names.len(),
                subject.dataset.name
            )));
        }
        let prepared_image = self
            .pictures
            .put(Raster::from_planes(images.shape, images.image(0)).enlarged())
            .await?;
        let probabilities = self.probabilities(&subject, images).await?;
        Ok(Prediction {
            version: subject.version,
            dataset: subject.dataset,
            probabilities,
            preprocessing_steps,
            prepared_image,
        })
    }

    /// The probability that a version gives each class for an image.
    pub(super) async fn probabilities(
        &self,
        subject: &RunnableVersion,
        image: Images,
    ) -> Result<Vec<f64>, ServiceError> {
        let task = PredictTask {
            network: Arc::clone(&subject.network),
            images: image,
            statistics: subject.statistics(),
            activation_limit: self.activation_limit,
        };
        let _permit = self.device_permit().await;
        let mut of_images = self.engine.run(task, Control::unwatched()).await?;
        Ok(of_images.pop().unwrap_or_default())
    }

    /// Converts an uploaded image to the format of a data set's images, and lists the steps.
    pub(super) async fn preprocess(
        &self,
        file: Bytes,
        dataset: &Dataset,
        invert: Option<bool>,
    ) -> Result<(Images, Vec<PreprocessingStep>), ServiceError> {
        // Only grey images have a background that can be compared.
        let dataset_images = match invert {
            None if dataset.shape.channels == 1 => Some(self.split_images(dataset.id, Split::Test).await?.images),
            _ => None,
        };
        let shape = dataset.shape;
        let unpacked = unpacked_bytes(&file);
        let prepare = move || {
            let (image, mut steps) = decode(&file)?;
            let mut images = to_planes(&image, shape.channels, &mut steps);
            let by_background = dataset_images.and_then(|others| {
                let is_light = border_lightness(images.shape, images.image(0)) > MIDDLE;
                let is_dataset_light = background_lightness(&others) > MIDDLE;
                if is_light == is_dataset_light {
                    None
                } else if is_light {
                    Some(InversionReason::DarkOnLight)
                } else {
                    Some(InversionReason::LightOnDark)
                }
            });
            let reason = match invert {
                Some(requested) => requested.then_some(InversionReason::Requested),
                None => by_background,
            };
            if let Some(reason) = reason {
                images.pixels = images.pixels.iter().map(|pixel| 255 - pixel).collect();
                steps.push(PreprocessingStep::Inverted(reason));
            }
            let (from, to) = ([images.shape.height, images.shape.width], [shape.height, shape.width]);
            if from != to {
                images = fitted(&images, shape, ChannelOrder::Rgb);
                steps.push(PreprocessingStep::Resized { from, to });
            }
            Ok((images, steps))
        };
        // A large image takes some hundred megabytes while it is converted: as many at a time as there are cores.
        let permit = self.compute_permit().await;
        let memory = self.memory.reserve(unpacked).await?;
        let prepared = permit.run(move || {
            let _memory = memory;
            prepare()
        });
        prepared.await?
    }
}

/// How light the background of images is, 0 to 255.
fn background_lightness(images: &Images) -> f64 {
    let count = images.count().min(BACKGROUND_SAMPLE);
    let sum: f64 = (0..count)
        .map(|index| border_lightness(images.shape, images.image(index)))
        .sum();
    sum / count.max(1) as f64
}

/// The most likely class, the first of equals.
pub(super) fn most_likely_class(probabilities: &[f64]) -> usize {
    let better = |best: usize, class: usize| {
        if probabilities[class] > probabilities[best] {
            class
        } else {
            best
        }
    };
    (0..probabilities.len()).fold(0, better)
}
