//! Synthetic images that parts of a network answer to most.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::{ListConnection, Total, connection, empty};
use super::error::{ApiError, Result};
use super::id::GlobalId as _;
use super::job::Job;
use super::limits::entries_cost;
use super::loader::{SynthesesPage, SynthesisCount, load, load_referenced};
use super::number::not_negative;
use super::picture::Picture;
use super::version::Version;
use scv_domain::dataset::Split;
use scv_domain::exemplar::CHANNEL_EXEMPLARS;
use scv_domain::id::VersionId;
use scv_domain::page::Page;
use scv_domain::synthesis as domain;
use scv_service::{KeptPicture, Library, SynthesisWishes};

/// An image that a part of a network answers to most, found by gradient ascent (activation maximisation).
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Synthesis(pub domain::Synthesis);

#[Object(use_type_description)]
impl Synthesis {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// The version whose network answers.
    async fn version(&self, ctx: &Context<'_>) -> Result<Version> {
        load_referenced(ctx, self.0.version_id).await.map(Version)
    }

    /// The job that seeks it. It tells how far it is, and why nothing was found if it failed.
    async fn job(&self, ctx: &Context<'_>) -> Result<Job> {
        load_referenced(ctx, self.0.job_id).await.map(Job)
    }

    /// What is to answer.
    async fn target(&self) -> SynthesisTarget {
        self.0.target.into()
    }

    /// How it is sought.
    async fn settings(&self) -> SynthesisSettings {
        self.0.settings.into()
    }

    /// The image, small ones enlarged to be seen; null until the job has succeeded.
    async fn picture(&self) -> Option<Picture> {
        let outcome = self.0.outcome.as_ref()?;
        Some(Picture(KeptPicture {
            hash: outcome.image_hash.clone(),
            width: outcome.image_width,
            height: outcome.image_height,
        }))
    }

    /// What the target answers to the image; null until the job has succeeded.
    async fn activation(&self) -> Option<f64> {
        self.0.outcome.as_ref().map(|outcome| outcome.activation)
    }

    /// What the target answered at each step, to the image as it was moved, scaled and turned then.
    async fn course(&self) -> Option<&[f64]> {
        self.0.outcome.as_ref().map(|outcome| outcome.course.as_slice())
    }

    /// The images of the version's test split that the target answers to most, the strongest first.
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

    /// When it was asked for.
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
    of: domain::SynthesesOf,
    page: Page<i64>,
) -> Result<ListConnection<Synthesis>> {
    let slice = load(ctx, SynthesesPage(of, page.clone())).await?;
    let slice = slice.unwrap_or_else(|| empty(&page));
    let total = Total::Syntheses(SynthesisCount(of));
    Ok(connection(slice, total, |synthesis| synthesis.id.0, Synthesis))
}

/// The images that a channel answers to most.
#[derive(Debug, async_graphql::Description)]
pub struct ChannelExemplars {
    pub(super) channel: usize,
    pub(super) images: Vec<domain::Activating>,
    pub(super) version: VersionId,
}

#[Object(use_type_description)]
impl ChannelExemplars {
    /// Index of the channel.
    async fn channel(&self) -> i32 {
        self.channel as i32
    }

    /// The images, the strongest first.
    #[graphql(complexity = "entries_cost(CHANNEL_EXEMPLARS, child_complexity)")]
    async fn images(&self) -> Vec<ActivatingImage> {
        let of = |image: &domain::Activating| ActivatingImage::of(*image, self.version);
        self.images.iter().map(of).collect()
    }
}

/// An image of the data set and what a target answers to it.
#[derive(Debug, async_graphql::Description)]
pub struct ActivatingImage {
    activating: domain::Activating,
    version: VersionId,
}

impl ActivatingImage {
    fn of(activating: domain::Activating, version: VersionId) -> Self {
        Self { activating, version }
    }
}

#[Object(use_type_description)]
impl ActivatingImage {
    /// Its index in the test split.
    async fn index(&self) -> i32 {
        self.activating.index as i32
    }

    /// The answer.
    async fn activation(&self) -> f64 {
        self.activating.activation
    }

    /// The image, small ones enlarged to be seen.
    async fn picture(&self, ctx: &Context<'_>) -> Result<Picture> {
        let version = load_referenced(ctx, self.version).await?;
        let library = ctx.data_unchecked::<Library>();
        let picture = library.dataset_picture(version.dataset_id, Split::Test, self.activating.index);
        Ok(Picture(picture.await?))
    }
}

/// What an image is to make as large as it can.
#[derive(Debug, SimpleObject)]
pub struct SynthesisTarget {
    /// Index of a class: its score before the softmax.
    class: Option<i32>,
    /// Index of a layer: the mean square of all its numbers, if no channel is named.
    layer: Option<i32>,
    /// Index of a channel of the layer: its mean, if no place is named.
    channel: Option<i32>,
    /// Row of one number of the channel.
    row: Option<i32>,
    /// Column of one number of the channel.
    column: Option<i32>,
}

/// What an image is to make as large as it can: a class; or a layer, one of its channels, or one number of that.
#[derive(Debug, InputObject)]
pub struct SynthesisTargetInput {
    /// Index of a class: its score before the softmax.
    class: Option<i32>,
    /// Index of a layer: the mean square of all its numbers, if no channel is named.
    layer: Option<i32>,
    /// Index of a channel of the layer: its mean, if no place is named.
    channel: Option<i32>,
    /// Row of one number of the channel.
    row: Option<i32>,
    /// Column of one number of the channel.
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
                .map(|number| not_negative(&format!("target.{name}"), number))
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
                "`target` names `class` alone, or `layer`, or `layer` and `channel`, or these with `row` and `column`",
            )),
        }
    }
}

/// What a search varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Parametrisation")]
pub enum Parametrisation {
    /// The pixels.
    Pixels,
    /// The image's Fourier coefficients, low frequencies more freely.
    Fourier,
}

/// What comes in from outside where an image is moved, scaled or turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Padding")]
pub enum SynthesisPadding {
    /// The mean colour.
    Mean,
    /// The border of the image, repeated.
    Edge,
    /// The image, mirrored at its border.
    Reflection,
}

/// How an image is sought.
#[derive(Debug, SimpleObject)]
pub struct SynthesisSettings {
    /// Steps of gradient ascent.
    steps: u32,
    /// Step width of Adam.
    learning_rate: f64,
    /// What the first image and all transformations are drawn with.
    seed: i32,
    /// What is varied.
    parametrisation: Parametrisation,
    /// What comes in from outside where the image is moved, scaled or turned.
    padding: SynthesisPadding,
    /// Before each step the image is moved by up to this many pixels.
    jitter: f64,
    /// It is made larger or smaller by up to this share.
    scale: f64,
    /// It is turned by up to this many degrees.
    rotation: f64,
    /// Weight of the penalty on differences between neighbouring pixels, in shares of the answer.
    total_variation: f64,
    /// Weight of the penalty on the distance from the mean image, in shares of the answer.
    l2: f64,
}

impl From<domain::SynthesisSettings> for SynthesisSettings {
    fn from(settings: domain::SynthesisSettings) -> Self {
        Self {
            steps: settings.steps,
            learning_rate: settings.learning_rate,
            // No greater one is taken.
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

/// How an image is sought. What is left out is as usual for images of the size that the network reads.
#[derive(Debug, Default, InputObject)]
pub struct SynthesisSettingsInput {
    /// Steps of gradient ascent, 1 to 4096; usually 256.
    steps: Option<i32>,
    /// Step width of Adam, 0.000001 to 10; usually 0.05.
    learning_rate: Option<f64>,
    /// What the first image and all transformations are drawn with; usually 0.
    seed: Option<i32>,
    /// What is varied; usually FOURIER.
    parametrisation: Option<Parametrisation>,
    /// What comes in from outside where the image is moved, scaled or turned; usually MEAN.
    padding: Option<SynthesisPadding>,
    /// Before each step the image is moved by up to this many pixels, 0 to half of its shorter side; usually a fourteenth of
    /// that, at most 16.
    jitter: Option<f64>,
    /// It is made larger or smaller by up to this share, 0 to 0.5; usually 0.1.
    scale: Option<f64>,
    /// It is turned by up to this many degrees, 0 to 180; usually 5.
    rotation: Option<f64>,
    /// Weight of the penalty on differences between neighbouring pixels, in shares of the answer, 0 to 1,000,000; usually 1 for
    /// images of at most 64 pixels a side, 0 for others.
    total_variation: Option<f64>,
    /// Weight of the penalty on the distance from the mean image, in shares of the answer, 0 to 1,000,000; usually 0.05 for
    /// images of at most 64 pixels a side, 0 for others.
    l2: Option<f64>,
}

impl TryFrom<SynthesisSettingsInput> for SynthesisWishes {
    type Error = ApiError;

    fn try_from(input: SynthesisSettingsInput) -> Result<Self> {
        let steps = input.steps.map(|steps| not_negative("settings.steps", steps));
        let seed = input.seed.map(|seed| not_negative("settings.seed", seed));
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
