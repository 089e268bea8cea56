//! Comparisons of whole versions: two versions layer by layer, or one version against all others.

use serde::{Deserialize, Serialize};

use super::cka_matrix::{CkaMatrix, Pairing};
use super::id::{LayerId, ProbeSetId, VersionId};
use super::similarity::SimilarityFilter;
use super::vector::Measure;

/// A request to compare the layers of two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The probe set to compare on.
    pub probe_set: ProbeSetId,
    /// The measure of the scores.
    pub measure: Measure,
    /// Only layers of these kinds. Empty means all kinds.
    pub layer_kinds: Vec<String>,
}

/// Scores between all layers of two versions; layers without a vector are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedLayers {
    /// Layers of the first version.
    pub rows: Vec<LayerId>,
    /// Layers of the second version.
    pub columns: Vec<LayerId>,
    /// Their scores.
    pub matrix: CkaMatrix,
}

/// A query for the versions most similar to a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimilarVersionsQuery {
    /// The probe set to compare on.
    pub probe_set: ProbeSetId,
    /// The measure of the scores.
    pub measure: Measure,
    /// Which versions are candidates.
    pub filter: SimilarityFilter,
    /// Maximum number of hits.
    pub first: usize,
    /// Where the page begins: after this hit.
    pub after: Option<VersionCursor>,
}

/// A position in the list of versions. The version's key breaks ties between equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VersionCursor {
    /// The version whose list it is.
    pub target: VersionId,
    /// Rank of the hit, from 1.
    pub rank: usize,
    /// The measure of the score.
    pub measure: Measure,
    /// Score of the hit.
    pub score: f64,
    /// The version.
    pub version: VersionId,
}

/// A page of the versions most similar to a target, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionMatches {
    /// The versions.
    pub hits: Vec<VersionMatch>,
    /// Whether more hits follow.
    pub has_next: bool,
    /// Whether every candidate version was compared.
    pub exact: bool,
}

/// How similar a version is to a target.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionMatch {
    /// Rank over all pages, from 1.
    pub rank: usize,
    /// The version.
    pub version: VersionId,
    /// Best-match average.
    pub score: f64,
    /// The most similar layer of the version for each layer of the target.
    pub matching: Vec<LayerPair>,
    /// The alignment of the two versions: see [`CkaMatrix::alignment`].
    pub alignment: Vec<LayerPair>,
    /// See [`CkaMatrix::alignment_score`]: 1 if the networks agree layer by layer.
    pub alignment_score: f64,
}

/// A layer of one version, a layer of another, and their score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerPair {
    /// Layer of the first version.
    pub layer: LayerId,
    /// Layer of the other version.
    pub other: LayerId,
    /// Their similarity.
    pub score: f64,
}

impl ComparedLayers {
    /// Converts pairs of positions into pairs of layers.
    pub fn pairs(&self, pairings: &[Pairing]) -> Vec<LayerPair> {
        let pair = |pairing: &Pairing| LayerPair {
            layer: self.rows[pairing.row],
            other: self.columns[pairing.column],
            score: pairing.score,
        };
        pairings.iter().map(pair).collect()
    }
}
