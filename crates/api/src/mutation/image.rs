//! Predictions, feature maps and attributions of an uploaded image. They write nothing; they are mutations because only
//! mutations support uploads.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Upload};

use crate::error::Result;
use crate::evaluation::Class;
use crate::id::GlobalId as _;
use crate::insight::{
    AttributeImagePayload, AttributionSettings, ComputeFeatureMapsPayload, DEFAULT_CHANNELS, FeatureMap, attribute,
    attribution_cost, channel_choice, maps_cost,
};
use crate::picture::Picture;
use crate::upload::read_upload;
use crate::version::Version;
use scv_domain::id::{LayerId, VersionId};
use scv_service::{ImageChoice, Library, PredictRequest, Prediction};

/// Operations on an uploaded image.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ImageMutation;

#[Object(use_type_description)]
impl ImageMutation {
    /// Classifies an uploaded image. The image is first made to match the images of the data set; `preprocessingSteps`
    /// reports how.
    async fn predict(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The image and the version.")] input: PredictInput,
    ) -> Result<PredictPayload> {
        let request = PredictRequest {
            version: VersionId::decode(&input.version_id)?,
            file: read_upload(ctx, input.image, "image")?,
            invert: input.invert,
        };
        Ok(ctx.data_unchecked::<Library>().predict(request).await?.into())
    }

    /// Computes the feature maps of a layer for an uploaded image. For images of the data set, use `Layer.featureMaps`.
    #[graphql(complexity = "maps_cost(input.channels.as_deref(), input.first, child_complexity)")]
    async fn compute_feature_maps(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The image and the layer.")] input: ComputeFeatureMapsInput,
    ) -> Result<ComputeFeatureMapsPayload> {
        let layer = LayerId::decode(&input.layer_id)?;
        let channels = channel_choice(input.channels, input.first)?;
        let image = ImageChoice::Uploaded(read_upload(ctx, input.image, "image")?, input.invert);
        let found = ctx
            .data_unchecked::<Library>()
            .feature_maps(layer, image, channels)
            .await?;
        Ok(ComputeFeatureMapsPayload {
            feature_maps: FeatureMap::all(found),
        })
    }

    /// Computes pixel attributions for a class and an uploaded image. For images of the data set, use
    /// `Version.attribution`.
    #[graphql(complexity = "attribution_cost(input.settings.as_ref(), child_complexity)")]
    async fn attribute_image(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The image and the version.")] input: AttributeImageInput,
    ) -> Result<AttributeImagePayload> {
        let version = VersionId::decode(&input.version_id)?;
        let image = ImageChoice::Uploaded(read_upload(ctx, input.image, "image")?, input.invert);
        Ok(AttributeImagePayload {
            attribution: attribute(ctx, version, image, input.class, input.settings).await?,
        })
    }
}

/// An image to classify.
#[derive(InputObject)]
pub struct PredictInput {
    /// Global id of the version.
    version_id: ID,
    /// A PNG or JPEG file of at most 20 MB and 4,096 pixels per side.
    image: Upload,
    /// Whether to invert the brightness of the image. Default: for a data set of greyscale images, the image is
    /// inverted if its border is light and theirs is dark, or the other way round; otherwise it is not inverted.
    invert: Option<bool>,
}

/// An image to compute feature maps for.
#[derive(InputObject)]
pub struct ComputeFeatureMapsInput {
    /// Global id of the layer.
    layer_id: ID,
    /// A PNG or JPEG file of at most 20 MB and 4,096 pixels per side.
    image: Upload,
    /// Whether to invert the brightness of the image; see `PredictInput.invert`.
    invert: Option<bool>,
    /// Indices of the channels, at most 64. Default: the most active ones.
    channels: Option<Vec<i32>>,
    /// Without `channels`: number of most active channels to return, at most 64.
    #[graphql(default_with = "DEFAULT_CHANNELS")]
    first: i32,
}

/// An image to compute attributions for.
#[derive(InputObject)]
pub struct AttributeImageInput {
    /// Global id of the version.
    version_id: ID,
    /// A PNG or JPEG file of at most 20 MB and 4,096 pixels per side.
    image: Upload,
    /// Whether to invert the brightness of the image; see `PredictInput.invert`.
    invert: Option<bool>,
    /// Index of the class. Default: the predicted class.
    class: Option<i32>,
    /// The method and its settings. Default: integrated gradients.
    settings: Option<AttributionSettings>,
}

/// The prediction for an image.
#[derive(Debug, SimpleObject)]
pub struct PredictPayload {
    /// The version.
    version: Version,
    /// All classes with their probabilities, highest first.
    predictions: Vec<ClassProbability>,
    /// The preprocessing steps that were applied to the image, in order.
    preprocessing_steps: Vec<String>,
    /// The image after preprocessing, as the version received it; small images are enlarged.
    prepared_image: Picture,
}

/// The probability of a class.
#[derive(Debug, SimpleObject)]
pub struct ClassProbability {
    /// The class.
    class: Class,
    /// Its probability, 0 to 1.
    probability: f64,
}

impl From<Prediction> for PredictPayload {
    fn from(prediction: Prediction) -> Self {
        let names = &prediction.dataset.class_names;
        let classes = prediction.probabilities.iter().enumerate();
        let mut predictions: Vec<_> = classes
            .map(|(class, probability)| ClassProbability {
                class: Class::of(class as u16, names),
                probability: *probability,
            })
            .collect();
        // The sort is stable: classes of equal probability stay in order of their indices.
        predictions.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Self {
            version: Version(prediction.version),
            predictions,
            preprocessing_steps: prediction.preprocessing_steps.iter().map(ToString::to_string).collect(),
            prepared_image: Picture(prediction.prepared_image),
        }
    }
}
