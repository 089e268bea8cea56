//! Layer vectors and their similarity scores.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::simd::dot_in_double as dot;

/// A similarity measure of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Measure {
    /// Cosine of the U-centred Gram matrices: near zero for unrelated layers of any width.
    #[default]
    DebiasedCka,
    /// Cosine of the centred Gram matrices: biased upwards for wide layers.
    Cka,
}

impl Measure {
    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DebiasedCka => "DEBIASED_CKA",
            Self::Cka => "CKA",
        }
    }
}

/// Minimum number of probe images of a set: with three, the leading part of a layer vector is empty.
pub const MIN_PROBES: usize = 4;

/// Maximum number of probe images of a set: a layer vector then has 499,500 numbers.
pub const MAX_PROBES: usize = 1_000;

/// A unit vector whose inner product with another of the same probe set is linear CKA.
///
/// For n probe images it has n(n-1)/2 numbers: `lead`, n(n-3)/2 coordinates of the U-centred part
/// of the Gram, and `tail`, the n coordinates of the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerVector {
    /// Coordinates whose normalised inner product is debiased CKA.
    pub lead: Vec<f32>,
    /// The remaining n coordinates.
    pub tail: Vec<f32>,
}

impl LayerVector {
    /// Length of the leading part, 0 to 1.
    pub fn lead_norm(&self) -> f64 {
        dot(&self.lead, &self.lead).sqrt()
    }

    /// Linear CKA with another vector of the same probe set.
    pub fn cka(&self, other: &LayerVector) -> f64 {
        // Rounding must not make two layers more similar than a layer is to itself.
        (dot(&self.lead, &other.lead) + dot(&self.tail, &other.tail)).min(1.0)
    }

    /// Debiased CKA with another vector of the same probe set.
    pub fn debiased_cka(&self, other: &LayerVector) -> f64 {
        (dot(&self.lead, &other.lead) / (self.lead_norm() * other.lead_norm())).clamp(-1.0, 1.0)
    }

    /// The score with another vector of the same probe set, by the given measure.
    pub fn score(&self, other: &LayerVector, measure: Measure) -> f64 {
        match measure {
            Measure::DebiasedCka => self.debiased_cka(other),
            Measure::Cka => self.cka(other),
        }
    }

    /// Both scores with another vector of the same probe set.
    pub fn cka_scores(&self, other: &LayerVector) -> CkaScores {
        scores((self, self.lead_norm()), (other, other.lead_norm()))
    }
}

/// A layer vector with the length of its leading part, which each of its scores needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredVector {
    vector: LayerVector,
    lead_norm: f64,
}

impl ScoredVector {
    /// Measures the leading part of a vector.
    pub fn new(vector: LayerVector) -> Self {
        let lead_norm = vector.lead_norm();
        Self { vector, lead_norm }
    }

    /// Both scores with another vector of the same probe set.
    pub fn scores(&self, other: &Self) -> CkaScores {
        scores((&self.vector, self.lead_norm), (&other.vector, other.lead_norm))
    }

    /// Number of its coordinates.
    #[expect(clippy::len_without_is_empty, reason = "a vector is never empty")]
    pub fn len(&self) -> usize {
        self.vector.lead.len() + self.vector.tail.len()
    }

    /// Bytes that it takes.
    pub fn byte_count(&self) -> usize {
        size_of::<Self>() + self.len() * size_of::<f32>()
    }
}

/// Both scores of two vectors, each with the length of its leading part.
fn scores((a, a_norm): (&LayerVector, f64), (b, b_norm): (&LayerVector, f64)) -> CkaScores {
    let lead = dot(&a.lead, &b.lead);
    CkaScores {
        // Rounding must not make two layers more similar than a layer is to itself.
        cka: (lead + dot(&a.tail, &b.tail)).min(1.0),
        debiased_cka: (lead / (a_norm * b_norm)).clamp(-1.0, 1.0),
    }
}

/// The similarity of two layers by both measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CkaScores {
    /// Linear CKA.
    pub cka: f64,
    /// Debiased CKA.
    pub debiased_cka: f64,
}

/// Why a layer has no vector on a probe set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Degenerate {
    /// Its output is the same for every probe image.
    Constant,
    /// Its output contains NaN or infinity for some probe image.
    NotFinite,
    /// No two images share a direction in its activations: nothing is left of the Gram matrix after U-centring.
    NoSharedStructure,
}

impl fmt::Display for Degenerate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "the layer has the same output for every probe image",
            Self::NotFinite => "the layer outputs NaN or infinity for some probe image",
            Self::NoSharedStructure => "the layer's activations share nothing between probe images after U-centring",
        })
    }
}
