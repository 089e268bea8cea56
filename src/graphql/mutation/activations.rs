//! The search for what is like activations that nobody stores. It writes nothing and stands among the mutations because
//! only those take uploads.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Upload};

use scv_domain::id::ProbeSetId;
use scv_domain::page::Page;
use scv_domain::similarity::SimilarityQuery;
use crate::graphql::error::Result;
use crate::graphql::id::GlobalId as _;
use crate::graphql::layer::{DegenerateReason, Layer};
use crate::graphql::layer_match::{Measure, SimilarityFilter};
use crate::graphql::loader::load_referenced;
use crate::graphql::upload::read_upload;
use scv_service::{self, Library};

/// Questions that come with a file.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ActivationMutation;

#[Object(use_type_description)]
impl ActivationMutation {
    /// Finds the layers most like each layer of an uploaded file of activations. Nothing is stored.
    async fn similar_to_activations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look for, and where.")] input: SimilarToActivationsInput,
    ) -> Result<SimilarToActivationsPayload> {
        let library = ctx.data_unchecked::<Library>();
        let dataset = library.dataset_named(&input.dataset).await?;
        let wanted = input.probe_set.as_ref().map(ProbeSetId::decode).transpose()?;
        let probe_set = library.probe_set_of(&dataset, wanted).await?;
        let query = SimilarityQuery {
            probe_set: probe_set.id,
            measure: input.measure.into(),
            filter: input.filter.unwrap_or_default().try_into()?,
            exact: input.exact,
            first: Page::<()>::new(Some(input.first), None, None, None)?.limit,
            after: None,
        };
        let file = read_upload(ctx, input.activations, "activations").await?;
        let layers = input.layers.as_deref();
        let found = library.similar_to_activations(file, layers, &query, &probe_set).await?;
        let matches = found.into_iter().map(|matches| ActivationMatches::of(ctx, matches));
        Ok(SimilarToActivationsPayload {
            matches: futures::future::try_join_all(matches).await?,
        })
    }
}

/// Activations to look for.
#[derive(InputObject)]
pub struct SimilarToActivationsInput {
    /// Name of the data set that the probe images are of.
    dataset: String,
    /// An `.npz` or safetensors file: one array a layer, its first dimension the probe images in order.
    activations: Upload,
    /// The probe set that was run; the data set's default one if left out.
    probe_set: Option<ID>,
    /// Only these arrays of the file; all if left out.
    layers: Option<Vec<String>>,
    /// Hits a layer, at most 100.
    #[graphql(default = 10)]
    first: i32,
    /// What hits are ranked by.
    #[graphql(default_with = "Measure::DebiasedCka")]
    measure: Measure,
    /// Which layers may answer.
    filter: Option<SimilarityFilter>,
    /// Compare every admitted layer in place of using the index.
    #[graphql(default)]
    exact: bool,
}

/// What is like the activations.
#[derive(Debug, SimpleObject)]
pub struct SimilarToActivationsPayload {
    /// One entry for each array, in the order of the file.
    matches: Vec<ActivationMatches>,
}

/// What is like one layer of a file of activations.
#[derive(Debug, SimpleObject)]
pub struct ActivationMatches {
    /// The name of its array.
    name: String,
    /// The shape of its response to one image.
    shape: Vec<usize>,
    /// Why it cannot be compared; null for a layer that is as it should be.
    degenerate: Option<DegenerateReason>,
    /// Whether every admitted layer was compared.
    exact: bool,
    /// The layers that compute most nearly the same, best first.
    hits: Vec<ActivationHit>,
}

/// A layer that computes much the same.
#[derive(Debug, SimpleObject)]
pub struct ActivationHit {
    /// Place in the list, from 1.
    rank: u32,
    /// Linear CKA, 0 to 1. Biased upwards for wide layers.
    cka: f64,
    /// Debiased CKA, -1 to 1; near 0 for unrelated layers, however wide.
    debiased_cka: f64,
    /// The layer.
    node: Layer,
}

impl ActivationMatches {
    async fn of(ctx: &Context<'_>, found: service::ActivationMatches) -> Result<Self> {
        let (name, shape) = (found.layer.name, found.layer.shape);
        let (degenerate, matches) = match found.matches {
            Ok(matches) => (None, matches),
            Err(reason) => (Some(reason.into()), scv_domain::similarity::Matches::none()),
        };
        let nodes = matches.hits.iter().map(|hit| load_referenced(ctx, hit.layer));
        let nodes = futures::future::try_join_all(nodes).await?;
        let hits = matches.hits.iter().zip(nodes).map(|(hit, node)| ActivationHit {
            rank: hit.rank,
            cka: hit.cka,
            debiased_cka: hit.debiased_cka,
            node: Layer(node),
        });
        Ok(Self {
            name,
            shape,
            degenerate,
            exact: matches.exact,
            hits: hits.collect(),
        })
    }
}
