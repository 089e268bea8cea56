//! What a version makes of one image: the feature maps of a layer, and which pixels a class hangs on.

use std::sync::Arc;

use bytes::Bytes;

use super::network::Runnable;
use super::picture::no_such_image;
use super::predict::likeliest;
use super::{KeptPicture, Library, ServiceError};
use scv_compute::attribution::AttributionTask;
use scv_compute::control::Control;
use scv_compute::feature_map::{FeatureMapTask, planes};
use scv_domain::dataset::Split;
use scv_domain::exemplar::{Exemplars, MAX_CHANNELS as MAX_CHANNELS_KEPT};
use scv_domain::id::{LayerId, VersionId};
use scv_domain::image::{Images, LabelledImages};
use scv_domain::insight::{Attribution, ChannelChoice, FeatureMap, Method};
use scv_domain::upload::Preparation;
use scv_domain::version::Layer;
use scv_picture::{Colours, NumberMap, Raster};

/// Channels of a layer that can be asked for at a time.
pub const MAX_CHANNELS: usize = 64;

/// Which image is looked at.
#[derive(Debug, Clone)]
pub enum ImageChoice {
    /// One of the version's data set.
    OfDataset(Split, usize),
    /// For each channel the one that it answers to most.
    Strongest,
    /// One that somebody brings, a PNG or JPEG file, inverted or not or as the background says.
    Uploaded(Bytes, Option<bool>),
}

/// The image that was looked at.
#[derive(Debug, Clone)]
pub struct Seen {
    /// As a picture.
    pub picture: KeptPicture,
    /// Where it stands in the data set; none for an uploaded one.
    pub place: Option<ImagePlace>,
    /// What was done to an uploaded one.
    pub preparations: Vec<Preparation>,
    raster: Raster,
}

/// Where an image stands in the version's data set.
#[derive(Debug, Clone)]
pub struct ImagePlace {
    /// The split.
    pub split: Split,
    /// Its index there.
    pub index: usize,
    /// Index of its class.
    pub class: u16,
    /// The names of all classes.
    pub class_names: Vec<String>,
}

/// The feature map of a channel, with the image that it is of.
#[derive(Debug, Clone)]
pub struct SeenMap {
    /// The image.
    pub seen: Arc<Seen>,
    /// The map.
    pub map: FeatureMap,
}

/// Which pixels of an image a class hangs on.
#[derive(Debug, Clone)]
pub struct ImageAttribution {
    /// The image.
    pub seen: Arc<Seen>,
    /// Index of the class: the one that was asked for, or the likeliest.
    pub class: usize,
    /// How likely the version finds it.
    pub probability: f64,
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
    ) -> Result<Vec<SeenMap>, ServiceError> {
        let found = self.store.layers_by_id(&[layer]).await?.pop();
        let layer = found.ok_or_else(|| ServiceError::not_found("layer", layer))?;
        let wanted = match &channels {
            ChannelChoice::Given(given) => given.len(),
            ChannelChoice::MostActive(count) => *count,
        };
        if wanted > MAX_CHANNELS {
            return Err(ServiceError::bad_input(format!(
                "{wanted} channels are wanted, and {MAX_CHANNELS} can be had at a time: ask for less"
            )));
        }
        let subject = self.runnable(layer.version_id).await?;
        let ImageChoice::Strongest = image else {
            return self.maps_of(&subject, &layer, image, channels).await;
        };
        let exemplars = self.exemplars_of(&layer).await?;
        let mut maps = Vec::new();
        for channel in strongest_channels(&exemplars, channels) {
            let last = exemplars.parts().len().saturating_sub(1);
            let images = exemplars.parts().get(channel).ok_or_else(|| {
                ServiceError::bad_input(format!(
                    "layer {} has channels 0 to {last}, and none of index {channel}",
                    layer.name
                ))
            })?;
            let strongest = images.first().ok_or_else(|| {
                ServiceError::bad_input(format!(
                    "no image is kept for channel {channel} of layer {}",
                    layer.name
                ))
            })?;
            let image = ImageChoice::OfDataset(Split::Test, strongest.index);
            maps.extend(
                self.maps_of(&subject, &layer, image, ChannelChoice::Given(vec![channel]))
                    .await?,
            );
        }
        Ok(maps)
    }

    /// The images that the channels of a layer answer to most.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if they have not been looked for.
    pub async fn exemplars_of(&self, layer: &Layer) -> Result<Exemplars, ServiceError> {
        let kept = self.store.channel_exemplars(&[layer.id]).await?.pop();
        kept.map(|(_, exemplars)| exemplars).ok_or_else(|| {
            let shape: Vec<usize> = layer.output_shape.iter().map(|&length| length as usize).collect();
            let [channels, ..] = planes(&shape);
            ServiceError::bad_input(match channels > MAX_CHANNELS_KEPT {
                true => format!(
                    "layer {} has {channels} channels, and the images that channels answer to most are kept for layers of at \
                     most {MAX_CHANNELS_KEPT}: name an image",
                    layer.name
                ),
                false => "the images that this layer's channels answer to most have not been looked for: run findExemplars \
                          first"
                    .to_owned(),
            })
        })
    }

    async fn maps_of(
        &self,
        subject: &Runnable,
        layer: &Layer,
        image: ImageChoice,
        channels: ChannelChoice,
    ) -> Result<Vec<SeenMap>, ServiceError> {
        let (image, seen) = self.look_at(subject, image).await?;
        let task = FeatureMapTask {
            statistics: subject.statistics(),
            network: Arc::clone(&subject.network),
            image,
            layer: layer.index as usize,
            channels,
            activation_limit: self.activation_limit,
        };
        let _turn = self.device_turn().await;
        let maps = self.engine.feature_maps(task, Control::unwatched()).await?;
        let seen = Arc::new(seen);
        let seen_map = |map| SeenMap {
            seen: Arc::clone(&seen),
            map,
        };
        Ok(maps.into_iter().map(seen_map).collect())
    }

    /// Which pixels of an image a class hangs on.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version or the image; `BAD_USER_INPUT` for a version that cannot be run, a class or layer that is
    /// not there, and a file that is no image.
    pub async fn attribute(&self, request: AttributionRequest) -> Result<ImageAttribution, ServiceError> {
        let subject = self.runnable(request.version).await?;
        let (image, seen) = self.look_at(&subject, request.image).await?;
        let probabilities = self.probabilities(&subject, image.clone()).await?;
        let class = request.class.unwrap_or_else(|| likeliest(&probabilities));
        let task = AttributionTask {
            statistics: subject.statistics(),
            network: subject.network,
            image,
            class,
            method: request.method,
            activation_limit: self.activation_limit,
        };
        let _turn = self.device_turn().await;
        Ok(ImageAttribution {
            seen: Arc::new(seen),
            class,
            probability: probabilities.get(class).copied().unwrap_or_default(),
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
        self.keep_picture(raster).await
    }

    async fn look_at(&self, subject: &Runnable, choice: ImageChoice) -> Result<(Images, Seen), ServiceError> {
        let (image, place, preparations) = match choice {
            ImageChoice::Uploaded(file, invert) => {
                let (image, preparations) = self.prepared(file, &subject.dataset, invert).await?;
                (image, None, preparations)
            }
            ImageChoice::OfDataset(split, index) => {
                let LabelledImages { images, labels } = self.split_images(subject.dataset.id, split).await?;
                if index >= images.count() {
                    return Err(no_such_image(&subject.dataset.name, split, index, images.count()));
                }
                let place = ImagePlace {
                    split,
                    index,
                    class: labels[index],
                    class_names: subject.dataset.class_names.clone(),
                };
                (images.select(&[index]), Some(place), Vec::new())
            }
            ImageChoice::Strongest => {
                return Err(ServiceError::bad_input(
                    "only channels have images that they answer to most",
                ));
            }
        };
        let raster = Raster::of_planes(image.shape, image.image(0));
        let seen = Seen {
            picture: self.keep_picture(raster.enlarged()).await?,
            place,
            preparations,
            raster,
        };
        Ok((image, seen))
    }
}

/// The channels that are meant: those given, or those whose strongest image is answered to most.
fn strongest_channels(exemplars: &Exemplars, channels: ChannelChoice) -> Vec<usize> {
    let count = match channels {
        ChannelChoice::Given(given) => return given,
        ChannelChoice::MostActive(count) => count,
    };
    let strength = |channel: &usize| exemplars.parts()[*channel].first().map(|first| first.activation);
    let mut all: Vec<usize> = (0..exemplars.parts().len())
        .filter(|channel| strength(channel).is_some())
        .collect();
    // Stable: of equals the first channel comes first.
    all.sort_by(|a, b| {
        strength(b)
            .partial_cmp(&strength(a))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    all.truncate(count);
    all
}
