//! The comparison of two layers.

use async_graphql::{Context, ID, Object};
use std::sync::Arc;

use super::cost::permutation_cost;
use super::dataset::ProbeSet;
use super::error::Result;
use super::explanation::{ExplanationFacts, find_layer};
use super::id::GlobalId as _;
use super::layer::Layer;
use super::layer_match::{MutualKnn, Significance};
use super::loader::{HitKey, Neighbours, Permutations, load_hit_statistic, load_referenced};
use scv_domain::id::ProbeSetId;
use scv_service::{FACT_PERMUTATIONS, LayerScores, Library};

/// Compares two layers.
///
/// # Errors
/// A layer or the probe set does not exist, or the probe set is one of another data set.
pub(super) async fn compare_layers(
    ctx: &Context<'_>,
    [a, b]: [&ID; 2],
    probe_set: Option<&ID>,
) -> Result<LayerComparison> {
    let (a, b) = futures::try_join!(find_layer(ctx, a), find_layer(ctx, b))?;
    let probe_set = probe_set.map(ProbeSetId::decode).transpose()?;
    let library = ctx.data_unchecked::<Library>();
    let compared = library.layer_scores(&a.0, &b.0, probe_set).await?;
    Ok(LayerComparison {
        a,
        b,
        requested: probe_set,
        compared,
    })
}

/// The measured facts about two layers. Their shapes, costs and accuracies are fields of the layers and of their versions.
#[derive(Debug, async_graphql::Description)]
pub struct LayerComparison {
    a: Layer,
    b: Layer,
    /// The requested probe set.
    requested: Option<ProbeSetId>,
    compared: LayerScores,
}

#[Object(use_type_description)]
impl LayerComparison {
    /// The first layer.
    async fn a(&self) -> Layer {
        Layer(Arc::clone(&self.a.0))
    }

    /// The second layer.
    async fn b(&self) -> Layer {
        Layer(Arc::clone(&self.b.0))
    }

    /// The probe set that they were compared on. Null if they cannot be compared.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<Option<ProbeSet>> {
        match self.compared.probe_set {
            Some(probe_set) => Ok(Some(ProbeSet(load_referenced(ctx, probe_set).await?))),
            None => Ok(None),
        }
    }

    /// Linear CKA between the two layers, 0 to 1; biased upwards for wide layers. Null if they cannot be compared.
    async fn cka(&self) -> Option<f64> {
        self.compared.scores.as_ref().ok().map(|scores| scores.cka)
    }

    /// Debiased CKA between the two layers, -1 to 1; near 0 for unrelated layers, however wide. Null if they cannot be
    /// compared.
    async fn debiased_cka(&self) -> Option<f64> {
        self.compared.scores.as_ref().ok().map(|scores| scores.debiased_cka)
    }

    /// Why the two layers cannot be compared, in a sentence; null if they can.
    async fn not_comparable_reason(&self) -> Option<&str> {
        self.compared.scores.as_ref().err().map(String::as_str)
    }

    /// Significance of the debiased CKA: how likely at least this score is by chance. Null if the layers cannot be
    /// compared.
    #[graphql(complexity = "permutation_cost(permutations, child_complexity)")]
    async fn significance(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Number of random permutations: 99 to 100,000; fewer on probe sets of more than 100 images.",
            default = 1000
        )]
        permutations: i32,
    ) -> Result<Option<Significance>> {
        let statistic = Permutations(usize::try_from(permutations).unwrap_or(0));
        let Some(key) = self.key(statistic) else {
            return Ok(None);
        };
        let found = load_hit_statistic(ctx, key).await?;
        Ok(Some(Significance::among(1, &found)))
    }

    /// Mutual nearest neighbours of the two layers: how many of each probe image's nearest neighbours are the same in
    /// both. Null if the layers cannot be compared.
    async fn mutual_knn(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Neighbours per image: from 1 to the number of probe images minus 1.",
            default = 10
        )]
        k: i32,
    ) -> Result<Option<MutualKnn>> {
        let Some(key) = self.key(Neighbours(usize::try_from(k).unwrap_or(0))) else {
            return Ok(None);
        };
        Ok(Some(load_hit_statistic(ctx, key).await?.into()))
    }

    /// What the two layers and their networks have in common: the facts that an explanation is based on. They include a test of
    /// significance, and count like one. Fails if a version is not READY, or if the networks have too many layers to be aligned.
    #[graphql(complexity = "permutation_cost(FACT_PERMUTATIONS.into(), child_complexity)")]
    async fn facts(&self, ctx: &Context<'_>) -> Result<ExplanationFacts> {
        let library = ctx.data_unchecked::<Library>();
        let facts = library.facts(&self.a.0, &self.b.0, self.requested);
        Ok(Box::pin(facts).await?.common().into())
    }
}

impl LayerComparison {
    /// The key of a statistic of the pair; `None` if the layers cannot be compared.
    fn key<S>(&self, statistic: S) -> Option<HitKey<S>> {
        Some(HitKey {
            target: self.a.0.id,
            hit: self.b.0.id,
            probe_set: self.compared.probe_set?,
            statistic,
        })
    }
}
