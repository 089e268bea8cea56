//! Feature maps and attributions of one image.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object, SimpleObject};

use super::dataset::Split;
use super::error::{ApiError, Result};
use super::evaluation::Class;
use super::limits::entries_cost;
use super::loader::load_referenced;
use super::number::not_negative;
use super::picture::Picture;
use super::plain::Plain;
use scv_domain::id::VersionId;
use scv_domain::insight::{self as domain, Attribution, ChannelChoice, Method};
use scv_picture::{Colours, NumberMap};
use scv_service::{AttributionRequest, ImageAttribution, ImageChoice, Library, Seen, SeenMap};

/// Channels that are shown if none are named.
pub const USUAL_CHANNELS: i32 = 8;

/// Which colours stand for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Colours")]
pub enum ColourMap {
    /// From black, the lowest number, to white, the highest.
    Grey,
    /// From dark violet, the lowest number, over green to yellow, the highest.
    Viridis,
    /// From blue, far below zero, over white, zero, to red, far above. The colours end at the 98th percentile of the
    /// magnitudes.
    Diverging,
}

/// The image that was looked at.
#[derive(Debug, async_graphql::Description)]
pub struct SeenImage(Arc<Seen>);

#[Object(use_type_description)]
impl SeenImage {
    /// The image, small ones enlarged to be seen.
    async fn picture(&self) -> Picture {
        Picture(self.0.picture.clone())
    }

    /// Its index in the split; null for an uploaded one.
    async fn index(&self) -> Option<i32> {
        self.0.place.as_ref().map(|place| place.index as i32)
    }

    /// The split of the version's data set that it is of; null for an uploaded one.
    async fn split(&self) -> Option<Split> {
        self.0.place.as_ref().map(|place| place.split.into())
    }

    /// Its class, as the data set has it; null for an uploaded one.
    async fn class(&self) -> Option<Class> {
        let place = self.0.place.as_ref()?;
        Some(Class::of(place.class, &place.class_names))
    }

    /// What was done to an uploaded one, in this order.
    async fn preparations(&self) -> Vec<String> {
        self.0.preparations.iter().map(ToString::to_string).collect()
    }
}

/// What one channel of a layer answers to an image, place by place.
#[derive(Debug, async_graphql::Description)]
pub struct FeatureMap {
    map: domain::FeatureMap,
    seen: Arc<Seen>,
}

#[Object(use_type_description)]
impl FeatureMap {
    /// Index of the channel.
    async fn channel(&self) -> i32 {
        self.map.channel as i32
    }

    /// Rows. A layer without rows and columns has one of each.
    async fn height(&self) -> i32 {
        self.map.height as i32
    }

    /// Columns.
    async fn width(&self) -> i32 {
        self.map.width as i32
    }

    /// The mean of the numbers; null if that is none.
    async fn mean(&self) -> Option<f64> {
        Some(self.map.mean()).filter(|mean| mean.is_finite())
    }

    /// The numbers, row after row. Null is what was NaN or infinite.
    async fn values(&self) -> Plain<Vec<Vec<Option<f64>>>> {
        Plain(rows(&self.map.values, self.map.width))
    }

    /// The lowest number of all channels of the layer for the image: where the colours begin. Null if none is finite.
    async fn layer_minimum(&self) -> Option<f64> {
        Some(f64::from(self.map.layer_range[0])).filter(|number| number.is_finite())
    }

    /// The highest number of all channels of the layer for the image: where the colours end. Null if none is finite.
    async fn layer_maximum(&self) -> Option<f64> {
        Some(f64::from(self.map.layer_range[1])).filter(|number| number.is_finite())
    }

    /// The numbers as colours from the layer's lowest to its highest, enlarged to be seen. Magenta is what was NaN.
    async fn picture(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which colours.", default_with = "ColourMap::Viridis")] colours: ColourMap,
    ) -> Result<Picture> {
        pictured(ctx, self.number_map(), colours, None).await
    }

    /// The numbers as colours over a pale grey copy of the image, which shows through where they are low.
    async fn overlay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which colours.", default_with = "ColourMap::Viridis")] colours: ColourMap,
    ) -> Result<Picture> {
        pictured(ctx, self.number_map(), colours, Some(&self.seen)).await
    }

    /// The image.
    async fn image(&self) -> SeenImage {
        SeenImage(Arc::clone(&self.seen))
    }
}

impl FeatureMap {
    fn number_map(&self) -> NumberMap<'_> {
        NumberMap {
            width: self.map.width,
            values: &self.map.values,
            range: Some(self.map.layer_range),
        }
    }

    /// One for each.
    pub(super) fn all(found: Vec<SeenMap>) -> Vec<Self> {
        let of = |SeenMap { seen, map }| Self { map, seen };
        found.into_iter().map(of).collect()
    }
}

/// The channels that are asked for: those named, or the most active ones.
///
/// # Errors
/// A number below 0.
pub(super) fn channel_choice(channels: Option<Vec<i32>>, first: i32) -> Result<ChannelChoice> {
    Ok(match channels {
        Some(channels) => ChannelChoice::Given(
            channels
                .into_iter()
                .map(|channel| not_negative("channels", channel))
                .collect::<Result<_>>()?,
        ),
        None => ChannelChoice::MostActive(not_negative("first", first)?),
    })
}

/// The price of the feature maps of these channels, or of so many.
pub(super) fn maps_cost(channels: Option<&[i32]>, first: i32, map: usize) -> usize {
    entries_cost(channels.map_or(first.max(0) as usize, <[i32]>::len), map)
}

/// An image of a version's data set.
///
/// # Errors
/// An index below 0.
pub(super) fn image_of_dataset(split: Split, index: i32) -> Result<ImageChoice> {
    Ok(ImageChoice::OfDataset(split.into(), not_negative("image", index)?))
}

/// Noisy copies, or points of an integral, at most.
const MAX_GRADIENTS: usize = 300;

/// A gradient costs as much as so many fields.
const GRADIENT_PRICE: usize = 10;

/// The price of weighing the pixels of an image.
pub(super) fn attribution_cost(settings: Option<&AttributionSettings>, fields: usize) -> usize {
    let usual = AttributionSettings::usual();
    let settings = settings.unwrap_or(&usual);
    let gradients = match settings.method {
        AttributionMethod::InputGradient | AttributionMethod::GradCam => 1,
        AttributionMethod::SmoothGrad => settings.samples,
        AttributionMethod::IntegratedGradients => settings.steps,
    };
    // More than may be are refused by their own name.
    let gradients = usize::try_from(gradients).unwrap_or_default().min(MAX_GRADIENTS);
    fields + 1 + GRADIENT_PRICE * gradients
}

/// How many gradients are taken for one image.
///
/// # Errors
/// None, or more than may be.
fn gradients(setting: &str, number: i32) -> Result<usize> {
    let count = usize::try_from(number).ok();
    count
        .filter(|count| (1..=MAX_GRADIENTS).contains(count))
        .ok_or_else(|| {
            ApiError::bad_input(format!(
                "`settings.{setting}` must be 1 to {MAX_GRADIENTS}, got {number}"
            ))
        })
}

/// How pixels are weighed. The score is the logit of the class, and the numbers are of what the network reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum AttributionMethod {
    /// The gradient of the score with regard to each pixel.
    InputGradient,
    /// The mean of gradients at noisy copies of the image (SmoothGrad).
    SmoothGrad,
    /// The gradient's integral along the way from the mean image to this one, times the difference of the two.
    IntegratedGradients,
    /// The activations of a layer, weighed by the mean gradient of each channel; what remains above zero (Grad-CAM).
    GradCam,
}

/// How pixels are to be weighed.
#[derive(Debug, Clone, async_graphql::InputObject)]
pub struct AttributionSettings {
    /// The method.
    #[graphql(default_with = "Self::usual().method")]
    method: AttributionMethod,
    /// For SMOOTH_GRAD: noisy copies, 1 to 300.
    #[graphql(default_with = "Self::usual().samples")]
    samples: i32,
    /// For SMOOTH_GRAD: deviation of the noise, as a share of the image's range, 0 to 1.
    #[graphql(default_with = "Self::usual().noise")]
    noise: f64,
    /// For SMOOTH_GRAD: what the noise is drawn with.
    #[graphql(default_with = "Self::usual().seed")]
    seed: i32,
    /// For INTEGRATED_GRADIENTS: points of the integral, 1 to 300.
    #[graphql(default_with = "Self::usual().steps")]
    steps: i32,
    /// For GRAD_CAM: index of the layer, one with rows and columns such as a convolution.
    layer: Option<i32>,
}

impl AttributionSettings {
    /// What is meant if nothing is said.
    pub(super) fn usual() -> Self {
        Self {
            method: AttributionMethod::IntegratedGradients,
            samples: 25,
            noise: 0.15,
            seed: 0,
            steps: 50,
            layer: None,
        }
    }
}

impl TryFrom<AttributionSettings> for Method {
    type Error = ApiError;

    fn try_from(settings: AttributionSettings) -> Result<Self> {
        if settings.layer.is_some() && settings.method != AttributionMethod::GradCam {
            return Err(ApiError::bad_input(
                "`settings.layer` is for GRAD_CAM: leave it out, or choose that method",
            ));
        }
        Ok(match settings.method {
            AttributionMethod::InputGradient => Self::InputGradient,
            AttributionMethod::SmoothGrad if !(0.0..=1.0).contains(&settings.noise) => {
                let noise = settings.noise;
                return Err(ApiError::bad_input(format!(
                    "`settings.noise` must be 0 to 1, got {noise}"
                )));
            }
            AttributionMethod::SmoothGrad => Self::SmoothGrad {
                samples: gradients("samples", settings.samples)?,
                noise: settings.noise,
                seed: not_negative("settings.seed", settings.seed)?,
            },
            AttributionMethod::IntegratedGradients => Self::IntegratedGradients {
                steps: gradients("steps", settings.steps)?,
            },
            AttributionMethod::GradCam => {
                let missing = || {
                    ApiError::bad_input(
                        "GRAD_CAM needs the index of a layer with rows and columns: give `settings.layer`",
                    )
                };
                Self::GradCam {
                    layer: not_negative("settings.layer", settings.layer.ok_or_else(missing)?)?,
                }
            }
        })
    }
}

/// Which pixels of an image a class hangs on.
#[derive(Debug, async_graphql::Description)]
pub struct ImageAttributions {
    found: ImageAttribution,
    class_names: Vec<String>,
    method: AttributionMethod,
    /// Sums over the channels.
    summed: Vec<f32>,
}

impl ImageAttributions {
    pub(super) fn of(found: ImageAttribution, class_names: Vec<String>, method: AttributionMethod) -> Self {
        let Attribution {
            height, width, values, ..
        } = &found.attribution;
        let area = height * width;
        let sum = |place: usize| values.iter().skip(place).step_by(area).sum();
        let summed = (0..area).map(sum).collect();
        Self {
            found,
            class_names,
            method,
            summed,
        }
    }
}

#[Object(name = "Attribution", use_type_description)]
impl ImageAttributions {
    /// How pixels were weighed.
    async fn method(&self) -> AttributionMethod {
        self.method
    }

    /// The class: the one that was asked for, or the likeliest.
    async fn class(&self) -> Class {
        Class::of(self.found.class as u16, &self.class_names)
    }

    /// The score of the class for the image, a logit.
    async fn score(&self) -> f64 {
        self.found.attribution.score
    }

    /// How likely the version finds the class, 0 to 1: its share of the softmax of all scores.
    async fn probability(&self) -> f64 {
        self.found.probability
    }

    /// For INTEGRATED_GRADIENTS: how far the sum of the numbers is from the difference of the scores of the image and the mean
    /// image. More steps make it less.
    async fn completeness_error(&self) -> Option<f64> {
        self.found.attribution.completeness_error
    }

    /// The numbers: channel after channel, row after row. GRAD_CAM has one channel, as large as the layer.
    async fn values(&self) -> Plain<Vec<Vec<Vec<Option<f64>>>>> {
        let Attribution {
            height, width, values, ..
        } = &self.found.attribution;
        let channels = values.chunks(height * width);
        Plain(channels.map(|channel| rows(channel, *width)).collect())
    }

    /// The numbers, channels added up, as colours; enlarged to be seen. On diverging colours red speaks for the class and blue
    /// against it.
    async fn picture(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which colours; DIVERGING if left out, or VIRIDIS for GRAD_CAM.")] colours: Option<ColourMap>,
    ) -> Result<Picture> {
        pictured(ctx, self.number_map(), self.colours(colours), None).await
    }

    /// The numbers, channels added up, as colours over a pale grey copy of the image, which shows through where they say little.
    async fn overlay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which colours; DIVERGING if left out, or VIRIDIS for GRAD_CAM.")] colours: Option<ColourMap>,
    ) -> Result<Picture> {
        pictured(ctx, self.number_map(), self.colours(colours), Some(&self.found.seen)).await
    }

    /// The image.
    async fn image(&self) -> SeenImage {
        SeenImage(Arc::clone(&self.found.seen))
    }
}

impl ImageAttributions {
    fn number_map(&self) -> NumberMap<'_> {
        NumberMap {
            width: self.found.attribution.width,
            values: &self.summed,
            range: None,
        }
    }

    fn colours(&self, wanted: Option<ColourMap>) -> ColourMap {
        wanted.unwrap_or(match self.method {
            AttributionMethod::GradCam => ColourMap::Viridis,
            _ => ColourMap::Diverging,
        })
    }
}

/// Weighs the pixels of an image for a version.
///
/// # Errors
/// Those of [`Library::attribute`], and for settings that cannot be.
pub(super) async fn attribute(
    ctx: &Context<'_>,
    version: VersionId,
    image: ImageChoice,
    class: Option<i32>,
    settings: Option<AttributionSettings>,
) -> Result<ImageAttributions> {
    let settings = settings.unwrap_or_else(AttributionSettings::usual);
    let method = settings.method;
    let class = class.map(|class| not_negative("class", class)).transpose()?;
    let request = AttributionRequest {
        version,
        image,
        class,
        method: settings.try_into()?,
    };
    let found = ctx.data_unchecked::<Library>().attribute(request).await?;
    let version = load_referenced(ctx, version).await?;
    let dataset = load_referenced(ctx, version.dataset_id).await?;
    Ok(ImageAttributions::of(found, dataset.class_names, method))
}

/// Feature maps of an uploaded image.
#[derive(Debug, SimpleObject)]
pub struct MapImagePayload {
    /// One a channel.
    pub(super) feature_maps: Vec<FeatureMap>,
}

/// Attributions of an uploaded image.
#[derive(Debug, SimpleObject)]
pub struct AttributeImagePayload {
    /// Which pixels the class hangs on.
    pub(super) attribution: ImageAttributions,
}

async fn pictured(
    ctx: &Context<'_>,
    map: NumberMap<'_>,
    colours: ColourMap,
    over: Option<&Arc<Seen>>,
) -> Result<Picture> {
    let library = ctx.data_unchecked::<Library>();
    let picture = library
        .picture_of_map(map, colours.into(), over.map(Arc::as_ref))
        .await?;
    Ok(Picture(picture))
}

fn rows(values: &[f32], width: usize) -> Vec<Vec<Option<f64>>> {
    let row = |row: &[f32]| {
        row.iter()
            .map(|value| Some(f64::from(*value)).filter(|value| value.is_finite()))
            .collect()
    };
    values.chunks(width.max(1)).map(row).collect()
}
