//! The layer vector as the rest of the program sees it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which likeness is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Measure {
    /// Cosine of the U-centred Grams: near zero for unrelated layers, however wide.
    #[default]
    DebiasedCka,
    /// Cosine of the centred Grams, biased upwards for wide layers.
    Cka,
}

impl Measure {
    /// Its name in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::DebiasedCka => "DEBIASED_CKA",
            Self::Cka => "CKA",
        }
    }
}

/// Numbers in a sketch.
pub const SKETCH_LENGTH: usize = 512;

/// Fewest probe images a layer vector can be made from: with three, the leading part is empty.
pub const MIN_PROBES: usize = 4;

/// Most probe images of a set: a vector then has 499,500 numbers.
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
        // Rounding must not make anything more alike than a layer is to itself.
        (dot(&self.lead, &other.lead) + dot(&self.tail, &other.tail)).min(1.0)
    }

    /// Debiased CKA with another vector of the same probe set.
    pub fn debiased_cka(&self, other: &LayerVector) -> f64 {
        (dot(&self.lead, &other.lead) / (self.lead_norm() * other.lead_norm())).clamp(-1.0, 1.0)
    }

    /// The score with another vector of the same probe set in a measure.
    pub fn score(&self, other: &LayerVector, measure: Measure) -> f64 {
        match measure {
            Measure::DebiasedCka => self.debiased_cka(other),
            Measure::Cka => self.cka(other),
        }
    }

    /// Both measures with another vector of the same probe set.
    pub fn likeness(&self, other: &LayerVector) -> Likeness {
        Likeness {
            cka: self.cka(other),
            debiased_cka: self.debiased_cka(other),
        }
    }
}

/// How like two layers are, by both measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// Linear CKA.
    pub cka: f64,
    /// Debiased CKA.
    pub debiased_cka: f64,
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// A layer vector with the sketches that find it, unit vectors of [`SKETCH_LENGTH`] numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct SketchedVector {
    /// The vector itself.
    pub vector: LayerVector,
    /// Sketch of the normalised leading part: candidates for debiased CKA.
    pub debiased_sketch: Vec<f32>,
    /// Sketch of the whole vector: candidates for CKA.
    pub cka_sketch: Vec<f32>,
}

/// Why a layer has no vector on a probe set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Degenerate {
    /// It answers every probe image alike.
    Constant,
    /// It gives NaN or infinity for some probe image.
    NotFinite,
    /// The images differ only in how strongly they respond, each on its own: nothing is left after U-centring.
    NoSharedStructure,
}

impl fmt::Display for Degenerate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "the layer gives the same answer to every probe image",
            Self::NotFinite => "the layer gives NaN or infinity for some probe image",
            Self::NoSharedStructure => "no two probe images share anything in the layer after U-centring",
        })
    }
}
