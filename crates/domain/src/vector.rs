//! Layer vectors and their similarity scores.

mod rounded;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::rounded::{Rounded, products};
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

/// A layer vector with the length of its leading part, which its scores need.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredVector {
    vector: LayerVector,
    lead_norm: f64,
}

impl ScoredVector {
    /// Measures a vector.
    pub fn new(vector: LayerVector) -> Self {
        Self {
            lead_norm: vector.lead_norm(),
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
        size_of::<Self>() + self.len() * size_of::<f32>()
    }
}

/// A layer vector in 8 bits, which tell its score with another to about a hundredth.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundedVector {
    numbers: Rounded<i8>,
    lead_norm: f64,
}

impl RoundedVector {
    /// Rounds a vector.
    pub fn new(vector: &ScoredVector) -> Self {
        Self {
            numbers: Rounded::new(&vector.vector),
            lead_norm: vector.lead_norm,
        }
    }

    /// Bytes that it takes.
    pub fn byte_count(&self) -> usize {
        size_of::<Self>() + self.numbers.byte_count()
    }
}

/// What a score lies between. Both are NaN if there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The score is not below this.
    pub lower: f64,
    /// The score is not above this.
    pub upper: f64,
}

/// What the bounds of a score are widened by: more than arithmetic in double precision adds, and what the length of a unit vector in
/// single precision differs from 1 by.
const ROUNDING_SLACK: f64 = 1e-6;

/// A vector that others are scored with.
#[derive(Debug, Clone)]
pub struct TargetVector {
    vector: Arc<ScoredVector>,
    numbers: Rounded<i16>,
}

impl TargetVector {
    /// Rounds a vector to 16 bits.
    pub fn new(vector: Arc<ScoredVector>) -> Self {
        Self {
            numbers: Rounded::new(&vector.vector),
            vector,
        }
    }

    /// Both scores with another vector of the same probe set.
    pub fn scores(&self, other: &ScoredVector) -> CkaScores {
        let own = &*self.vector;
        scores((&own.vector, own.lead_norm), (&other.vector, other.lead_norm))
    }

    /// What the score with another vector of the same probe set lies between.
    ///
    /// With a = a′ + e and b = b′ + f, a·b is a′·b′ + e·b′ + a·f, and by Cauchy and Schwarz the last two are at most
    /// |e| (|b| + |f|) + |a| |f|.
    pub fn bounds(&self, other: &RoundedVector, measure: Measure) -> Bounds {
        let (a_norm, b_norm) = (self.vector.lead_norm, other.lead_norm);
        let lead = self.vector.vector.lead.len();
        let [lead, tail] = products(&self.numbers, &other.numbers, lead);
        let ([e, e_tail], [f, f_tail]) = (self.numbers.errors, other.numbers.errors);
        let (score, error) = match measure {
            Measure::DebiasedCka => {
                let norms = a_norm * b_norm;
                (lead / norms, (e * (b_norm + f) + a_norm * f) / norms)
            }
            Measure::Cka => {
                let (e, f) = (e.hypot(e_tail), f.hypot(f_tail));
                (lead + tail, e * (1.0 + f) + f)
            }
        };
        let error = error + ROUNDING_SLACK;
        Bounds {
            lower: score - error,
            upper: score + error,
        }
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

impl CkaScores {
    /// The score by a measure.
    pub fn of(&self, measure: Measure) -> f64 {
        match measure {
            Measure::DebiasedCka => self.debiased_cka,
            Measure::Cka => self.cka,
        }
    }
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
