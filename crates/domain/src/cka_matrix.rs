//! CKA scores between all layers of two versions, and how similar the two networks are by these scores.

/// A pair of layers, by their positions in the two networks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairing {
    /// Row: position in the first network.
    pub row: usize,
    /// Column: position in the second network.
    pub column: usize,
    /// Their score.
    pub score: f64,
}

/// Scores of each layer of one network (rows) with each layer of another (columns).
#[derive(Debug, Clone, PartialEq)]
pub struct CkaMatrix {
    columns: usize,
    /// In row-major order.
    scores: Vec<f64>,
}

impl CkaMatrix {
    /// A matrix from its scores in row-major order.
    ///
    /// # Panics
    /// If the scores do not fill whole rows of `columns` scores.
    pub fn new(columns: usize, scores: Vec<f64>) -> Self {
        let is_whole = match columns {
            0 => scores.is_empty(),
            columns => scores.len().is_multiple_of(columns),
        };
        assert!(is_whole, "{} scores do not fill rows of {columns}", scores.len());
        Self { columns, scores }
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        // A matrix without columns has no rows either.
        self.scores.chunks(self.columns.max(1))
    }

    /// Number of layers of the second network.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The matrix with rows and columns swapped.
    pub fn transposed(&self) -> Self {
        let rows = self.rows().len();
        let scores = (0..self.columns).flat_map(|column| self.rows().map(move |row| row[column]));
        Self {
            scores: scores.collect(),
            columns: rows,
        }
    }

    /// The column with the highest score for each row; the first one if scores tie.
    pub fn best_matches(&self) -> Vec<Pairing> {
        let best = |(row, scores): (usize, &[f64])| {
            let mut best = Pairing {
                row,
                column: 0,
                score: scores[0],
            };
            for (column, &score) in scores.iter().enumerate() {
                if score > best.score {
                    best = Pairing { row, column, score };
                }
            }
            best
        };
        self.rows().enumerate().map(best).collect()
    }

    /// How similar the networks are. For each network, takes the mean best-match score of its layers in the other
    /// network, then averages the two means (the best-match average of Pesquita et al. 2008). 1 if every layer has an
    /// equal in the other network; 0 if one of the networks has no layers.
    pub fn best_match_average(&self) -> f64 {
        let mean = |matrix: &Self| {
            let matches = matrix.best_matches();
            matches.iter().map(|pairing| pairing.score).sum::<f64>() / matches.len().max(1) as f64
        };
        f64::midpoint(mean(self), mean(&self.transposed()))
    }

    /// The lowest score that a layer of either network has with its best match in the other; 0 if there are no layers.
    pub fn worst_best_match(&self) -> f64 {
        let of_columns = self.transposed();
        let matches = self.best_matches().into_iter().chain(of_columns.best_matches());
        let worst = matches.map(|pairing| pairing.score).reduce(f64::min);
        worst.unwrap_or_default()
    }

    /// The pairs with the highest total score among all sets of pairs that keep the order of both networks and use no
    /// layer twice. Layers with a score of zero or less are never paired.
    pub fn alignment(&self) -> Vec<Pairing> {
        // `best[row][column]`: the highest total from that row and column on.
        let rows: Vec<&[f64]> = self.rows().collect();
        let mut best = vec![vec![0.0_f64; self.columns + 1]; rows.len() + 1];
        for (row, scores) in rows.iter().enumerate().rev() {
            for (column, score) in scores.iter().enumerate().rev() {
                best[row][column] = (score + best[row + 1][column + 1])
                    .max(best[row + 1][column])
                    .max(best[row][column + 1]);
            }
        }
        let (mut row, mut column, mut pairs) = (0, 0, Vec::new());
        while row < rows.len() && column < self.columns {
            let here = best[row][column];
            if here == best[row + 1][column] {
                row += 1;
            } else if here == best[row][column + 1] {
                column += 1;
            } else {
                let score = rows[row][column];
                pairs.push(Pairing { row, column, score });
                (row, column) = (row + 1, column + 1);
            }
        }
        pairs
    }

    /// The total score of an alignment as a share of its maximum: 2 × sum of scores ÷ number of layers of both
    /// networks. 1 if the networks agree layer by layer.
    pub fn alignment_score(&self, alignment: &[Pairing]) -> f64 {
        let layers = self.rows().len() + self.columns;
        let sum: f64 = alignment.iter().map(|pairing| pairing.score).sum();
        2.0 * sum / layers.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrix() -> impl Strategy<Value = CkaMatrix> {
        (1..7_usize, 1..7_usize).prop_flat_map(|(rows, columns)| {
            let scores = prop::collection::vec(-1.0..=1.0, rows * columns);
            scores.prop_map(move |scores| CkaMatrix::new(columns, scores))
        })
    }

    /// Brute force: tries every pair first, then the pairs below and to the right of it.
    fn highest_total(matrix: &CkaMatrix, first_row: usize, first_column: usize) -> f64 {
        let rows: Vec<_> = matrix.rows().collect();
        let mut best = 0.0_f64;
        for (row, scores) in rows.iter().enumerate().skip(first_row) {
            for (column, score) in scores.iter().enumerate().skip(first_column) {
                best = best.max(score + highest_total(matrix, row + 1, column + 1));
            }
        }
        best
    }

    #[test]
    fn a_network_matches_itself_layer_by_layer() {
        let matrix = CkaMatrix::new(3, vec![1.0, 0.2, 0.1, 0.2, 1.0, 0.6, 0.1, 0.6, 1.0]);

        let alignment = matrix.alignment();

        let positions: Vec<_> = alignment.iter().map(|pair| (pair.row, pair.column)).collect();
        assert_eq!(positions, [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(matrix.alignment_score(&alignment), 1.0);
        assert_eq!(matrix.best_match_average(), 1.0);
        assert_eq!(matrix.worst_best_match(), 1.0);
    }

    #[test]
    fn an_inserted_layer_is_left_out_of_the_alignment() {
        // The second network has one more layer, between the two of the first.
        let matrix = CkaMatrix::new(3, vec![1.0, 0.5, 0.1, 0.1, 0.5, 1.0]);

        let alignment = matrix.alignment();

        let positions: Vec<_> = alignment.iter().map(|pair| (pair.row, pair.column)).collect();
        assert_eq!(positions, [(0, 0), (1, 2)]);
        assert_eq!(matrix.alignment_score(&alignment), 0.8);
        assert_eq!(matrix.worst_best_match(), 0.5);
    }

    #[test]
    fn networks_without_layers_have_nothing_in_common() {
        let matrix = CkaMatrix::new(0, Vec::new());

        assert!(matrix.alignment().is_empty());
        assert_eq!(matrix.best_match_average(), 0.0);
        assert_eq!(matrix.worst_best_match(), 0.0);
    }

    proptest! {
        #[test]
        fn an_alignment_keeps_both_orders_and_has_the_highest_total(matrix in matrix()) {
            let alignment = matrix.alignment();
            for pair in alignment.windows(2) {
                prop_assert!(pair[0].row < pair[1].row && pair[0].column < pair[1].column);
            }
            let sum: f64 = alignment.iter().map(|pair| pair.score).sum();
            prop_assert!((sum - highest_total(&matrix, 0, 0)).abs() < 1e-12);
        }

        #[test]
        fn the_order_of_two_networks_does_not_matter(matrix in matrix()) {
            let other = matrix.transposed();
            prop_assert_eq!(other.transposed(), matrix.clone());
            prop_assert!((matrix.best_match_average() - other.best_match_average()).abs() < 1e-12);
            let score = |matrix: &CkaMatrix| matrix.alignment_score(&matrix.alignment());
            prop_assert!((score(&matrix) - score(&other)).abs() < 1e-12);
        }
    }
}
