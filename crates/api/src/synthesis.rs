//! Synthetic images that maximise activations, and top-activating images of the data set.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::{ListConnection, Total, connection, empty_slice};
use super::cost::entries_cost;
use super::error::{ApiError, Result};
use super::id::GlobalId as _;
use super::job::Job;
use super::loader::{SynthesesPage, SynthesisCount, load, load_referenced};
use super::number::non_negative;
use super::picture::Picture;
use super::plain::ListEntry;
use super::version::Version;
use scv_domain::dataset::Split;
use scv_domain::exemplar::CHANNEL_EXEMPLARS;
use scv_domain::id::VersionId;
use scv_domain::page::Page;
use scv_domain::synthesis as domain;
use scv_service::{Library, StoredPicture, SynthesisRequest};

/// A synthetic image that maximises the activation of a target in a network, found by gradient ascent (activation
/// maximisation).
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Synthesis(pub domain::Synthesis);

impl ListEntry for Synthesis {}

#[Object(use_type_description)]
impl Synthesis {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// The version whose network the image was created for.
    async fn version(&self, ctx: &Context<'_>) -> Result<Version> {
        load_referenced(ctx, self.0.version_id).await.map(Version)
    }

    /// The job that creates the image. It reports the progress, and the failure if there is one.
    async fn job(&self, ctx: &Context<'_>) -> Result<Job> {
        load_referenced(ctx, self.0.job_id).await.map(Job)
    }

    /// The target whose activation is maximised.
    async fn target(&self) -> SynthesisTarget {
        self.0.target.into()
    }

    /// The settings of the optimisation.
    async fn settings(&self) -> SynthesisSettings {
        self.0.settings.into()
    }

    /// The image, enlarged if it is small; null until the job has succeeded.
    async fn picture(&self) -> Option<Picture> {
        let outcome = self.0.outcome.as_ref()?;
        Some(Picture(StoredPicture {
            hash: outcome.image_hash.clone(),
            width: outcome.image_width,
            height: outcome.image_height,
        }))
    }

    /// The target's activation for the image; null until the job has succeeded.
    async fn activation(&self) -> Option<f64> {
        self.0.outcome.as_ref().map(|outcome| outcome.activation)
    }

    /// The target's activation at each step, for the image as it was moved, scaled and rotated in that step. Null until
    /// the job has succeeded.
    async fn activation_history(&self) -> Option<&[f64]> {
        self.0
            .outcome
            .as_ref()
            .map(|outcome| outcome.activation_history.as_slice())
    }

    /// The top-activating images of the target in the test split, highest activation first; null until the job has
    /// succeeded.
    #[graphql(complexity = "entries_cost(domain::EXEMPLARS, child_complexity)")]
    async fn exemplars(&self) -> Option<Vec<ActivatingImage>> {
        let outcome = self.0.outcome.as_ref()?;
        let images = outcome.exemplars.iter();
        Some(
            images
                .map(|image| ActivatingImage::of(*image, self.0.version_id))
                .collect(),
        )
    }

    /// When it was requested.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// A page of a list of synthetic images.
///
/// # Errors
/// The database fails.
pub(super) async fn list(
    ctx: &Context<'_>,
    of: domain::SynthesisScope,
    page: Page<i64>,
) -> Result<ListConnection<Synthesis>> {
    let slice = load(ctx, SynthesesPage(of, page.clone())).await?;
    let slice = slice.unwrap_or_else(|| empty_slice(&page));
    let total = Total::Syntheses(SynthesisCount(of));
    Ok(connection(slice, total, |synthesis| synthesis.id.0, Synthesis))
}

/// The top-activating images of a channel.
#[derive(Debug, async_graphql::Description)]
pub struct ChannelExemplars {
    pub(super) channel: usize,
    pub(super) images: Vec<domain::ImageActivation>,
    pub(super) version: VersionId,
}

impl ListEntry for ChannelExemplars {}

#[Object(use_type_description)]
impl ChannelExemplars {
    /// Index of the channel.
    async fn channel(&self) -> i32 {
        self.channel as i32
    }

    /// The images, highest activation first.
    #[graphql(complexity = "entries_cost(CHANNEL_EXEMPLARS, child_complexity)")]
    async fn images(&self) -> Vec<ActivatingImage> {
        let of = |image: &domain::ImageActivation| ActivatingImage::of(*image, self.version);
        self.images.iter().map(of).collect()
    }
}

/// An image of the data set and a target's activation for it.
#[derive(Debug, async_graphql::Description)]
pub struct ActivatingImage {
    activating: domain::ImageActivation,
    version: VersionId,
}

impl ActivatingImage {
    fn of(activating: domain::ImageActivation, version: VersionId) -> Self {
        Self { activating, version }
    }
}

#[Object(use_type_description)]
impl ActivatingImage {
    /// Its index in the test split.
    async fn index(&self) -> i32 {
        self.activating.index as i32
    }

    /// The activation.
    async fn activation(&self) -> f64 {
        self.activating.activation
    }

    /// The image; small images are enlarged.
    async fn picture(&self, ctx: &Context<'_>) -> Result<Picture> {
        let version = load_referenced(ctx, self.version).await?;
        let library = ctx.data_unchecked::<Library>();
        let picture = library.dataset_picture(version.dataset_id, Split::Test, self.activating.index);
        Ok(Picture(picture.await?))
    }
}

/// The target whose activation a synthetic image maximises.
#[derive(Debug, SimpleObject)]
pub struct SynthesisTarget {
    /// Index of a class; its logit is maximised.
    class: Option<i32>,
    /// Index of a layer; without `channel`, the mean square of the layer's activations is maximised.
    layer: Option<i32>,
    /// Index of a channel of the layer; without `row` and `column`, the mean activation of the channel is maximised.
    channel: Option<i32>,
    /// Row of a neuron of the channel.
    row: Option<i32>,
    /// Column of a neuron of the channel.
    column: Option<i32>,
}

/// The target whose activation a synthetic image maximises: a class, a layer, a channel of a layer, or a neuron of a
/// channel.
#[derive(Debug, InputObject)]
pub struct SynthesisTargetInput {
    /// Index of a class; its logit is maximised.
    class: Option<i32>,
    /// Index of a layer; without `channel`, the mean square of the layer's activations is maximised.
    layer: Option<i32>,
    /// Index of a channel of the layer; without `row` and `column`, the mean activation of the channel is maximised.
    channel: Option<i32>,
    /// Row of a neuron of the channel.
    row: Option<i32>,
    /// Column of a neuron of the channel.
    column: Option<i32>,
}

impl From<domain::SynthesisTarget> for SynthesisTarget {
    fn from(target: domain::SynthesisTarget) -> Self {
        let [class, layer, channel, row, column] = match target {
            domain::SynthesisTarget::Class { class } => [Some(class), None, None, None, None],
            domain::SynthesisTarget::Layer { layer } => [None, Some(layer), None, None, None],
            domain::SynthesisTarget::Channel { layer, channel } => [None, Some(layer), Some(channel), None, None],
            domain::SynthesisTarget::Neuron {
                layer,
                channel,
                row,
                column,
            } => [None, Some(layer), Some(channel), Some(row), Some(column)],
        };
        let [class, layer, channel, row, column] =
            [class, layer, channel, row, column].map(|index| index.map(|index| index as i32));
        Self {
            class,
            layer,
            channel,
            row,
            column,
        }
    }
}

impl TryFrom<SynthesisTargetInput> for domain::SynthesisTarget {
    type Error = ApiError;

    fn try_from(input: SynthesisTargetInput) -> Result<Self> {
        let index = |name: &str, number: Option<i32>| {
            number
                .map(|number| non_negative(&format!("target.{name}"), number))
                .transpose()
        };
        let indices = [
            index("class", input.class)?,
            index("layer", input.layer)?,
            index("channel", input.channel)?,
            index("row", input.row)?,
            index("column", input.column)?,
        ];
        match indices {
            [Some(class), None, None, None, None] => Ok(Self::Class { class }),
            [None, Some(layer), None, None, None] => Ok(Self::Layer { layer }),
            [None, Some(layer), Some(channel), None, None] => Ok(Self::Channel { layer, channel }),
            [None, Some(layer), Some(channel), Some(row), Some(column)] => Ok(Self::Neuron {
                layer,
                channel,
                row,
                column,
            }),
            _ => Err(ApiError::bad_input(
                "`target` must have either `class`; or `layer`; or `layer` and `channel`; or `layer`, `channel`, `row` \
                 and `column`",
            )),
        }
    }
}

/// What the optimisation varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Parametrisation")]
pub enum Parametrisation {
    /// The pixels.
    Pixels,
    /// The image's Fourier coefficients, with larger steps for low frequencies.
    Fourier,
}

/// How the area outside the image is filled when it is moved, scaled or rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Padding")]
pub enum SynthesisPadding {
    /// With the mean colour.
    Mean,
    /// With the image's border pixels, repeated.
    Edge,
    /// With the image, mirrored at its border.
    Reflection,
}

/// The settings of a synthetic image.
#[derive(Debug, SimpleObject)]
pub struct SynthesisSettings {
    /// Number of steps of gradient ascent.
    steps: u32,
    /// Learning rate of Adam.
    learning_rate: f64,
    /// Random seed of the initial image and of all transformations.
    seed: i32,
    /// What the optimisation varies.
    parametrisation: Parametrisation,
    /// How the area outside the image is filled when it is moved, scaled or rotated.
    padding: SynthesisPadding,
    /// Maximum random shift of the image before each step, in pixels.
    jitter: f64,
    /// Maximum random scaling before each step, as a share: 0.1 is up to 10% larger or smaller.
    scale: f64,
    /// Maximum random rotation before each step, in degrees.
    rotation: f64,
    /// Weight of the penalty on differences between neighbouring pixels (total variation), relative to what the image adds to
    /// the activation of the mean image.
    total_variation: f64,
    /// Weight of the penalty on the distance from the mean image, relative to what the image adds to the
    /// activation of the mean image.
    l2: f64,
}

impl From<domain::SynthesisSettings> for SynthesisSettings {
    fn from(settings: domain::SynthesisSettings) -> Self {
        Self {
            steps: settings.steps,
            learning_rate: settings.learning_rate,
            // The input type allows no greater seed.
            seed: settings.seed as i32,
            parametrisation: settings.parametrisation.into(),
            padding: settings.padding.into(),
            jitter: settings.jitter,
            scale: settings.scale,
            rotation: settings.rotation,
            total_variation: settings.total_variation,
            l2: settings.l2,
        }
    }
}

/// The settings of a synthetic image. Some defaults depend on the image size of the network.
#[derive(Debug, Default, InputObject)]
pub struct SynthesisSettingsInput {
    /// Number of steps of gradient ascent, 1 to 4096. Default: 256.
    steps: Option<i32>,
    /// Learning rate of Adam, 0.000001 to 10. Default: 0.05.
    learning_rate: Option<f64>,
    /// Random seed of the initial image and of all transformations. Default: 0.
    seed: Option<i32>,
    /// What the optimisation varies. Default: FOURIER.
    parametrisation: Option<Parametrisation>,
    /// How the area outside the image is filled when it is moved, scaled or rotated. Default: MEAN.
    padding: Option<SynthesisPadding>,
    /// Maximum random shift of the image before each step, in pixels: 0 to half of its shorter side. Default: a
    /// fourteenth of the shorter side, at most 16.
    jitter: Option<f64>,
    /// Maximum random scaling before each step, as a share, 0 to 0.5. Default: 0.1, which is up to 10% larger or
    /// smaller.
    scale: Option<f64>,
    /// Maximum random rotation before each step, in degrees, 0 to 180. Default: 5.
    rotation: Option<f64>,
    /// Weight of the penalty on differences between neighbouring pixels (total variation), relative to the activation,
    /// 0 to 1,000,000. Default: 1 for images of at most 64 pixels per side, 0 for larger ones.
    total_variation: Option<f64>,
    /// Weight of the penalty on the distance from the mean image, relative to the activation, 0 to 1,000,000. Default:
    /// 0.05 for images of at most 64 pixels per side, 0 for larger ones.
    l2: Option<f64>,
}

impl TryFrom<SynthesisSettingsInput> for SynthesisRequest {
    type Error = ApiError;

    fn try_from(input: SynthesisSettingsInput) -> Result<Self> {
        let steps = input.steps.map(|steps| non_negative("settings.steps", steps));
        let seed = input.seed.map(|seed| non_negative("settings.seed", seed));
        Ok(Self {
            steps: steps.transpose()?,
            learning_rate: input.learning_rate,
            seed: seed.transpose()?,
            parametrisation: input.parametrisation.map(Into::into),
            padding: input.padding.map(Into::into),
            jitter: input.jitter,
            scale: input.scale,
            rotation: input.rotation,
            total_variation: input.total_variation,
            l2: input.l2,
        })
    }
}
