//! Predictions for uploaded images.

use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};

use super::network::{RunnableVersion, is_classifier_of};
use super::{Library, ServiceError, StoredPicture};
use scv_compute::control::Control;
use scv_compute::images::fitted;
use scv_compute::predict::PredictTask;
use scv_domain::dataset::Split;
use scv_domain::dataset_record::Dataset;
use scv_domain::id::VersionId;
use scv_domain::image::{ChannelOrder, ImageShape, Images, lightness};
use scv_domain::upload::{InversionReason, PreprocessingStep, border_lightness};
use scv_domain::version::Version;
use scv_picture::Raster;

/// Bytes of an uploaded file.
const MAX_IMAGE_BYTES: usize = 20 << 20;

/// Rows or columns of an uploaded image.
const MAX_SIDE_PIXELS: u32 = 4_096;

/// Bytes that an image may take while it is decoded: a small file can declare very many pixels.
const MAX_UNPACKED_BYTES: u64 = 160 << 20;

/// Images of the data set that the lightness of its background is estimated from.
const BACKGROUND_SAMPLE: usize = 500;

/// The boundary between dark and light, of 0 to 255.
const MIDDLE: f64 = 127.5;

/// A transparent image counts as a light drawing if so large a share of its visible area is light. A dark stroke on light
/// paper, with transparency around the paper, has less.
const LIGHT_SHARE: f64 = 0.98;

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
        let subject = self.runnable_version(request.version).await?;
        if !is_classifier_of(&subject.network, &subject.dataset) {
            return Err(ServiceError::bad_input(format!(
                "the version's output is not one number for each of the {} classes of {}, so it cannot predict them",
                subject.dataset.class_names.len(),
                subject.dataset.name
            )));
        }
        let (images, preprocessing_steps) = self.preprocess(request.file, &subject.dataset, request.invert).await?;
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
        let _permit = self.compute_permit().await;
        tokio::task::spawn_blocking(prepare)
            .await
            .map_err(ServiceError::internal)?
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

/// Decodes a PNG or JPEG file within limits, and rotates it according to its EXIF orientation.
fn decode(file: &[u8]) -> Result<(DynamicImage, Vec<PreprocessingStep>), ServiceError> {
    let refuse = |error: &ImageError| match error {
        ImageError::Limits(_) => ServiceError::bad_input(format!(
            "`image` has more than {MAX_SIDE_PIXELS} pixels per side or decodes to more than {MAX_UNPACKED_BYTES} bytes: \
             upload a smaller one"
        )),
        // The decoder's own message about damaged bytes goes on for lines.
        _ => ServiceError::bad_input("`image` is damaged: upload the whole PNG or JPEG file"),
    };
    if file.len() > MAX_IMAGE_BYTES {
        return Err(ServiceError::bad_input(format!(
            "`image` has {} bytes; the limit is {MAX_IMAGE_BYTES}: upload a smaller one",
            file.len()
        )));
    }
    let mut reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|error| refuse(&error.into()))?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(ServiceError::bad_input(
            "`image` is neither PNG nor JPEG: upload a PNG or JPEG file",
        ));
    }
    if reader.format() == Some(ImageFormat::Jpeg) && is_cut_off(file) {
        return Err(ServiceError::bad_input(
            "`image` is a JPEG file that is cut off: upload the whole file",
        ));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PIXELS);
    limits.max_image_height = Some(MAX_SIDE_PIXELS);
    limits.max_alloc = Some(MAX_UNPACKED_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|error| refuse(&error))?;
    limits.reserve(decoder.total_bytes()).map_err(|error| refuse(&error))?;
    let orientation = decoder.orientation().map_err(|error| refuse(&error))?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| refuse(&error))?;
    let mut steps = Vec::new();
    if orientation != image::metadata::Orientation::NoTransforms {
        image.apply_orientation(orientation);
        steps.push(PreprocessingStep::Rotated);
    }
    Ok((image, steps))
}

/// Whether a JPEG file has no end of image (FF D9) after the last start of a scan (FF DA). The decoder would fill in grey.
fn is_cut_off(file: &[u8]) -> bool {
    let last = |marker: u8| file.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) < last(0xda)
}

/// Whether the visible area of a transparent image is light, so that the drawing would be lost on white.
fn is_light_drawing(colours: &image::RgbaImage) -> bool {
    let (mut light, mut all) = (0, 0);
    for image::Rgba([red, green, blue, opacity]) in colours.pixels() {
        let is_light = f64::from(lightness([*red, *green, *blue].map(f32::from))) > MIDDLE;
        light += u64::from(*opacity) * u64::from(is_light);
        all += u64::from(*opacity);
    }
    light as f64 > LIGHT_SHARE * all as f64
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

/// An image as `channels` planes. Transparent areas become white or black.
fn to_planes(image: &DynamicImage, channels: usize, steps: &mut Vec<PreprocessingStep>) -> Images {
    let colours = image.to_rgba8();
    let mut fill = 255;
    if colours.pixels().any(|pixel| pixel.0[3] < u8::MAX) {
        let on_black = is_light_drawing(&colours);
        fill = if on_black { 0 } else { 255 };
        steps.push(PreprocessingStep::Flattened { on_black });
    }
    let on_fill = |pixel: &image::Rgba<u8>, channel: usize| {
        let [value, opacity] = [pixel.0[channel], pixel.0[3]].map(u32::from);
        ((value * opacity + fill * (255 - opacity) + 127) / 255) as u8
    };
    let grey =
        |pixel: &image::Rgba<u8>| lightness([0, 1, 2].map(|channel| f32::from(on_fill(pixel, channel)))).round() as u8;
    let mut planes = Vec::with_capacity(channels * colours.width() as usize * colours.height() as usize);
    match channels {
        1 => planes.extend(colours.pixels().map(grey)),
        _ => (0..3).for_each(|channel| planes.extend(colours.pixels().map(|pixel| on_fill(pixel, channel)))),
    }
    match (image.color().has_color(), channels) {
        (true, 1) => steps.push(PreprocessingStep::ConvertedToGrey),
        (false, 3) => steps.push(PreprocessingStep::ConvertedToColour),
        _ => {}
    }
    Images {
        shape: ImageShape {
            channels,
            height: colours.height() as usize,
            width: colours.width() as usize,
        },
        pixels: planes.into(),
    }
}
