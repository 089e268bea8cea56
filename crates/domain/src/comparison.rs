//! What is asked and answered about whole versions: two of them layer by layer, or one against all others.

use serde::{Deserialize, Serialize};

use super::cka_matrix::{CkaMatrix, Pairing};
use super::id::{LayerId, ProbeSetId, VersionId};
use super::similarity::SimilarityFilter;
use super::vector::Measure;

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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimilarVersionsQuery {
    /// The probe set to compare on.
    pub probe_set: ProbeSetId,
    /// What the scores are of.
    pub measure: Measure,
    /// Which versions may answer.
    pub filter: SimilarityFilter,
    /// How many at most.
    pub first: usize,
    /// Where the page begins: after this hit.
    pub after: Option<VersionCursor>,
}

/// A place in the list of versions. Scores tie, so the version's key decides between equals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VersionCursor {
    /// Rank of the hit, from 1.
    pub rank: usize,
    /// What the scores are of.
    pub measure: Measure,
    /// Its score.
    pub score: f64,
    /// The version.
    pub version: VersionId,
}

/// A page of the versions most like a target, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionMatches {
    /// The versions.
    pub hits: Vec<VersionMatch>,
    /// Whether there are more.
    pub has_next: bool,
    /// Whether every admitted version was compared.
    pub exact: bool,
}

/// How like a target a version is.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionMatch {
    /// From 1, over all pages.
    pub rank: usize,
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
