//! All layers of one version against all layers of another, and what two networks have in common by that.

/// A pair of layers by their places in the two networks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairing {
    /// Row: place in the first network.
    pub row: usize,
    /// Column: place in the second network.
    pub column: usize,
    /// Their score.
    pub score: f64,
}

/// Scores of each layer of a network (rows) with each layer of another (columns).
#[derive(Debug, Clone, PartialEq)]
pub struct CkaMatrix {
    columns: usize,
    /// Row after row.
    scores: Vec<f64>,
}

impl CkaMatrix {
    /// Scores row after row.
    ///
    /// # Panics
    /// If they do not fill rows of `columns`.
    pub fn new(columns: usize, scores: Vec<f64>) -> Self {
        let whole = match columns {
            0 => scores.is_empty(),
            columns => scores.len().is_multiple_of(columns),
        };
        assert!(whole, "{} scores fill no rows of {columns}", scores.len());
        Self { columns, scores }
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        // A matrix without columns has no rows either.
        self.scores.chunks(self.columns.max(1))
    }

    /// Layers of the second network.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows and columns exchanged.
    pub fn transposed(&self) -> Self {
        let rows = self.rows().len();
        let scores = (0..self.columns).flat_map(|column| self.rows().map(move |row| row[column]));
        Self {
            scores: scores.collect(),
            columns: rows,
        }
    }

    /// For each row the column with the highest score, the first of equals.
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

    /// How alike the networks are: the mean score of each layer with its best match in the other network, over the layers
    /// of the first, and the same over those of the second, averaged (the best-match average of Pesquita et al. 2008).
    /// 1 if each has its equal on the other side; 0 if one of the networks has no layers.
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

    /// Pairs of layers in the order of both networks, no layer twice, with the greatest sum of scores that such pairs can
    /// have. Scores of zero or less are never paired.
    pub fn alignment(&self) -> Vec<Pairing> {
        // `best[row][column]`: the greatest sum from that row and column on.
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

    /// The sum of an alignment's scores over what it could be at most: twice the sum over the layers of both networks. 1 if
    /// the networks agree layer by layer.
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

    /// By trying every pair first, and then what is left below and to the right of it.
    fn greatest_sum(matrix: &CkaMatrix, first_row: usize, first_column: usize) -> f64 {
        let rows: Vec<_> = matrix.rows().collect();
        let mut best = 0.0_f64;
        for (row, scores) in rows.iter().enumerate().skip(first_row) {
            for (column, score) in scores.iter().enumerate().skip(first_column) {
                best = best.max(score + greatest_sum(matrix, row + 1, column + 1));
            }
        }
        best
    }

    #[test]
    fn a_network_matches_itself_layer_by_layer() {
        let matrix = CkaMatrix::new(3, vec![1.0, 0.2, 0.1, 0.2, 1.0, 0.6, 0.1, 0.6, 1.0]);

        let alignment = matrix.alignment();

        let places: Vec<_> = alignment.iter().map(|pair| (pair.row, pair.column)).collect();
        assert_eq!(places, [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(matrix.alignment_score(&alignment), 1.0);
        assert_eq!(matrix.best_match_average(), 1.0);
        assert_eq!(matrix.worst_best_match(), 1.0);
    }

    #[test]
    fn an_inserted_layer_is_left_out_of_the_alignment() {
        // The second network has one layer more, between the two of the first.
        let matrix = CkaMatrix::new(3, vec![1.0, 0.5, 0.1, 0.1, 0.5, 1.0]);

        let alignment = matrix.alignment();

        let places: Vec<_> = alignment.iter().map(|pair| (pair.row, pair.column)).collect();
        assert_eq!(places, [(0, 0), (1, 2)]);
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
        fn an_alignment_keeps_both_orders_and_has_the_greatest_sum(matrix in matrix()) {
            let alignment = matrix.alignment();
            for pair in alignment.windows(2) {
                prop_assert!(pair[0].row < pair[1].row && pair[0].column < pair[1].column);
            }
            let sum: f64 = alignment.iter().map(|pair| pair.score).sum();
            prop_assert!((sum - greatest_sum(&matrix, 0, 0)).abs() < 1e-12);
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
