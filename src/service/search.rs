//! The similarity search: which way to take, and answers kept for as long as they are true.

use std::sync::Arc;

use super::{Library, ServiceError};
use crate::domain::id::DatasetId;
use crate::domain::similarity::{LayerMatch, Matches, SimilarityFilter, SimilarityQuery};
use crate::domain::version::Version;
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

impl Library {
    /// The layers most like a layer, which must have a vector on the probe set. `generation` is the catalogue's, read
    /// before: an answer that is newer than its key says is never wrong, an older one would be.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an unknown data set, or a comparison with a target that has no accuracy.
    #[tracing::instrument(name = "service.similar", skip_all, fields(target = %query.target))]
    pub async fn similar(
        &self,
        query: &SimilarityQuery,
        version: &Version,
        generation: i64,
    ) -> Result<Arc<Matches>, ServiceError> {
        let key = format!("{generation} {}", serde_json::json!(query));
        let computed = self
            .searches
            .try_get_with(key, async { self.search(query, version).await.map(Arc::new) });
        // All who wait for the same search share its error too.
        computed.await.map_err(|shared| ServiceError::clone(&shared))
    }

    /// How many layers a search is about: those that its filter admits, whatever their scores.
    ///
    /// # Errors
    /// As for [`Library::similar`].
    pub async fn count_admitted(&self, query: &SimilarityQuery, version: &Version) -> Result<usize, ServiceError> {
        let scope = self.scope(&query.filter, version).await?;
        Ok(self.store.count_scope(query.probe_set, &scope, None).await?)
    }

    async fn search(&self, query: &SimilarityQuery, version: &Version) -> Result<Matches, ServiceError> {
        let scope = self.scope(&query.filter, version).await?;
        let depth = query.after.map_or(0, |after| after.rank as usize) + query.first;
        let few = || self.store.count_scope(query.probe_set, &scope, Some(EXACT_ROWS + 1));
        let indexed = !query.exact && depth < INDEXED_DEPTH && few().await? > EXACT_ROWS;
        let through_index = match indexed {
            true => self.search_index(query, &scope).await?,
            false => None,
        };
        let exact = through_index.is_none();
        let mut hits = match through_index {
            Some(hits) => hits,
            None => self.search_exactly(query, &scope).await?,
        };
        if let Some(least) = query.filter.min_score {
            hits.retain(|hit| hit.score(query.measure) >= least);
        }
        let has_next = hits.len() > query.first;
        hits.truncate(query.first);
        Ok(Matches { hits, has_next, exact })
    }

    async fn search_exactly(
        &self,
        query: &SimilarityQuery,
        scope: &SearchScope,
    ) -> Result<Vec<LayerMatch>, ServiceError> {
        let window = SearchWindow {
            measure: query.measure,
            candidates: None,
            after: query.after,
            limit: query.first + 1,
        };
        Ok(self.store.search(query.target, query.probe_set, scope, &window).await?)
    }

    /// The page, and one hit more if there is one, among the candidates that an index gives. `None` where those cannot
    /// be trusted to hold it: an index scan gives up after a bounded number of rows, so that a filter may starve it; and
    /// where the last hit ties with the last candidate, others that tie were cut off.
    async fn search_index(
        &self,
        query: &SimilarityQuery,
        scope: &SearchScope,
    ) -> Result<Option<Vec<LayerMatch>>, ServiceError> {
        let window = SearchWindow {
            measure: query.measure,
            candidates: Some(CANDIDATES),
            after: query.after,
            limit: CANDIDATES,
        };
        let mut hits = self.store.search(query.target, query.probe_set, scope, &window).await?;
        let score = |hit: &LayerMatch| hit.score(query.measure);
        let worst = hits.last().map(score);
        let is_full = hits.len() > query.first;
        hits.truncate(query.first + 1);
        let is_clear = hits.last().map(score) > worst;
        Ok((is_full && is_clear).then_some(hits))
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
