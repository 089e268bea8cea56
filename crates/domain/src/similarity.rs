//! Queries and results of the similarity search.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{LayerId, ModelId, ProbeSetId};
use super::vector::Measure;

/// A filter for the candidate layers of a search. The target's own model is excluded by default.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SimilarityFilter {
    /// Minimum accuracy of the version on its own data set.
    pub min_accuracy: Option<f64>,
    /// Only versions more accurate than the target's.
    pub better_than_target: bool,
    /// Only versions for one of these data sets, by name. Empty means any.
    pub datasets: Vec<String>,
    /// Only layers of one of these kinds, such as `Conv2d`. Empty means any.
    pub layer_kinds: Vec<String>,
    /// Only these models. Empty means any.
    pub models: Vec<ModelId>,
    /// Models to exclude.
    pub exclude_models: Vec<ModelId>,
    /// Only models with all of these tags.
    pub tags: Vec<String>,
    /// Whether to include the target's own model, and so the target itself.
    pub include_own_model: bool,
    /// Minimum score of a hit, in the measure of the query.
    pub min_score: Option<f64>,
}

/// A query for the layers most similar to a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimilarityQuery {
    /// The probe set to compare on.
    pub probe_set: ProbeSetId,
    /// The measure that hits are ranked by.
    pub measure: Measure,
    /// Which layers are candidates.
    pub filter: SimilarityFilter,
    /// Whether to prove that no hit is missing, however many layers have to be compared.
    pub exact: bool,
    /// Maximum number of hits.
    pub first: usize,
    /// Where the page begins: after this hit.
    pub after: Option<MatchCursor>,
}

/// A position in the list of hits. The layer's key breaks ties between equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MatchCursor {
    /// The layer whose list it is.
    pub target: LayerId,
    /// Rank of the hit, from 1.
    pub rank: u32,
    /// The measure that hits are ranked by.
    pub measure: Measure,
    /// Its score in that measure.
    pub score: f64,
    /// Its layer.
    pub layer: LayerId,
}

/// The search index of a probe set: the sketches of its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchIndex {
    /// When it was last fitted to the layers of the probe set, or created.
    pub fitted_at: DateTime<Utc>,
    /// Whether another one is being made, which will replace it.
    pub is_being_rebuilt: bool,
}

/// A hit of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerMatch {
    /// The layer.
    pub layer: LayerId,
    /// Rank over all pages, from 1.
    pub rank: u32,
    /// Linear CKA with the target.
    pub cka: f64,
    /// Debiased CKA with the target.
    pub debiased_cka: f64,
}

/// How probable a score as high as that of two layers is if the probe images of one layer are relabelled at random.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Significance {
    /// The p-value to report: from permutations if enough of them reach the score, else from the moments.
    pub p_value: f64,
    /// Share of random relabellings that reach the score, counting the given labelling as one of them.
    pub permutation_p_value: f64,
    /// The p-value from the exact mean, variance and skewness over all relabellings.
    pub moment_p_value: f64,
    /// Number of random relabellings.
    pub permutations: usize,
}

/// The overlap of nearest neighbours between two layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MutualKnn {
    /// Share of each image's nearest neighbours that are the same in both layers, averaged over the images.
    pub overlap: f64,
    /// The overlap expected by chance.
    pub by_chance: f64,
    /// Number of neighbours compared per image.
    pub nearest: usize,
}

impl Matches {
    /// No hits, which is an exact result.
    pub fn none() -> Self {
        Self {
            hits: Vec::new(),
            has_next: false,
            exact: true,
            complete_above: Some(-1.0),
        }
    }
}

impl LayerMatch {
    /// The score by the given measure.
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
    /// Whether more hits follow.
    pub has_next: bool,
    /// Whether it is proven that no layer is missing among the hits.
    pub exact: bool,
    /// Every admitted layer with a score above this is among the hits of this page and those before it. `None` if nothing is
    /// proven.
    pub complete_above: Option<f64>,
}
