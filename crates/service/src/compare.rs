//! Whole versions against one another: two of them layer by layer, and one against all others.

use std::collections::HashMap;
use std::sync::Arc;

use super::cache::Answer;
use super::{Library, ServiceError};
use scv_compute::cka_matrix::cka_matrix;
use scv_domain::comparison::{
    ComparedLayers, Comparison, LayerPair, SimilarVersionsQuery, VersionMatch, VersionMatches,
};
use scv_domain::dataset_record::ProbeSet;
use scv_domain::id::{LayerId, ProbeSetId, VersionId};
use scv_domain::vector::{LayerVector, Measure};
use scv_domain::version::{Version, VersionStatus};
use scv_store::SearchScope;

/// Fewest versions whose layers are all compared with those of a target; there are twice as many as are asked for.
const MIN_CANDIDATES: usize = 50;

/// Last hit that can be asked for.
const MAX_HITS: usize = 400;

/// Most numbers of one version's vectors, 512 MB.
const MAX_NUMBERS: usize = 128_000_000;

/// Most numbers of a matrix.
const MAX_SCORES: usize = 1_000_000;

impl Answer for VersionMatches {
    fn bytes(&self) -> usize {
        let pairs = self.hits.iter().map(|hit| hit.matching.len() + hit.alignment.len());
        size_of::<Self>() + self.hits.len() * size_of::<VersionMatch>() + pairs.sum::<usize>() * size_of::<LayerPair>()
    }
}

impl Library {
    /// All layers of a version against all layers of another.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if a version has no vectors on the probe set, or for more than a million scores.
    pub async fn compare(
        &self,
        a: &Version,
        b: &Version,
        comparison: &Comparison,
    ) -> Result<ComparedLayers, ServiceError> {
        let _turn = self.turn().await;
        let most = self.most_layers(comparison.probe_set).await?;
        let (rows, columns) = (
            self.count_comparable(a, comparison).await?,
            self.count_comparable(b, comparison).await?,
        );
        let scores = rows * columns;
        if scores > MAX_SCORES {
            return Err(ServiceError::bad_input(format!(
                "{rows} layers against {columns} are {scores} scores, more than {MAX_SCORES}: choose some of their kinds \
                 with `layerKinds`"
            )));
        }
        let rows = Arc::new(self.vectors_of(a.id, comparison, rows, most).await?);
        let columns = self.vectors_of(b.id, comparison, columns, most).await?;
        compared(rows, columns, comparison.measure, |layers| layers).await
    }

    /// Pairs of layers of which one follows the other in execution order and that score at least `least`: one of them may be
    /// there for nothing. Layers without a vector are in no pair.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the version has no vectors on the probe set.
    pub async fn redundant_neighbours(
        &self,
        version: &Version,
        comparison: &Comparison,
        least: f64,
    ) -> Result<Vec<LayerPair>, ServiceError> {
        let _turn = self.turn().await;
        let most = self.most_layers(comparison.probe_set).await?;
        let count = self.count_comparable(version, comparison).await?;
        let vectors = self.vectors_of(version.id, comparison, count, most).await?;
        let ids: Vec<_> = vectors.iter().map(|(layer, _)| *layer).collect();
        let layers = self.store.layers_by_id(&ids).await?;
        let places: HashMap<LayerId, i32> = layers.iter().map(|layer| (layer.id, layer.index)).collect();
        let measure = comparison.measure;
        let found = tokio::task::spawn_blocking(move || {
            let follow = |a: &LayerId, b: &LayerId| places.get(a).map(|place| place + 1) == places.get(b).copied();
            let pairs = vectors.windows(2).filter(|pair| follow(&pair[0].0, &pair[1].0));
            let pairs = pairs.map(|pair| LayerPair {
                layer: pair[0].0,
                other: pair[1].0,
                score: pair[0].1.score(&pair[1].1, measure),
            });
            pairs.filter(|pair| pair.score >= least).collect()
        });
        found.await.map_err(ServiceError::internal)
    }

    /// The versions most like a version. `generation` is the catalogue's, read before.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the version has no vectors on the probe set, and as for a search of layers.
    #[tracing::instrument(name = "service.similar_versions", skip_all, fields(target = %target.id))]
    pub async fn similar_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
        generation: i64,
    ) -> Result<Arc<VersionMatches>, ServiceError> {
        let question = format!("{} {} {:?}", target.id, serde_json::json!(query), self.access.viewer());
        let compute = self.find_similar_versions(target, query);
        self.answers.answer(generation, question, compute).await
    }

    /// How many versions a search for versions is about.
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
            ..self.scope(&query.filter, Some(target)).await?
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
                "a search for versions ends at the hit of rank {MAX_HITS}: narrow it with a filter"
            )));
        }
        let comparison = Comparison {
            probe_set: query.probe_set,
            measure: query.measure,
            layer_kinds: query.filter.layer_kinds.clone(),
        };
        let _turn = self.turn().await;
        let most = self.most_layers(query.probe_set).await?;
        let count = self.count_comparable(target, &comparison).await?;
        let layers = Arc::new(self.vectors_of(target.id, &comparison, count, most).await?);
        let (candidates, exact) = self.candidate_versions(target, query).await?;
        let mut hits = Vec::new();
        // One after the other: only two versions' vectors are in memory at a time.
        for version in candidates {
            let count = self.count_vectors(version, &comparison).await?;
            let others = self.vectors_of(version, &comparison, count, most).await?;
            let found = compared(Arc::clone(&layers), others, query.measure, move |found| {
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
        if let Some(least) = query.filter.min_score {
            hits.retain(|hit| hit.score >= least);
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

    /// The versions to compare with a target, and whether these are all that are admitted.
    async fn candidate_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
    ) -> Result<(Vec<VersionId>, bool), ServiceError> {
        let scope = self.version_scope(target, query).await?;
        let depth = query.after.map_or(0, |after| after.rank) + query.first;
        let count = MIN_CANDIDATES.max(2 * depth);
        let some = self.store.admitted_versions(query.probe_set, &scope, count + 1).await?;
        if some.len() <= count {
            return Ok((some, true));
        }
        let nearest = self
            .store
            .nearest_versions(target.id, query.probe_set, &scope, query.measure, count);
        let mut candidates = nearest.await?;
        // Where crowds of layers are alike, those nearest may be of few versions: there are more all the same.
        let others: Vec<_> = some
            .into_iter()
            .filter(|version| !candidates.contains(version))
            .collect();
        candidates.extend(others);
        candidates.truncate(count);
        Ok((candidates, false))
    }

    /// Most layers of a version that are held at a time.
    async fn most_layers(&self, probe_set: ProbeSetId) -> Result<usize, ServiceError> {
        let found = self.store.probe_sets_by_id(&[probe_set]).await?.pop();
        let length = found.as_ref().map_or(1, ProbeSet::vector_length);
        Ok(MAX_NUMBERS / length)
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

    /// How many layers of a version have a vector; at least one.
    async fn count_comparable(&self, version: &Version, comparison: &Comparison) -> Result<usize, ServiceError> {
        let count = self.count_vectors(version.id, comparison).await?;
        if count > 0 {
            return Ok(count);
        }
        let of_kinds = match comparison.layer_kinds.as_slice() {
            [] => String::new(),
            kinds => format!(" of kind {}", kinds.join(", ")),
        };
        Err(ServiceError::bad_input(match version.status {
            VersionStatus::Ready => format!(
                "version {} has no layers{of_kinds} with vectors on this probe set: vectors are comparable within one \
                 probe set only, on which both versions must have been ingested",
                version.number
            ),
            _ => format!("version {} has no layers: it is not READY", version.number),
        }))
    }

    /// The layers of a version that have a vector, `count` of them, in order; unless there are too many to be held.
    async fn vectors_of(
        &self,
        version: VersionId,
        comparison: &Comparison,
        count: usize,
        most: usize,
    ) -> Result<Vec<(LayerId, LayerVector)>, ServiceError> {
        if count > most {
            let version = self.version(version).await?;
            let model = self.store.models_by_id(&[version.model_id]).await?.pop();
            return Err(ServiceError::bad_input(format!(
                "{} version {} has {count} layers, more than can be compared at once on this probe set ({most}): choose \
                 some of their kinds, exclude the model, or use a smaller probe set",
                model.map_or_else(String::new, |model| model.name.to_string()),
                version.number,
            )));
        }
        let kinds = &comparison.layer_kinds;
        Ok(self.store.version_vectors(comparison.probe_set, version, kinds).await?)
    }
}

/// Compares layers, off the threads that answer requests, and makes something of that.
async fn compared<T: Send + 'static>(
    rows: Arc<Vec<(LayerId, LayerVector)>>,
    columns: Vec<(LayerId, LayerVector)>,
    measure: Measure,
    then: impl FnOnce(ComparedLayers) -> T + Send + 'static,
) -> Result<T, ServiceError> {
    let computed = tokio::task::spawn_blocking(move || {
        let (rows, row_vectors) = split(&rows);
        let (columns, column_vectors) = split(&columns);
        then(ComparedLayers {
            matrix: cka_matrix(&row_vectors, &column_vectors, measure),
            rows,
            columns,
        })
    });
    computed.await.map_err(ServiceError::internal)
}

fn split(layers: &[(LayerId, LayerVector)]) -> (Vec<LayerId>, Vec<&LayerVector>) {
    layers.iter().map(|(layer, vector)| (*layer, vector)).unzip()
}
