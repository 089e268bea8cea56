//! The search for layers that are like one: its filter, its hits and what can be asked about each.

use std::sync::Arc;

use async_graphql::connection::{Connection, ConnectionNameType, Edge, EdgeNameType};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, OutputType, SimpleObject};
use tokio::sync::OnceCell;

use super::error::{ApiError, Result};
use super::id::{GlobalId as _, encode_cursor};
use super::layer::Layer;
use super::limits::relabelling_cost;
use super::loader::{Nearest, OfHit, Permutations, load_of_hit};
use scv_domain::id::{LayerId, ModelId};
use scv_domain::page::MAX_PAGE;
use scv_domain::similarity::{self, MatchCursor, Matches, SimilarityQuery};
use scv_domain::{vector, version as domain};
use scv_service::Library;

/// A page of hits.
pub type LayerMatchConnection = Connection<String, Layer, SearchFacts, MatchScores, MatchConnectionName, MatchEdgeName>;

/// What was asked.
#[derive(Debug)]
pub(super) struct Search {
    target: LayerId,
    query: SimilarityQuery,
    version: domain::Version,
    /// Layers that the filter admits, counted once they are asked for.
    admitted: OnceCell<usize>,
}

impl Search {
    pub(super) fn new(target: LayerId, query: SimilarityQuery, version: domain::Version) -> Self {
        Self {
            target,
            query,
            version,
            admitted: OnceCell::new(),
        }
    }

    async fn admitted(&self, ctx: &Context<'_>) -> Result<usize> {
        let library = ctx.data_unchecked::<Library>();
        let count = || library.count_admitted(&self.query, &self.version);
        Ok(*self.admitted.get_or_try_init(count).await?)
    }
}

/// The hits of a search with their layers, which must be in the same order.
pub(super) fn connection(
    search: Search,
    matches: &Matches,
    has_vector: bool,
    nodes: Vec<domain::Layer>,
) -> LayerMatchConnection {
    let (measure, has_previous) = (search.query.measure, search.query.after.is_some());
    let search = Arc::new(search);
    let facts = SearchFacts {
        exact: matches.exact,
        has_vector,
        search: Arc::clone(&search),
    };
    let mut connection = Connection::with_additional_fields(has_previous, matches.has_next, facts);
    for (hit, node) in matches.hits.iter().zip(nodes) {
        let cursor = MatchCursor {
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

/// What is true of a whole search.
#[derive(Debug, async_graphql::Description)]
pub struct SearchFacts {
    exact: bool,
    has_vector: bool,
    search: Arc<Search>,
}

#[Object(use_type_description)]
impl SearchFacts {
    /// Layers that the filter admits, whatever their scores: those the search was about.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        if !self.has_vector {
            return Ok(0);
        }
        let count = self.search.admitted(ctx).await?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Whether every admitted layer was compared. If not, candidates were chosen by short sketches and were then scored exactly:
    /// the scores are exact either way, but a hit may be missing.
    async fn exact(&self) -> bool {
        self.exact
    }
}

/// How like a hit is.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct MatchScores {
    /// Place in the list, from 1, over all pages.
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
    /// How likely so high a debiased CKA is if the probe images of one of the two layers were relabelled at random.
    #[graphql(complexity = "relabelling_cost(permutations, child_complexity)")]
    async fn significance(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Random relabellings to try: 99 to 100,000, fewer on probe sets of more than 100 images.",
            default = 1000
        )]
        permutations: i32,
    ) -> Result<Significance> {
        let question = Permutations(usize::try_from(permutations).unwrap_or(0));
        let found = load_of_hit(ctx, self.ask(question)).await?;
        let searched = self.search.admitted(ctx).await?;
        Ok(Significance {
            p_value: found.p_value,
            corrected_p_value: (found.p_value * searched as f64).min(1.0),
            layers_searched: i32::try_from(searched).unwrap_or(i32::MAX),
            permutation_p_value: found.permutation_p_value,
            moment_p_value: found.moment_p_value,
            permutations,
        })
    }

    /// Whether the two layers see the same images as alike: how many of each probe image's nearest other images are the same
    /// in both. A second opinion that large distances have no part in.
    async fn mutual_knn(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Neighbours of each image: 1 to one less than there are probe images.",
            default = 10
        )]
        k: i32,
    ) -> Result<MutualKnn> {
        let question = Nearest(usize::try_from(k).unwrap_or(0));
        let found = load_of_hit(ctx, self.ask(question)).await?;
        Ok(MutualKnn {
            overlap: found.overlap,
            by_chance: found.by_chance,
            k,
        })
    }
}

impl MatchScores {
    fn ask<Q>(&self, question: Q) -> OfHit<Q> {
        OfHit {
            target: self.search.target,
            hit: self.hit,
            probe_set: self.search.query.probe_set,
            question,
        }
    }
}

/// How many nearest neighbours two layers have in common (Huh et al. 2024), by the distances of their activations.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct MutualKnn {
    /// The share, 0 to 1, averaged over the probe images.
    overlap: f64,
    /// What layers that have nothing in common would come to.
    by_chance: f64,
    /// Neighbours of each image.
    k: i32,
}

/// The probability of a score of at least this height if it says nothing: if the probe images of one of the two layers were
/// relabelled at random. Always that of debiased CKA.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct Significance {
    /// From the permutations if at least ten of them reach the score, else from the moments.
    p_value: f64,
    /// The same for the best of all layers that were searched, a bound by Bonferroni: the highest of many scores is high by
    /// chance.
    corrected_p_value: f64,
    /// Layers that the filter admitted.
    layers_searched: i32,
    /// Share of the random relabellings that reach the score, the given labelling counted as one.
    permutation_p_value: f64,
    /// From a Pearson type III curve with the exact mean, variance and skewness over all relabellings (Kazi-Aoual et al.
    /// 1995; Josse, Pagès and Husson 2008).
    moment_p_value: f64,
    /// Random relabellings tried.
    permutations: i32,
}

/// Names the connection.
#[derive(Debug)]
pub struct MatchConnectionName;

impl ConnectionNameType for MatchConnectionName {
    fn type_name<T: OutputType>() -> String {
        "LayerMatchConnection".to_owned()
    }
}

/// Names the edges.
#[derive(Debug)]
pub struct MatchEdgeName;

impl EdgeNameType for MatchEdgeName {
    fn type_name<T: OutputType>() -> String {
        "LayerMatchEdge".to_owned()
    }
}

/// Which likeness is meant. Both compare the Gram matrices of two layers' responses to the same probe images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "vector::Measure")]
pub enum Measure {
    /// CKA from U-centred Grams (Song et al. 2012; Nguyen et al. 2021): near zero for unrelated layers, however wide.
    DebiasedCka,
    /// Linear CKA (Kornblith et al. 2019), biased upwards for wide layers.
    Cka,
}

/// Which layers a search may answer with.
#[derive(Debug, Clone, Default, InputObject)]
pub struct SimilarityFilter {
    /// Least accuracy of the layer's version on its own data set, 0 to 1.
    min_accuracy: Option<f64>,
    /// Only versions more accurate than the target's.
    #[graphql(default)]
    better_than_target: bool,
    /// Only versions made for one of these data sets, by name. Empty: any.
    #[graphql(default)]
    datasets: Vec<String>,
    /// Only layers of one of these kinds, such as `Conv2d`. Empty: any.
    #[graphql(default)]
    layer_kinds: Vec<String>,
    /// Only these models. Empty: any.
    #[graphql(default)]
    models: Vec<ID>,
    /// None of these models.
    #[graphql(default)]
    exclude_models: Vec<ID>,
    /// Only models that bear all of these tags.
    #[graphql(default)]
    tags: Vec<String>,
    /// Let the target's own model answer too, the target itself included.
    #[graphql(default = false)]
    include_own_model: bool,
    /// Only hits whose score in the measure asked for is at least this.
    min_score: Option<f64>,
}

impl TryFrom<SimilarityFilter> for similarity::SimilarityFilter {
    type Error = ApiError;

    fn try_from(filter: SimilarityFilter) -> Result<Self> {
        check_range("minAccuracy", filter.min_accuracy, 0.0)?;
        check_range("minScore", filter.min_score, -1.0)?;
        let longest = [
            filter.datasets.len(),
            filter.layer_kinds.len(),
            filter.models.len(),
            filter.exclude_models.len(),
            filter.tags.len(),
        ];
        if longest.into_iter().any(|length| length > MAX_PAGE) {
            return Err(ApiError::bad_input(format!(
                "a list in a filter must have at most {MAX_PAGE} entries"
            )));
        }
        let keys = |ids: &[ID]| ids.iter().map(ModelId::decode).collect::<Result<Vec<_>>>();
        Ok(Self {
            min_accuracy: filter.min_accuracy,
            better_than_target: filter.better_than_target,
            models: keys(&filter.models)?,
            exclude_models: keys(&filter.exclude_models)?,
            datasets: filter.datasets,
            layer_kinds: filter.layer_kinds,
            tags: filter.tags,
            include_own_model: filter.include_own_model,
            min_score: filter.min_score,
        })
    }
}

fn check_range(field: &str, value: Option<f64>, least: f64) -> Result<()> {
    match value {
        Some(value) if !(least..=1.0).contains(&value) => Err(ApiError::bad_input(format!(
            "`{field}` must be {least} to 1, got {value}"
        ))),
        _ => Ok(()),
    }
}
