//! Comparisons of whole versions: two of them layer by layer, and one with all others.

use std::collections::HashMap;
use std::sync::Arc;

use super::search_cache::{SearchKey, SearchResult, SearchedFor};
use super::{ComputePermit, Library, ServiceError};
use scv_compute::cka_matrix::cka_matrix;
use scv_domain::comparison::{
    ComparedLayers, Comparison, LayerPair, SimilarVersionsQuery, VersionMatch, VersionMatches,
};
use scv_domain::dataset_record::ProbeSet;
use scv_domain::id::{LayerId, ProbeSetId, VersionId};
use scv_domain::vector::{LayerVector, Measure};
use scv_domain::version::{Version, VersionStatus};
use scv_memory::Reservation;
use scv_store::SearchScope;

/// Fewest versions whose layers are all compared with those of a target. More requested hits have twice as many candidates.
const MIN_CANDIDATES: usize = 50;

/// The highest rank that can be requested.
const MAX_HITS: usize = 400;

/// Numbers of one version's vectors, 512 MB.
const MAX_NUMBERS: usize = 128_000_000;

/// Numbers of a matrix.
const MAX_SCORES: usize = 1_000_000;

/// The vectors of the layers of a version.
type LayerVectors = Vec<(LayerId, LayerVector)>;

impl Library {
    /// Compares all layers of a version with all layers of another.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if a version has no vectors on the probe set, or for more than a million scores.
    pub async fn compare(
        &self,
        a: &Version,
        b: &Version,
        comparison: &Comparison,
    ) -> Result<ComparedLayers, ServiceError> {
        let permit = self.compute_permit().await;
        let max_layers = self.max_layers(comparison.probe_set).await?;
        let (rows, columns) = (
            self.count_comparable(a, comparison).await?,
            self.count_comparable(b, comparison).await?,
        );
        let scores = rows * columns;
        if scores > MAX_SCORES {
            return Err(ServiceError::bad_input(format!(
                "{rows} x {columns} layers are {scores} scores; the limit is {MAX_SCORES}: choose some kinds of layers with \
                 `layerKinds`"
            )));
        }
        let _memory = self.reserve_vectors(comparison.probe_set, rows + columns).await?;
        let rows = Arc::new(self.vectors_of(a.id, comparison, rows, max_layers).await?);
        let columns = self.vectors_of(b.id, comparison, columns, max_layers).await?;
        compared(&permit, (rows, columns), comparison.measure, |layers| layers).await
    }

    /// Pairs of consecutive layers in execution order that score at least `min_score`: one of them may be redundant. Layers
    /// without a vector are in no pair.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the version has no vectors on the probe set.
    pub async fn redundant_neighbours(
        &self,
        version: &Version,
        comparison: &Comparison,
        min_score: f64,
    ) -> Result<Vec<LayerPair>, ServiceError> {
        let permit = self.compute_permit().await;
        let max_layers = self.max_layers(comparison.probe_set).await?;
        let count = self.count_comparable(version, comparison).await?;
        let _memory = self.reserve_vectors(comparison.probe_set, count).await?;
        let vectors = self.vectors_of(version.id, comparison, count, max_layers).await?;
        let ids: Vec<_> = vectors.iter().map(|(layer, _)| *layer).collect();
        let layers = self.store.layers_by_id(&ids).await?;
        let indices: HashMap<LayerId, i32> = layers.iter().map(|layer| (layer.id, layer.index)).collect();
        let measure = comparison.measure;
        let found = permit.run(move || {
            let follow = |a: &LayerId, b: &LayerId| indices.get(a).map(|index| index + 1) == indices.get(b).copied();
            let pairs = vectors.windows(2).filter(|pair| follow(&pair[0].0, &pair[1].0));
            let pairs = pairs.map(|pair| LayerPair {
                layer: pair[0].0,
                other: pair[1].0,
                score: pair[0].1.score(&pair[1].1, measure),
            });
            pairs.filter(|pair| pair.score >= min_score).collect()
        });
        found.await
    }

    /// The versions most similar to a version.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the version has no vectors on the probe set, and as for a search of layers.
    #[tracing::instrument(name = "service.similar_versions", skip_all, fields(target = %target.id))]
    pub async fn similar_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
    ) -> Result<Arc<VersionMatches>, ServiceError> {
        let key = SearchKey {
            generation: self.generation().await?,
            viewer: self.access.viewer(),
            target: SearchedFor::Version(target.id),
            query: serde_json::json!(query).to_string(),
        };
        let compute = async {
            let found = self.find_similar_versions(target, query).await?;
            Ok(SearchResult::Versions(Arc::new(found)))
        };
        self.searches.get_or(key, compute).await?.versions()
    }

    /// How many candidate versions a search has: those that its filter admits.
    ///
    /// # Errors
    /// As for [`Library::similar_versions`].
    pub async fn count_admitted_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
    ) -> Result<usize, ServiceError> {
        let scope = self.version_scope(target, query).await?;
        Ok(self.store.count_admitted_versions(query.probe_set, &scope).await?)
    }

    async fn version_scope(&self, target: &Version, query: &SimilarVersionsQuery) -> Result<SearchScope, ServiceError> {
        Ok(SearchScope {
            except_version: Some(target.id),
            ..self.scope(&query.filter, Some(target.origin())).await?
        })
    }

    async fn find_similar_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
    ) -> Result<VersionMatches, ServiceError> {
        let skipped = query.after.map_or(0, |after| after.rank);
        if skipped.saturating_add(query.first) > MAX_HITS {
            return Err(ServiceError::bad_input(format!(
                "a search for versions has at most {MAX_HITS} hits: narrow it with a filter"
            )));
        }
        let comparison = Comparison {
            probe_set: query.probe_set,
            measure: query.measure,
            layer_kinds: query.filter.layer_kinds.clone(),
        };
        let permit = self.compute_permit().await;
        let max_layers = self.max_layers(query.probe_set).await?;
        let count = self.count_comparable(target, &comparison).await?;
        let memory = self.reserve_vectors(query.probe_set, count).await?;
        let own_bytes = memory.bytes();
        let layers = Arc::new(self.vectors_of(target.id, &comparison, count, max_layers).await?);
        let (candidates, exact) = self.candidate_versions(target, query).await?;
        let mut hits = Vec::new();
        // One candidate after the other: the vectors of only two versions are in memory at a time.
        for version in candidates {
            let count = self.count_vectors(version, &comparison).await?;
            memory.shrink_to(own_bytes);
            memory.grow(self.vector_bytes(query.probe_set, count).await?)?;
            let others = self.vectors_of(version, &comparison, count, max_layers).await?;
            let found = compared(&permit, (Arc::clone(&layers), others), query.measure, move |found| {
                let alignment = found.matrix.alignment();
                VersionMatch {
                    rank: 0,
                    version,
                    score: found.matrix.best_match_average(),
                    matching: found.pairs(&found.matrix.best_matches()),
                    alignment_score: found.matrix.alignment_score(&alignment),
                    alignment: found.pairs(&alignment),
                }
            });
            hits.push(found.await?);
        }
        if let Some(min_score) = query.filter.min_score {
            hits.retain(|hit| hit.score >= min_score);
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.version.cmp(&b.version)));
        if let Some(after) = query.after {
            hits.retain(|hit| hit.score < after.score || (hit.score == after.score && hit.version > after.version));
        }
        let has_next = hits.len() > query.first;
        hits.truncate(query.first);
        for (hit, rank) in hits.iter_mut().zip(skipped + 1..) {
            hit.rank = rank;
        }
        Ok(VersionMatches { hits, has_next, exact })
    }

    /// The versions to compare with a target, and whether these are all that the filter admits.
    async fn candidate_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
    ) -> Result<(Vec<VersionId>, bool), ServiceError> {
        let scope = self.version_scope(target, query).await?;
        let depth = query.after.map_or(0, |after| after.rank) + query.first;
        let count = MIN_CANDIDATES.max(2 * depth);
        let admitted = self.store.admitted_versions(query.probe_set, &scope, count + 1).await?;
        if admitted.len() <= count {
            return Ok((admitted, true));
        }
        let nearest = self
            .store
            .nearest_versions(target.id, query.probe_set, &scope, query.measure, count);
        let mut candidates = nearest.await?;
        // If many layers are alike, the nearest may belong to few versions: others fill up the list.
        let others: Vec<_> = admitted
            .into_iter()
            .filter(|version| !candidates.contains(version))
            .collect();
        candidates.extend(others);
        candidates.truncate(count);
        Ok((candidates, false))
    }

    /// Layers of a version that can be compared at once.
    async fn max_layers(&self, probe_set: ProbeSetId) -> Result<usize, ServiceError> {
        Ok(MAX_NUMBERS / self.vector_length(probe_set).await?)
    }

    async fn vector_length(&self, probe_set: ProbeSetId) -> Result<usize, ServiceError> {
        let found = self.store.probe_sets_by_id(&[probe_set]).await?.pop();
        Ok(found.as_ref().map_or(1, ProbeSet::vector_length))
    }

    /// Takes the memory of the vectors of so many layers.
    async fn reserve_vectors(&self, probe_set: ProbeSetId, layers: usize) -> Result<Reservation, ServiceError> {
        Ok(self.memory.reserve(self.vector_bytes(probe_set, layers).await?).await?)
    }

    /// Bytes of the vectors of so many layers: as they are read, and as a matrix that is multiplied.
    async fn vector_bytes(&self, probe_set: ProbeSetId, layers: usize) -> Result<u64, ServiceError> {
        let numbers = layers as u64 * self.vector_length(probe_set).await? as u64;
        Ok(2 * size_of::<f32>() as u64 * numbers)
    }

    async fn count_vectors(&self, version: VersionId, comparison: &Comparison) -> Result<usize, ServiceError> {
        let Comparison {
            probe_set, layer_kinds, ..
        } = comparison;
        Ok(self
            .store
            .count_version_vectors(*probe_set, version, layer_kinds)
            .await?)
    }

    /// How many layers of a version have a vector.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if none has.
    async fn count_comparable(&self, version: &Version, comparison: &Comparison) -> Result<usize, ServiceError> {
        let count = self.count_vectors(version.id, comparison).await?;
        if count > 0 {
            return Ok(count);
        }
        let of_kinds = match comparison.layer_kinds.as_slice() {
            [] => String::new(),
            kinds => format!(" of kind {}", kinds.join(", ")),
        };
        let name = self.name_of(version).await?;
        Err(ServiceError::bad_input(match version.status {
            VersionStatus::Ready => format!(
                "{name} has no layers{of_kinds} with vectors on this probe set: layers are comparable only on the same \
                 probe set, on which both versions must have been ingested"
            ),
            _ => format!("{name} has no layers: it is not READY"),
        }))
    }

    /// The name of a version, `MODEL:NUMBER`.
    pub(super) async fn name_of(&self, version: &Version) -> Result<String, ServiceError> {
        let model = self.store.models_by_id(&[version.model_id]).await?.pop();
        Ok(match model {
            Some(model) => format!("{}:{}", model.name, version.number),
            // It has just been deleted.
            None => format!("version {}", version.number),
        })
    }

    /// The layers of a version that have a vector, `count` of them, in order.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if there are more than `max_layers`.
    async fn vectors_of(
        &self,
        version: VersionId,
        comparison: &Comparison,
        count: usize,
        max_layers: usize,
    ) -> Result<LayerVectors, ServiceError> {
        if count > max_layers {
            let name = self.name_of(&self.version(version).await?).await?;
            return Err(ServiceError::bad_input(format!(
                "{name} has {count} layers; the limit on this probe set is {max_layers}: choose some kinds of layers, \
                 exclude the model, or use a smaller probe set"
            )));
        }
        let kinds = &comparison.layer_kinds;
        Ok(self.store.version_vectors(comparison.probe_set, version, kinds).await?)
    }
}

/// Compares layers on a thread for blocking work, and passes the result to `then` there.
async fn compared<T: Send + 'static>(
    permit: &ComputePermit,
    (rows, columns): (Arc<LayerVectors>, LayerVectors),
    measure: Measure,
    then: impl FnOnce(ComparedLayers) -> T + Send + 'static,
) -> Result<T, ServiceError> {
    let computed = permit.run(move || {
        let (rows, row_vectors) = split(&rows);
        let (columns, column_vectors) = split(&columns);
        then(ComparedLayers {
            matrix: cka_matrix(&row_vectors, &column_vectors, measure),
            rows,
            columns,
        })
    });
    computed.await
}

fn split(layers: &[(LayerId, LayerVector)]) -> (Vec<LayerId>, Vec<&LayerVector>) {
    layers.iter().map(|(layer, vector)| (*layer, vector)).unzip()
}
