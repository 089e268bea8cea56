//! Layers.

use async_graphql::{Context, Enum, ID, Json, Object};

use super::connection::{ListConnection, connection_of_all, page};
use super::dataset::{ProbeSet, Split};
use super::error::{ApiError, Result};
use super::id::{GlobalId, decode_cursor};
use super::insight::{FeatureMap, USUAL_CHANNELS, channel_choice, image_of_dataset, maps_cost};
use super::layer_match::{self, LayerMatchConnection, Measure, Search, SimilarityFilter};
use super::limits::page_cost;
use super::loader::{DegenerateOn, ExemplarsOf, Generation, HasVector, ProbeSetsOf, load, load_referenced};
use super::number::not_negative;
use super::synthesis::{self, ChannelExemplars, Synthesis};
use super::version::Version;
use scv_domain::id::ProbeSetId;
use scv_domain::page::Page;
use scv_domain::similarity::{MatchCursor, SimilarityQuery};
use scv_domain::synthesis::SynthesesOf;
use scv_domain::{vector, version as domain};
use scv_service::{ImageChoice, Library, ServiceError};

/// A layer of a version: one step of its computation.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Layer(pub domain::Layer);

#[Object(use_type_description)]
impl Layer {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// From 0, in execution order.
    async fn index(&self) -> i32 {
        self.0.index
    }

    /// Where it stands in the block list, such as `3.main.0`.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Layer kind, such as `Conv2d`.
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    /// Its settings under PyTorch's names, defaults filled in.
    async fn parameters(&self) -> Json<serde_json::Value> {
        Json(self.0.parameters.clone())
    }

    /// Shape of what it reads, for one image.
    async fn input_shape(&self) -> &[i32] {
        &self.0.input_shape
    }

    /// Shape of what it makes, for one image.
    async fn output_shape(&self) -> &[i32] {
        &self.0.output_shape
    }

    /// Trainable numbers.
    async fn parameter_count(&self) -> i64 {
        self.0.parameter_count
    }

    /// Multiply-accumulate operations for one image; a whole number.
    async fn multiply_accumulates(&self) -> f64 {
        self.0.multiply_accumulates as f64
    }

    /// The version it belongs to.
    async fn version(&self, ctx: &Context<'_>) -> Result<Version> {
        load_referenced(ctx, self.0.version_id).await.map(Version)
    }

    /// The probe sets on which the layer has no vector and cannot be compared, each with the reason. Empty for a
    /// layer that is as it should be.
    async fn degenerate(&self, ctx: &Context<'_>) -> Result<Vec<DegenerateLayer>> {
        let found = load(ctx, DegenerateOn(self.0.id)).await?.unwrap_or_default();
        Ok(found
            .into_iter()
            .map(|(probe_set, reason)| DegenerateLayer { probe_set, reason })
            .collect())
    }

    /// What its channels answer to an image of its data set, place by place; or each to the one of the test split that it
    /// answers to most, once findExemplars has looked for them.
    #[graphql(complexity = "maps_cost(channels.as_deref(), first, child_complexity)")]
    async fn feature_maps(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Index of the image in its split; for each channel its strongest if left out.")] image: Option<
            i32,
        >,
        #[graphql(desc = "The split that the image is of; TEST if left out.")] split: Option<Split>,
        #[graphql(desc = "Indices of channels, at most 64; the most active ones if left out.")] channels: Option<
            Vec<i32>,
        >,
        #[graphql(
            desc = "How many of the most active channels, at most 64.",
            default_with = "USUAL_CHANNELS"
        )]
        first: i32,
    ) -> Result<Vec<FeatureMap>> {
        let image = match (image, split) {
            (Some(image), split) => image_of_dataset(split.unwrap_or(Split::Test), image)?,
            (None, None) => ImageChoice::Strongest,
            (None, Some(_)) => {
                return Err(ApiError::bad_input(
                    "`split` says of which split `image` is: name an image, or leave both out",
                ));
            }
        };
        let channels = channel_choice(channels, first)?;
        let library = ctx.data_unchecked::<Library>();
        Ok(FeatureMap::all(library.feature_maps(self.0.id, image, channels).await?))
    }

    /// Its channels with the images of the test split that they answer to most, by the greatest number of a channel; null
    /// before findExemplars has looked for them, and for a layer of more than 65,536 channels.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn channel_exemplars(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only these, in this order; all if left out.")] channels: Option<Vec<i32>>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
    ) -> Result<Option<ListConnection<ChannelExemplars>>> {
        let page = page(first, after, last, before)?;
        let Some(kept) = load(ctx, ExemplarsOf(self.0.id)).await? else {
            return Ok(None);
        };
        let of_channel = |channel: i32| {
            let index = not_negative("channels", channel)?;
            let last = kept.parts().len().saturating_sub(1);
            kept.parts().get(index).map(|images| (index, images)).ok_or_else(|| {
                ApiError::bad_input(format!(
                    "layer {} has channels 0 to {last}, and none of index {channel}",
                    self.0.name
                ))
            })
        };
        let channels: Vec<_> = match channels {
            Some(channels) => channels.into_iter().map(of_channel).collect::<Result<_>>()?,
            None => kept.parts().iter().enumerate().collect(),
        };
        Ok(Some(connection_of_all(&channels, &page, |(channel, images)| {
            ChannelExemplars {
                channel,
                images: images.clone(),
                version: self.0.version_id,
            }
        })))
    }

    /// Images that it, its channels or their neurons answer to most, the latest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn syntheses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Synthesis>> {
        let of = SynthesesOf::Layer(self.0.version_id, self.0.index);
        synthesis::list(ctx, of, page(first, after, last, before)?).await
    }

    /// The layers that compute most nearly the same, best first. The layer's own model is left out unless the filter says
    /// otherwise. Nothing is like a layer that is `degenerate` on the probe set.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments are those of the schema's contract"
    )]
    #[graphql(complexity = "page_cost(Some(first), None, child_complexity)")]
    async fn similar(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Hits of this page, at most 100.", default = 10)] first: i32,
        #[graphql(desc = "Only hits behind this cursor.")] after: Option<String>,
        #[graphql(desc = "What hits are ranked by.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "Which layers may answer.")] filter: Option<SimilarityFilter>,
        #[graphql(desc = "Compare every admitted layer in place of using the index.", default = false)] exact: bool,
        #[graphql(desc = "The probe set to compare on; the default one of the layer's data set if left out.")]
        probe_set: Option<ID>,
    ) -> Result<LayerMatchConnection> {
        let page: Page<MatchCursor> = Page::new(Some(first), decode_cursor("after", after)?, None, None)?;
        let measure = measure.into();
        if page.after.is_some_and(|after| after.measure != measure) {
            return Err(ApiError::bad_input(
                "`after` is a cursor of a search by the other measure: begin that list anew, without it",
            ));
        }
        // What does not wait for one another is read side by side: each step takes as long as its way to the database.
        let (version, generation) = futures::try_join!(load_referenced(ctx, self.0.version_id), load(ctx, Generation))?;
        let query = SimilarityQuery {
            probe_set: probe_set_for(ctx, &version, probe_set.as_ref()).await?,
            measure,
            filter: filter.unwrap_or_default().try_into()?,
            exact,
            first: page.limit,
            after: page.after,
        };
        let library = ctx.data_unchecked::<Library>();
        let search = library.similar(self.0.id, &query, &version, generation.unwrap_or_default());
        let matches = search.await?;
        let has_vector = !matches.hits.is_empty() || self.is_comparable(ctx, query.probe_set).await?;
        let nodes = matches.hits.iter().map(|hit| load_referenced(ctx, hit.layer));
        let nodes = futures::future::try_join_all(nodes).await?;
        let search = Search::new(self.0.id, query, version);
        Ok(layer_match::connection(search, &matches, has_vector, nodes))
    }
}

impl Layer {
    /// Whether it has a vector on a probe set. One that can have none is like nothing, and says why in `degenerate`.
    async fn is_comparable(&self, ctx: &Context<'_>, probe_set: ProbeSetId) -> Result<bool> {
        if load(ctx, HasVector(self.0.id, probe_set)).await?.is_some() {
            return Ok(true);
        }
        let degenerate = load(ctx, DegenerateOn(self.0.id)).await?.unwrap_or_default();
        if degenerate.iter().any(|(on, _)| *on == probe_set) {
            return Ok(false);
        }
        let version = load_referenced(ctx, self.0.version_id).await?;
        if version.format == domain::ModelFormat::Activations {
            return Err(ApiError::bad_input(format!(
                "layer {} has no vector on this probe set: activations are compared on the probe set that they are of alone. \
                 Bring those on this one as a version of their own",
                self.0.name
            )));
        }
        Err(ApiError::bad_input(format!(
            "layer {} has no vector on this probe set: its version has not been ingested on it yet. Wait for that job, or \
             queue it again with createProbeSet and the count and seed that the probe set was drawn with",
            self.0.name
        )))
    }
}

/// The probe set to compare on: the one that is asked for, or the default one of the version's data set.
pub(super) async fn probe_set_for(
    ctx: &Context<'_>,
    version: &domain::Version,
    wanted: Option<&ID>,
) -> Result<ProbeSetId> {
    let wanted = wanted.map(ProbeSetId::decode).transpose()?;
    let own = load(ctx, ProbeSetsOf(version.dataset_id)).await?.unwrap_or_default();
    let found = own.iter().find(|set| match wanted {
        Some(wanted) => set.id == wanted,
        None => set.is_default,
    });
    if let Some(found) = found {
        return Ok(found.id);
    }
    if let Some(wanted) = wanted {
        load(ctx, wanted)
            .await?
            .ok_or_else(|| ServiceError::not_found("probe set", wanted))?;
    }
    Err(ApiError::bad_input(
        "the probe set is of another data set than the layer: vectors are comparable within one probe set only, \
         so choose one of the layer's own data set (Dataset.probeSets lists them)",
    ))
}

/// A probe set on which a layer has no vector.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct DegenerateLayer {
    probe_set: ProbeSetId,
    reason: vector::Degenerate,
}

#[Object(use_type_description)]
impl DegenerateLayer {
    /// The probe set.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<ProbeSet> {
        load_referenced(ctx, self.probe_set).await.map(ProbeSet)
    }

    /// The kind of reason.
    async fn reason(&self) -> DegenerateReason {
        self.reason.into()
    }

    /// The reason in a sentence.
    async fn message(&self) -> String {
        self.reason.to_string()
    }
}

/// Why a layer has no vector on a probe set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "vector::Degenerate")]
pub enum DegenerateReason {
    /// It answers every probe image alike.
    Constant,
    /// It gives NaN or infinity for some probe image.
    NotFinite,
    /// No two probe images share anything in it after U-centring.
    NoSharedStructure,
}
