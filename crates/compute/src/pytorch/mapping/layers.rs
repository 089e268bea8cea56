//! Groups the tensors of a network or a file into layers: tensors of one layer have keys that differ only in the last
//! part.

use std::collections::HashMap;

use super::pair::Pair;
use crate::pytorch::state_dict::Entry;
use scv_domain::graph::{Graph, Node, ParameterRole};

/// The name of a tensor within its layer: a role, or a name that no layer of SCV has.
type Name = String;

/// The names and shapes of a layer's tensors.
type Tensors = Vec<(Name, Vec<usize>)>;

/// A layer with tensors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    /// The prefix of the keys of its tensors, with the last dot; empty if they have no dot.
    path: String,
    /// Sorted by name, because the order within a layer does not matter.
    tensors: Tensors,
}

impl Layer {
    /// The names and shapes of its tensors.
    pub(super) fn shapes(&self) -> &[(Name, Vec<usize>)] {
        &self.tensors
    }

    /// Whether both have tensors of the same names and shapes.
    pub(super) fn has_shapes_of(&self, other: &Layer) -> bool {
        self.tensors == other.tensors
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

    /// Pairs its tensors with those of the same name in `other`, in the order of a network.
    pub(super) fn pairs(&self, other: &Layer) -> Vec<Pair> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by_key(|(name, _)| role(name).map(role_order));
        let pair = |(name, shape): &(Name, Vec<usize>)| Pair {
            graph_key: self.key(name),
            state_key: other.key(name),
            shape: shape.clone(),
        };
        tensors.into_iter().map(pair).collect()
    }
}

/// The layers of a network that have tensors, in order.
pub(super) fn layers_of_graph(graph: &Graph) -> Vec<Layer> {
    let nodes = graph.nodes.iter().filter(|node| !node.parameters.is_empty());
    let layer = |node: &Node| {
        let tensors = node.parameters.iter();
        let tensors = tensors.map(|parameter| (parameter.role.name().to_owned(), parameter.shape.clone()));
        sorted(format!("{}.", node.path), tensors.collect())
    };
    nodes.map(layer).collect()
}

/// The layers of a file, in the order of their first tensors.
pub(super) fn layers_of_file(entries: &[&Entry]) -> Vec<Layer> {
    let mut positions = HashMap::new();
    let mut layers: Vec<(&str, Tensors)> = Vec::new();
    for entry in entries {
        let (path, name) = split(&entry.key);
        let position = *positions.entry(path).or_insert(layers.len());
        if position == layers.len() {
            layers.push((path, Vec::new()));
        }
        layers[position].1.push((name.to_owned(), entry.shape.clone()));
    }
    layers
        .into_iter()
        .map(|(path, tensors)| sorted(path.to_owned(), tensors))
        .collect()
}

/// The path of the layer, with its dot, and the name of the tensor within it.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.split_at(key.rfind('.').map_or(0, |dot| dot + 1))
}

/// The role with this name.
pub(super) fn role(name: &str) -> Option<ParameterRole> {
    use ParameterRole::{Bias, RunningMean, RunningVar, Weight};
    [Weight, Bias, RunningMean, RunningVar]
        .into_iter()
        .find(|role| role.name() == name)
}

/// The position of a role in a state dict.
fn role_order(role: ParameterRole) -> u8 {
    match role {
        ParameterRole::Weight => 0,
        ParameterRole::Bias => 1,
        ParameterRole::RunningMean => 2,
        ParameterRole::RunningVar => 3,
        ParameterRole::Value => 4,
    }
}

fn sorted(path: String, mut tensors: Tensors) -> Layer {
    tensors.sort();
    Layer { path, tensors }
}
