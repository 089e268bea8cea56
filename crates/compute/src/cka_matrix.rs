//! Scores of many layers with many others in one matrix product.

use super::ops::product::{Matrix, MatrixMut, Write, multiply};
use scv_domain::cka_matrix::CkaMatrix;
use scv_domain::vector::{LayerVector, Measure};

/// The score of each row vector with each column vector. All vectors must be of one probe set.
///
/// # Panics
/// If the vectors are of two probe sets.
pub fn cka_matrix(rows: &[&LayerVector], columns: &[&LayerVector], measure: Measure) -> CkaMatrix {
    let mut scores = vec![0.0; rows.len() * columns.len()];
    product(&mut scores, rows, columns, |vector| &vector.lead);
    match measure {
        Measure::Cka => product(&mut scores, rows, columns, |vector| &vector.tail),
        Measure::DebiasedCka => {
            let norms: Vec<_> = columns.iter().map(|vector| vector.lead_norm()).collect();
            for (row, scores) in rows.iter().zip(scores.chunks_mut(columns.len().max(1))) {
                let own = row.lead_norm();
                for (score, norm) in scores.iter_mut().zip(&norms) {
                    *score = (f64::from(*score) / (own * norm)) as f32;
                }
            }
        }
    }
    // Rounding must not make two layers more similar than a layer is to itself.
    let scores = scores.into_iter().map(|score| f64::from(score).clamp(-1.0, 1.0));
    CkaMatrix::new(columns.len(), scores.collect())
}

fn product(
    scores: &mut [f32],
    rows: &[&LayerVector],
    columns: &[&LayerVector],
    part: impl Fn(&LayerVector) -> &Vec<f32>,
) {
    let gather = |vectors: &[&LayerVector]| {
        vectors
            .iter()
            .flat_map(|vector| part(vector))
            .copied()
            .collect::<Vec<f32>>()
    };
    let (left, right) = (gather(rows), gather(columns));
    let length = rows.first().map_or(0, |vector| part(vector).len());
    let target = MatrixMut::new(scores, rows.len(), columns.len(), columns.len());
    let left = Matrix::new(&left, rows.len(), length, length);
    let right = Matrix::new(&right, columns.len(), length, length);
    multiply(target, left, right.transposed(), Write::Add);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::reference::Activations;

    fn noise(count: u64, images: usize) -> Vec<LayerVector> {
        let one = |seed| Activations::noise(images, 6, seed + 10 * count).vector();
        (0..count).map(one).collect()
    }

    fn refs(vectors: &[LayerVector]) -> Vec<&LayerVector> {
        vectors.iter().collect()
    }

    #[test]
    fn each_score_is_that_of_its_two_layers() {
        let (rows, columns) = (noise(3, 12), noise(5, 12));

        for measure in [Measure::DebiasedCka, Measure::Cka] {
            let matrix = cka_matrix(&refs(&rows), &refs(&columns), measure);

            for (row, scores) in rows.iter().zip(matrix.rows()) {
                for (column, score) in columns.iter().zip(scores) {
                    assert!((row.score(column, measure) - score).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_network_without_layers_has_an_empty_matrix() {
        let vectors = noise(2, 8);

        assert_eq!(cka_matrix(&[], &refs(&vectors), Measure::Cka).rows().len(), 0);
        assert_eq!(cka_matrix(&refs(&vectors), &[], Measure::DebiasedCka).columns(), 0);
    }
}
