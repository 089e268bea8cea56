//! What a version makes of one image: the feature maps of a layer, and which pixels a class hangs on.

use std::sync::Arc;

use super::network::Runnable;
use super::{KeptPicture, Library, ServiceError};
use crate::compute::attribution::{Attribution, AttributionTask, Method};
use crate::compute::control::Control;
use crate::compute::feature_map::{ChannelChoice, FeatureMap, FeatureMapTask};
use crate::domain::dataset::Split;
use crate::domain::id::{LayerId, VersionId};
use crate::domain::image::Images;
use crate::domain::upload::Preparation;
use crate::picture::{Colours, NumberMap, Raster};

/// Channels of a layer that can be asked for at a time.
pub const MOST_CHANNELS: usize = 64;

/// Noisy copies, or points of an integral, at most.
pub const MOST_GRADIENTS: usize = 300;

/// Which image is looked at.
#[derive(Debug, Clone)]
pub enum ImageChoice {
    /// One of the version's data set.
    OfDataset(Split, usize),
    /// One that somebody brings, a PNG or JPEG file, inverted or not or as the background says.
    Uploaded(Vec<u8>, Option<bool>),
}

/// The image that was looked at.
#[derive(Debug, Clone)]
pub struct Seen {
    /// As a picture.
    pub picture: KeptPicture,
    /// What was done to an uploaded one.
    pub preparations: Vec<Preparation>,
    raster: Raster,
}

/// Feature maps of a layer for an image.
#[derive(Debug, Clone)]
pub struct FeatureMaps {
    /// The image.
    pub seen: Arc<Seen>,
    /// One a channel.
    pub maps: Vec<FeatureMap>,
}

/// Which pixels of an image a class hangs on.
#[derive(Debug, Clone)]
pub struct ImageAttribution {
    /// The image.
    pub seen: Arc<Seen>,
    /// Index of the class: the one that was asked for, or the likeliest.
    pub class: usize,
    /// The numbers.
    pub attribution: Attribution,
}

/// What pixels are to be weighed, and how.
#[derive(Debug, Clone)]
pub struct AttributionRequest {
    /// The version.
    pub version: VersionId,
    /// The image.
    pub image: ImageChoice,
    /// Index of the class; the likeliest if left out.
    pub class: Option<usize>,
    /// How.
    pub method: Method,
}

impl Library {
    /// The feature maps of a layer for an image.
    ///
    /// # Errors
    /// `NOT_FOUND` for the layer or the image; `BAD_USER_INPUT` for a version that cannot be run, a channel that is not there,
    /// and a file that is no image.
    pub async fn feature_maps(
        &self,
        layer: LayerId,
        image: ImageChoice,
        channels: ChannelChoice,
    ) -> Result<FeatureMaps, ServiceError> {
        let found = self.store.layers_by_id(&[layer]).await?.pop();
        let layer = found.ok_or_else(|| ServiceError::not_found("layer", layer))?;
        let wanted = match &channels {
            ChannelChoice::Given(given) => given.len(),
            ChannelChoice::MostActive(count) => *count,
        };
        if wanted > MOST_CHANNELS {
            return Err(ServiceError::bad_input(format!(
                "{wanted} channels are wanted, and {MOST_CHANNELS} can be had at a time: ask for less"
            )));
        }
        let subject = self.runnable(layer.version_id).await?;
        let (image, seen) = self.look_at(&subject, image).await?;
        let task = FeatureMapTask {
            statistics: subject.statistics(),
            network: subject.network,
            image,
            layer: layer.index as usize,
            channels,
            activation_limit: self.activation_limit,
        };
        let maps = self.engine.feature_maps(task, Control::unwatched()).await?;
        Ok(FeatureMaps {
            seen: Arc::new(seen),
            maps,
        })
    }

    /// Which pixels of an image a class hangs on.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version or the image; `BAD_USER_INPUT` for a version that cannot be run, a class or layer that is
    /// not there, more gradients than may be taken, and a file that is no image.
    pub async fn attribute(&self, request: AttributionRequest) -> Result<ImageAttribution, ServiceError> {
        let gradients = match request.method {
            Method::SmoothGrad { samples, .. } => samples,
            Method::IntegratedGradients { steps } => steps,
            Method::InputGradient | Method::GradCam { .. } => 1,
        };
        if !(1..=MOST_GRADIENTS).contains(&gradients) {
            return Err(ServiceError::bad_input(format!(
                "1 to {MOST_GRADIENTS} gradients can be taken for one image, not {gradients}"
            )));
        }
        let subject = self.runnable(request.version).await?;
        let (image, seen) = self.look_at(&subject, request.image).await?;
        let class = match request.class {
            Some(class) => class,
            None => self.likeliest(&subject, image.clone()).await?,
        };
        let task = AttributionTask {
            statistics: subject.statistics(),
            network: subject.network,
            image,
            class,
            method: request.method,
            activation_limit: self.activation_limit,
        };
        Ok(ImageAttribution {
            seen: Arc::new(seen),
            class,
            attribution: self.engine.attribute(task, Control::unwatched()).await?,
        })
    }

    /// Keeps the picture of a map: alone, small ones enlarged to be seen, or over the image that it belongs to.
    ///
    /// # Errors
    /// The store fails.
    pub async fn picture_of_map(
        &self,
        map: NumberMap<'_>,
        colours: Colours,
        over: Option<&Seen>,
    ) -> Result<KeptPicture, ServiceError> {
        let raster = match over {
            None => map.raster(colours).enlarged(),
            Some(seen) => map.over(&seen.raster.enlarged(), colours),
        };
        self.keep_picture(&raster).await
    }

    async fn look_at(&self, subject: &Runnable, choice: ImageChoice) -> Result<(Images, Seen), ServiceError> {
        let (image, preparations) = match choice {
            ImageChoice::Uploaded(file, invert) => self.prepared(file, &subject.dataset, invert).await?,
            ImageChoice::OfDataset(split, index) => {
                let images = self.split_images(subject.dataset.id, split).await?.images;
                if index >= images.count() {
                    return Err(ServiceError::not_found(
                        "image",
                        format!(
                            "{index}: the {split} split of {} has {}",
                            subject.dataset.name,
                            images.count()
                        ),
                    ));
                }
                (images.select(&[index]), Vec::new())
            }
        };
        let raster = Raster::of_planes(image.shape, image.image(0));
        let seen = Seen {
            picture: self.keep_picture(&raster.enlarged()).await?,
            preparations,
            raster,
        };
        Ok((image, seen))
    }
}
