//! The similarity search: candidates from the sketches, then their exact scores, in one statement.
//!
//! There are three forms of the statement (`sql/search_*.sql`), one for each of [`Candidates`]. They are completed at run
//! time, because a statement may contain only the filters that the caller requested: with nullable parameters for all of
//! them, the planner would choose badly among the indexes. For the same reason, statements with filters are not kept
//! prepared: a plan for any value of a filter cannot distinguish one that keeps half of the layers from a rare one.

use pgvector::HalfVector;
use sqlx::{Postgres, QueryBuilder};

use super::template::{fill, push_filled};
use super::vector::parts;
use super::{Store, StoreError};
use scv_domain::id::{AccountId, DatasetId, LayerId, ModelId, ProbeSetId, VersionId};
use scv_domain::similarity::{LayerMatch, MatchCursor};
use scv_domain::vector::{Measure, SketchedVector};

/// Minimum number of layers whose exact scores are computed when sketches select them from the whole library.
pub const MIN_CANDIDATES: usize = 50;

/// The same for a part of the library: there the nearest layers are further away, and sketches order them less reliably.
pub const MIN_CANDIDATES_OF_PART: usize = 100;

/// Candidates per hit: half of them lie between the last hit and the edge of what the sketches found.
pub const CANDIDATES_PER_HIT: usize = 2;

/// Number of hits, counted from the first, that sketches may select. Further down the list every layer is scored.
pub const MAX_SKETCHED_HITS: usize = 1_000;

/// Scopes of up to this many layers are scored as a whole.
pub const MAX_EXACT_ROWS: usize = 250;

/// A part of a library of n layers is searched without the index if it holds up to this many times the square root of n.
/// In a part of r layers, an index has to pass n / r entries for each candidate, whereas sorting takes r sketches: the costs
/// are equal where r² is a multiple of n.
pub const SORTED_ROWS_PER_ROOT: usize = 18;

const SEARCH_ALL: &str = include_str!("../sql/search_all.sql");
const SEARCH_SORTED: &str = include_str!("../sql/search_sorted.sql");
const SEARCH_INDEXED: &str = include_str!("../sql/search_indexed.sql");

/// The part that all three forms share: the exact scores of the candidates.
const SCORED: &str = include_str!("../sql/scored.sql");

const COUNT_SCOPE: &str = "select count(*) from (select from {layers} where {scope} {limit}) as admitted";

/// The vector of a stored layer, copied to memory: read in place, it would be fetched and decompressed for every candidate.
const STORED_TARGET: &str = "select part, subvector(lead, 1, vector_dims(lead)) as lead, tail, lead_norm
                               from layer_vector
                              where probe_set_id = {probe_set}
                                and layer_id = {layer}";

const STORED_SKETCH: &str =
    "(select {sketch_column} from {layers} join {sketches} using (sketch_id) where layer_id = {layer})";

/// The hits after a cursor.
const AFTER: &str = "({score} < {after_score} or ({score} = {after_score} and tie_break > {after_tie}))";

/// The layers that a search may return, with its names resolved to keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchScope {
    /// Excludes the model of the target.
    pub own_model: Option<ModelId>,
    /// Excludes this version.
    pub except_version: Option<VersionId>,
    /// Minimum accuracy of the version.
    pub min_accuracy: Option<f64>,
    /// The accuracy of the version must exceed this one.
    pub better_than: Option<f64>,
    /// Only versions for one of these data sets.
    pub datasets: Option<Vec<DatasetId>>,
    /// Only layers of one of these kinds. Empty: any kind.
    pub layer_kinds: Vec<String>,
    /// Only these models. Empty: any model.
    pub models: Vec<ModelId>,
    /// Excludes these models.
    pub exclude_models: Vec<ModelId>,
    /// Only models that have all of these tags.
    pub tags: Vec<String>,
    /// The account whose private models are included in addition to public models. `None`: all models.
    pub viewer: Option<AccountId>,
}

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub enum SearchTarget<'a> {
    /// A layer of the library.
    Layer(LayerId),
    /// A vector that is not stored.
    Vector(&'a SketchedVector),
}

/// Which layers of a scope are scored. Layers whose sketches tie with the last one are scored too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// All of them.
    All,
    /// This many layers, those with the nearest sketches. All sketches of the scope are compared.
    Sorted(usize),
    /// This many layers, those with the nearest sketches that an index finds.
    Indexed(usize),
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundLayers {
    /// The hits, best first.
    pub hits: Vec<LayerMatch>,
    /// Whether the index, if one was used, found the target itself. An HNSW graph may have parts that are unreachable from
    /// elsewhere. If the index misses the nearest sketch of all, it misses that sketch's neighbours too.
    pub target_reached: bool,
}

/// Which hits of a scope are requested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchWindow {
    /// The measure that ranks the hits.
    pub measure: Measure,
    /// Which layers are scored.
    pub candidates: Candidates,
    /// Only hits after this one.
    pub after: Option<MatchCursor>,
    /// Maximum number of hits.
    pub limit: usize,
}

impl SearchScope {
    /// Whether it admits only a part of the library. Excluding one model or version does not count.
    pub fn is_narrow(&self) -> bool {
        let rest = Self {
            own_model: self.own_model,
            except_version: self.except_version,
            ..Self::default()
        };
        *self != rest
    }
}

impl Store {
    /// Counts the layers of a scope, up to `limit`.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_scope", skip_all)]
    pub async fn count_scope(
        &self,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        limit: Option<usize>,
    ) -> Result<usize, StoreError> {
        let mut query = fill(COUNT_SCOPE, &mut |query, placeholder| match placeholder {
            "layers" => _ = query.push(layers(probe_set)),
            "scope" => push_condition(query, scope),
            "limit" => {
                if let Some(limit) = limit {
                    query.push("limit ").push_bind(limit as i64);
                }
            }
            other => unreachable!("{other}"),
        });
        let count: i64 = query
            .build_query_scalar()
            .persistent(!scope.is_narrow())
            .fetch_one(&self.pool)
            .await?;
        Ok(count as usize)
    }

    /// The approximate number of layers with a vector on a probe set, from PostgreSQL's statistics.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.estimate_layers", skip_all)]
    pub async fn estimate_layers(&self, probe_set: ProbeSetId) -> Result<usize, StoreError> {
        let estimate = sqlx::query_scalar!(
            r#"select reltuples as "reltuples!" from pg_class where oid = $1::text::regclass"#,
            format!("layer_sketch_{probe_set}"),
        )
        .fetch_one(&self.pool)
        .await?;
        // Negative until PostgreSQL has analysed the table for the first time.
        Ok(estimate.max(0.0) as usize)
    }

    /// The hits of a window, best first. Equal scores are ordered by layer key, with the target itself first. A target
    /// without a vector has no hits.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.search", skip_all)]
    pub async fn search(
        &self,
        target: SearchTarget<'_>,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        window: &SearchWindow,
    ) -> Result<FoundLayers, StoreError> {
        let search = Search {
            target,
            probe_set,
            scope,
            window,
        };
        let mut query = search.statement();
        let query = query.build_query_as().persistent(!scope.is_narrow());
        let rows: Vec<(i64, f64, f64, bool)> = query.fetch_all(&self.pool).await?;
        // A forged cursor may hold a rank that no hit ever had; it must not overflow.
        let skipped = window.after.map_or(0, |after| after.rank.min(u32::MAX / 2));
        Ok(FoundLayers {
            target_reached: rows.iter().all(|(.., reached)| *reached),
            hits: rows
                .into_iter()
                .zip(skipped + 1..)
                .map(|((layer, cka, debiased_cka, _), rank)| LayerMatch {
                    layer: LayerId(layer),
                    rank,
                    cka,
                    debiased_cka,
                })
                .collect(),
        })
    }
}

/// A search, and how the placeholders of its statement are filled.
struct Search<'a> {
    target: SearchTarget<'a>,
    probe_set: ProbeSetId,
    scope: &'a SearchScope,
    window: &'a SearchWindow,
}

impl Search<'_> {
    fn statement(&self) -> QueryBuilder<Postgres> {
        let template = match self.window.candidates {
            Candidates::All => SEARCH_ALL,
            Candidates::Sorted(_) => SEARCH_SORTED,
            Candidates::Indexed(_) => SEARCH_INDEXED,
        };
        fill(template, &mut |query, placeholder| self.push(query, placeholder))
    }

    fn push(&self, query: &mut QueryBuilder<Postgres>, placeholder: &str) {
        let measure = self.window.measure;
        match placeholder {
            "layers" => _ = query.push(layers(self.probe_set)),
            "sketches" => _ = query.push(sketches(self.probe_set)),
            "probe_set" => _ = query.push(self.probe_set),
            "scope" => push_condition(query, self.scope),
            "target" => self.push_target(query),
            "distance" => {
                query.push(sketch_column(measure)).push(" <-> ");
                self.push_target_sketch(query);
            }
            "sketch_column" => _ = query.push(sketch_column(measure)),
            "score" => _ = query.push(score_column(measure)),
            "count" => match self.window.candidates {
                Candidates::All => unreachable!("all layers are candidates"),
                Candidates::Sorted(count) | Candidates::Indexed(count) => _ = query.push(count),
            },
            "scored" => self.push_template(query, SCORED),
            "tie_break" => self.push_for_layer(
                query,
                "case when layer_id = {layer} then 0 else layer_id end",
                "layer_id",
            ),
            "or_is_target" => self.push_for_layer(query, "or layer_id = {layer}", ""),
            "target_reached" => {
                self.push_for_layer(query, "exists (select from nearest where layer_id = {layer})", "true");
            }
            "after" => match self.window.after {
                Some(_) => self.push_template(query, AFTER),
                None => _ = query.push("true"),
            },
            "after_score" => _ = query.push_bind(self.window.after.map(|after| after.score)),
            "after_tie" => _ = query.push_bind(self.window.after.map(|after| self.tie_break(after.layer))),
            "layer" => _ = query.push_bind(self.target_layer().map(|layer| layer.0)),
            "limit" => _ = query.push_bind(self.window.limit as i64),
            other => unreachable!("{other}"),
        }
    }

    fn push_template(&self, query: &mut QueryBuilder<Postgres>, template: &str) {
        push_filled(query, template, &mut |query, placeholder| self.push(query, placeholder));
    }

    /// Pushes one text if the target is a layer of the library, and another one if it is not.
    fn push_for_layer(&self, query: &mut QueryBuilder<Postgres>, of_layer: &str, otherwise: &str) {
        let text = if self.target_layer().is_some() {
            of_layer
        } else {
            otherwise
        };
        self.push_template(query, text);
    }

    fn target_layer(&self) -> Option<LayerId> {
        match self.target {
            SearchTarget::Layer(layer) => Some(layer),
            SearchTarget::Vector(_) => None,
        }
    }

    /// What orders layers of equal scores: the key, or 0 for the target itself, which precedes all keys.
    fn tie_break(&self, layer: LayerId) -> i64 {
        if self.target_layer() == Some(layer) { 0 } else { layer.0 }
    }

    fn push_target(&self, query: &mut QueryBuilder<Postgres>) {
        let sketched = match self.target {
            SearchTarget::Layer(_) => return self.push_template(query, STORED_TARGET),
            SearchTarget::Vector(sketched) => sketched,
        };
        let (mut numbers, mut leads, mut tails, mut norms) = (vec![], vec![], vec![], vec![]);
        for part in parts(&sketched.vector) {
            numbers.push(part.number);
            leads.push(part.lead);
            tails.push(part.tail);
            norms.push(part.lead_norm);
        }
        push_filled(
            query,
            "select * from unnest({numbers}, {leads}, {tails}, {norms}) as given (part, lead, tail, lead_norm)",
            &mut |query, placeholder| match placeholder {
                "numbers" => _ = query.push_bind(std::mem::take(&mut numbers)),
                "leads" => _ = query.push_bind(std::mem::take(&mut leads)),
                "tails" => _ = query.push_bind(std::mem::take(&mut tails)),
                "norms" => _ = query.push_bind(std::mem::take(&mut norms)),
                other => unreachable!("{other}"),
            },
        );
    }

    fn push_target_sketch(&self, query: &mut QueryBuilder<Postgres>) {
        let sketched = match self.target {
            SearchTarget::Layer(_) => return self.push_template(query, STORED_SKETCH),
            SearchTarget::Vector(sketched) => sketched,
        };
        let sketch = match self.window.measure {
            Measure::DebiasedCka => &sketched.debiased_sketch,
            Measure::Cka => &sketched.cka_sketch,
        };
        query.push_bind(HalfVector::from_f32_slice(sketch));
    }
}

pub(super) fn sketch_column(measure: Measure) -> &'static str {
    match measure {
        Measure::DebiasedCka => "debiased_sketch",
        Measure::Cka => "cka_sketch",
    }
}

fn score_column(measure: Measure) -> &'static str {
    match measure {
        Measure::DebiasedCka => "debiased_cka",
        Measure::Cka => "cka",
    }
}

/// The layers on a probe set. Naming the partition saves the planner a third of its time.
pub(super) fn layers(probe_set: ProbeSetId) -> String {
    format!("layer_sketch_{probe_set} as layer_sketch")
}

/// The sketches of those layers. Layers that share a sketch are found together.
pub(super) fn sketches(probe_set: ProbeSetId) -> String {
    format!("sketch_{probe_set} as sketch")
}

/// The condition that a scope puts on layers, in parentheses.
pub(super) fn push_condition(query: &mut QueryBuilder<Postgres>, scope: &SearchScope) {
    query.push("(searchable");
    if let Some(own) = scope.own_model {
        query.push(" and model_id <> ").push_bind(own.0);
    }
    if let Some(version) = scope.except_version {
        query.push(" and version_id <> ").push_bind(version.0);
    }
    if let Some(least) = scope.min_accuracy {
        query.push(" and accuracy >= ").push_bind(least);
    }
    if let Some(bound) = scope.better_than {
        query.push(" and accuracy > ").push_bind(bound);
    }
    if let Some(datasets) = &scope.datasets {
        query
            .push(" and dataset_id = any(")
            .push_bind(datasets.iter().map(|id| id.0).collect::<Vec<_>>())
            .push(")");
    }
    if !scope.layer_kinds.is_empty() {
        query
            .push(" and layer_kind = any(")
            .push_bind(scope.layer_kinds.clone())
            .push(")");
    }
    if !scope.models.is_empty() {
        query
            .push(" and model_id = any(")
            .push_bind(scope.models.iter().map(|id| id.0).collect::<Vec<_>>())
            .push(")");
    }
    if !scope.exclude_models.is_empty() {
        let excluded: Vec<_> = scope.exclude_models.iter().map(|id| id.0).collect();
        query.push(" and model_id <> all(").push_bind(excluded).push(")");
    }
    if !scope.tags.is_empty() {
        query.push(" and tags @> ").push_bind(scope.tags.clone());
    }
    if let Some(viewer) = scope.viewer {
        query
            .push(" and (private_to is null or private_to = ")
            .push_bind(viewer.0)
            .push(")");
    }
    query.push(")");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_search_is_complete_for_both_kinds_of_target() {
        let sketched = SketchedVector {
            vector: scv_domain::vector::LayerVector {
                lead: vec![0.6],
                tail: vec![0.8],
            },
            debiased_sketch: vec![1.0],
            cka_sketch: vec![1.0],
        };
        let after = MatchCursor {
            rank: 3,
            measure: Measure::Cka,
            score: 0.5,
            layer: LayerId(7),
        };
        let scope = SearchScope {
            min_accuracy: Some(0.9),
            ..SearchScope::default()
        };
        for candidates in [Candidates::All, Candidates::Sorted(50), Candidates::Indexed(50)] {
            for target in [SearchTarget::Layer(LayerId(7)), SearchTarget::Vector(&sketched)] {
                for after in [None, Some(after)] {
                    let window = SearchWindow {
                        measure: Measure::Cka,
                        candidates,
                        after,
                        limit: 10,
                    };
                    let search = Search {
                        target,
                        probe_set: ProbeSetId(1),
                        scope: &scope,
                        window: &window,
                    };
                    let statement = search.statement();
                    let sql = statement.sql().as_str().to_owned();
                    assert!(!sql.contains(['{', '}']), "{sql}");
                    assert!(
                        sql.contains("layer_sketch_1 as layer_sketch") && sql.contains("accuracy >= $"),
                        "{sql}"
                    );
                    assert_eq!(sql.contains("tie_break > $"), after.is_some(), "{sql}");
                    let is_stored = matches!(target, SearchTarget::Layer(_));
                    assert_eq!(sql.contains("from layer_vector\n"), is_stored, "{sql}");
                }
            }
        }
    }
}
