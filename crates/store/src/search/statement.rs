//! The statements of a search.
//!
//! They are completed at run time, because a statement may contain only the filters that the caller requested: with nullable
//! parameters for all of them, the planner would choose badly among the indexes. For the same reason, statements with filters
//! are not kept prepared: a plan for any value of a filter cannot distinguish one that keeps half of the layers from a rare one.

use pgvector::HalfVector;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::pool::{Candidate, tie_break};
use super::{SearchScope, SearchTarget, SearchWindow, push_condition, widened};
use crate::sketch_basis::partition;
use crate::template::{fill, push_filled};
use crate::vector::parts;
use crate::{Store, StoreError};
use scv_domain::id::{LayerId, ProbeSetId, VersionId};
use scv_domain::sketch::SKETCH_LENGTH;
use scv_domain::vector::{CkaScores, Measure};

const CANDIDATES: &str = include_str!("../../sql/candidates.sql");
const SCORES: &str = include_str!("../../sql/scores.sql");
const COPIES: &str = include_str!("../../sql/copies.sql");
const NEAREST_VERSIONS: &str = include_str!("../../sql/nearest_versions.sql");

const COUNT: &str = "select count(*) from (select 1 from {layers} where {scope}) as admitted";

const ESTIMATE: &str = "explain (format json) select from {layers} where {scope}";

const ADMITTED_VERSIONS: &str =
    "select distinct version_id from {layers} where {scope} order by version_id limit {limit}";

const COUNT_VERSIONS: &str = "select count(distinct version_id) from {layers} where {scope}";

const VERSION_SKETCHES: &str =
    "select {sketch_column} from {layers} where version_id = {version} and {kinds} order by layer_id";

/// The vector of a stored layer, copied to memory: read in place, it would be fetched for every candidate.
const STORED_TARGET: &str = "select part, subvector(lead, 1, vector_dims(lead)) as lead, tail, lead_norm
                               from layer_vector
                              where probe_set_id = {probe_set}
                                and layer_id = {layer}";

const GIVEN_TARGET: &str =
    "select * from unnest({numbers}, {leads}, {tails}, {norms}) as given (part, lead, tail, lead_norm)";

/// Where layers are visited.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Visited {
    /// Everywhere.
    All,
    /// In some cells.
    Cells(Vec<i32>),
}

impl Visited {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Cells(cells) if cells.is_empty())
    }
}

/// Which sketches are asked for.
pub(super) struct Ask<'a> {
    pub(super) measure: Measure,
    /// The sketch whose inner product bounds a score.
    pub(super) target: &'a [f32],
    /// The vector whose inner product orders the sketches.
    pub(super) ordering: &'a [f32],
    pub(super) visited: &'a Visited,
    /// Only sketches whose bound is at least this.
    pub(super) reaching: Option<f64>,
    /// Only sketches at a greater distance than this.
    pub(super) beyond: Option<f64>,
    pub(super) count: usize,
}

/// The statements on one basis and scope.
pub(crate) struct Statements<'a> {
    store: &'a Store,
    basis: i64,
    probe_set: ProbeSetId,
    scope: &'a SearchScope,
}

/// The sketches that were found for an [`Ask`].
pub(super) struct Listing {
    /// Nearest first.
    pub(super) candidates: Vec<Candidate>,
    /// Whether there are no more.
    pub(super) is_complete: bool,
}

impl<'a> Statements<'a> {
    pub(crate) fn new(store: &'a Store, basis: i64, probe_set: ProbeSetId, scope: &'a SearchScope) -> Self {
        Self {
            store,
            basis,
            probe_set,
            scope,
        }
    }

    /// Counts the layers of the scope.
    pub(super) async fn count(&self) -> Result<usize, StoreError> {
        let mut query = fill(COUNT, &mut |query, placeholder| self.push(query, placeholder));
        let query = query.build_query_scalar().persistent(self.is_general());
        let count: i64 = query.fetch_one(&self.store.pool).await?;
        Ok(count as usize)
    }

    /// PostgreSQL's estimate of that number.
    pub(super) async fn estimate(&self) -> Result<usize, StoreError> {
        let mut query = fill(ESTIMATE, &mut |query, placeholder| self.push(query, placeholder));
        let query = query.build_query_scalar().persistent(self.is_general());
        let plan: serde_json::Value = query.fetch_one(&self.store.pool).await?;
        Ok(plan[0]["Plan"]["Plan Rows"].as_f64().unwrap_or(0.0) as usize)
    }

    /// Up to `limit` versions with layers in the scope, ordered by key.
    pub(crate) async fn versions(&self, limit: usize) -> Result<Vec<VersionId>, StoreError> {
        let mut query = fill(ADMITTED_VERSIONS, &mut |query, placeholder| match placeholder {
            "limit" => _ = query.push_bind(limit as i64),
            other => self.push(query, other),
        });
        let query = query.build_query_scalar().persistent(self.is_general());
        let ids: Vec<i64> = query.fetch_all(&self.store.pool).await?;
        Ok(ids.into_iter().map(VersionId).collect())
    }

    /// Counts the versions with layers in the scope.
    pub(crate) async fn count_versions(&self) -> Result<usize, StoreError> {
        let mut query = fill(COUNT_VERSIONS, &mut |query, placeholder| self.push(query, placeholder));
        let query = query.build_query_scalar().persistent(self.is_general());
        let count: i64 = query.fetch_one(&self.store.pool).await?;
        Ok(count as usize)
    }

    /// The sketches that are asked for, nearest first.
    ///
    /// Copies of one layer are at the same distance, and are listed together or not at all: otherwise the choice among them would
    /// be arbitrary. PostgreSQL sorts all rows if it has to keep those that tie with the last one. So these are left out, unless
    /// all tie.
    pub(super) async fn candidates(&self, ask: &Ask<'_>) -> Result<Listing, StoreError> {
        let mut listing = self.listing(ask, "limit").await?;
        if !listing.is_complete {
            let farthest = listing.candidates.last().map(|candidate| candidate.distance);
            listing
                .candidates
                .retain(|candidate| Some(candidate.distance) < farthest);
            if listing.candidates.is_empty() {
                return self.listing(ask, "with ties").await;
            }
        }
        Ok(listing)
    }

    async fn listing(&self, ask: &Ask<'_>, limit: &str) -> Result<Listing, StoreError> {
        let mut query = fill(CANDIDATES, &mut |query, placeholder| match placeholder {
            "sketch_column" => _ = query.push(sketch_column(ask.measure)),
            "ordering" => _ = query.push_bind(HalfVector::from_f32_slice(ask.ordering)),
            "target" => _ = query.push_bind(HalfVector::from_f32_slice(ask.target)),
            "visited" => push_visited(query, ask.visited, ask.measure),
            "reaches" => push_reaching(query, ask),
            "limit" if limit == "limit" => _ = query.push("limit ").push(ask.count),
            "limit" => _ = query.push("fetch first ").push(ask.count).push(" rows with ties"),
            other => self.push(query, other),
        });
        let query = query.build_query_as().persistent(self.is_general());
        let mut rows: Vec<(Uuid, i64, i64, f64, f64)> = query.fetch_all(&self.store.pool).await?;
        rows.sort_by(|a, b| a.3.total_cmp(&b.3).then(a.1.cmp(&b.1)));
        let layers: i64 = rows.iter().map(|row| row.2).sum();
        Ok(Listing {
            is_complete: (layers as usize) < ask.count,
            candidates: rows
                .into_iter()
                .map(|(sketch, layer, layers, distance, bound_distance)| Candidate {
                    sketch,
                    layer,
                    layers: layers as usize,
                    distance,
                    bound: widened(-bound_distance),
                    scores: None,
                })
                .collect(),
        })
    }

    /// The exact scores of layers with the target.
    pub(super) async fn scores(
        &self,
        target: SearchTarget<'_>,
        layers: &[i64],
    ) -> Result<Vec<(i64, CkaScores)>, StoreError> {
        let mut query = fill(SCORES, &mut |query, placeholder| match placeholder {
            "target" => push_target(query, target, self.probe_set),
            "candidates" => _ = query.push_bind(layers.to_vec()),
            other => self.push(query, other),
        });
        let rows: Vec<(i64, f64, f64)> = query.build_query_as().fetch_all(&self.store.pool).await?;
        let scores = rows
            .into_iter()
            .map(|(layer, cka, debiased_cka)| (layer, CkaScores { cka, debiased_cka }));
        Ok(scores.collect())
    }

    /// The layers of sketches that several have, as many as a page can take.
    pub(super) async fn copies(
        &self,
        target: SearchTarget<'_>,
        window: &SearchWindow,
        copied: &[&&Candidate],
    ) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let sketches: Vec<Uuid> = copied.iter().map(|candidate| candidate.sketch).collect();
        let score = |candidate: &Candidate| match (candidate.scores, window.measure) {
            (Some(scores), Measure::DebiasedCka) => scores.debiased_cka,
            (Some(scores), Measure::Cka) => scores.cka,
            (None, _) => f64::NEG_INFINITY,
        };
        let after = |candidate: &Candidate| match window.after {
            Some(after) if score(candidate) == after.score => tie_break(target, after.layer.0),
            _ => -1,
        };
        let after: Vec<i64> = copied.iter().map(|candidate| after(candidate)).collect();
        let mut query = fill(COPIES, &mut |query, placeholder| match placeholder {
            "sketches" => _ = query.push_bind(sketches.clone()),
            "after" => _ = query.push_bind(after.clone()),
            "limit" => _ = query.push_bind(window.limit as i64 + 1),
            "tie_break" => match target {
                SearchTarget::Layer(layer) => {
                    query
                        .push("case when layer_id = ")
                        .push_bind(layer.0)
                        .push(" then 0 else layer_id end");
                }
                SearchTarget::Vector(_) => _ = query.push("layer_id"),
            },
            other => self.push(query, other),
        });
        Ok(query
            .build_query_as()
            .persistent(self.is_general())
            .fetch_all(&self.store.pool)
            .await?)
    }

    /// The sketches of a version's layers, of the kinds that the scope admits.
    pub(crate) async fn version_sketches(
        &self,
        version: VersionId,
        measure: Measure,
    ) -> Result<Vec<Vec<f32>>, StoreError> {
        let kinds = &self.scope.layer_kinds;
        let mut query = fill(VERSION_SKETCHES, &mut |query, placeholder| match placeholder {
            "sketch_column" => _ = query.push(sketch_column(measure)),
            "version" => _ = query.push_bind(version.0),
            "kinds" if kinds.is_empty() => _ = query.push("true"),
            "kinds" => _ = query.push("layer_kind = any(").push_bind(kinds.clone()).push(")"),
            other => self.push(query, other),
        });
        let rows: Vec<HalfVector> = query.build_query_scalar().fetch_all(&self.store.pool).await?;
        Ok(rows.iter().map(to_f32).collect())
    }

    /// The versions with the layers nearest to a sketch, each with the estimated score of its best one.
    pub(crate) async fn nearest_versions(
        &self,
        measure: Measure,
        ordering: &[f32],
        visited: &Visited,
        near: i64,
    ) -> Result<Vec<(i64, f64)>, StoreError> {
        let mut query = fill(NEAREST_VERSIONS, &mut |query, placeholder| match placeholder {
            "sketch_column" => _ = query.push(sketch_column(measure)),
            "ordering" => _ = query.push_bind(HalfVector::from_f32_slice(ordering)),
            "visited" => push_visited(query, visited, measure),
            "near" => _ = query.push_bind(near),
            other => self.push(query, other),
        });
        let query = query.build_query_as().persistent(self.is_general());
        Ok(query.fetch_all(&self.store.pool).await?)
    }

    /// Fills the placeholders that all statements share.
    fn push(&self, query: &mut QueryBuilder<Postgres>, placeholder: &str) {
        match placeholder {
            "layers" => _ = query.push(partition(self.basis)).push(" as layer_sketch"),
            "scope" => push_condition(query, self.scope),
            "probe_set" => _ = query.push(self.probe_set),
            other => unreachable!("{other}"),
        }
    }

    /// Whether one plan serves all searches.
    fn is_general(&self) -> bool {
        !self.scope.is_narrow()
    }
}

/// The active basis of a probe set.
pub(super) async fn active_basis(store: &Store, probe_set: ProbeSetId) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        "select basis_id from sketch_basis where probe_set_id = $1 and state = 'ACTIVE'",
        probe_set.0,
    )
    .fetch_one(&store.pool)
    .await?)
}

/// The active basis of a probe set, and the sketch of a layer, if it has one.
pub(super) async fn stored_sketch(
    store: &Store,
    probe_set: ProbeSetId,
    layer: LayerId,
    measure: Measure,
) -> Result<(i64, Option<Vec<f32>>), StoreError> {
    let row = sqlx::query!(
        r#"select basis_id, debiased_sketch as "debiased_sketch?: HalfVector", cka_sketch as "cka_sketch?: HalfVector"
             from sketch_basis
             left join layer_sketch using (basis_id)
            where probe_set_id = $1
              and state = 'ACTIVE'
              and layer_id = $2"#,
        probe_set.0,
        layer.0,
    )
    .fetch_optional(&store.pool)
    .await?;
    let Some(row) = row else {
        return Ok((active_basis(store, probe_set).await?, None));
    };
    let sketch = match measure {
        Measure::DebiasedCka => row.debiased_sketch,
        Measure::Cka => row.cka_sketch,
    };
    Ok((row.basis_id, sketch.as_ref().map(to_f32)))
}

fn to_f32(sketch: &HalfVector) -> Vec<f32> {
    let mut numbers: Vec<f32> = sketch.to_vec().into_iter().map(f32::from).collect();
    numbers.resize(SKETCH_LENGTH, 0.0);
    numbers
}

fn push_visited(query: &mut QueryBuilder<Postgres>, visited: &Visited, measure: Measure) {
    match visited {
        Visited::All => _ = query.push("true"),
        Visited::Cells(cells) => {
            query
                .push(cell_column(measure))
                .push(" = any(")
                .push_bind(cells.clone())
                .push(")");
        }
    }
}

fn push_reaching(query: &mut QueryBuilder<Postgres>, ask: &Ask<'_>) {
    // Bounds are inner products with a margin, and inner products are negative distances.
    let most = ask
        .reaching
        .filter(|least| least.is_finite())
        .map(|least| widened(-least));
    query.push("true");
    for (operator, distance) in [(" <= ", most), (" > ", ask.beyond)] {
        if let Some(distance) = distance {
            query.push(" and ").push(sketch_column(ask.measure)).push(" <#> ");
            query
                .push_bind(HalfVector::from_f32_slice(ask.target))
                .push(operator)
                .push_bind(distance);
        }
    }
}

fn push_target(query: &mut QueryBuilder<Postgres>, target: SearchTarget<'_>, probe_set: ProbeSetId) {
    let vector = match target {
        SearchTarget::Layer(layer) => {
            return push_filled(query, STORED_TARGET, &mut |query, placeholder| match placeholder {
                "probe_set" => _ = query.push(probe_set),
                "layer" => _ = query.push_bind(layer.0),
                other => unreachable!("{other}"),
            });
        }
        SearchTarget::Vector(vector) => vector,
    };
    let (mut numbers, mut leads, mut tails, mut norms) = (vec![], vec![], vec![], vec![]);
    for part in parts(vector) {
        numbers.push(part.number);
        leads.push(part.lead);
        tails.push(part.tail);
        norms.push(part.lead_norm);
    }
    push_filled(query, GIVEN_TARGET, &mut |query, placeholder| match placeholder {
        "numbers" => _ = query.push_bind(std::mem::take(&mut numbers)),
        "leads" => _ = query.push_bind(std::mem::take(&mut leads)),
        "tails" => _ = query.push_bind(std::mem::take(&mut tails)),
        "norms" => _ = query.push_bind(std::mem::take(&mut norms)),
        other => unreachable!("{other}"),
    });
}

fn sketch_column(measure: Measure) -> &'static str {
    match measure {
        Measure::DebiasedCka => "debiased_sketch",
        Measure::Cka => "cka_sketch",
    }
}

fn cell_column(measure: Measure) -> &'static str {
    match measure {
        Measure::DebiasedCka => "debiased_cell",
        Measure::Cka => "cka_cell",
    }
}
