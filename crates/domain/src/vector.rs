//! Layer vectors and their similarity scores.

mod rounded;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::rounded::{Rounded, product};
use super::simd::{dot_in_double as dot, vectorized};

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

/// A layer vector with what its scores need: the length of its leading part, and its numbers in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredVector {
    vector: LayerVector,
    lead_norm: f64,
    lead: Rounded<i8>,
    tail: Rounded<i8>,
}

impl ScoredVector {
    /// Measures and rounds a vector.
    pub fn new(vector: LayerVector) -> Self {
        Self {
            lead_norm: vector.lead_norm(),
            lead: Rounded::new(&vector.lead),
            tail: Rounded::new(&vector.tail),
            vector,
        }
    }

    /// Number of its coordinates.
    #[expect(clippy::len_without_is_empty, reason = "a vector is never empty")]
    pub fn len(&self) -> usize {
        self.vector.lead.len() + self.vector.tail.len()
    }

    /// Bytes that it takes.
    pub fn byte_count(&self) -> usize {
        size_of::<Self>() + self.len() * size_of::<f32>() + self.lead.byte_count() + self.tail.byte_count()
    }
}

/// What the bound of a score is widened by: more than arithmetic in double precision adds, and what the length of a unit vector in
/// single precision differs from 1 by.
const ROUNDING_SLACK: f64 = 1e-6;

/// A vector that others are scored with.
#[derive(Debug, Clone)]
pub struct TargetVector {
    vector: Arc<ScoredVector>,
    lead: Rounded<i16>,
    tail: Rounded<i16>,
}

impl TargetVector {
    /// Rounds a vector to 16 bits.
    pub fn new(vector: Arc<ScoredVector>) -> Self {
        Self {
            lead: Rounded::new(&vector.vector.lead),
            tail: Rounded::new(&vector.vector.tail),
            vector,
        }
    }

    /// Both scores with another vector of the same probe set.
    pub fn scores(&self, other: &ScoredVector) -> CkaScores {
        let own = &*self.vector;
        scores((&own.vector, own.lead_norm), (&other.vector, other.lead_norm))
    }

    /// What the score with another vector does not exceed, by its numbers in 8 bits. NaN for debiased CKA if a vector has no
    /// leading part.
    ///
    /// With a = a′ + e and b = b′ + f, a·b is a′·b′ + e·b′ + a·f, and by Cauchy and Schwarz the last two are at most
    /// |e| (|b| + |f|) + |a| |f|.
    pub fn bound(&self, other: &ScoredVector, measure: Measure) -> f64 {
        let (a_norm, b_norm) = (self.vector.lead_norm, other.lead_norm);
        let lead = vectorized(|| product(&self.lead, &other.lead));
        let bound = match measure {
            Measure::DebiasedCka => {
                let (e, f) = (self.lead.error, other.lead.error);
                (lead + e * (b_norm + f) + a_norm * f) / (a_norm * b_norm)
            }
            Measure::Cka => {
                let tail = vectorized(|| product(&self.tail, &other.tail));
                let (e, f) = (
                    self.lead.error.hypot(self.tail.error),
                    other.lead.error.hypot(other.tail.error),
                );
                lead + tail + e * (1.0 + f) + f
            }
        };
        bound + ROUNDING_SLACK
    }

    /// Number of its coordinates.
    #[expect(clippy::len_without_is_empty, reason = "a vector is never empty")]
    pub fn len(&self) -> usize {
        self.vector.len()
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
