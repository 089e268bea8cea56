//! Short summaries of layer vectors that bound their similarity from above.
//!
//! Let B be k orthonormal directions (a [`MeasureBasis`]), x a unit vector, p = Bx, and r the length of what is left of x. The
//! sketch of x is (p, r), a unit vector of k + 1 numbers. By Cauchy and Schwarz, for two vectors x and y with the sketches
//! (p, r) and (q, s),
//!
//! ```text
//! ⟨x, y⟩ = ⟨p, q⟩ + ⟨x - Bᵀp, y - Bᵀq⟩ ≤ ⟨p, q⟩ + r s
//! ```
//!
//! so the inner product of the sketches is never below the score. A search that has scored every layer whose bound reaches
//! its last hit has proven its hits, whatever the directions are. Directions in which the library varies make the rests short
//! and the bound tight.
//!
//! A layer has two sketches: a short one in the leading directions, which is read for many layers, and a long one in all
//! directions, which is read for those whose short one leaves them in question. In memory, the first directions of the short one
//! make a narrow one, which is read for every layer.
//!
//! A basis also divides the sphere of short sketches into cells: the sketches nearest to one of its centres, by rings of their
//! angle to it. For a target at the angle θ to a centre, no sketch in the ring from a to b is nearer than the angle
//! `max(θ - b, a - θ, 0)`, so whole cells can be excluded.

mod fixed_point;

pub use fixed_point::{FixedSketch, LANES, Prospect, RestCosines, SketchColumns};

use super::simd::dot;
use super::vector::{LayerVector, Measure};

/// Maximum number of directions of a basis.
pub const MAX_DIRECTIONS: usize = 256;

/// Number of leading directions that short sketches have coordinates in.
pub const SHORT_DIRECTIONS: usize = 64;

/// Length of a long sketch: a coordinate for each direction, and the length of the rest.
pub const LONG_LENGTH: usize = MAX_DIRECTIONS + 1;

/// Length of a short sketch.
pub const SHORT_LENGTH: usize = SHORT_DIRECTIONS + 1;

/// Maximum size of the directions for one measure. Vectors of more than 256 images get fewer than [`MAX_DIRECTIONS`].
pub const MAX_DIRECTION_BYTES: usize = 32 << 20;

/// What rounding can add to a score above the inner product of two stored sketches.
///
/// Half precision changes each sketch by a relative 2⁻¹¹ at most, so their inner product by 2⁻¹⁰ = 0.00098. The rest covers
/// single precision: in the vectors, the scores, and the directions.
pub const BOUND_SLACK: f64 = 0.001_01;

/// Added to the square of each rest: single precision may have shortened it by as much.
const SQUARED_REST_SLACK: f64 = 5e-6;

/// The outer edges of the rings around a centre, in degrees.
pub const RING_EDGES: [f64; RINGS] = [4.0, 7.0, 10.0, 14.0, 19.0, 26.0, 40.0, 180.0];

/// Number of rings around a centre.
pub const RINGS: usize = 8;

/// Directions that many vectors are multiplied with at a time: 310 KB for 100 images.
const BLOCK_DIRECTIONS: usize = 16;

/// The sketches of a vector by one measure, and the cell that it lies in. Coordinates in directions that the basis does not
/// have are zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    /// The [`SHORT_LENGTH`] numbers of the short one.
    pub short: Vec<f32>,
    /// The [`LONG_LENGTH`] numbers of the long one.
    pub long: Vec<f32>,
    /// The number of its cell.
    pub cell: i32,
}

/// The sketches of a layer by both measures.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSketch {
    /// For debiased CKA.
    pub debiased: Sketch,
    /// For CKA.
    pub cka: Sketch,
}

/// What sketches of one measure are made with.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureBasis {
    /// The directions, one after the other: k orthonormal rows as long as a vector.
    pub directions: Vec<f32>,
    /// The centres of the cells in the space of short sketches, one after the other. Not of unit length: a centre is a mean.
    pub centres: Vec<f32>,
    /// For each cell, the share of the layers that it held when the basis was fitted.
    pub cell_shares: Vec<f32>,
    /// The typical cosine between the rests that near neighbours have in short sketches, 0 to 1. Times their lengths, it
    /// estimates what the directions miss of a score.
    pub short_rest_cosine: f32,
    /// The same in long sketches.
    pub long_rest_cosine: f32,
}

/// What the sketches of a probe set are made with. It never changes; a better one replaces it.
#[derive(Debug, Clone, PartialEq)]
pub struct SketchBasis {
    /// For debiased CKA: its vectors are the leading parts.
    pub debiased: MeasureBasis,
    /// For CKA: its vectors are the whole ones.
    pub cka: MeasureBasis,
}

/// The cells around a centre, as seen from a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surroundings {
    centre: usize,
    /// The angle between the target and the centre, in degrees.
    angle: f64,
    /// What the layers around the centre can be expected to score.
    estimate: f64,
}

/// A cell that can hold a hit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReachingCell {
    /// Its number.
    pub cell: i32,
    /// No layer in it scores higher.
    pub bound: f64,
    /// The share of the layers that it held when the basis was fitted.
    pub share: f64,
}

impl SketchBasis {
    /// The basis that knows no direction: every bound is 1, so every layer is scored.
    pub fn empty() -> Self {
        let empty = MeasureBasis {
            directions: Vec::new(),
            centres: Vec::new(),
            cell_shares: Vec::new(),
            short_rest_cosine: 1.0,
            long_rest_cosine: 1.0,
        };
        Self {
            debiased: empty.clone(),
            cka: empty,
        }
    }

    /// The part for one measure.
    pub fn of(&self, measure: Measure) -> &MeasureBasis {
        match measure {
            Measure::DebiasedCka => &self.debiased,
            Measure::Cka => &self.cka,
        }
    }

    /// The sketches of a layer vector.
    pub fn sketch(&self, vector: &LayerVector) -> LayerSketch {
        let (lead, tail) = (vector.lead.as_slice(), vector.tail.as_slice());
        LayerSketch {
            debiased: self.debiased.sketch(&[lead]),
            cka: self.cka.sketch(&[lead, tail]),
        }
    }

    /// The sketches of many layer vectors, which takes less time than one after the other.
    pub fn sketches(&self, vectors: &[&LayerVector]) -> Vec<LayerSketch> {
        let leads: Vec<_> = vectors.iter().map(|vector| [vector.lead.as_slice()]).collect();
        let wholes: Vec<_> = vectors
            .iter()
            .map(|vector| [vector.lead.as_slice(), vector.tail.as_slice()])
            .collect();
        let debiased = self.debiased.sketches(&leads);
        let cka = self.cka.sketches(&wholes);
        debiased
            .into_iter()
            .zip(cka)
            .map(|(debiased, cka)| LayerSketch { debiased, cka })
            .collect()
    }

    /// Bytes that it takes.
    pub fn byte_count(&self) -> usize {
        let numbers = [&self.debiased, &self.cka].map(|basis| basis.directions.len() + basis.centres.len());
        numbers.iter().sum::<usize>() * size_of::<f32>()
    }
}

impl LayerSketch {
    /// The sketch for one measure.
    pub fn of(&self, measure: Measure) -> &Sketch {
        match measure {
            Measure::DebiasedCka => &self.debiased,
            Measure::Cka => &self.cka,
        }
    }
}

impl MeasureBasis {
    /// The sketches of a vector, given in consecutive parts, after scaling it to unit length.
    pub fn sketch<const PARTS: usize>(&self, parts: &[&[f32]; PARTS]) -> Sketch {
        self.sketches(std::slice::from_ref(parts)).remove(0)
    }

    /// The sketches of many vectors. A block of directions stays in the cache of the processor while all vectors are multiplied
    /// with it.
    fn sketches<const PARTS: usize>(&self, vectors: &[[&[f32]; PARTS]]) -> Vec<Sketch> {
        let length: usize = vectors
            .first()
            .map_or(1, |parts| parts.iter().map(|part| part.len()).sum());
        let mut longs: Vec<_> = vectors.iter().map(|_| vec![0.0; LONG_LENGTH]).collect();
        let mut squared_rests = vec![1.0 + SQUARED_REST_SLACK; vectors.len()];
        let norms: Vec<f64> = vectors
            .iter()
            .map(|parts| parts.iter().map(|part| dot(part, part)).sum::<f64>().sqrt())
            .collect();
        for (block, directions) in self.directions.chunks(BLOCK_DIRECTIONS * length.max(1)).enumerate() {
            for (index, parts) in vectors.iter().enumerate() {
                for (position, direction) in directions.chunks_exact(length.max(1)).enumerate() {
                    let mut rest = direction;
                    let mut product = 0.0;
                    for part in parts {
                        let (own, others) = rest.split_at(part.len());
                        product += dot(part, own);
                        rest = others;
                    }
                    let coordinate = product / norms[index];
                    squared_rests[index] -= coordinate * coordinate;
                    longs[index][block * BLOCK_DIRECTIONS + position] = coordinate as f32;
                }
            }
        }
        longs
            .into_iter()
            .zip(squared_rests)
            .map(|(mut long, squared_rest)| {
                long[MAX_DIRECTIONS] = squared_rest.max(SQUARED_REST_SLACK).sqrt() as f32;
                let short = short(&long);
                let cell = self.cell(&short);
                Sketch { short, long, cell }
            })
            .collect()
    }

    /// The number of the cell that a short sketch lies in.
    pub fn cell(&self, numbers: &[f32]) -> i32 {
        let nearest = self
            .centres()
            .enumerate()
            .map(|(index, centre)| (index, squared_distance(numbers, centre)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((index, _)) = nearest else { return 0 };
        let centre = &self.centres[index * SHORT_LENGTH..][..SHORT_LENGTH];
        let angle = angle(numbers, centre).to_degrees();
        let ring = RING_EDGES.iter().position(|edge| angle <= *edge).unwrap_or(RINGS - 1);
        (index * RINGS + ring) as i32
    }

    /// The surroundings of all centres, as seen from a short sketch. Those come first whose layers can be expected to score highest.
    pub fn surroundings(&self, target: &[f32]) -> Vec<Surroundings> {
        let estimating = self.estimating(target);
        let mut all: Vec<_> = self
            .centres()
            .enumerate()
            .map(|(centre, numbers)| Surroundings {
                centre,
                angle: angle(target, numbers).to_degrees(),
                estimate: dot(&estimating, numbers),
            })
            .collect();
        all.sort_by(|a, b| b.estimate.total_cmp(&a.estimate));
        all
    }

    /// The cells of the first surroundings, as many as hold a share of the layers.
    pub fn nearest_cells(&self, surroundings: &[Surroundings], share: f64) -> Vec<i32> {
        let mut cells = Vec::new();
        let mut reached = 0.0;
        for around in surroundings {
            if reached >= share {
                break;
            }
            for cell in around.centre * RINGS..(around.centre + 1) * RINGS {
                cells.push(cell as i32);
                reached += f64::from(self.cell_shares[cell]);
            }
        }
        cells
    }

    /// The cells that can hold a layer with at least this score.
    pub fn reaching_cells(&self, surroundings: &[Surroundings], score: f64) -> Vec<ReachingCell> {
        // An angle that is not below zero: `acos` of more than 1 would not be a number.
        let widest = (score - BOUND_SLACK).clamp(-1.0, 1.0).acos().to_degrees();
        let mut cells = Vec::new();
        for around in surroundings {
            let mut inner = 0.0;
            for (ring, outer) in RING_EDGES.into_iter().enumerate() {
                let apart = (around.angle - outer).max(inner - around.angle).max(0.0);
                inner = outer;
                if apart <= widest {
                    let cell = around.centre * RINGS + ring;
                    cells.push(ReachingCell {
                        cell: cell as i32,
                        bound: (apart.to_radians().cos() + BOUND_SLACK).min(1.0),
                        share: f64::from(self.cell_shares[cell]),
                    });
                }
            }
        }
        cells
    }

    /// The vector whose inner product with a sketch estimates the score with the target, whose sketch is as long.
    pub fn estimating(&self, target: &[f32]) -> Vec<f32> {
        let mut estimating = target.to_vec();
        if let Some(rest) = estimating.last_mut() {
            *rest *= match target.len() {
                SHORT_LENGTH => self.short_rest_cosine,
                _ => self.long_rest_cosine,
            };
        }
        estimating
    }

    /// The same basis with the shares that its cells have of some short sketches, one after the other.
    pub fn with_shares_of(self, sketches: &[f32]) -> Self {
        let mut counts = vec![0.0; self.centres.len() / SHORT_LENGTH * RINGS];
        for sketch in sketches.chunks_exact(SHORT_LENGTH) {
            if let Some(count) = counts.get_mut(self.cell(sketch) as usize) {
                *count += 1.0;
            }
        }
        let total = (sketches.len() / SHORT_LENGTH).max(1) as f32;
        counts.iter_mut().for_each(|count| *count /= total);
        Self {
            cell_shares: counts,
            ..self
        }
    }

    /// Whether it divides the library into cells.
    pub fn has_cells(&self) -> bool {
        !self.centres.is_empty()
    }

    fn centres(&self) -> impl Iterator<Item = &[f32]> {
        self.centres.chunks_exact(SHORT_LENGTH)
    }
}

/// The short sketch of a vector with this long one: what lies in the other directions belongs to its rest.
fn short(long: &[f32]) -> Vec<f32> {
    let (leading, others) = long.split_at(SHORT_DIRECTIONS);
    let squared_rest: f64 = others.iter().map(|&x| f64::from(x).powi(2)).sum();
    let mut short = leading.to_vec();
    short.push(squared_rest.sqrt() as f32);
    short
}

/// The distance in the directions, which decides between centres. Any choice is right, because bounds follow from the angle to
/// the centre.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}

/// The angle between two vectors in radians.
fn angle(a: &[f32], b: &[f32]) -> f64 {
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos()
}

#[cfg(test)]
mod tests;
