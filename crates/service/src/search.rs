//! The similarity search: which way to take, and answers kept for as long as they are true.

use std::sync::Arc;

use bytes::Bytes;

use super::cache::Answer;
use super::source::unknown_dataset;
use super::{Library, ServiceError};
use scv_compute::activations::{ActivationLayer, ActivationTask, MeasuredLayer};
use scv_compute::control::Control;
use scv_domain::dataset_record::ProbeSet;
use scv_domain::id::{DatasetId, LayerId};
use scv_domain::similarity::{LayerMatch, Matches, SimilarityFilter, SimilarityQuery};
use scv_domain::vector::Degenerate;
use scv_domain::version::Version;
use scv_store::{Candidates, Found, SearchScope, SearchTarget, SearchWindow};

/// Fewest rows whose exact scores are computed where sketches choose them from a whole library.
const CANDIDATES_OF_ALL: usize = 50;

/// Fewest of a part of a library: there the nearest are further away, where sketches tell less well which is nearer.
const CANDIDATES_OF_PART: usize = 100;

/// Candidates a hit: half of them lie between the last hit and the edge of what the sketches found.
const CANDIDATES_A_HIT: usize = 2;

/// Hits, counted from the first, that are found by sketches. Further on in the list every row is scored.
const INDEXED_DEPTH: usize = 1_000;

/// Scopes of up to so many rows are scored whole.
const EXACT_ROWS: usize = 250;

/// A part of a library of n layers is searched without the index if it holds up to so many times the root of n. An index has
/// to pass n / r rows for each candidate in a part of r rows, while r sketches are sorted: the two cost the same where r² is
/// a multiple of n.
const SORTED_ROWS_A_ROOT: f64 = 18.0;

/// What is like one layer of a file of activations.
#[derive(Debug)]
pub struct ActivationMatches {
    /// The layer.
    pub layer: ActivationLayer,
    /// Its hits, or why it can have none.
    pub matches: Result<Matches, Degenerate>,
}

impl Answer for Matches {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.hits.len() * size_of::<LayerMatch>()
    }
}

impl Library {
    /// The layers most like a layer; none if it has no vector on the probe set. `generation` is the catalogue's, read before.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an unknown data set, or a comparison with a target that has no accuracy.
    #[tracing::instrument(name = "service.similar", skip_all, fields(%target))]
    pub async fn similar(
        &self,
        target: LayerId,
        query: &SimilarityQuery,
        version: &Version,
        generation: i64,
    ) -> Result<Arc<Matches>, ServiceError> {
        let question = format!("{target} {} {:?}", serde_json::json!(query), self.access.viewer());
        let compute = async {
            let scope = self.scope(&query.filter, Some(version)).await?;
            self.search(SearchTarget::Layer(target), query, &scope).await
        };
        self.answers.answer(generation, question, compute).await
    }

    /// How many layers a search is about: those that its filter admits, whatever their scores.
    ///
    /// # Errors
    /// As for [`Library::similar`].
    pub async fn count_admitted(&self, query: &SimilarityQuery, version: &Version) -> Result<usize, ServiceError> {
        let scope = self.scope(&query.filter, Some(version)).await?;
        Ok(self.store.count_scope(query.probe_set, &scope, None).await?)
    }

    /// The layers most like each layer of a file of activations, none of which is stored.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` with every fault of the file, for an unknown layer or data set, or a comparison with an accuracy
    /// that activations do not have.
    pub async fn similar_to_activations(
        &self,
        file: Bytes,
        layers: Option<&[String]>,
        query: &SimilarityQuery,
        probe_set: &ProbeSet,
    ) -> Result<Vec<ActivationMatches>, ServiceError> {
        let scope = self.scope(&query.filter, None).await?;
        let task = ActivationTask {
            file,
            limits: self.activation_limits(probe_set),
        };
        let measured = self.engine.measure(task, Control::unwatched()).await?;
        let unknown = layers
            .unwrap_or_default()
            .iter()
            .find(|name| !measured.iter().any(|m| m.layer.name == **name));
        if let Some(unknown) = unknown {
            return Err(ServiceError::bad_input(format!("the file has no array {unknown:?}")));
        }
        let mut answers = Vec::new();
        for MeasuredLayer { layer, vector } in measured {
            if layers.is_some_and(|names| !names.contains(&layer.name)) {
                continue;
            }
            let matches = match &vector {
                Ok(sketched) => Ok(self.search(SearchTarget::Vector(sketched), query, &scope).await?),
                Err(degenerate) => Err(*degenerate),
            };
            answers.push(ActivationMatches { layer, matches });
        }
        Ok(answers)
    }

    async fn search(
        &self,
        target: SearchTarget<'_>,
        query: &SimilarityQuery,
        scope: &SearchScope,
    ) -> Result<Matches, ServiceError> {
        let mut candidates = self.candidates(query, scope).await?;
        let mut hits = loop {
            let found = self.scored(target, query, scope, candidates).await?;
            candidates = match candidates {
                Candidates::Indexed(count) if !found.target_reached => Candidates::Sorted(count),
                // The nearest sketches may not reach to the page's end: what lies behind a cursor may all be further away.
                Candidates::Indexed(_) | Candidates::Sorted(_) if found.hits.len() <= query.first => Candidates::All,
                _ => break found.hits,
            };
        };
        let exact = candidates == Candidates::All;
        if let Some(least) = query.filter.min_score {
            hits.retain(|hit| hit.score(query.measure) >= least);
        }
        let has_next = hits.len() > query.first;
        hits.truncate(query.first);
        Ok(Matches { hits, has_next, exact })
    }

    /// What has to be scored to answer.
    async fn candidates(&self, query: &SimilarityQuery, scope: &SearchScope) -> Result<Candidates, ServiceError> {
        let depth = query.after.map_or(0, |after| after.rank as usize) + query.first;
        if query.exact || depth > INDEXED_DEPTH {
            return Ok(Candidates::All);
        }
        let (fewest, sorted_rows) = match scope.is_narrow() {
            true => {
                let layers = self.store.estimate_layers(query.probe_set).await?;
                (CANDIDATES_OF_PART, SORTED_ROWS_A_ROOT * (layers as f64).sqrt())
            }
            false => (CANDIDATES_OF_ALL, 0.0),
        };
        let sorted_rows = EXACT_ROWS.max(sorted_rows as usize);
        let admitted = self.store.count_scope(query.probe_set, scope, Some(sorted_rows + 1));
        let count = fewest.max(CANDIDATES_A_HIT * depth);
        Ok(match admitted.await? {
            few if few <= EXACT_ROWS => Candidates::All,
            some if some <= sorted_rows => Candidates::Sorted(count),
            _ => Candidates::Indexed(count),
        })
    }

    /// The best of what is scored: the page, and one hit more if there is one.
    async fn scored(
        &self,
        target: SearchTarget<'_>,
        query: &SimilarityQuery,
        scope: &SearchScope,
        candidates: Candidates,
    ) -> Result<Found, ServiceError> {
        let window = SearchWindow {
            measure: query.measure,
            candidates,
            after: query.after,
            limit: query.first + 1,
        };
        Ok(self.store.search(target, query.probe_set, scope, &window).await?)
    }

    pub(super) async fn scope(
        &self,
        filter: &SimilarityFilter,
        target: Option<&Version>,
    ) -> Result<SearchScope, ServiceError> {
        let better_than = match (filter.better_than_target, target) {
            (false, _) => None,
            (true, Some(target)) => Some(self.accuracy_of(target).await?),
            (true, None) => {
                return Err(ServiceError::bad_input(
                    "betterThanTarget needs a target that has been evaluated: give minAccuracy instead",
                ));
            }
        };
        let datasets = match filter.datasets.as_slice() {
            [] => None,
            names => Some(self.dataset_ids(names).await?),
        };
        Ok(SearchScope {
            own_model: target
                .filter(|_| !filter.include_own_model)
                .map(|target| target.model_id),
            except_version: None,
            min_accuracy: filter.min_accuracy,
            better_than,
            datasets,
            layer_kinds: filter.layer_kinds.clone(),
            models: filter.models.clone(),
            exclude_models: filter.exclude_models.clone(),
            tags: filter.tags.clone(),
            viewer: self.access.viewer(),
        })
    }

    async fn accuracy_of(&self, version: &Version) -> Result<f64, ServiceError> {
        let evaluations = self.store.evaluations_of(&[version.id]).await?;
        let own = evaluations
            .iter()
            .find(|evaluation| evaluation.dataset_id == version.dataset_id);
        own.map(|evaluation| evaluation.accuracy).ok_or_else(|| {
            ServiceError::bad_input(
                "betterThanTarget needs the accuracy of the target's version, which has not been evaluated: \
                 run evaluateVersion first",
            )
        })
    }

    async fn dataset_ids(&self, names: &[String]) -> Result<Vec<DatasetId>, ServiceError> {
        let all = self.store.datasets().await?;
        names
            .iter()
            .map(|name| {
                let found = all.iter().find(|dataset| dataset.name == *name);
                found.map(|dataset| dataset.id).ok_or_else(|| {
                    ServiceError::bad_input(format!("there is no data set {}", unknown_dataset(name, &all)))
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn analysts_search_in_sql_goes_by_the_same_numbers() {
        let sql = include_str!("../../../migrations/0014_access.sql");
        for (name, number) in [
            ("exact_rows       ", EXACT_ROWS),
            ("indexed_depth    ", INDEXED_DEPTH),
            ("candidates_of_all ", CANDIDATES_OF_ALL),
            ("candidates_of_part", CANDIDATES_OF_PART),
            ("candidates_a_hit ", CANDIDATES_A_HIT),
            ("sorted_rows_a_root", SORTED_ROWS_A_ROOT as usize),
        ] {
            let line = format!("{name} constant integer := {number};");
            assert!(sql.contains(&line), "{line}");
        }
    }
}
