//! Insight into a version on one image: the feature maps of a layer, and the attribution of a class to the pixels.

use std::sync::Arc;

use bytes::Bytes;

use super::dataset::no_such_image;
use super::network::RunnableVersion;
use super::predict::most_likely_class;
use super::{Library, ServiceError, StoredPicture};
use scv_compute::attribution::AttributionTask;
use scv_compute::control::Control;
use scv_compute::feature_map::{FeatureMapTask, planes};
use scv_domain::dataset::Split;
use scv_domain::dataset_record::Dataset;
use scv_domain::exemplar::{Exemplars, MAX_CHANNELS as MAX_STORED_CHANNELS};
use scv_domain::id::{LayerId, VersionId};
use scv_domain::image::{Images, LabelledImages};
use scv_domain::insight::{Attribution, AttributionMethod, ChannelChoice, FeatureMap};
use scv_domain::upload::PreprocessingStep;
use scv_domain::version::Layer;
use scv_picture::{Colours, NumberMap, Raster};

/// Channels of a layer that one request may name.
const MAX_CHANNELS: usize = 64;

/// Which image the network runs on.
#[derive(Debug, Clone)]
pub enum ImageChoice {
    /// The image of an index in a split of the version's data set.
    OfDataset(Split, usize),
    /// For each channel, its top-activating image.
    TopActivating,
    /// An uploaded PNG or JPEG file, and whether it is to be inverted; if `None`, its background decides.
    Uploaded(Bytes, Option<bool>),
}

/// The image that a network ran on.
#[derive(Debug, Clone)]
pub struct SourceImage {
    /// As a picture.
    pub picture: StoredPicture,
    /// Its position in the data set; `None` for an uploaded image.
    pub position: Option<ImagePosition>,
    /// How an uploaded image was converted.
    pub preprocessing_steps: Vec<PreprocessingStep>,
    raster: Raster,
}

/// The position of an image in the version's data set.
#[derive(Debug, Clone)]
pub struct ImagePosition {
    /// The split.
    pub split: Split,
    /// Its index there.
    pub index: usize,
    /// Index of its class.
    pub class: u16,
    /// The names of all classes.
    pub class_names: Vec<String>,
}

/// The feature map of a channel for an image.
#[derive(Debug, Clone)]
pub struct ImageFeatureMap {
    /// The image.
    pub image: Arc<SourceImage>,
    /// The map.
    pub map: FeatureMap,
}

/// The attribution of a class to the pixels of an image.
#[derive(Debug, Clone)]
pub struct ImageAttribution {
    /// The image.
    pub image: Arc<SourceImage>,
    /// Index of the class: the requested one, or the most likely one.
    pub class: usize,
    /// The probability that the version gives the class.
    pub probability: f64,
    /// The attribution of each pixel.
    pub attribution: Attribution,
}

/// A request for an attribution.
#[derive(Debug, Clone)]
pub struct AttributionRequest {
    /// The version.
    pub version: VersionId,
    /// The image.
    pub image: ImageChoice,
    /// Index of the class; the most likely one if `None`.
    pub class: Option<usize>,
    /// The attribution method.
    pub method: AttributionMethod,
}

impl Library {
    /// The feature maps of a layer for an image.
    ///
    /// # Errors
    /// `NOT_FOUND` for the layer or the image; `BAD_USER_INPUT` for a version that cannot be run, a channel that is out of
    /// range, and a file that is not an image.
    pub async fn feature_maps(
        &self,
        layer: LayerId,
        image: ImageChoice,
        channels: ChannelChoice,
    ) -> Result<Vec<ImageFeatureMap>, ServiceError> {
        let found = self.store.layers_by_id(&[layer]).await?.pop();
        let layer = found.ok_or_else(|| ServiceError::not_found("layer", layer))?;
        let count = match &channels {
            ChannelChoice::Given(given) => given.len(),
            ChannelChoice::MostActive(count) => *count,
        };
        if count > MAX_CHANNELS {
            return Err(ServiceError::bad_input(format!(
                "{count} channels requested; the limit is {MAX_CHANNELS}"
            )));
        }
        let subject = self.runnable_version(layer.version_id).await?;
        let ImageChoice::TopActivating = image else {
            return self.maps_of(&subject, &layer, image, channels).await;
        };
        let exemplars = self.exemplars_of(&layer).await?;
        let mut maps = Vec::new();
        for channel in most_active_channels(&exemplars, channels) {
            let last = exemplars.units().len().saturating_sub(1);
            let images = exemplars.units().get(channel).ok_or_else(|| {
                ServiceError::bad_input(format!(
                    "channel {channel} of layer {} is out of range (0–{last})",
                    layer.name
                ))
            })?;
            let top = images.first().ok_or_else(|| {
                ServiceError::bad_input(format!(
                    "channel {channel} of layer {} has no top-activating image: its activations are not finite",
                    layer.name
                ))
            })?;
            let image = ImageChoice::OfDataset(Split::Test, top.index);
            maps.extend(
                self.maps_of(&subject, &layer, image, ChannelChoice::Given(vec![channel]))
                    .await?,
            );
        }
        Ok(maps)
    }

    /// The top-activating images of a layer's channels.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if they have not been found yet, or are not stored because the layer has too many channels.
    async fn exemplars_of(&self, layer: &Layer) -> Result<Exemplars, ServiceError> {
        let stored = self.store.channel_exemplars(&[layer.id]).await?.pop();
        stored.map(|(_, exemplars)| exemplars).ok_or_else(|| {
            let shape: Vec<usize> = layer.output_shape.iter().map(|&length| length as usize).collect();
            let [channels, ..] = planes(&shape);
            if channels > MAX_STORED_CHANNELS {
                ServiceError::bad_input(format!(
                    "layer {} has {channels} channels, and top-activating images are stored only for layers of at most \
                     {MAX_STORED_CHANNELS}: name an image",
                    layer.name
                ))
            } else {
                ServiceError::bad_input(
                    "the top-activating images of this layer's channels have not been found yet: run findExemplars first",
                )
            }
        })
    }

    async fn maps_of(
        &self,
        subject: &RunnableVersion,
        layer: &Layer,
        image: ImageChoice,
        channels: ChannelChoice,
    ) -> Result<Vec<ImageFeatureMap>, ServiceError> {
        let (image, source) = self.source_image(&subject.dataset, image).await?;
        let task = FeatureMapTask {
            statistics: subject.statistics(),
            network: Arc::clone(&subject.network),
            image,
            layer: layer.index as usize,
            channels,
            activation_limit: self.activation_limit,
        };
        let _permit = self.device_permit().await;
        let maps = self.engine.run(task, Control::unwatched()).await?;
        let source = Arc::new(source);
        let of_image = |map| ImageFeatureMap {
            image: Arc::clone(&source),
            map,
        };
        Ok(maps.into_iter().map(of_image).collect())
    }

    /// The attribution of a class to the pixels of an image.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version or the image; `BAD_USER_INPUT` for a version that cannot be run, a class or layer that is
    /// out of range, and a file that is not an image.
    pub async fn attribute(&self, request: AttributionRequest) -> Result<ImageAttribution, ServiceError> {
        let version = self.ready_version(request.version).await?;
        let dataset = self.dataset(version.dataset_id).await?;
        // Nothing large is held while something else is waited for.
        let (image, source) = self.source_image(&dataset, request.image).await?;
        let subject = self.run_version(version, dataset).await?;
        let probabilities = self.probabilities(&subject, image.clone()).await?;
        let class = request.class.unwrap_or_else(|| most_likely_class(&probabilities));
        let task = AttributionTask {
            statistics: subject.statistics(),
            network: Arc::clone(&subject.network),
            image,
            class,
            method: request.method,
            activation_limit: self.activation_limit,
        };
        let _permit = self.device_permit().await;
        Ok(ImageAttribution {
            image: Arc::new(source),
            class,
            probability: probabilities.get(class).copied().unwrap_or_default(),
            attribution: self.engine.run(task, Control::unwatched()).await?,
        })
    }

    /// Stores the picture of a map: alone, with small maps enlarged, or over the image that it belongs to.
    ///
    /// # Errors
    /// The store fails.
    pub async fn picture_of_map(
        &self,
        map: NumberMap<'_>,
        colours: Colours,
        over: Option<&SourceImage>,
    ) -> Result<StoredPicture, ServiceError> {
        let raster = match over {
            None => map.raster(colours).enlarged(),
            Some(image) => map.over(&image.raster.enlarged(), colours),
        };
        self.pictures.put(raster).await
    }

    /// The chosen image, for the network and for the client.
    async fn source_image(
        &self,
        dataset: &Dataset,
        choice: ImageChoice,
    ) -> Result<(Images, SourceImage), ServiceError> {
        let (image, position, preprocessing_steps) = match choice {
            ImageChoice::Uploaded(file, invert) => {
                let (image, steps) = self.preprocess(file, dataset, invert).await?;
                (image, None, steps)
            }
            ImageChoice::OfDataset(split, index) => {
                let LabelledImages { images, labels } = self.split_images(dataset.id, split).await?;
                if index >= images.count() {
                    return Err(no_such_image(&dataset.name, split, index, images.count()));
                }
                let position = ImagePosition {
                    split,
                    index,
                    class: labels[index],
                    class_names: dataset.class_names.clone(),
                };
                (images.select(&[index]), Some(position), Vec::new())
            }
            ImageChoice::TopActivating => {
                return Err(ServiceError::bad_input(
                    "only channels have top-activating images: name an image",
                ));
            }
        };
        let raster = Raster::from_planes(image.shape, image.image(0));
        let source = SourceImage {
            picture: self.pictures.put(raster.enlarged()).await?,
            position,
            preprocessing_steps,
            raster,
        };
        Ok((image, source))
    }
}

/// The chosen channels: those given, or those whose top-activating images activate them most.
fn most_active_channels(exemplars: &Exemplars, channels: ChannelChoice) -> Vec<usize> {
    let count = match channels {
        ChannelChoice::Given(given) => return given,
        ChannelChoice::MostActive(count) => count,
    };
    let max_activation = |channel: &usize| exemplars.units()[*channel].first().map(|first| first.activation);
    let mut all: Vec<usize> = (0..exemplars.units().len())
        .filter(|channel| max_activation(channel).is_some())
        .collect();
    // The sort is stable: of equals the first channel comes first.
    all.sort_by(|a, b| {
        max_activation(b)
            .partial_cmp(&max_activation(a))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    all.truncate(count);
    all
}
