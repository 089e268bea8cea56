//! The search with uploaded activations. It writes nothing; it is a mutation because only mutations support uploads.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Upload};

use crate::error::Result;
use crate::id::GlobalId as _;
use crate::layer::{DegenerateReason, Layer};
use crate::layer_match::{Measure, SimilarityFilter};
use crate::loader::load;
use crate::upload::read_named_upload;
use scv_domain::id::ProbeSetId;
use scv_domain::page::Page;
use scv_service::{Library, SimilarityRequest};

/// Searches with uploaded activations.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ActivationMutation;

#[Object(use_type_description)]
impl ActivationMutation {
    /// Finds the most similar layers to each array of an uploaded file of activations. Nothing is stored.
    async fn similar_to_activations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The activations and the settings of the search.")] input: SimilarToActivationsInput,
    ) -> Result<SimilarToActivationsPayload> {
        let library = ctx.data_unchecked::<Library>();
        let request = SimilarityRequest {
            probe_set: input.probe_set.as_ref().map(ProbeSetId::decode).transpose()?,
            measure: input.measure.into(),
            filter: input.filter.unwrap_or_default().try_into()?,
            exact: input.exact,
            first: Page::<()>::new(Some(input.first), None, None, None)?.limit,
            after: None,
        };
        let file = read_named_upload(ctx, input.activations, "activations")?;
        let layers = input.layers.as_deref();
        let found = library
            .similar_to_activations(file, layers, &input.dataset, &request)
            .await?;
        let matches = found.into_iter().map(|matches| ActivationMatches::of(ctx, matches));
        Ok(SimilarToActivationsPayload {
            matches: futures::future::try_join_all(matches).await?,
        })
    }
}

/// Activations to search with.
#[derive(InputObject)]
pub struct SimilarToActivationsInput {
    /// Name of the data set that the probe images belong to.
    dataset: String,
    /// An `.npz` or safetensors file with one array per layer, whose first dimension is the probe images in order.
    activations: Upload,
    /// The probe set that the activations were computed on. Default: the default probe set of the data set.
    probe_set: Option<ID>,
    /// Names of the arrays to search with. Default: all arrays of the file.
    layers: Option<Vec<String>>,
    /// Maximum number of hits per layer, at most 100.
    #[graphql(default = 10)]
    first: i32,
    /// The measure to rank hits by.
    #[graphql(default_with = "Measure::DebiasedCka")]
    measure: Measure,
    /// Which layers to consider.
    filter: Option<SimilarityFilter>,
    /// Prove that no hit is missing, however many layers have to be compared.
    #[graphql(default)]
    exact: bool,
}

/// The layers that are similar to the activations.
#[derive(Debug, SimpleObject)]
pub struct SimilarToActivationsPayload {
    /// One entry per array, in the order of the file.
    matches: Vec<ActivationMatches>,
}

/// The layers that are similar to one array of a file of activations.
#[derive(Debug, SimpleObject)]
pub struct ActivationMatches {
    /// Name of the array.
    name: String,
    /// Shape of the activations for one image.
    shape: Vec<usize>,
    /// Why the array cannot be compared; null if it can.
    degenerate: Option<DegenerateReason>,
    /// Whether it is proven that no hit is missing. It always is with up to 20,000 candidate layers, and with `exact: true`.
    exact: bool,
    /// Every candidate layer with a higher score than this is among the hits. Null if nothing is proven; -1 if no candidate
    /// layer is left.
    complete_above: Option<f64>,
    /// The most similar layers, most similar first.
    hits: Vec<ActivationHit>,
}

/// A similar layer and its scores.
#[derive(Debug, SimpleObject)]
pub struct ActivationHit {
    /// Position in the results, from 1.
    rank: u32,
    /// Linear CKA, 0 to 1. Biased upwards for wide layers.
    cka: f64,
    /// Debiased CKA, -1 to 1; near 0 for unrelated layers, however wide.
    debiased_cka: f64,
    /// The layer.
    node: Layer,
}

impl ActivationMatches {
    async fn of(ctx: &Context<'_>, found: scv_service::ActivationMatches) -> Result<Self> {
        let (name, shape) = (found.layer.name, found.layer.shape);
        let (degenerate, matches) = match found.matches {
            Ok(matches) => (None, matches),
            Err(reason) => (Some(reason.into()), scv_domain::similarity::Matches::none()),
        };
        let nodes = matches.hits.iter().map(|hit| load(ctx, hit.layer));
        let nodes = futures::future::try_join_all(nodes).await?;
        // Without those that have been hidden or deleted since.
        let hits = matches.hits.iter().zip(nodes).filter_map(|(hit, node)| {
            Some(ActivationHit {
                rank: hit.rank,
                cka: hit.cka,
                debiased_cka: hit.debiased_cka,
                node: node?.into(),
            })
        });
        Ok(Self {
            name,
            shape,
            degenerate,
            exact: matches.exact,
            complete_above: matches.complete_above,
            hits: hits.collect(),
        })
    }
}
