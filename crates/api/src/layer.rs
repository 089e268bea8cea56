//! Layers.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Json, Object};

use super::connection::{ListConnection, connection_of_all, page};
use super::cost::page_cost;
use super::dataset::{ProbeSet, Split};
use super::error::{ApiError, Result};
use super::id::{GlobalId, decode_cursor};
use super::insight::{DEFAULT_CHANNELS, FeatureMap, channel_choice, image_of_dataset, maps_cost};
use super::layer_match::{self, LayerMatchConnection, Measure, Search, SimilarityFilter};
use super::loader::{DegenerateOn, ExemplarsOf, load, load_found_layer, load_origin, load_referenced};
use super::number::non_negative;
use super::plain::ListEntry;
use super::raw_list::RawList;
use super::synthesis::{self, ChannelExemplars, Synthesis};
use super::version::Version;
use scv_domain::id::ProbeSetId;
use scv_domain::page::Page;
use scv_domain::similarity::MatchCursor;
use scv_domain::synthesis::SynthesisScope;
use scv_domain::{vector, version as domain};
use scv_service::{ImageChoice, Library, SimilarityRequest};

/// A layer of a version: one operation of its network.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Layer(pub Arc<domain::Layer>);

impl From<domain::Layer> for Layer {
    fn from(layer: domain::Layer) -> Self {
        Self(Arc::new(layer))
    }
}

impl ListEntry for Layer {
    const PLAIN: &'static [&'static str] = &[
        "id",
        "index",
        "name",
        "kind",
        "parameters",
        "inputShape",
        "outputShape",
        "parameterCount",
        "multiplyAccumulates",
        "inputs",
    ];
}

#[Object(use_type_description)]
impl Layer {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Index in execution order, from 0.
    async fn index(&self) -> i32 {
        self.0.index
    }

    /// Its name; for a network of blocks its path in the block list, such as `3.main.0`.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Layer kind, such as `Conv2d`.
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    /// Its parameters by PyTorch's names, including defaults.
    async fn parameters(&self) -> Json<serde_json::Value> {
        Json(self.0.parameters.clone())
    }

    /// Shape of its input for one image.
    async fn input_shape(&self) -> RawList<&[i32]> {
        RawList(&self.0.input_shape)
    }

    /// Shape of its output for one image.
    async fn output_shape(&self) -> RawList<&[i32]> {
        RawList(&self.0.output_shape)
    }

    /// Number of trainable parameters.
    async fn parameter_count(&self) -> i64 {
        self.0.parameter_count
    }

    /// Number of multiply-accumulate operations for one image; a whole number.
    async fn multiply_accumulates(&self) -> f64 {
        self.0.multiply_accumulates as f64
    }

    /// Indices of the layers whose outputs it reads, and -1 for the image: the edges of the network's graph. Operations that are
    /// no layers are passed through. Null for activations, and for a version that an earlier release registered.
    async fn inputs(&self) -> Option<RawList<&[i32]>> {
        self.0.inputs.as_deref().map(RawList)
    }

    /// The version it belongs to.
    async fn version(&self, ctx: &Context<'_>) -> Result<Version> {
        load_referenced(ctx, self.0.version_id).await.map(Version)
    }

    /// The probe sets on which the layer has no vector and so cannot be compared, each with the reason. Usually empty.
    async fn degenerate(&self, ctx: &Context<'_>) -> Result<Vec<DegenerateLayer>> {
        let found = load(ctx, DegenerateOn(self.0.id)).await?.unwrap_or_default();
        Ok(found
            .into_iter()
            .map(|(probe_set, reason)| DegenerateLayer { probe_set, reason })
            .collect())
    }

    /// The feature maps of its channels for an image of the version's data set. Without `image`, each channel is shown
    /// its top-activating image of the test split; run `findExemplars` first.
    #[graphql(complexity = "maps_cost(channels.as_deref(), first, child_complexity)")]
    async fn feature_maps(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Index of the image in its split. Default: the top-activating image of each channel.")]
        image: Option<i32>,
        #[graphql(desc = "The split of the image. Default: TEST.")] split: Option<Split>,
        #[graphql(desc = "Indices of the channels, at most 64. Default: the most active ones.")] channels: Option<
            Vec<i32>,
        >,
        #[graphql(
            desc = "Without `channels`: number of most active channels to return, at most 64.",
            default_with = "DEFAULT_CHANNELS"
        )]
        first: i32,
    ) -> Result<Vec<FeatureMap>> {
        let image = match (image, split) {
            (Some(image), split) => image_of_dataset(split.unwrap_or(Split::Test), image)?,
            (None, None) => ImageChoice::TopActivating,
            (None, Some(_)) => {
                return Err(ApiError::bad_input(
                    "`split` requires `image`: specify the image too, or omit both",
                ));
            }
        };
        let channels = channel_choice(channels, first)?;
        let library = ctx.data_unchecked::<Library>();
        let maps = Box::pin(library.feature_maps(self.0.id, image, channels)).await?;
        Ok(FeatureMap::all(maps))
    }

    /// Its channels with their top-activating images of the test split, by the maximum activation of the channel. Null
    /// before `findExemplars` has run, and for a layer of more than 65,536 channels.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn channel_exemplars(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Indices of the channels, in the requested order. Default: all.")] channels: Option<Vec<i32>>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<Option<ListConnection<ChannelExemplars>>> {
        let page = page(first, after, last, before)?;
        let Some(kept) = load(ctx, ExemplarsOf(self.0.id)).await? else {
            return Ok(None);
        };
        let of_channel = |channel: i32| {
            let index = non_negative("channels", channel)?;
            let last = kept.units().len().saturating_sub(1);
            kept.units().get(index).map(|images| (index, images)).ok_or_else(|| {
                ApiError::bad_input(format!(
                    "channel {channel} of layer {} is out of range (0–{last})",
                    self.0.name
                ))
            })
        };
        let channels: Vec<_> = match channels {
            Some(channels) => channels.into_iter().map(of_channel).collect::<Result<_>>()?,
            None => kept.units().iter().enumerate().collect(),
        };
        Ok(Some(connection_of_all(&channels, &page, |(channel, images)| {
            ChannelExemplars {
                channel,
                images: images.clone(),
                version: self.0.version_id,
            }
        })))
    }

    /// Synthetic images for the layer, its channels and their neurons, newest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn syntheses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Synthesis>> {
        let of = SynthesisScope::Layer(self.0.version_id, self.0.index);
        synthesis::list(ctx, of, page(first, after, last, before)?).await
    }

    /// The most similar layers, most similar first. Layers of the same model are excluded unless the filter includes
    /// them. The list is empty if the layer is `degenerate` on the probe set.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments are those of the schema's contract"
    )]
    #[graphql(complexity = "page_cost(Some(first), None, child_complexity)")]
    async fn similar(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N hits, at most 100.", default = 10)] first: i32,
        #[graphql(desc = "Return only hits after this cursor.")] after: Option<String>,
        #[graphql(desc = "The measure to rank hits by.", default_with = "Measure::DebiasedCka")] measure: Measure,
        #[graphql(desc = "Which layers to consider.")] filter: Option<SimilarityFilter>,
        #[graphql(
            desc = "Prove that no hit is missing, however many layers have to be compared.",
            default = false
        )]
        exact: bool,
        #[graphql(desc = "The probe set to compare on. Default: the default probe set of the layer's data set.")]
        probe_set: Option<ID>,
    ) -> Result<LayerMatchConnection> {
        let page: Page<MatchCursor> = Page::new(Some(first), decode_cursor("after", after)?, None, None)?;
        let measure = measure.into();
        if page.after.is_some_and(|after| after.measure != measure) {
            return Err(ApiError::bad_input(
                "`after` is a cursor of a search with another measure: omit it to start a new list",
            ));
        }
        if page.after.is_some_and(|after| after.target != self.0.id) {
            return Err(ApiError::bad_input(
                "`after` is a cursor of the list of another layer: use one that this list returned, or omit it",
            ));
        }
        let origin = load_origin(ctx, &self.0).await?;
        let request = SimilarityRequest {
            probe_set: probe_set.as_ref().map(ProbeSetId::decode).transpose()?,
            measure,
            filter: filter.unwrap_or_default().try_into()?,
            exact,
            first: page.limit,
            after: page.after,
        };
        let library = ctx.data_unchecked::<Library>();
        // Boxed, as other large ones are: the future of each field of a layer has room for the largest, and is copied.
        let found = Box::pin(library.similar(&self.0, origin, &request)).await?;
        let nodes = found.matches.hits.iter().map(|hit| load_found_layer(ctx, hit.layer));
        let nodes = futures::future::try_join_all(nodes).await?;
        let search = Search::new(self.0.id, request.on(found.probe_set), origin);
        Ok(layer_match::connection(
            search,
            &found.matches,
            found.is_comparable,
            nodes,
        ))
    }
}

/// The probe set to compare on: the requested one, or the default one of the version's data set.
///
/// # Errors
/// The probe set does not exist, or belongs to another data set.
pub(super) async fn probe_set_for(
    ctx: &Context<'_>,
    version: &domain::Version,
    requested: Option<&ID>,
) -> Result<ProbeSetId> {
    let requested = requested.map(ProbeSetId::decode).transpose()?;
    let library = ctx.data_unchecked::<Library>();
    Ok(library.probe_set_of(version.dataset_id, requested).await?.id)
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

    /// The reason.
    async fn reason(&self) -> DegenerateReason {
        self.reason.into()
    }

    /// The reason, in a sentence.
    async fn message(&self) -> String {
        self.reason.to_string()
    }
}

/// Why a layer has no vector on a probe set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "vector::Degenerate")]
pub enum DegenerateReason {
    /// Its output is the same for every probe image.
    Constant,
    /// Its output contains NaN or infinity for at least one probe image.
    NotFinite,
    /// After U-centring, its outputs for different probe images have nothing in common.
    NoSharedStructure,
}
