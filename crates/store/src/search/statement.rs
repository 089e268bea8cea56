//! The statements of a search.
//!
//! They are completed at run time, because a statement may contain only the filters that the caller requested: with nullable
//! parameters for all of them, the planner would choose badly among the indexes. For the same reason, statements with filters
//! are not kept prepared: a plan for any value of a filter cannot distinguish one that keeps half of the layers from a rare one.

use pgvector::HalfVector;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::pool::{Candidate, tie_break};
use super::{SearchScope, SearchTarget, SearchWindow, push_condition, widened};
use crate::StoreError;
use crate::connections::Lease;
use crate::sketch_basis::{long_partition, partition};
use crate::template::fill;
use scv_domain::id::{LayerId, ProbeSetId, VersionId};
use scv_domain::sketch::Sketch;
use scv_domain::vector::Measure;

const CANDIDATES: &str = include_str!("../../sql/candidates.sql");
const COPIES: &str = include_str!("../../sql/copies.sql");
const NEAREST_VERSIONS: &str = include_str!("../../sql/nearest_versions.sql");

const COUNT: &str = "select count(*) from (select 1 from {layers} where {scope}) as admitted";

const ESTIMATE: &str = "explain (format json) select from {layers} where {scope}";

const ADMITTED_VERSIONS: &str =
    "select distinct version_id from {layers} where {scope} order by version_id limit {limit}";

const COUNT_VERSIONS: &str = "select count(distinct version_id) from {layers} where {scope}";

const VERSION_SKETCHES: &str =
    "select {sketch_column} from {layers} where version_id = {version} and {kinds} order by layer_id";

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

/// What sketches are compared with.
pub(super) struct Sought {
    pub(super) measure: Measure,
    /// The sketches whose inner products bound a score.
    pub(super) sketch: Sketch,
    /// The vector whose inner product with a long sketch estimates the score.
    pub(super) estimating: Vec<f32>,
}

/// Which sketches are asked for.
pub(super) struct Ask<'a> {
    /// The vector whose inner product orders the short sketches.
    pub(super) ordering: &'a [f32],
    pub(super) visited: &'a Visited,
    /// Only those whose short bound is at least this.
    pub(super) reaching: Option<f64>,
    /// Only those at a greater distance than this.
    pub(super) beyond: Option<f64>,
    pub(super) count: usize,
}

/// The statements on one basis and scope, on one connection.
pub(crate) struct Statements<'a> {
    connection: Lease,
    basis: i64,
    probe_set: ProbeSetId,
    scope: &'a SearchScope,
}

/// What becomes of layers as far away as the last one that is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ties {
    /// As many are listed as there is room for.
    Cut,
    /// All are listed.
    Kept,
}

/// The sketches that were found for an [`Ask`].
pub(super) struct Listing {
    pub(super) candidates: Vec<Candidate>,
    /// Whether there are no more.
    pub(super) is_complete: bool,
}

impl<'a> Statements<'a> {
    pub(crate) fn new(connection: Lease, basis: i64, probe_set: ProbeSetId, scope: &'a SearchScope) -> Self {
        Self {
            connection,
            basis,
            probe_set,
            scope,
        }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Counts the layers of the scope.
    pub(super) async fn count(&mut self) -> Result<usize, StoreError> {
        let mut query = fill(COUNT, &mut |query, placeholder| self.push(query, placeholder));
        let query = query.build_query_scalar().persistent(self.is_general());
        let count: i64 = query.fetch_one(&mut *self.connection).await?;
        Ok(count as usize)
    }

    /// PostgreSQL's estimate of that number.
    pub(super) async fn estimate(&mut self) -> Result<usize, StoreError> {
        let mut query = fill(ESTIMATE, &mut |query, placeholder| self.push(query, placeholder));
        let query = query.build_query_scalar().persistent(self.is_general());
        let plan: serde_json::Value = query.fetch_one(&mut *self.connection).await?;
        Ok(plan[0]["Plan"]["Plan Rows"].as_f64().unwrap_or(0.0) as usize)
    }

    /// Up to `limit` versions with layers in the scope, ordered by key.
    pub(crate) async fn versions(&mut self, limit: usize) -> Result<Vec<VersionId>, StoreError> {
        let mut query = fill(ADMITTED_VERSIONS, &mut |query, placeholder| match placeholder {
            "limit" => _ = query.push_bind(limit as i64),
            other => self.push(query, other),
        });
        let query = query.build_query_scalar().persistent(self.is_general());
        let ids: Vec<i64> = query.fetch_all(&mut *self.connection).await?;
        Ok(ids.into_iter().map(VersionId).collect())
    }

    /// Counts the versions with layers in the scope.
    pub(crate) async fn count_versions(&mut self) -> Result<usize, StoreError> {
        let mut query = fill(COUNT_VERSIONS, &mut |query, placeholder| self.push(query, placeholder));
        let query = query.build_query_scalar().persistent(self.is_general());
        let count: i64 = query.fetch_one(&mut *self.connection).await?;
        Ok(count as usize)
    }

    /// The sketches that are asked for.
    ///
    /// Copies of one layer are at the same distance, and are listed together or not at all: otherwise the choice among them would
    /// be arbitrary. PostgreSQL sorts all rows if it has to keep those that tie with the last one. So these are left out, unless
    /// all tie.
    pub(super) async fn candidates(&mut self, sought: &Sought, ask: &Ask<'_>) -> Result<Listing, StoreError> {
        let mut listing = self.listing(sought, ask, Ties::Cut).await?;
        if !listing.is_complete {
            let distances = listing.candidates.iter().map(|candidate| candidate.distance);
            let farthest = distances.reduce(f64::max);
            listing
                .candidates
                .retain(|candidate| Some(candidate.distance) < farthest);
            if listing.candidates.is_empty() {
                return self.listing(sought, ask, Ties::Kept).await;
            }
        }
        Ok(listing)
    }

    async fn listing(&mut self, sought: &Sought, ask: &Ask<'_>, ties: Ties) -> Result<Listing, StoreError> {
        let half = |numbers: &[f32]| HalfVector::from_f32_slice(numbers);
        let mut query = fill(CANDIDATES, &mut |query, placeholder| match placeholder {
            "sketch_column" => _ = query.push(sketch_column(sought.measure)),
            "ordering" => _ = query.push_bind(half(ask.ordering)),
            "estimating" => _ = query.push_bind(half(&sought.estimating)),
            "long_target" => _ = query.push_bind(half(&sought.sketch.long)),
            "long_sketches" => _ = query.push(long_partition(self.basis)),
            "basis" => _ = query.push(self.basis),
            "visited" => push_visited(query, ask.visited, sought.measure),
            "reaches" => push_reaching(query, sought, ask),
            "limit" if ties == Ties::Cut => _ = query.push("limit ").push(ask.count),
            "limit" => _ = query.push("fetch first ").push(ask.count).push(" rows with ties"),
            other => self.push(query, other),
        });
        let query = query.build_query_as().persistent(self.is_general());
        let rows: Vec<(Uuid, i64, i64, f64, f64, f64)> = query.fetch_all(&mut *self.connection).await?;
        let layers: i64 = rows.iter().map(|row| row.2).sum();
        Ok(Listing {
            is_complete: (layers as usize) < ask.count,
            candidates: rows
                .into_iter()
                .map(|(sketch, layer, layers, distance, estimated, bounded)| Candidate {
                    sketch,
                    layer,
                    layers: layers as usize,
                    distance,
                    estimate: -estimated,
                    lower: f64::NEG_INFINITY,
                    upper: widened(-bounded),
                    scores: None,
                    copies: Vec::new(),
                })
                .collect(),
        })
    }

    /// The layers of sketches that several have, as many as a page can take.
    pub(super) async fn copies(
        &mut self,
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
            .fetch_all(&mut *self.connection)
            .await?)
    }

    /// The sketches of a version's layers, of the kinds that the scope admits.
    pub(crate) async fn version_sketches(
        &mut self,
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
        let rows: Vec<HalfVector> = query.build_query_scalar().fetch_all(&mut *self.connection).await?;
        Ok(rows.iter().map(to_f32).collect())
    }

    /// The versions with the layers nearest to a sketch, each with the estimated score of its best one.
    pub(crate) async fn nearest_versions(
        &mut self,
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
        Ok(query.fetch_all(&mut *self.connection).await?)
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

/// The active basis of a probe set, if its sketches are there: searches among none would find nothing and call it proven.
pub(crate) async fn active_basis(connection: &mut PgConnection, probe_set: ProbeSetId) -> Result<i64, StoreError> {
    sqlx::query_scalar!(
        "select basis_id
           from sketch_basis
          where probe_set_id = $1
            and state = 'ACTIVE'
            and to_regclass('layer_sketch_' || basis_id) is not null
            and to_regclass('long_sketch_' || basis_id) is not null",
        probe_set.0,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(StoreError::Overtaken)
}

/// What is stored of a layer.
pub(super) struct StoredSketch {
    pub(super) sketch: Sketch,
    /// The key of its vector.
    pub(super) key: Uuid,
}

/// The active basis of a probe set, and the sketch of a layer, if it has one.
pub(super) async fn stored_sketch(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    layer: LayerId,
    measure: Measure,
) -> Result<(i64, Option<StoredSketch>), StoreError> {
    let row = sqlx::query!(
        r#"select basis_id, sketch_id, case $3 when 'CKA' then short.cka_sketch else short.debiased_sketch end as "short!: HalfVector",
                  case $3 when 'CKA' then long.cka_sketch else long.debiased_sketch end as "long!: HalfVector",
                  case $3 when 'CKA' then cka_cell else debiased_cell end as "cell!"
             from sketch_basis
             join layer_sketch as short using (basis_id)
             join long_sketch as long using (basis_id, layer_id)
            where probe_set_id = $1
              and state = 'ACTIVE'
              and layer_id = $2"#,
        probe_set.0,
        layer.0,
        measure.as_str(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    Ok(match row {
        None => (active_basis(connection, probe_set).await?, None),
        Some(row) => {
            let sketch = Sketch {
                short: to_f32(&row.short),
                long: to_f32(&row.long),
                cell: row.cell,
            };
            let key = row.sketch_id;
            (row.basis_id, Some(StoredSketch { sketch, key }))
        }
    })
}

fn to_f32(sketch: &HalfVector) -> Vec<f32> {
    sketch.to_vec().into_iter().map(f32::from).collect()
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

fn push_reaching(query: &mut QueryBuilder<Postgres>, sought: &Sought, ask: &Ask<'_>) {
    // Bounds are inner products with a margin, and inner products are negative distances.
    let most = ask
        .reaching
        .filter(|least| least.is_finite())
        .map(|least| widened(-least));
    query.push("true");
    for (operator, distance) in [(" <= ", most), (" > ", ask.beyond)] {
        if let Some(distance) = distance {
            query.push(" and ").push(sketch_column(sought.measure)).push(" <#> ");
            query
                .push_bind(HalfVector::from_f32_slice(&sought.sketch.short))
                .push(operator)
                .push_bind(distance);
        }
    }
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
