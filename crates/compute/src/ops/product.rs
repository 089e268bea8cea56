//! The matrix product under convolutions, linear layers and Gram matrices.

use gemm::Parallelism;

/// A matrix in a slice of numbers: element (r, c) at `r * row_step + c * column_step`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, `row_step` numbers from one to the next.
    ///
    /// # Panics
    /// If the slice is too short.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, row_step: usize) -> Self {
        assert!(
            span(rows, columns, row_step) <= values.len(),
            "a matrix must lie inside its slice"
        );
        Matrix {
            values,
            rows,
            columns,
            row_step,
            column_step: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Matrix {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }
}

/// A matrix to write, rows one after the other.
pub(crate) struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
}

impl<'a> MatrixMut<'a> {
    /// Rows of `columns` numbers, `row_step` numbers from one to the next.
    ///
    /// # Panics
    /// If the slice is too short, or if rows would overlap.
    pub(crate) fn new(values: &'a mut [f32], rows: usize, columns: usize, row_step: usize) -> Self {
        assert!(
            span(rows, columns, row_step) <= values.len(),
            "a matrix must lie inside its slice"
        );
        assert!(
            rows <= 1 || columns <= row_step,
            "the rows of a matrix that is written must not overlap"
        );
        MatrixMut {
            values,
            rows,
            columns,
            row_step,
        }
    }
}

/// Whether a product replaces the content of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// The product replaces it.
    Replace,
    /// The product is added to it.
    Add,
}

/// `destination = left * right`, or `+=`; on the calling thread alone, in an order fixed by the shapes.
///
/// # Panics
/// If the shapes do not match.
#[expect(
    unsafe_code,
    reason = "the gemm crate takes raw pointers; every matrix was checked to lie inside its slice"
)]
pub(crate) fn multiply(destination: MatrixMut<'_>, left: Matrix<'_>, right: Matrix<'_>, write: Write) {
    assert!(
        left.columns == right.rows && left.rows == destination.rows && right.columns == destination.columns,
        "a product of {}x{} and {}x{} does not fill {}x{}",
        left.rows,
        left.columns,
        right.rows,
        right.columns,
        destination.rows,
        destination.columns
    );
    // SAFETY: the constructors checked that the last element of each matrix lies inside its slice,
    // the rows of the destination do not overlap, and it is borrowed mutably, so that nothing else
    // reads or writes it. The destination is initialised memory, so it may be read as well.
    unsafe {
        gemm::gemm(
            destination.rows,
            destination.columns,
            left.columns,
            destination.values.as_mut_ptr(),
            1,
            destination.row_step as isize,
            write == Write::Add,
            left.values.as_ptr(),
            left.column_step as isize,
            left.row_step as isize,
            right.values.as_ptr(),
            right.column_step as isize,
            right.row_step as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Numbers from the first element of a matrix to its last.
fn span(rows: usize, columns: usize, row_step: usize) -> usize {
    if rows == 0 || columns == 0 {
        0
    } else {
        (rows - 1) * row_step + columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_follows_the_definition_for_any_layout() {
        let left: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let right: Vec<f32> = (0..12).map(|i| (i as f32) - 4.0).collect();
        let left = Matrix::new(&left, 3, 2, 2).transposed();
        let right = Matrix::new(&right, 3, 3, 4);
        let mut values = vec![1.0; 8];

        multiply(MatrixMut::new(&mut values, 2, 3, 4), left, right, Write::Add);

        // The left matrix is [0 2 4; 1 3 5]; the right one rows of four numbers of which three count.
        assert_eq!(values, [17.0, 23.0, 29.0, 1.0, 17.0, 26.0, 35.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "must lie inside its slice")]
    fn a_matrix_longer_than_its_slice_is_refused() {
        Matrix::new(&[0.0; 5], 2, 3, 3);
    }
}
