//! The arrays of a file, one per layer.

use super::numbers::ArrayLayout;

/// A layer in a file of activations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationLayer {
    /// Its name, which is unique within the file.
    pub name: String,
    /// The shape of its output for one image; empty for a single number.
    pub shape: Vec<usize>,
}

/// An array whose numbers can be read.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) layer: ActivationLayer,
    pub(super) layout: ArrayLayout,
    /// Its index in the archive or the list of tensors.
    pub(super) index: usize,
}

impl Array {
    pub(super) fn new(name: &str, layout: ArrayLayout, index: usize) -> Self {
        let layer = ActivationLayer {
            name: name.to_owned(),
            shape: layout.shape.iter().skip(1).copied().collect(),
        };
        Self { layer, layout, index }
    }
}
