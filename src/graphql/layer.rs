//! Layers and the search for their like.

use std::sync::Arc;

use async_graphql::connection::{Connection, ConnectionNameType, Edge, EdgeNameType};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Json, Object, OutputType, SimpleObject};
use tokio::sync::OnceCell;

use super::dataset::ProbeSet;
use super::error::{ApiError, Result};
use super::id::{GlobalId, decode_cursor, encode_cursor};
use super::loader::{
    DegenerateOn, Generation, HasVector, ProbeSetsOf, SignificanceOf, load, load_referenced, load_significance,
};
use super::version::Version;
use crate::domain::id::{LayerId, ModelId, ProbeSetId};
use crate::domain::page::{MAX_PAGE, Page};
use crate::domain::similarity::{self, MatchCursor, Matches, SimilarityQuery};
use crate::domain::{vector, version as domain};
use crate::service::{Library, ServiceError};

/// A layer of a version: one step of its computation.
#[derive(Debug, Clone)]
pub struct Layer(pub domain::Layer);

#[Object]
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

    /// The layers that compute most nearly the same, best first. The layer's own model is left out unless the filter says
    /// otherwise. Nothing is like a layer that is `degenerate` on the probe set.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments are those of the schema's contract"
    )]
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
        let version = load_referenced(ctx, self.0.version_id).await?;
        let query = SimilarityQuery {
            probe_set: probe_set_for(ctx, &version, probe_set.as_ref()).await?,
            measure,
            filter: filter.unwrap_or_default().try_into()?,
            exact,
            first: page.limit,
            after: page.after,
        };
        let library = ctx.data_unchecked::<Library>();
        let (has_vector, generation) =
            futures::try_join!(self.is_comparable(ctx, query.probe_set), load(ctx, Generation))?;
        let matches = match has_vector {
            true => {
                library
                    .similar(self.0.id, &query, &version, generation.unwrap_or_default())
                    .await?
            }
            false => Arc::new(Matches::none()),
        };
        let nodes = matches.hits.iter().map(|hit| load_referenced(ctx, hit.layer));
        let nodes = futures::future::try_join_all(nodes).await?;
        let has_previous = query.after.is_some();
        let search = Arc::new(Search {
            target: self.0.id,
            query,
            version,
            admitted: OnceCell::new(),
        });
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
            connection.edges.push(Edge::with_additional_fields(
                encode_cursor(&cursor),
                Layer(node),
                scores,
            ));
        }
        Ok(connection)
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
        Err(ApiError::bad_input(format!(
            "layer {} has no vector on this probe set: its version has not been ingested on it yet. Wait for that job, or \
             queue it again with createProbeSet and the count and seed that the probe set was drawn with",
            self.0.name
        )))
    }
}

/// The probe set to compare on: the one that is asked for, or the default one of the version's data set.
async fn probe_set_for(ctx: &Context<'_>, version: &domain::Version, wanted: Option<&ID>) -> Result<ProbeSetId> {
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
#[derive(Debug, Clone, Copy)]
pub struct DegenerateLayer {
    probe_set: ProbeSetId,
    reason: vector::Degenerate,
}

#[Object]
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

/// A page of hits.
pub type LayerMatchConnection = Connection<String, Layer, SearchFacts, MatchScores, MatchConnectionName, MatchEdgeName>;

/// What was asked.
#[derive(Debug)]
struct Search {
    target: LayerId,
    query: SimilarityQuery,
    version: domain::Version,
    /// Layers that the filter admits, counted once they are asked for.
    admitted: OnceCell<usize>,
}

impl Search {
    async fn admitted(&self, ctx: &Context<'_>) -> Result<usize> {
        let library = ctx.data_unchecked::<Library>();
        let count = || library.count_admitted(&self.query, &self.version);
        Ok(*self.admitted.get_or_try_init(count).await?)
    }
}

/// What is true of a whole search.
#[derive(Debug)]
pub struct SearchFacts {
    exact: bool,
    has_vector: bool,
    search: Arc<Search>,
}

#[Object]
impl SearchFacts {
    /// Layers that the filter admits, whatever their scores: those the search was about.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        if !self.has_vector {
            return Ok(0);
        }
        let count = self.search.admitted(ctx).await?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Whether every admitted layer was compared. If not, candidates came from an index and were then scored exactly:
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
    async fn significance(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Random relabellings to try: 99 to 100,000, fewer on probe sets of more than 100 images.",
            default = 1000
        )]
        permutations: i32,
    ) -> Result<Significance> {
        let key = SignificanceOf {
            target: self.search.target,
            hit: self.hit,
            probe_set: self.search.query.probe_set,
            permutations: usize::try_from(permutations).unwrap_or(0),
        };
        let found = load_significance(ctx, key).await?;
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
