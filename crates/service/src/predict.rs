//! What a version says about an image that somebody brings.

use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};

use super::network::{Runnable, answers_classes};
use super::{KeptPicture, Library, ServiceError};
use scv_compute::control::Control;
use scv_compute::images::fitted;
use scv_compute::predict::PredictTask;
use scv_domain::dataset::Split;
use scv_domain::dataset_record::Dataset;
use scv_domain::id::VersionId;
use scv_domain::image::{ChannelOrder, ImageShape, Images, lightness};
use scv_domain::upload::{Inverting, Preparation, border_lightness};
use scv_domain::version::Version;
use scv_picture::Raster;

/// Bytes of a file that may be brought.
const MAX_IMAGE_BYTES: usize = 20 << 20;

/// Rows and columns that it may have.
const MAX_SIDE_PIXELS: u32 = 4_096;

/// Bytes that it may take while it is unpacked: a small file can tell of very many pixels.
const MAX_UNPACKED_BYTES: u64 = 160 << 20;

/// Images of the data set that tell how light its background is.
const BACKGROUND_SAMPLE: usize = 500;

/// Where light ends and dark begins, of 0 to 255.
const MIDDLE: f64 = 127.5;

/// Of what can be seen of a transparent image, the share that is light if it is drawn in light: a dark stroke on light paper,
/// with nothing around the paper, is not.
const LIGHT_SHARE: f64 = 0.98;

/// An image for a version.
#[derive(Debug, Clone)]
pub struct PredictRequest {
    /// The version.
    pub version: VersionId,
    /// A PNG or JPEG file.
    pub file: Bytes,
    /// Whether light becomes dark; if nothing is said, where the backgrounds of the image and of the data set differ in that.
    pub invert: Option<bool>,
}

/// What a version says about an image.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The version.
    pub version: Version,
    /// The data set that its classes are of.
    pub dataset: Dataset,
    /// The probability of each class, in the order of the classes.
    pub probabilities: Vec<f64>,
    /// What was done to the image.
    pub preparations: Vec<Preparation>,
    /// What the version was shown, before it is normalised.
    pub shown: KeptPicture,
}

impl Library {
    /// Shows an image to a version.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version; `BAD_USER_INPUT` for one that cannot be run or does not answer with classes, and for a
    /// file that is no PNG or JPEG or too large.
    pub async fn predict(&self, request: PredictRequest) -> Result<Prediction, ServiceError> {
        let subject = self.runnable(request.version).await?;
        if !answers_classes(&subject.network, &subject.dataset) {
            return Err(ServiceError::bad_input(format!(
                "the version does not answer with the {} classes of {}, so it predicts none of them",
                subject.dataset.class_names.len(),
                subject.dataset.name
            )));
        }
        let (images, preparations) = self.prepared(request.file, &subject.dataset, request.invert).await?;
        let shown = self
            .keep_picture(Raster::of_planes(images.shape, images.image(0)).enlarged())
            .await?;
        let probabilities = self.probabilities(&subject, images).await?;
        Ok(Prediction {
            version: subject.version,
            dataset: subject.dataset,
            probabilities,
            preparations,
            shown,
        })
    }

    /// How likely a version finds each class for an image.
    pub(super) async fn probabilities(&self, subject: &Runnable, image: Images) -> Result<Vec<f64>, ServiceError> {
        let task = PredictTask {
            network: Arc::clone(&subject.network),
            images: image,
            statistics: subject.statistics(),
            activation_limit: self.activation_limit,
        };
        let _turn = self.device_turn().await;
        let mut of_images = self.engine.predict(task, Control::unwatched()).await?;
        Ok(of_images.pop().unwrap_or_default())
    }

    /// An uploaded image as the images of a data set are, and what was done to it.
    pub(super) async fn prepared(
        &self,
        file: Bytes,
        dataset: &Dataset,
        invert: Option<bool>,
    ) -> Result<(Images, Vec<Preparation>), ServiceError> {
        // Only of grey images it can be told.
        let others = match invert {
            None if dataset.shape.channels == 1 => Some(self.split_images(dataset.id, Split::Test).await?.images),
            _ => None,
        };
        let shape = dataset.shape;
        let prepare = move || {
            let (image, mut done) = decoded(&file)?;
            let mut images = with_channels(&image, shape.channels, &mut done);
            let of_border = others.and_then(|others| {
                let own = border_lightness(images.shape, images.image(0)) > MIDDLE;
                match (own, background(&others) > MIDDLE) {
                    (true, false) => Some(Inverting::DarkOnLight),
                    (false, true) => Some(Inverting::LightOnDark),
                    (true, true) | (false, false) => None,
                }
            });
            let why = match invert {
                Some(wished) => wished.then_some(Inverting::Asked),
                None => of_border,
            };
            if let Some(why) = why {
                images.pixels = images.pixels.iter().map(|pixel| 255 - pixel).collect();
                done.push(Preparation::Inverted(why));
            }
            let (from, to) = ([images.shape.height, images.shape.width], [shape.height, shape.width]);
            if from != to {
                images = fitted(&images, shape, ChannelOrder::Rgb);
                done.push(Preparation::Resized { from, to });
            }
            Ok((images, done))
        };
        // A large image takes some hundred megabytes while it is prepared: as many at a time as there are cores.
        let _turn = self.turn().await;
        tokio::task::spawn_blocking(prepare)
            .await
            .map_err(ServiceError::internal)?
    }
}

/// How light the background of images is.
fn background(images: &Images) -> f64 {
    let count = images.count().min(BACKGROUND_SAMPLE);
    let sum: f64 = (0..count)
        .map(|index| border_lightness(images.shape, images.image(index)))
        .sum();
    sum / count.max(1) as f64
}

/// Unpacks a PNG or JPEG file within limits, turned as its camera says.
fn decoded(file: &[u8]) -> Result<(DynamicImage, Vec<Preparation>), ServiceError> {
    let refuse = |error: &ImageError| match error {
        ImageError::Limits(_) => ServiceError::bad_input(format!(
            "`image` has more than {MAX_SIDE_PIXELS} pixels a side or unpacks to more than {MAX_UNPACKED_BYTES} bytes: \
             bring a smaller one"
        )),
        // What a decoder says of broken bytes goes on for lines.
        _ => ServiceError::bad_input("`image` is broken: bring the whole PNG or JPEG file"),
    };
    if file.len() > MAX_IMAGE_BYTES {
        return Err(ServiceError::bad_input(format!(
            "`image` has more than {MAX_IMAGE_BYTES} bytes, and no more are allowed: bring a smaller one"
        )));
    }
    let mut reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|error| refuse(&error.into()))?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(ServiceError::bad_input(
            "`image` is neither PNG nor JPEG: bring a file of one of these",
        ));
    }
    if reader.format() == Some(ImageFormat::Jpeg) && is_cut_off(file) {
        return Err(ServiceError::bad_input(
            "`image` is a JPEG file that is cut off: bring the whole file",
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
    let mut done = Vec::new();
    if orientation != image::metadata::Orientation::NoTransforms {
        image.apply_orientation(orientation);
        done.push(Preparation::Turned);
    }
    Ok((image, done))
}

/// Whether no end of image (FF D9) comes behind the last start of a scan (FF DA) of a JPEG file: its decoder fills in grey.
fn is_cut_off(file: &[u8]) -> bool {
    let last = |marker: u8| file.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) < last(0xda)
}

/// Whether all that can be seen of a transparent image is light, so that it would be lost on white.
fn is_drawn_in_light(colours: &image::RgbaImage) -> bool {
    let (mut light, mut all) = (0, 0);
    for image::Rgba([red, green, blue, opacity]) in colours.pixels() {
        let is_light = f64::from(lightness([*red, *green, *blue].map(f32::from))) > MIDDLE;
        light += u64::from(*opacity) * u64::from(is_light);
        all += u64::from(*opacity);
    }
    light as f64 > LIGHT_SHARE * all as f64
}

/// The likeliest class, the first of equals.
pub(super) fn likeliest(probabilities: &[f64]) -> usize {
    let better = |best: usize, class: usize| match probabilities[class] > probabilities[best] {
        true => class,
        false => best,
    };
    (0..probabilities.len()).fold(0, better)
}

/// An image as planes of so many channels, on white or black where it is transparent.
fn with_channels(image: &DynamicImage, channels: usize, done: &mut Vec<Preparation>) -> Images {
    let colours = image.to_rgba8();
    let mut ground = 255;
    if colours.pixels().any(|pixel| pixel.0[3] < u8::MAX) {
        let on_black = is_drawn_in_light(&colours);
        ground = if on_black { 0 } else { 255 };
        done.push(Preparation::Flattened { on_black });
    }
    let on_ground = |pixel: &image::Rgba<u8>, channel: usize| {
        let [value, opacity] = [pixel.0[channel], pixel.0[3]].map(u32::from);
        ((value * opacity + ground * (255 - opacity) + 127) / 255) as u8
    };
    let grey = |pixel: &image::Rgba<u8>| {
        lightness([0, 1, 2].map(|channel| f32::from(on_ground(pixel, channel)))).round() as u8
    };
    let mut planes = Vec::with_capacity(channels * colours.width() as usize * colours.height() as usize);
    match channels {
        1 => planes.extend(colours.pixels().map(grey)),
        _ => (0..3).for_each(|channel| planes.extend(colours.pixels().map(|pixel| on_ground(pixel, channel)))),
    }
    match (image.color().has_color(), channels) {
        (true, 1) => done.push(Preparation::Greyed),
        (false, 3) => done.push(Preparation::Coloured),
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
