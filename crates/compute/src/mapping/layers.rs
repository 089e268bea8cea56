//! Groups the tensors of a network or a file into layers: tensors of one layer have keys that differ only in the last
//! part.

use std::collections::HashMap;

/// The name of a tensor within its layer: a role, or a name that no layer of SCV has.
type Name = String;

/// The names and shapes of a layer's tensors.
type Tensors = Vec<(Name, Vec<usize>)>;

/// A layer with tensors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    /// The prefix of the keys of its tensors, with the last dot; empty if they have no dot.
    pub path: String,
    /// Sorted by name, because the order within a layer does not matter.
    tensors: Tensors,
}

impl Layer {
    /// The names and shapes of its tensors.
    pub(super) fn shapes(&self) -> &[(Name, Vec<usize>)] {
        &self.tensors
    }

    /// Whether both have tensors of the same names.
    pub(super) fn has_names_of<'a>(&'a self, other: &'a Layer) -> bool {
        let names = |layer: &'a Layer| layer.tensors.iter().map(|(name, _)| name);
        names(self).eq(names(other))
    }

    /// The key of one of its tensors.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Its path without the last dot, as a word of a message or of a mapping.
    pub(super) fn word(&self) -> &str {
        self.path.trim_end_matches('.')
    }
}

/// The layers of tensors, in the order of their first tensors.
pub(super) fn of_tensors<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Vec<Layer> {
    let mut positions = HashMap::new();
    let mut layers: Vec<Layer> = Vec::new();
    for (key, shape) in tensors {
        let (path, name) = split(key);
        let position = *positions.entry(path).or_insert(layers.len());
        if position == layers.len() {
            layers.push(Layer {
                path: path.to_owned(),
                tensors: Vec::new(),
            });
        }
        layers[position].tensors.push((name.to_owned(), shape.to_vec()));
    }
    for layer in &mut layers {
        layer.tensors.sort();
    }
    layers
}

/// The path of the layer, with its dot, and the name of the tensor within it.
fn split(key: &str) -> (&str, &str) {
    key.split_at(key.rfind('.').map_or(0, |dot| dot + 1))
}
