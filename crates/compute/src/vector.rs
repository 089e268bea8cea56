//! From a centred Gram to the layer vector, in closed form, and back.
//!
//! Let V be the symmetric n x n matrices whose rows sum to zero, with the inner product of matrices,
//! and W those of V with a zero diagonal. Linear CKA (Kornblith et al. 2019) is the cosine of two
//! centred Grams, which lie in V. Debiased CKA (Nguyen et al. 2021) is the cosine of their
//! U-centred forms (Székely and Rizzo 2014), which is the estimator HSIC_1 of Song et al. (2007),
//! normalised. U-centring is the orthogonal projection of V onto W, so coordinates in an orthonormal
//! basis of V whose first members span W serve both measures. Such a basis need not be stored:
//!
//! **Tail**, n coordinates for the complement of W. It is spanned by `Dᵢ = H eᵢ eᵢᵀ H`, and
//! `⟨K, Dᵢ⟩ = Kᵢᵢ`. Their own products are `G = (1 - 2/n) I + 1 1ᵀ / n²`, with the eigenvalue
//! `1 - 1/n` on the mean and `1 - 2/n` on what is left, so `G^(-1/2) diag(K)` takes O(n).
//!
//! **Lead**, n(n-3)/2 coordinates for W. A member U of W is a weight on each edge of the complete
//! graph on n vertices, with sum zero at each vertex. Remove the last vertex, so that m remain, and
//! let `sᵢ = -U(i, last)`: these sum to zero, and they are the vertex sums of what is left. Of all
//! weights on the m vertices with those sums, `g(i,j) = (sᵢ + sⱼ) / (m - 2)` is the shortest, hence
//! orthogonal to the rest, `U - g`, which is a member of the same space for m vertices. The removed star
//! and g together have the squared length
//!
//! ```text
//! 2 |s|² + 2 (m - 2) |s|² / (m - 2)² = 2 (m - 1) / (m - 2) |s|²
//! ```
//!
//! and s, having sum zero, has m - 1 Helmert coordinates `(s₀ + … + s₍ₖ₋₁₎ - k sₖ) / √(k (k + 1))`.
//! So a vertex gives m - 1 coordinates, in order of k from 1; the vertices are removed from the last down to
//! the fourth (m = 3), after which nothing is left. The g's are carried as one number per vertex, so
//! the whole computation takes O(n²) steps, in proportion to the entries of the Gram matrix.

use super::gram::CentredGram;
use scv_domain::vector::{Degenerate, LayerVector};

#[cfg(test)]
pub(super) mod reference;
#[cfg(test)]
mod tests;

/// The shortest leading part of a unit vector that still has a direction: the stored numbers have seven
/// digits, and so have the activations they come from.
const MIN_LEAD_NORM: f64 = 1e-6;

/// The layer vector of a centred Gram: a unit vector of n(n-3)/2 leading and n further numbers.
///
/// # Errors
/// The reason why the layer has no vector.
pub fn layer_vector(gram: &CentredGram) -> Result<LayerVector, Degenerate> {
    let coordinates = Coordinates::of(&gram.unit()?, gram.images());
    if coordinates.lead_norm() < MIN_LEAD_NORM {
        return Err(Degenerate::NoSharedStructure);
    }
    Ok(LayerVector {
        lead: to_f32(&coordinates.lead),
        tail: to_f32(&coordinates.tail),
    })
}

/// The centred Gram matrix of unit norm that a layer vector represents, n x n, row after row.
///
/// n is the length of the vector's tail.
pub fn gram_of(vector: &LayerVector) -> Vec<f64> {
    Coordinates {
        lead: to_f64(&vector.lead),
        tail: to_f64(&vector.tail),
    }
    .gram()
}

/// The U-centred Gram matrix of unit norm that a layer vector represents, n x n, row after row.
pub fn debiased_gram_of(vector: &LayerVector) -> Vec<f64> {
    let mut gram = edges_of(&to_f64(&vector.lead), vector.tail.len());
    let length = gram.iter().map(|value| value * value).sum::<f64>().sqrt();
    gram.iter_mut().for_each(|value| *value /= length);
    gram
}

/// Coordinates of a member of V in the basis that the module describes.
struct Coordinates {
    lead: Vec<f64>,
    tail: Vec<f64>,
}

impl Coordinates {
    /// Of a symmetric n x n matrix whose rows sum to zero.
    fn of(gram: &[f64], n: usize) -> Self {
        let diagonal: Vec<f64> = gram.iter().step_by(n + 1).copied().collect();
        Self {
            lead: lead_of(&u_centred(gram, n), n),
            tail: scaled_about_mean(
                &diagonal,
                (1.0 - 2.0 / n as f64).powf(-0.5),
                (1.0 - 1.0 / n as f64).powf(-0.5),
            ),
        }
    }

    /// The matrix with these coordinates.
    fn gram(&self) -> Vec<f64> {
        let n = self.tail.len();
        let mut gram = edges_of(&self.lead, n);
        // The tail represents Σ cᵢ Dᵢ with c = G^(-1/2) tail.
        let c = scaled_about_mean(
            &self.tail,
            (1.0 - 2.0 / n as f64).powf(-0.5),
            (1.0 - 1.0 / n as f64).powf(-0.5),
        );
        let size = n as f64;
        let total = c.iter().sum::<f64>() / (size * size);
        for (i, row) in gram.chunks_mut(n).enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value += total - (c[i] + c[j]) / size;
            }
            row[i] += c[i];
        }
        gram
    }

    fn lead_norm(&self) -> f64 {
        self.lead.iter().map(|value| value * value).sum::<f64>().sqrt()
    }
}

/// Projects a centred Gram onto W: zero diagonal, zero row sums.
fn u_centred(gram: &[f64], n: usize) -> Vec<f64> {
    let sums: Vec<f64> = gram
        .chunks(n)
        .enumerate()
        .map(|(i, row)| row[..i].iter().sum::<f64>() + row[i + 1..].iter().sum::<f64>())
        .collect();
    let size = n as f64;
    let share = sums.iter().sum::<f64>() / ((size - 1.0) * (size - 2.0));
    let mut centred = gram.to_vec();
    for (i, row) in centred.chunks_mut(n).enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value += share - (sums[i] + sums[j]) / (size - 2.0);
        }
        row[i] = 0.0;
    }
    centred
}

/// Coordinates of a member of W.
fn lead_of(edges: &[f64], n: usize) -> Vec<f64> {
    let mut lead = Vec::with_capacity(n * (n - 3) / 2);
    // The g's of the vertices removed so far: the weight is now U(i,j) - carried[i] - carried[j].
    let mut carried = vec![0.0; n];
    let mut sums = vec![0.0; n];
    for m in (3..n).rev() {
        for i in 0..m {
            sums[i] = carried[i] + carried[m] - edges[m * n + i];
            carried[i] += sums[i] / (m - 2) as f64;
        }
        let length = star_length(m);
        let mut before = sums[0];
        for (k, &sum) in sums.iter().enumerate().take(m).skip(1) {
            lead.push(length * (before - k as f64 * sum) / helmert_length(k));
            before += sum;
        }
    }
    lead
}

/// The member of W with these coordinates, n x n: the inverse of [`lead_of`].
fn edges_of(lead: &[f64], n: usize) -> Vec<f64> {
    let mut edges = vec![0.0; n * n];
    let mut carried = vec![0.0; n];
    let mut sums = vec![0.0; n];
    let mut rest = lead;
    for m in (3..n).rev() {
        let (coordinates, later) = rest.split_at(m - 1);
        rest = later;
        let length = star_length(m);
        let mut after = 0.0;
        for k in (1..m).rev() {
            let step = coordinates[k - 1] / (length * helmert_length(k));
            sums[k] = after - k as f64 * step;
            after += step;
        }
        sums[0] = after;
        for i in 0..m {
            let weight = carried[i] + carried[m] - sums[i];
            edges[m * n + i] = weight;
            edges[i * n + m] = weight;
            carried[i] += sums[i] / (m - 2) as f64;
        }
    }
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        let weight = carried[i] + carried[j];
        edges[i * n + j] = weight;
        edges[j * n + i] = weight;
    }
    edges
}

/// Length in W of vertex sums of unit length, when m vertices remain.
fn star_length(m: usize) -> f64 {
    (2.0 * (m - 1) as f64 / (m - 2) as f64).sqrt()
}

/// Length of the k-th Helmert contrast, which has k ones and one -k.
fn helmert_length(k: usize) -> f64 {
    ((k * (k + 1)) as f64).sqrt()
}

/// Multiplies the deviations from the mean by one number and the mean by another.
fn scaled_about_mean(values: &[f64], deviation: f64, level: f64) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values
        .iter()
        .map(|value| (value - mean) * deviation + mean * level)
        .collect()
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
