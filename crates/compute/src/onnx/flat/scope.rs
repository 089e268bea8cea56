//! The names of a function's body or of a branch, which become names that are unique in the whole file.

use std::collections::{HashMap, HashSet};

use crate::onnx::flat::Guard;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto};

/// Where a list of nodes stands.
#[derive(Default)]
pub(super) struct Scope<'a, 's> {
    /// The names that are its own, with those that they become.
    pub(super) names: HashMap<&'a str, String>,
    /// What a branch sees of its surroundings. A function's body sees nothing.
    pub(super) outer: Option<&'s Scope<'a, 's>>,
    /// Attributes of the call, in the body of a function.
    pub(super) attributes: HashMap<&'a str, &'a AttributeProto>,
    /// What its names begin with; empty for the graph itself, whose names stay.
    pub(super) prefix: String,
    pub(super) opset: i64,
    pub(super) guards: Vec<Guard>,
}

impl<'a> Scope<'a, '_> {
    /// The unique name of a value. A name that nothing produces stays unknown.
    pub(super) fn resolved(&self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        match (self.names.get(name), self.outer) {
            (Some(known), _) => known.clone(),
            (None, Some(outer)) => outer.resolved(name),
            (None, None) => format!("{}{name}", self.prefix),
        }
    }

    /// An attribute of the function's call.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        let outer = || self.outer.and_then(|outer| outer.attribute(name));
        self.attributes.get(name).copied().or_else(outer)
    }
}

/// All names of values in a file, to find new ones.
#[derive(Default)]
pub(super) struct Names {
    used: HashSet<String>,
    /// For a name that was wanted more than once, the number of names that were derived from it.
    counts: HashMap<String, usize>,
}

impl Names {
    /// The names of a file's own graph.
    pub(super) fn of(graph: &GraphProto) -> Self {
        let produced = graph.node.iter().flat_map(|node| &node.output);
        let inputs = graph.input.iter().map(|input| &input.name);
        let constants = graph.initializer.iter().map(|tensor| &tensor.name);
        Self {
            used: produced.chain(inputs).chain(constants).cloned().collect(),
            counts: HashMap::new(),
        }
    }

    /// The wanted name, or one like it that is not used yet.
    pub(super) fn unused(&mut self, wanted: String) -> String {
        let mut name = wanted.clone();
        while self.used.contains(&name) {
            let count = self.counts.entry(wanted.clone()).or_default();
            *count += 1;
            name = format!("{wanted}~{count}");
        }
        self.used.insert(name.clone());
        name
    }
}

/// The names of the values that nodes produce.
pub(super) fn produced(nodes: &[NodeProto]) -> impl Iterator<Item = &str> {
    let outputs = nodes.iter().flat_map(|node| &node.output);
    outputs.map(String::as_str).filter(|name| !name.is_empty())
}
