//! Whole versions against one another: two of them layer by layer, and one against all others.

use std::sync::Arc;

use super::cache::Answer;
use super::{Library, ServiceError};
use crate::compute::cka_matrix::cka_matrix;
use crate::domain::cka_matrix::{CkaMatrix, Pairing};
use crate::domain::id::{LayerId, ProbeSetId, VersionId};
use crate::domain::similarity::SimilarityFilter;
use crate::domain::vector::{LayerVector, Measure};
use crate::domain::version::{Version, VersionStatus};

/// Fewest versions whose layers are all compared with those of a target; there are twice as many as are asked for.
const MIN_CANDIDATES: usize = 50;

/// Most numbers of a matrix.
const MAX_SCORES: usize = 1_000_000;

/// What is asked about the layers of two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The probe set to compare on.
    pub probe_set: ProbeSetId,
    /// What the scores are of.
    pub measure: Measure,
    /// Only layers of these kinds. Empty: all.
    pub layer_kinds: Vec<String>,
}

/// All layers of a version against all layers of another; those without a vector are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedLayers {
    /// Layers of the first version.
    pub rows: Vec<LayerId>,
    /// Layers of the second version.
    pub columns: Vec<LayerId>,
    /// Their scores.
    pub matrix: CkaMatrix,
}

/// What is asked about the versions most like a target.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SimilarVersionsQuery {
    /// The probe set to compare on.
    pub probe_set: ProbeSetId,
    /// What the scores are of.
    pub measure: Measure,
    /// Which versions may answer.
    pub filter: SimilarityFilter,
    /// How many at most.
    pub first: usize,
}

/// The versions most like a target, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionMatches {
    /// The versions.
    pub hits: Vec<VersionMatch>,
    /// Whether every admitted version was compared.
    pub exact: bool,
}

/// How like a target a version is.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionMatch {
    /// The version.
    pub version: VersionId,
    /// Best-match average.
    pub score: f64,
    /// For each layer of the target the most similar one of the version.
    pub matching: Vec<LayerPair>,
    /// The best pairs that keep the order of both networks.
    pub alignment: Vec<LayerPair>,
    /// How far these pairs reach: 1 if the networks agree layer by layer.
    pub alignment_score: f64,
}

/// A layer of one version, one of another, and their score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerPair {
    /// The first version's.
    pub layer: LayerId,
    /// The other's.
    pub other: LayerId,
    /// How alike they are.
    pub score: f64,
}

impl Answer for VersionMatches {
    fn bytes(&self) -> usize {
        let pairs = self.hits.iter().map(|hit| hit.matching.len() + hit.alignment.len());
        size_of::<Self>() + self.hits.len() * size_of::<VersionMatch>() + pairs.sum::<usize>() * size_of::<LayerPair>()
    }
}

impl ComparedLayers {
    /// Pairs of places as pairs of layers.
    pub fn pairs(&self, pairings: &[Pairing]) -> Vec<LayerPair> {
        let pair = |pairing: &Pairing| LayerPair {
            layer: self.rows[pairing.row],
            other: self.columns[pairing.column],
            score: pairing.score,
        };
        pairings.iter().map(pair).collect()
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
        let rows = self.comparable(a, comparison).await?;
        let columns = self.comparable(b, comparison).await?;
        let scores = rows.len() * columns.len();
        if scores > MAX_SCORES {
            return Err(ServiceError::bad_input(format!(
                "{} layers against {} are {scores} scores, more than {MAX_SCORES}: choose some of their kinds with \
                 `layerKinds`",
                rows.len(),
                columns.len()
            )));
        }
        compared(Arc::new(rows), columns, comparison.measure).await
    }

    /// Pairs of layers that follow each other in a version and score at least `least`: one of them may be there for
    /// nothing.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the version has no vectors on the probe set.
    pub async fn redundant_neighbours(
        &self,
        version: &Version,
        comparison: &Comparison,
        least: f64,
    ) -> Result<Vec<LayerPair>, ServiceError> {
        let layers = self.comparable(version, comparison).await?;
        let pair = |pair: &[(LayerId, LayerVector)]| LayerPair {
            layer: pair[0].0,
            other: pair[1].0,
            score: pair[0].1.score(&pair[1].1, comparison.measure).min(1.0),
        };
        Ok(layers.windows(2).map(pair).filter(|pair| pair.score >= least).collect())
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
        let question = format!("{} {}", target.id, serde_json::json!(query));
        let compute = self.find_similar_versions(target, query);
        self.answers.answer(generation, question, compute).await
    }

    async fn find_similar_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
    ) -> Result<VersionMatches, ServiceError> {
        let comparison = Comparison {
            probe_set: query.probe_set,
            measure: query.measure,
            layer_kinds: query.filter.layer_kinds.clone(),
        };
        let layers = Arc::new(self.comparable(target, &comparison).await?);
        let (candidates, exact) = self.candidate_versions(target, query).await?;
        let mut hits = Vec::new();
        // One after the other: only two versions' vectors are in memory at a time.
        for version in candidates {
            let others = self
                .store
                .version_vectors(query.probe_set, version, &comparison.layer_kinds)
                .await?;
            let found = compared(Arc::clone(&layers), others, query.measure).await?;
            let alignment = found.matrix.alignment();
            hits.push(VersionMatch {
                version,
                score: found.matrix.best_match_average(),
                matching: found.pairs(&found.matrix.best_matches()),
                alignment_score: found.matrix.alignment_score(&alignment),
                alignment: found.pairs(&alignment),
            });
        }
        if let Some(least) = query.filter.min_score {
            hits.retain(|hit| hit.score >= least);
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.version.cmp(&b.version)));
        hits.truncate(query.first);
        Ok(VersionMatches { hits, exact })
    }

    /// The versions to compare with a target, and whether these are all that are admitted.
    async fn candidate_versions(
        &self,
        target: &Version,
        query: &SimilarVersionsQuery,
    ) -> Result<(Vec<VersionId>, bool), ServiceError> {
        let mut scope = self.scope(&query.filter, Some(target)).await?;
        scope.except_version = Some(target.id);
        let count = MIN_CANDIDATES.max(2 * query.first);
        let some = self.store.admitted_versions(query.probe_set, &scope, count + 1).await?;
        if some.len() <= count {
            return Ok((some, true));
        }
        let nearest = self
            .store
            .nearest_versions(target.id, query.probe_set, &scope, query.measure, count);
        Ok((nearest.await?, false))
    }

    /// The layers of a version that have a vector, in order.
    async fn comparable(
        &self,
        version: &Version,
        comparison: &Comparison,
    ) -> Result<Vec<(LayerId, LayerVector)>, ServiceError> {
        let vectors = self
            .store
            .version_vectors(comparison.probe_set, version.id, &comparison.layer_kinds)
            .await?;
        if vectors.is_empty() {
            let of_kinds = match comparison.layer_kinds.as_slice() {
                [] => String::new(),
                kinds => format!(" of kind {}", kinds.join(", ")),
            };
            return Err(ServiceError::bad_input(match version.status {
                VersionStatus::Ready => format!(
                    "version {} has no layers{of_kinds} with vectors on this probe set: vectors are comparable within one \
                     probe set only, on which both versions must have been ingested",
                    version.number
                ),
                status => format!(
                    "version {} has no layers yet: it is {}",
                    version.number,
                    serde_json::json!(status).as_str().unwrap_or_default()
                ),
            }));
        }
        Ok(vectors)
    }
}

async fn compared(
    rows: Arc<Vec<(LayerId, LayerVector)>>,
    columns: Vec<(LayerId, LayerVector)>,
    measure: Measure,
) -> Result<ComparedLayers, ServiceError> {
    let computed = tokio::task::spawn_blocking(move || {
        let (rows, row_vectors) = split(&rows);
        let (columns, column_vectors) = split(&columns);
        ComparedLayers {
            matrix: cka_matrix(&row_vectors, &column_vectors, measure),
            rows,
            columns,
        }
    });
    computed.await.map_err(ServiceError::internal)
}

fn split(layers: &[(LayerId, LayerVector)]) -> (Vec<LayerId>, Vec<&LayerVector>) {
    layers.iter().map(|(layer, vector)| (*layer, vector)).unzip()
}
