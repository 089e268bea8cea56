//! The similarity search: candidates from a sketch index, then the exact scores of those few, in one statement.
//!
//! The statements are put together at run time, since only the filters asked for may stand in them: with
//! nullable parameters for all of them the planner would not choose well among the indexes. For the same
//! reason those with filters are not kept prepared: a plan for any value of a filter cannot tell one that keeps half from a
//! rare one.

use pgvector::HalfVector;
use sqlx::{Postgres, QueryBuilder};

use super::vector::parts;
use super::{Store, StoreError};
use scv_domain::id::{AccountId, DatasetId, LayerId, ModelId, ProbeSetId, VersionId};
use scv_domain::similarity::{LayerMatch, MatchCursor};
use scv_domain::vector::{Measure, SketchedVector};

/// The rows a search may answer with, its names resolved to keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchScope {
    /// Not this model.
    pub own_model: Option<ModelId>,
    /// Not this version.
    pub except_version: Option<VersionId>,
    /// Least accuracy.
    pub min_accuracy: Option<f64>,
    /// Accuracy that must be exceeded.
    pub better_than: Option<f64>,
    /// One of these data sets.
    pub datasets: Option<Vec<DatasetId>>,
    /// One of these kinds. Empty: any.
    pub layer_kinds: Vec<String>,
    /// One of these models. Empty: any.
    pub models: Vec<ModelId>,
    /// None of these models.
    pub exclude_models: Vec<ModelId>,
    /// All of these tags.
    pub tags: Vec<String>,
    /// Whose private models are among them, beside those that everybody may see. `None`: all models.
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

/// Which rows of a scope are scored. Rows whose sketches tie with the last one's are scored too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// All.
    All,
    /// So many, those with the nearest sketches: the sketches of the whole scope are looked at.
    Sorted(usize),
    /// So many, those with the nearest sketches that an index finds.
    Indexed(usize),
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The hits, best first.
    pub hits: Vec<LayerMatch>,
    /// Whether the index, if one was asked, found the target itself. An HNSW graph may have parts that no link from
    /// elsewhere leads to, and if it leaves out the nearest sketch of all then it leaves out that one's neighbours too.
    pub target_reached: bool,
}

/// Which hits of a scope are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchWindow {
    /// What hits are ranked by.
    pub measure: Measure,
    /// What is scored to find them.
    pub candidates: Candidates,
    /// Only hits behind this one.
    pub after: Option<MatchCursor>,
    /// Hits at most.
    pub limit: usize,
}

impl SearchScope {
    /// Whether it holds a part of the library only, one model or version left out aside.
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
    /// How many layers a scope holds, counted no further than `limit`.
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
        let mut query = QueryBuilder::new("select count(*) from (select");
        push_layers(&mut query, probe_set);
        push_scope(&mut query, scope);
        if let Some(limit) = limit {
            query.push(" limit ").push_bind(limit as i64);
        }
        query.push(") as admitted");
        let count: i64 = query
            .build_query_scalar()
            .persistent(!scope.is_narrow())
            .fetch_one(&self.pool)
            .await?;
        Ok(count as usize)
    }

    /// About how many layers have a vector on a probe set, as PostgreSQL keeps count of it.
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
        // It is below zero until it has counted for the first time.
        Ok(estimate.max(0.0) as usize)
    }

    /// The hits of a window, best first; equal scores in the order of their keys, the target itself before all. None for a
    /// target without a vector.
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
    ) -> Result<Found, StoreError> {
        // The target is looked for wherever the index is, in the scope or not.
        let looked_for = match (window.candidates, target) {
            (Candidates::Indexed(_), SearchTarget::Layer(layer)) => Some(layer),
            _ => None,
        };
        let mut query = QueryBuilder::new("with target as materialized (");
        push_vector(&mut query, target, probe_set);
        query.push("), candidate as materialized (select layer_id, ");
        match looked_for {
            None => _ = query.push("true"),
            Some(_) => push_condition(&mut query, scope),
        }
        query.push(" as admitted");
        push_layers(&mut query, probe_set);
        if window.candidates != Candidates::All {
            push_sketches(&mut query, probe_set);
        }
        query.push(" where exists (select from target) and (");
        push_condition(&mut query, scope);
        if let Some(layer) = looked_for {
            query.push(" or layer_id = ").push_bind(layer.0);
        }
        query.push(")");
        let nearest = match window.candidates {
            Candidates::All => None,
            // No index knows this order, so the planner cannot take one.
            Candidates::Sorted(count) => Some((count, ") + 0")),
            Candidates::Indexed(count) => Some((count, ")")),
        };
        if let Some((count, end)) = nearest {
            query
                .push(" order by (")
                .push(sketch_column(window.measure))
                .push(" <-> ");
            push_sketch(&mut query, target, probe_set, window.measure);
            // Copies of one layer are all candidates or none: otherwise chance would choose among them.
            query
                .push(end)
                .push(" fetch first ")
                .push(count)
                .push(" rows with ties");
        }
        // Row by row, since joined as a whole every vector of the library may be touched. The sums run in the order of the
        // parts: the same pair always gets the same score to the last bit, which cursors compare with.
        query.push(
            "), scored as (
                select layer_id, least(lead + tail, 1) as cka, greatest(-1, least(lead / norms, 1)) as debiased_cka,
                       case when layer_id = ",
        );
        // Keys begin at 1.
        let own = match target {
            SearchTarget::Layer(layer) => layer,
            SearchTarget::Vector(_) => LayerId(0),
        };
        query.push_bind(own.0).push(
            " then 0 else layer_id end as tie
                  from candidate
                 cross join lateral (
                    select -sum(theirs.lead <#> target.lead order by part) as lead,
                           -sum(theirs.tail <#> target.tail order by part) as tail,
                           max(theirs.lead_norm::float8 * target.lead_norm) as norms
                      from layer_vector as theirs
                      join target using (part)
                     where theirs.probe_set_id = ",
        );
        query
            .push(probe_set)
            .push(" and theirs.layer_id = candidate.layer_id) as product where admitted) ");
        query.push("select layer_id, cka, debiased_cka, ");
        match looked_for {
            None => query.push("true"),
            Some(layer) => query
                .push("exists (select from candidate where layer_id = ")
                .push_bind(layer.0)
                .push(")"),
        };
        query.push(" from scored where true");
        let score = score_column(window.measure);
        if let Some(after) = &window.after {
            let tie = if after.layer == own { 0 } else { after.layer.0 };
            query
                .push(" and (")
                .push(score)
                .push(" < ")
                .push_bind(after.score)
                .push(" or (")
                .push(score);
            query
                .push(" = ")
                .push_bind(after.score)
                .push(" and tie > ")
                .push_bind(tie)
                .push("))");
        }
        query
            .push(" order by ")
            .push(score)
            .push(" desc, tie limit ")
            .push_bind(window.limit as i64);

        let query = query.build_query_as().persistent(!scope.is_narrow());
        let rows: Vec<(i64, f64, f64, bool)> = query.fetch_all(&self.pool).await?;
        // A rank that nobody was ever given must not overflow.
        let skipped = window.after.map_or(0, |after| after.rank.min(u32::MAX / 2));
        Ok(Found {
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

fn push_vector(query: &mut QueryBuilder<Postgres>, target: SearchTarget<'_>, probe_set: ProbeSetId) {
    match target {
        SearchTarget::Layer(layer) => {
            query
                // A copy in memory: as it lies in the table it would be fetched and decompressed for every candidate.
                .push("select part, subvector(lead, 1, vector_dims(lead)) as lead, tail, lead_norm from layer_vector where probe_set_id = ")
                .push(probe_set)
                .push(" and layer_id = ")
                .push_bind(layer.0);
        }
        SearchTarget::Vector(sketched) => {
            let (mut numbers, mut leads, mut tails, mut norms) = (vec![], vec![], vec![], vec![]);
            for part in parts(&sketched.vector) {
                numbers.push(part.number);
                leads.push(part.lead);
                tails.push(part.tail);
                norms.push(part.lead_norm);
            }
            query
                .push("select * from unnest(")
                .push_bind(numbers)
                .push(", ")
                .push_bind(leads)
                .push(", ");
            query.push_bind(tails).push(", ").push_bind(norms);
            query.push(") as given (part, lead, tail, lead_norm)");
        }
    }
}

fn push_sketch(query: &mut QueryBuilder<Postgres>, target: SearchTarget<'_>, probe_set: ProbeSetId, measure: Measure) {
    match target {
        SearchTarget::Layer(layer) => {
            query.push("(select ").push(sketch_column(measure));
            push_layers(query, probe_set);
            push_sketches(query, probe_set);
            query.push(" where layer_id = ").push_bind(layer.0).push(")");
        }
        SearchTarget::Vector(sketched) => {
            let sketch = match measure {
                Measure::DebiasedCka => &sketched.debiased_sketch,
                Measure::Cka => &sketched.cka_sketch,
            };
            query.push_bind(HalfVector::from_f32_slice(sketch));
        }
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

/// The layers on a probe set. Its partition is named, which saves the planner a third of its time.
pub(super) fn push_layers(query: &mut QueryBuilder<Postgres>, probe_set: ProbeSetId) {
    query
        .push(" from layer_sketch_")
        .push(probe_set)
        .push(" as layer_sketch");
}

/// The sketches beside the layers: those that have the same one are found together.
pub(super) fn push_sketches(query: &mut QueryBuilder<Postgres>, probe_set: ProbeSetId) {
    query
        .push(" join sketch_")
        .push(probe_set)
        .push(" as sketch using (sketch_id)");
}

pub(super) fn push_scope(query: &mut QueryBuilder<Postgres>, scope: &SearchScope) {
    query.push(" where ");
    push_condition(query, scope);
}

/// What holds of the layers of a scope.
fn push_condition(query: &mut QueryBuilder<Postgres>, scope: &SearchScope) {
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
