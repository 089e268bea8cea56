//! Feature maps and attributions of an image.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object, SimpleObject};

use super::cost::entries_cost;
use super::dataset::Split;
use super::error::{ApiError, Result};
use super::evaluation::Class;
use super::loader::load_referenced;
use super::number::non_negative;
use super::picture::Picture;
use super::raw_list::RawList;
use scv_domain::id::VersionId;
use scv_domain::insight::{self as domain, Attribution, ChannelChoice};
use scv_picture::{Colours, NumberMap};
use scv_service::{AttributionRequest, ImageAttribution, ImageChoice, ImageFeatureMap, Library};

/// Number of channels that are returned by default.
pub const DEFAULT_CHANNELS: i32 = 8;

/// A colour map for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Colours")]
pub enum ColourMap {
    /// From black for the lowest number to white for the highest.
    Grey,
    /// From dark violet for the lowest number through green to yellow for the highest.
    Viridis,
    /// From blue for negative numbers through white for zero to red for positive numbers. Colours saturate at the 98th
    /// percentile of the absolute values.
    Diverging,
}

/// The image that a network was run on.
#[derive(Debug, async_graphql::Description)]
pub struct SourceImage(Arc<scv_service::SourceImage>);

#[Object(use_type_description)]
impl SourceImage {
    /// The image; small images are enlarged.
    async fn picture(&self) -> Picture {
        Picture(self.0.picture.clone())
    }

    /// Its index in the split; null for an uploaded image.
    async fn index(&self) -> Option<i32> {
        self.0.position.as_ref().map(|position| position.index as i32)
    }

    /// The split of the version's data set that it belongs to; null for an uploaded image.
    async fn split(&self) -> Option<Split> {
        self.0.position.as_ref().map(|position| position.split.into())
    }

    /// Its true class, according to the data set; null for an uploaded image.
    async fn class(&self) -> Option<Class> {
        let position = self.0.position.as_ref()?;
        Some(Class::of(position.class, &position.class_names))
    }

    /// The preprocessing steps that were applied to an uploaded image, in order; empty for an image of the data set.
    async fn preprocessing_steps(&self) -> Vec<String> {
        self.0.preprocessing_steps.iter().map(ToString::to_string).collect()
    }
}

/// The activations of one channel of a layer for an image, as rows and columns.
#[derive(Debug, async_graphql::Description)]
pub struct FeatureMap {
    map: domain::FeatureMap,
    image: Arc<scv_service::SourceImage>,
}

#[Object(use_type_description)]
impl FeatureMap {
    /// Index of the channel.
    async fn channel(&self) -> i32 {
        self.map.channel as i32
    }

    /// Number of rows; 1 for a layer without spatial dimensions.
    async fn height(&self) -> i32 {
        self.map.height as i32
    }

    /// Number of columns; 1 for a layer without spatial dimensions.
    async fn width(&self) -> i32 {
        self.map.width as i32
    }

    /// The mean activation; null if it is not finite.
    async fn mean(&self) -> Option<f64> {
        Some(self.map.mean()).filter(|mean| mean.is_finite())
    }

    /// The activations, row by row. Null stands for NaN or infinity.
    async fn values(&self) -> RawList<Vec<Vec<Option<f64>>>> {
        RawList(rows(&self.map.values, self.map.width))
    }

    /// The minimum activation over all channels of the layer for the image, which is the start of the colour scale.
    /// Null if no activation is finite.
    async fn layer_minimum(&self) -> Option<f64> {
        Some(f64::from(self.map.layer_range[0])).filter(|number| number.is_finite())
    }

    /// The maximum activation over all channels of the layer for the image, which is the end of the colour scale. Null
    /// if no activation is finite.
    async fn layer_maximum(&self) -> Option<f64> {
        Some(f64::from(self.map.layer_range[1])).filter(|number| number.is_finite())
    }

    /// The map in colours, scaled from `layerMinimum` to `layerMaximum` and enlarged. NaN is magenta.
    async fn picture(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The colour map.", default_with = "ColourMap::Viridis")] colours: ColourMap,
    ) -> Result<Picture> {
        draw(ctx, self.number_map(), colours, None).await
    }

    /// The map in colours over a pale grey copy of the image, which is visible where activations are low.
    async fn overlay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The colour map.", default_with = "ColourMap::Viridis")] colours: ColourMap,
    ) -> Result<Picture> {
        draw(ctx, self.number_map(), colours, Some(&self.image)).await
    }

    /// The image that the map belongs to.
    async fn image(&self) -> SourceImage {
        SourceImage(Arc::clone(&self.image))
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

    pub(super) fn all(maps: Vec<ImageFeatureMap>) -> Vec<Self> {
        maps.into_iter()
            .map(|ImageFeatureMap { image, map }| Self { map, image })
            .collect()
    }
}

/// The requested channels: those specified, or the most active ones.
///
/// # Errors
/// A number is negative.
pub(super) fn channel_choice(channels: Option<Vec<i32>>, first: i32) -> Result<ChannelChoice> {
    Ok(match channels {
        Some(channels) => ChannelChoice::Given(
            channels
                .into_iter()
                .map(|channel| non_negative("channels", channel))
                .collect::<Result<_>>()?,
        ),
        None => ChannelChoice::MostActive(non_negative("first", first)?),
    })
}

/// The complexity of the feature maps of the specified channels, or of the `first` most active ones.
pub(super) fn maps_cost(channels: Option<&[i32]>, first: i32, map: usize) -> usize {
    entries_cost(channels.map_or(first.max(0) as usize, <[i32]>::len), map)
}

/// An image of a version's data set.
///
/// # Errors
/// The index is negative.
pub(super) fn image_of_dataset(split: Split, index: i32) -> Result<ImageChoice> {
    Ok(ImageChoice::OfDataset(split.into(), non_negative("image", index)?))
}

/// The maximum number of noisy copies, or of points of the integral.
const MAX_GRADIENTS: usize = 300;

/// The number of noisy copies if none is specified.
const DEFAULT_SAMPLES: i32 = 25;
/// The deviation of the noise if none is specified.
const DEFAULT_NOISE: f64 = 0.15;
/// The number of points of the integral if none is specified.
const DEFAULT_STEPS: i32 = 50;

/// The complexity of a gradient.
const GRADIENT_COST: usize = 10;

/// The complexity of an attribution.
pub(super) fn attribution_cost(settings: Option<&AttributionSettings>, fields: usize) -> usize {
    let default = AttributionSettings::default();
    let settings = settings.unwrap_or(&default);
    let gradients = match settings.method {
        AttributionMethod::InputGradient | AttributionMethod::GradCam => 1,
        AttributionMethod::SmoothGrad => settings.samples.unwrap_or(DEFAULT_SAMPLES),
        AttributionMethod::IntegratedGradients => settings.steps.unwrap_or(DEFAULT_STEPS),
    };
    // A number above the limit is refused later, with a more specific message.
    let gradients = usize::try_from(gradients).unwrap_or_default().min(MAX_GRADIENTS);
    fields + 1 + GRADIENT_COST * gradients
}

/// The number of gradients to compute for one image.
///
/// # Errors
/// The number is not 1 to [`MAX_GRADIENTS`].
fn gradient_count(setting: &str, number: i32) -> Result<usize> {
    let count = usize::try_from(number).ok();
    count
        .filter(|count| (1..=MAX_GRADIENTS).contains(count))
        .ok_or_else(|| {
            ApiError::bad_input(format!(
                "`settings.{setting}` must be 1 to {MAX_GRADIENTS}, got {number}"
            ))
        })
}

/// An attribution method. Attributions explain the logit of a class with respect to the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum AttributionMethod {
    /// The gradient of the logit with respect to each pixel.
    InputGradient,
    /// SmoothGrad: the mean gradient over noisy copies of the image.
    SmoothGrad,
    /// Integrated gradients: the integral of the gradient on the straight path from the mean image to the image, times
    /// the difference between the two.
    IntegratedGradients,
    /// Grad-CAM: the activations of a layer, weighted by the mean gradient of each channel; negative sums are set to
    /// zero.
    GradCam,
}

/// Settings of an attribution.
#[derive(Debug, Clone, async_graphql::InputObject)]
pub struct AttributionSettings {
    /// The method.
    #[graphql(default_with = "Self::default().method")]
    method: AttributionMethod,
    /// Only for SMOOTH_GRAD: number of noisy copies, 1 to 300. Default: 25.
    samples: Option<i32>,
    /// Only for SMOOTH_GRAD: standard deviation of the noise, as a share of the image's value range, 0 to 1. Default: 0.15.
    noise: Option<f64>,
    /// Only for SMOOTH_GRAD: random seed of the noise. Default: 0.
    seed: Option<i32>,
    /// Only for INTEGRATED_GRADIENTS: number of points of the integral, 1 to 300. Default: 50.
    steps: Option<i32>,
    /// Only for GRAD_CAM: index of a layer with rows and columns, such as a convolution.
    layer: Option<i32>,
}

impl Default for AttributionSettings {
    fn default() -> Self {
        Self {
            method: AttributionMethod::IntegratedGradients,
            samples: None,
            noise: None,
            seed: None,
            steps: None,
            layer: None,
        }
    }
}

impl AttributionSettings {
    /// Checks that no setting of another method is given.
    fn check_method(&self) -> Result<()> {
        let given = [
            ("samples", self.samples.is_some(), AttributionMethod::SmoothGrad),
            ("noise", self.noise.is_some(), AttributionMethod::SmoothGrad),
            ("seed", self.seed.is_some(), AttributionMethod::SmoothGrad),
            ("steps", self.steps.is_some(), AttributionMethod::IntegratedGradients),
            ("layer", self.layer.is_some(), AttributionMethod::GradCam),
        ];
        let other = given
            .into_iter()
            .find(|&(_, is_given, method)| is_given && method != self.method);
        other.map_or(Ok(()), |(setting, _, method)| {
            Err(ApiError::bad_input(format!(
                "`settings.{setting}` applies only to {}: omit it or choose that method",
                async_graphql::resolver_utils::enum_value(method)
            )))
        })
    }
}

impl TryFrom<AttributionSettings> for domain::AttributionMethod {
    type Error = ApiError;

    fn try_from(settings: AttributionSettings) -> Result<Self> {
        settings.check_method()?;
        Ok(match settings.method {
            AttributionMethod::InputGradient => Self::InputGradient,
            AttributionMethod::SmoothGrad => {
                let noise = settings.noise.unwrap_or(DEFAULT_NOISE);
                if !(0.0..=1.0).contains(&noise) {
                    return Err(ApiError::bad_input(format!(
                        "`settings.noise` must be 0 to 1, got {noise}"
                    )));
                }
                Self::SmoothGrad {
                    samples: gradient_count("samples", settings.samples.unwrap_or(DEFAULT_SAMPLES))?,
                    noise,
                    seed: non_negative("settings.seed", settings.seed.unwrap_or_default())?,
                }
            }
            AttributionMethod::IntegratedGradients => Self::IntegratedGradients {
                steps: gradient_count("steps", settings.steps.unwrap_or(DEFAULT_STEPS))?,
            },
            AttributionMethod::GradCam => {
                let missing = || {
                    ApiError::bad_input(
                        "GRAD_CAM requires `settings.layer`, the index of a layer with rows and columns",
                    )
                };
                Self::GradCam {
                    layer: non_negative("settings.layer", settings.layer.ok_or_else(missing)?)?,
                }
            }
        })
    }
}

/// Pixel attributions for a class: how much each pixel of an image contributes to its logit.
#[derive(Debug, async_graphql::Description)]
pub struct ImageAttributions {
    found: ImageAttribution,
    class_names: Vec<String>,
    method: AttributionMethod,
    /// The attribution of each pixel, summed over the channels.
    summed: Vec<f32>,
}

impl ImageAttributions {
    pub(super) fn of(found: ImageAttribution, class_names: Vec<String>, method: AttributionMethod) -> Self {
        let Attribution {
            height, width, values, ..
        } = &found.attribution;
        let area = height * width;
        let sum = |pixel: usize| values.iter().skip(pixel).step_by(area).sum();
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
    /// The attribution method.
    async fn method(&self) -> AttributionMethod {
        self.method
    }

    /// The class that the attributions explain: the requested one, or the predicted class.
    async fn class(&self) -> Class {
        Class::of(self.found.class as u16, &self.class_names)
    }

    /// The logit of the class for the image.
    async fn score(&self) -> f64 {
        self.found.attribution.score
    }

    /// The probability of the class according to the version, 0 to 1: the softmax of the logits.
    async fn probability(&self) -> f64 {
        self.found.probability
    }

    /// For INTEGRATED_GRADIENTS: the completeness error, which is the difference between the sum of the attributions
    /// and the change of the logit from the mean image to the image. More steps reduce it. Null for other methods.
    async fn completeness_error(&self) -> Option<f64> {
        self.found.attribution.completeness_error
    }

    /// The attributions, by channel, row and column. GRAD_CAM has one channel of the size of the layer. Null stands for
    /// NaN or infinity.
    async fn values(&self) -> RawList<Vec<Vec<Vec<Option<f64>>>>> {
        let Attribution {
            height, width, values, ..
        } = &self.found.attribution;
        let channels = values.chunks(height * width);
        RawList(channels.map(|channel| rows(channel, *width)).collect())
    }

    /// The attributions in colours, summed over channels and enlarged. With DIVERGING, red supports the class and blue
    /// opposes it.
    async fn picture(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The colour map. Default: DIVERGING, or VIRIDIS for GRAD_CAM.")] colours: Option<ColourMap>,
    ) -> Result<Picture> {
        draw(ctx, self.number_map(), self.colours(colours), None).await
    }

    /// The attributions in colours, summed over channels, over a pale grey copy of the image, which is visible where
    /// attributions are small.
    async fn overlay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The colour map. Default: DIVERGING, or VIRIDIS for GRAD_CAM.")] colours: Option<ColourMap>,
    ) -> Result<Picture> {
        draw(ctx, self.number_map(), self.colours(colours), Some(&self.found.image)).await
    }

    /// The image that the map belongs to.
    async fn image(&self) -> SourceImage {
        SourceImage(Arc::clone(&self.found.image))
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

    fn colours(&self, requested: Option<ColourMap>) -> ColourMap {
        requested.unwrap_or(match self.method {
            AttributionMethod::GradCam => ColourMap::Viridis,
            _ => ColourMap::Diverging,
        })
    }
}

/// Computes the attributions of an image.
///
/// # Errors
/// Those of [`Library::attribute`], and for invalid settings.
pub(super) async fn attribute(
    ctx: &Context<'_>,
    version: VersionId,
    image: ImageChoice,
    class: Option<i32>,
    settings: Option<AttributionSettings>,
) -> Result<ImageAttributions> {
    let settings = settings.unwrap_or_default();
    let method = settings.method;
    let class = class.map(|class| non_negative("class", class)).transpose()?;
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

/// The feature maps of an uploaded image.
#[derive(Debug, SimpleObject)]
pub struct ComputeFeatureMapsPayload {
    /// One map per channel.
    pub(super) feature_maps: Vec<FeatureMap>,
}

/// The attributions of an uploaded image.
#[derive(Debug, SimpleObject)]
pub struct AttributeImagePayload {
    /// The pixel attributions.
    pub(super) attribution: ImageAttributions,
}

async fn draw(
    ctx: &Context<'_>,
    map: NumberMap<'_>,
    colours: ColourMap,
    over: Option<&Arc<scv_service::SourceImage>>,
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
