//! The similarity search: which way to take, and answers kept for as long as they are true.

use std::sync::Arc;

use super::{Library, ServiceError};
use crate::domain::dataset_record::ProbeSet;
use crate::domain::id::{DatasetId, ProbeSetId};
use crate::domain::similarity::{LayerMatch, Matches, SimilarityFilter, SimilarityQuery};
use crate::domain::version::{Layer, Version};
use crate::store::{SearchScope, SearchWindow};

/// Rows whose exact scores are computed after an index scan.
const CANDIDATES: usize = 200;

/// Hits, counted from the first, that an index scan answers. Further on in the list every row is scored:
/// half the candidates lie between the last hit and the edge of what the sketches found.
const INDEXED_DEPTH: usize = CANDIDATES / 2;

/// Scopes of up to so many rows are scanned whole, which takes no longer than the index would.
const EXACT_ROWS: usize = 1_000;

/// Bytes an answer takes in the cache, with its key.
pub(super) fn weight(key: &str, matches: &Arc<Matches>) -> u32 {
    let bytes = key.len() + matches.hits.len() * size_of::<LayerMatch>() + size_of::<Matches>();
    bytes.try_into().unwrap_or(u32::MAX)
}

/// A search with its names resolved.
struct Prepared {
    probe_set: ProbeSetId,
    scope: SearchScope,
}

impl Library {
    /// The layers most like a layer.
    ///
    /// # Errors
    /// `NOT_FOUND` for a layer that is not there; `BAD_USER_INPUT` for a probe set of another data set, a layer
    /// without a vector, an unknown data set, or a comparison with a target that has no accuracy.
    #[tracing::instrument(name = "service.similar", skip_all, fields(target = %query.target))]
    pub async fn similar(&self, query: &SimilarityQuery) -> Result<Arc<Matches>, ServiceError> {
        // Read before the search: an answer that is newer than its key says is never wrong, an older one would be.
        let generation = self.store.generation().await?;
        let key = format!("{generation} {}", serde_json::json!(query));
        let computed = self
            .searches
            .try_get_with(key, async { self.search(query).await.map(Arc::new) });
        // All who wait for the same search share its error too.
        computed.await.map_err(|shared| ServiceError::clone(&shared))
    }

    /// How many layers a search is about: those that its filter admits, whatever their scores.
    ///
    /// # Errors
    /// As for [`Library::similar`].
    pub async fn count_admitted(&self, query: &SimilarityQuery) -> Result<usize, ServiceError> {
        let prepared = self.prepare(query).await?;
        Ok(self
            .store
            .count_scope(prepared.probe_set, &prepared.scope, None)
            .await?)
    }

    async fn search(&self, query: &SimilarityQuery) -> Result<Matches, ServiceError> {
        let Prepared { probe_set, scope } = self.prepare(query).await?;
        let depth = query.after.map_or(0, |after| after.rank as usize) + query.first;
        let few = !query.exact && self.store.count_scope(probe_set, &scope, Some(EXACT_ROWS + 1)).await? <= EXACT_ROWS;
        let indexed = !query.exact && !few && depth < INDEXED_DEPTH;
        let mut window = SearchWindow {
            measure: query.measure,
            candidates: indexed.then_some(CANDIDATES),
            after: query.after,
            limit: query.first + 1,
        };
        let mut hits = self.store.search(query.target, probe_set, &scope, &window).await?;
        // An index scan gives up after a bounded number of rows. If a filter starved it, every row is looked at.
        if indexed && hits.len() <= query.first {
            window.candidates = None;
            hits = self.store.search(query.target, probe_set, &scope, &window).await?;
        }
        if let Some(least) = query.filter.min_score {
            hits.retain(|hit| hit.score(query.measure) >= least);
        }
        let has_next = hits.len() > query.first;
        hits.truncate(query.first);
        Ok(Matches {
            hits,
            has_next,
            exact: window.candidates.is_none(),
        })
    }

    async fn prepare(&self, query: &SimilarityQuery) -> Result<Prepared, ServiceError> {
        let not_found = || ServiceError::not_found("layer", query.target);
        let layer = self
            .store
            .layers_by_id(&[query.target])
            .await?
            .pop()
            .ok_or_else(not_found)?;
        let version = self
            .store
            .versions_by_id(&[layer.version_id])
            .await?
            .pop()
            .ok_or_else(not_found)?;
        let probe_set = self.probe_set_for(&version, query.probe_set).await?;
        self.check_vector(&layer, &probe_set).await?;
        let scope = self.scope(&query.filter, &version).await?;
        Ok(Prepared {
            probe_set: probe_set.id,
            scope,
        })
    }

    async fn probe_set_for(&self, version: &Version, wanted: Option<ProbeSetId>) -> Result<ProbeSet, ServiceError> {
        let of_dataset = self.store.probe_sets_of(&[version.dataset_id]).await?;
        let Some(wanted) = wanted else {
            return of_dataset
                .into_iter()
                .find(|set| set.is_default)
                .ok_or_else(|| ServiceError::internal(anyhow::anyhow!("a data set has no default probe set")));
        };
        if let Some(found) = of_dataset.into_iter().find(|set| set.id == wanted) {
            return Ok(found);
        }
        if self.store.probe_sets_by_id(&[wanted]).await?.is_empty() {
            return Err(ServiceError::not_found("probe set", wanted));
        }
        Err(ServiceError::bad_input(
            "the probe set is of another data set than the layer: vectors are comparable within one probe set only, \
             so choose one of the layer's own data set (Dataset.probeSets lists them)",
        ))
    }

    async fn check_vector(&self, layer: &Layer, probe_set: &ProbeSet) -> Result<(), ServiceError> {
        if self.store.has_vector(layer.id, probe_set.id).await? {
            return Ok(());
        }
        let degenerate = self.store.degenerate_layers(&[layer.id]).await?;
        Err(ServiceError::bad_input(
            match degenerate.iter().find(|(_, on, _)| *on == probe_set.id) {
                Some((_, _, reason)) => format!("layer {} cannot be compared: {reason}", layer.name),
                None => format!(
                    "layer {} has no vector on this probe set yet: wait for the ingest job of its version",
                    layer.name
                ),
            },
        ))
    }

    async fn scope(&self, filter: &SimilarityFilter, target: &Version) -> Result<SearchScope, ServiceError> {
        let better_than = match filter.better_than_target {
            false => None,
            true => Some(self.accuracy_of(target).await?),
        };
        let datasets = match filter.datasets.as_slice() {
            [] => None,
            names => Some(self.dataset_ids(names).await?),
        };
        Ok(SearchScope {
            own_model: (!filter.include_own_model).then_some(target.model_id),
            min_accuracy: filter.min_accuracy,
            better_than,
            datasets,
            layer_kinds: filter.layer_kinds.clone(),
            models: filter.models.clone(),
            exclude_models: filter.exclude_models.clone(),
            tags: filter.tags.clone(),
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
                    let known: Vec<_> = all.iter().map(|dataset| dataset.name.as_str()).collect();
                    ServiceError::bad_input(format!("there is no data set {name:?}: known are {}", known.join(", ")))
                })
            })
            .collect()
    }
}
