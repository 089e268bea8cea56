//! The search for layers similar to a given one: its filter, its hits and the statistics of each hit.

use std::sync::Arc;

use async_graphql::connection::{Connection, ConnectionNameType, Edge, EdgeNameType};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, OutputType, SimpleObject};
use tokio::sync::OnceCell;

use super::cost::permutation_cost;
use super::error::{ApiError, Result};
use super::id::{GlobalId as _, encode_cursor};
use super::layer::Layer;
use super::loader::{HitKey, Neighbours, Permutations, load_hit_statistic};
use super::number::check_range;
use scv_domain::id::{LayerId, ModelId};
use scv_domain::page::MAX_PAGE;
use scv_domain::similarity::{self, MatchCursor, Matches, SimilarityQuery};
use scv_domain::{vector, version as domain};
use scv_service::Library;

/// A page of hits.
pub type LayerMatchConnection = Connection<String, Layer, SearchFacts, MatchScores, MatchConnectionName, MatchEdgeName>;

/// What was searched for.
#[derive(Debug)]
pub(super) struct Search {
    target: LayerId,
    query: SimilarityQuery,
    origin: domain::VersionOrigin,
    /// Number of candidate layers, counted when it is first needed.
    candidate_count: OnceCell<usize>,
}

impl Search {
    pub(super) fn new(target: LayerId, query: SimilarityQuery, origin: domain::VersionOrigin) -> Self {
        Self {
            target,
            query,
            origin,
            candidate_count: OnceCell::new(),
        }
    }

    async fn candidate_count(&self, ctx: &Context<'_>) -> Result<usize> {
        let library = ctx.data_unchecked::<Library>();
        let count = || Box::pin(library.count_admitted(&self.query, self.origin));
        Ok(*self.candidate_count.get_or_try_init(count).await?)
    }
}

/// The connection of a search; `nodes` are the layers of the hits, in the same order.
pub(super) fn connection(
    search: Search,
    matches: &Matches,
    has_vector: bool,
    nodes: Vec<Option<Arc<domain::Layer>>>,
) -> LayerMatchConnection {
    let (measure, has_previous) = (search.query.measure, search.query.after.is_some());
    let search = Arc::new(search);
    let facts = SearchFacts {
        exact: matches.exact,
        complete_above: matches.complete_above,
        has_vector,
        search: Arc::clone(&search),
    };
    let mut connection = Connection::with_additional_fields(has_previous, matches.has_next, facts);
    for (hit, node) in matches.hits.iter().zip(nodes) {
        // It has been hidden or deleted since.
        let Some(node) = node else { continue };
        let cursor = MatchCursor {
            target: search.target,
            rank: hit.rank,
            measure,
            score: hit.score(measure),
            layer: hit.layer,
        };
        let scores = MatchScores {
            rank: hit.rank as i32,
            cka: hit.cka,
            debiased_cka: hit.debiased_cka,
            hit: hit.layer,
            search: Arc::clone(&search),
        };
        let edge = Edge::with_additional_fields(encode_cursor(&cursor), Layer(node), scores);
        connection.edges.push(edge);
    }
    connection
}

/// Fields that concern the whole search.
#[derive(Debug, async_graphql::Description)]
pub struct SearchFacts {
    exact: bool,
    complete_above: Option<f64>,
    has_vector: bool,
    search: Arc<Search>,
}

#[Object(use_type_description)]
impl SearchFacts {
    /// Number of candidate layers: all layers that match the filter, whatever their scores.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        if !self.has_vector {
            return Ok(0);
        }
        let count = self.search.candidate_count(ctx).await?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Whether it is proven that no hit is missing. It always is with up to 20,000 candidate layers, and with `exact: true`.
    /// Otherwise `completeAbove` says how far the list is complete. The scores are exact in any case.
    async fn exact(&self) -> bool {
        self.exact
    }

    /// Every candidate layer with a higher score than this is among the hits of this page and the pages before it. Null if
    /// nothing is proven; -1 if no candidate layer is left.
    async fn complete_above(&self) -> Option<f64> {
        self.complete_above
    }
}

/// The scores of a hit.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct MatchScores {
    /// Position in the results, from 1, counted over all pages.
    rank: i32,
    /// Linear CKA, 0 to 1. Biased upwards for wide layers.
    cka: f64,
    /// Debiased CKA, -1 to 1; near 0 for unrelated layers, however wide.
    debiased_cka: f64,
    #[graphql(skip)]
    hit: LayerId,
    #[graphql(skip)]
    search: Arc<Search>,
}

#[ComplexObject]
impl MatchScores {
    /// Significance of the score: how likely at least this debiased CKA is by chance.
    #[graphql(complexity = "permutation_cost(permutations, child_complexity)")]
    async fn significance(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Number of random permutations: 99 to 100,000; fewer on probe sets of more than 100 images.",
            default = 1000
        )]
        permutations: i32,
    ) -> Result<Significance> {
        let statistic = Permutations(usize::try_from(permutations).unwrap_or(0));
        let found = load_hit_statistic(ctx, self.key(statistic)).await?;
        Ok(Significance::among(self.search.candidate_count(ctx).await?, &found))
    }

    /// Mutual nearest neighbours of the two layers: how many of each probe image's nearest neighbours are the same in
    /// both. A second measure of similarity, which large distances do not influence.
    async fn mutual_knn(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Neighbours per image: from 1 to the number of probe images minus 1.",
            default = 10
        )]
        k: i32,
    ) -> Result<MutualKnn> {
        let statistic = Neighbours(usize::try_from(k).unwrap_or(0));
        Ok(load_hit_statistic(ctx, self.key(statistic)).await?.into())
    }
}

impl MatchScores {
    fn key<S>(&self, statistic: S) -> HitKey<S> {
        HitKey {
            target: self.search.target,
            hit: self.hit,
            probe_set: self.search.query.probe_set,
            statistic,
        }
    }
}

/// The overlap of the nearest neighbours in two layers (mutual k-NN, Huh et al. 2024), by the distances of their
/// activations.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct MutualKnn {
    /// Share of common neighbours, 0 to 1, averaged over the probe images.
    overlap: f64,
    /// The overlap expected of unrelated layers.
    expected_by_chance: f64,
    /// Neighbours per image.
    k: usize,
}

impl From<similarity::MutualKnn> for MutualKnn {
    fn from(found: similarity::MutualKnn) -> Self {
        Self {
            overlap: found.overlap,
            expected_by_chance: found.by_chance,
            k: found.nearest,
        }
    }
}

/// The significance of a debiased CKA score: the probability of at least this score if the probe images of one of the
/// two layers are permuted at random.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct Significance {
    /// The p-value: `permutationPValue` if at least ten permutations reach the score, otherwise `momentPValue`.
    p_value: f64,
    /// The p-value corrected for the number of layers searched (Bonferroni), because the highest of many scores is high
    /// by chance.
    corrected_p_value: f64,
    /// Number of candidate layers of the search; 1 in a comparison of two layers.
    layers_searched: i32,
    /// Share of the random permutations that reach the score. The actual order counts as one of them.
    permutation_p_value: f64,
    /// From a Pearson type III distribution with the exact mean, variance and skewness over all permutations
    /// (Kazi-Aoual et al. 1995; Josse, Pagès and Husson 2008).
    moment_p_value: f64,
    /// Number of random permutations.
    permutations: usize,
}

impl Significance {
    /// The significance of the score of one of the layers searched.
    pub(super) fn among(searched: usize, found: &similarity::Significance) -> Self {
        Self {
            p_value: found.p_value,
            corrected_p_value: (found.p_value * searched as f64).min(1.0),
            layers_searched: i32::try_from(searched).unwrap_or(i32::MAX),
            permutation_p_value: found.permutation_p_value,
            moment_p_value: found.moment_p_value,
            permutations: found.permutations,
        }
    }
}

/// The name of the connection type.
#[derive(Debug)]
pub struct MatchConnectionName;

impl ConnectionNameType for MatchConnectionName {
    fn type_name<T: OutputType>() -> String {
        "LayerMatchConnection".to_owned()
    }
}

/// The name of the edge type.
#[derive(Debug)]
pub struct MatchEdgeName;

impl EdgeNameType for MatchEdgeName {
    fn type_name<T: OutputType>() -> String {
        "LayerMatchEdge".to_owned()
    }
}

/// A measure of similarity. Both compare the Gram matrices of two layers' activations on the same probe images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "vector::Measure")]
pub enum Measure {
    /// Debiased CKA, from U-centred Gram matrices (Song et al. 2012; Nguyen et al. 2021): near 0 for unrelated layers,
    /// however wide.
    DebiasedCka,
    /// Linear CKA (Kornblith et al. 2019); biased upwards for wide layers.
    Cka,
}

/// Which layers a search considers.
#[derive(Debug, Clone, Default, InputObject)]
pub struct SimilarityFilter {
    /// Minimum accuracy of the layer's version on its own data set, 0 to 1.
    min_accuracy: Option<f64>,
    /// Only versions more accurate than the target's.
    #[graphql(default)]
    better_than_target: bool,
    /// Only versions for one of these data sets, by name. Empty: any.
    #[graphql(default)]
    datasets: Vec<String>,
    /// Only layers of one of these kinds, such as `Conv2d`. Empty: any.
    #[graphql(default)]
    layer_kinds: Vec<String>,
    /// Only these models, by global id. Empty: any.
    #[graphql(default)]
    models: Vec<ID>,
    /// Not these models, by global id.
    #[graphql(default)]
    exclude_models: Vec<ID>,
    /// Only models that have all of these tags.
    #[graphql(default)]
    tags: Vec<String>,
    /// Include layers of the target's own model, including the target itself.
    #[graphql(default = false)]
    include_own_model: bool,
    /// Minimum score of a hit in the requested measure.
    min_score: Option<f64>,
}

impl TryFrom<SimilarityFilter> for similarity::SimilarityFilter {
    type Error = ApiError;

    fn try_from(filter: SimilarityFilter) -> Result<Self> {
        check_range("minAccuracy", filter.min_accuracy, 0.0)?;
        check_range("minScore", filter.min_score, -1.0)?;
        for (field, length) in [
            ("datasets", filter.datasets.len()),
            ("layerKinds", filter.layer_kinds.len()),
            ("models", filter.models.len()),
            ("excludeModels", filter.exclude_models.len()),
            ("tags", filter.tags.len()),
        ] {
            if length > MAX_PAGE {
                return Err(ApiError::bad_input(format!(
                    "`filter.{field}` must have at most {MAX_PAGE} entries, got {length}"
                )));
            }
        }
        let keys = |field: &str, ids: &[ID]| {
            let decoded = ids.iter().map(ModelId::decode).collect::<Result<Vec<_>>>();
            decoded.map_err(|error| error.in_field(field))
        };
        Ok(Self {
            min_accuracy: filter.min_accuracy,
            better_than_target: filter.better_than_target,
            models: keys("filter.models", &filter.models)?,
            exclude_models: keys("filter.excludeModels", &filter.exclude_models)?,
            datasets: filter.datasets,
            layer_kinds: filter.layer_kinds,
            tags: filter.tags,
            include_own_model: filter.include_own_model,
            min_score: filter.min_score,
        })
    }
}
