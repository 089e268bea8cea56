//! What a similarity search asks and answers.

use serde::{Deserialize, Serialize};

use super::id::{LayerId, ModelId, ProbeSetId};
use super::vector::Measure;

/// Which layers a search may answer with. The target's own model is left out unless asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SimilarityFilter {
    /// Least accuracy of the version on its own data set.
    pub min_accuracy: Option<f64>,
    /// Only versions more accurate than the target's.
    pub better_than_target: bool,
    /// Only versions made for one of these data sets, by name. Empty: any.
    pub datasets: Vec<String>,
    /// Only layers of one of these kinds, such as `Conv2d`. Empty: any.
    pub layer_kinds: Vec<String>,
    /// Only these models. Empty: any.
    pub models: Vec<ModelId>,
    /// None of these models.
    pub exclude_models: Vec<ModelId>,
    /// Only models that bear all of these tags.
    pub tags: Vec<String>,
    /// Let the target's own model answer too, the target itself included.
    pub include_own_model: bool,
    /// Only hits whose score in the measure asked for is at least this.
    pub min_score: Option<f64>,
}

/// What is asked about the layers most like a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimilarityQuery {
    /// The probe set to compare on.
    pub probe_set: ProbeSetId,
    /// What hits are ranked by.
    pub measure: Measure,
    /// Which layers may answer.
    pub filter: SimilarityFilter,
    /// Scan every layer the filter admits in place of using the index.
    pub exact: bool,
    /// How many hits at most.
    pub first: usize,
    /// Where the page begins: after this hit.
    pub after: Option<MatchCursor>,
}

/// A place in the list of hits. Scores tie, so the layer's key decides between equals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MatchCursor {
    /// Rank of the hit, from 1.
    pub rank: u32,
    /// What the search ranks by.
    pub measure: Measure,
    /// Its score in that measure.
    pub score: f64,
    /// Its layer.
    pub layer: LayerId,
}

/// The search index of a probe set, just made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchIndex {
    /// Layers in it.
    pub layers: i64,
    /// What it takes on disk, with the indexes that filters use.
    pub bytes: i64,
}

/// A layer found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerMatch {
    /// The layer.
    pub layer: LayerId,
    /// From 1, over all pages.
    pub rank: u32,
    /// Linear CKA with the target.
    pub cka: f64,
    /// Debiased CKA with the target.
    pub debiased_cka: f64,
}

/// How likely a score as high as that of two layers is if one layer's probe images were relabelled at random.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Significance {
    /// The one to quote: from permutations where enough of them reach the score, else from the moments.
    pub p_value: f64,
    /// Share of random relabellings that reach the score, the given labelling counted among them.
    pub permutation_p_value: f64,
    /// From the exact mean, variance and skewness over all relabellings.
    pub moment_p_value: f64,
    /// Random relabellings tried.
    pub permutations: usize,
}

/// How many nearest neighbours two layers have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MutualKnn {
    /// Share of each image's nearest other images that are the same in both, averaged over the images.
    pub overlap: f64,
    /// What layers that have nothing in common would come to.
    pub by_chance: f64,
    /// How many neighbours of each image were looked at.
    pub nearest: usize,
}

impl Matches {
    /// No hit at all, which is certain.
    pub fn none() -> Self {
        Self {
            hits: Vec::new(),
            has_next: false,
            exact: true,
        }
    }
}

impl LayerMatch {
    /// The score in a measure.
    pub fn score(&self, measure: Measure) -> f64 {
        match measure {
            Measure::DebiasedCka => self.debiased_cka,
            Measure::Cka => self.cka,
        }
    }
}

/// One page of hits.
#[derive(Debug, Clone, PartialEq)]
pub struct Matches {
    /// The hits, best first.
    pub hits: Vec<LayerMatch>,
    /// Whether there are hits behind the last.
    pub has_next: bool,
    /// Whether every admitted layer was compared, so that no hit can be missing.
    pub exact: bool,
}
