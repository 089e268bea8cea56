//! Tensors as a file describes them.

use crate::pytorch::element::ElementType;

/// Tensors by key.
#[derive(Debug, Clone)]
pub struct TensorDict {
    /// The keys that lead to it, separated by dots; empty for the whole file.
    pub path: String,
    /// One entry per key, in the order of the file.
    pub entries: Vec<Entry>,
    /// Whether the format keeps the order in which the program added the entries.
    pub is_ordered: bool,
}

/// A tensor with its key.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Such as `features.0.weight`.
    pub key: String,
    /// The type of its elements in the file.
    pub element: ElementType,
    /// The size of each dimension.
    pub shape: Vec<usize>,
    pub(crate) place: Place,
}

/// Why a view cannot be read.
pub(crate) type Reason = String;

/// Where the elements of a tensor are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The key of the storage.
    pub storage: String,
    /// The index of the storage's first element in its bytes.
    pub first: u64,
    /// The number of elements that the storage is said to have.
    pub count: u64,
    /// The index of the first element in the storage.
    pub offset: u64,
    /// For each dimension, the number of elements from one index to the next.
    pub strides: Vec<u64>,
}

impl Place {
    /// All elements of a storage, in row-major order.
    pub(crate) fn whole(storage: &str, shape: &[usize]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis] as u64;
        }
        Self {
            storage: storage.to_owned(),
            first: 0,
            count: element_count(shape).unwrap_or(0) as u64,
            offset: 0,
            strides,
        }
    }
}

/// A shape whose elements fit into the address space.
pub(crate) fn shape(sizes: &[u64]) -> Result<Vec<usize>, Reason> {
    let shape: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    let shape = shape.ok_or_else(|| format!("a shape of {sizes:?} is too large"))?;
    match element_count(&shape) {
        Some(_) => Ok(shape),
        None => Err(format!("a shape of {shape:?} is too large")),
    }
}

/// The number of elements of a shape; `None` if it overflows.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
}
