//! What a version says about an uploaded image. It writes nothing and stands among the mutations because only those take
//! uploads.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Upload};

use scv_domain::id::{LayerId, VersionId};
use crate::graphql::error::Result;
use crate::graphql::evaluation::Class;
use crate::graphql::id::GlobalId as _;
use crate::graphql::insight::{
    AttributeImagePayload, AttributionSettings, FeatureMap, MapImagePayload, USUAL_CHANNELS, attribute,
    attribution_cost, channel_choice, maps_cost,
};
use crate::graphql::picture::Picture;
use crate::graphql::upload::read_upload;
use crate::graphql::version::Version;
use scv_service::{ImageChoice, Library, PredictRequest, Prediction};

/// Questions that come with an image.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ImageMutation;

#[Object(use_type_description)]
impl ImageMutation {
    /// Shows an uploaded image to a version. The image is made to what the data set's images are, and what was done is told.
    async fn predict(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which image, and to which version.")] input: PredictInput,
    ) -> Result<PredictPayload> {
        let request = PredictRequest {
            version: VersionId::decode(&input.version_id)?,
            file: read_upload(ctx, input.image, "image").await?,
            invert: input.invert,
        };
        Ok(ctx.data_unchecked::<Library>().predict(request).await?.into())
    }

    /// What the channels of a layer answer to an uploaded image, place by place. Layer.featureMaps is for images of its data
    /// set.
    #[graphql(complexity = "maps_cost(input.channels.as_deref(), input.first, child_complexity)")]
    async fn map_image(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which image, and which layer.")] input: MapImageInput,
    ) -> Result<MapImagePayload> {
        let layer = LayerId::decode(&input.layer_id)?;
        let channels = channel_choice(input.channels, input.first)?;
        let image = ImageChoice::Uploaded(read_upload(ctx, input.image, "image").await?, input.invert);
        let found = ctx
            .data_unchecked::<Library>()
            .feature_maps(layer, image, channels)
            .await?;
        Ok(MapImagePayload {
            feature_maps: FeatureMap::all(found),
        })
    }

    /// Which pixels of an uploaded image a class hangs on. Version.attribution is for images of its data set.
    #[graphql(complexity = "attribution_cost(input.settings.as_ref(), child_complexity)")]
    async fn attribute_image(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which image, and which version.")] input: AttributeImageInput,
    ) -> Result<AttributeImagePayload> {
        let version = VersionId::decode(&input.version_id)?;
        let image = ImageChoice::Uploaded(read_upload(ctx, input.image, "image").await?, input.invert);
        Ok(AttributeImagePayload {
            attribution: attribute(ctx, version, image, input.class, input.settings).await?,
        })
    }
}

/// An image for a version.
#[derive(InputObject)]
pub struct PredictInput {
    /// Which version.
    version_id: ID,
    /// A PNG or JPEG file of at most 20 MB and 4,096 pixels a side.
    image: Upload,
    /// Whether light becomes dark and dark light. If left out: for a data set of grey images, where the borders of its images
    /// and of this one differ in that.
    invert: Option<bool>,
}

/// An image for a layer.
#[derive(InputObject)]
pub struct MapImageInput {
    /// Which layer.
    layer_id: ID,
    /// A PNG or JPEG file of at most 20 MB and 4,096 pixels a side.
    image: Upload,
    /// Whether light becomes dark and dark light; see PredictInput.
    invert: Option<bool>,
    /// Indices of channels, at most 64; the most active ones if left out.
    channels: Option<Vec<i32>>,
    /// How many of the most active channels, at most 64.
    #[graphql(default_with = "USUAL_CHANNELS")]
    first: i32,
}

/// An image whose pixels are to be weighed.
#[derive(InputObject)]
pub struct AttributeImageInput {
    /// Which version.
    version_id: ID,
    /// A PNG or JPEG file of at most 20 MB and 4,096 pixels a side.
    image: Upload,
    /// Whether light becomes dark and dark light; see PredictInput.
    invert: Option<bool>,
    /// Index of the class; the likeliest if left out.
    class: Option<i32>,
    /// How; by integrated gradients if left out.
    settings: Option<AttributionSettings>,
}

/// What the version says.
#[derive(Debug, SimpleObject)]
pub struct PredictPayload {
    /// The version.
    version: Version,
    /// All classes, the likeliest first.
    predictions: Vec<ClassProbability>,
    /// What was done to the image, in this order.
    preparations: Vec<String>,
    /// The image as the version was shown it, small ones enlarged to be seen.
    shown: Picture,
}

/// How likely a class is.
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
        // Stable: of equals the first class comes first.
        predictions.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Self {
            version: Version(prediction.version),
            predictions,
            preparations: prediction.preparations.iter().map(ToString::to_string).collect(),
            shown: Picture(prediction.shown),
        }
    }
}
