//! A file's graph as one list of nodes, in an order in which they can be computed.
//!
//! [`inline`] puts the bodies of functions and the branches of `If` nodes in the places of their calls, [`order`] sorts the nodes,
//! and [`inference`] turns nodes that are in training mode into those for inference.

mod functions;
mod inference;
mod inline;
mod order;
mod scope;

use std::collections::{HashMap, HashSet};

use candle_core::Tensor;

use super::constant;
use super::file::opset;
use super::limit::ConstantBudget;
use super::plan::Value;
use super::proto::{AttributeProto, DataType, ModelProto, SparseTensorProto, TensorProto, ValueInfoProto};
use super::sparse;
use crate::error::OnnxError;

/// A file's graph as one list of nodes.
#[derive(Debug)]
pub(super) struct FlatGraph<'a> {
    /// In an order in which they can be computed.
    pub(super) nodes: Vec<FlatNode<'a>>,
    constants: Vec<(String, Constant<'a>)>,
    /// The inputs that have no constant. Older files list their weights among the inputs.
    pub(super) inputs: Vec<&'a ValueInfoProto>,
    /// Names of the outputs.
    pub(super) outputs: Vec<&'a str>,
}

/// One operation. Its names are unique in the whole file.
#[derive(Debug, Clone)]
pub(super) struct FlatNode<'a> {
    pub(super) name: String,
    pub(super) op_type: &'a str,
    pub(super) domain: &'a str,
    /// Version of the operator set of ONNX that it belongs to.
    pub(super) opset: i64,
    pub(super) input: Vec<String>,
    pub(super) output: Vec<String>,
    /// Its attributes by name: that of an attribute which a function's call sets is another one.
    pub(super) attributes: Vec<(&'a str, &'a AttributeProto)>,
    /// The conditions under which it is computed.
    pub(super) guards: Vec<Guard>,
}

/// A condition of an `If` node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Guard {
    /// The value that decides.
    pub(super) condition: String,
    /// What it must be.
    pub(super) is: bool,
}

/// A constant of a file.
#[derive(Debug, Clone)]
pub(super) enum Constant<'a> {
    Dense(&'a TensorProto),
    Sparse(&'a SparseTensorProto),
    /// One that is not in the file.
    Added(Tensor),
}

impl Constant<'_> {
    /// Its shape, as the file states it.
    pub(super) fn dims(&self) -> Vec<i64> {
        match self {
            Self::Dense(tensor) => tensor.dims.clone(),
            Self::Sparse(tensor) => tensor.dims.clone(),
            Self::Added(tensor) => tensor.dims().iter().map(|&dim| dim as i64).collect(),
        }
    }
}

impl<'a> FlatGraph<'a> {
    /// The graph of a file.
    ///
    /// # Errors
    /// It has no graph, its nodes contradict each other, or its functions are recursive or too many.
    pub(super) fn of(model: &'a ModelProto) -> Result<Self, OnnxError> {
        let graph = model
            .graph
            .as_ref()
            .ok_or_else(|| OnnxError::Unreadable("it holds no graph".to_owned()))?;
        let (nodes, constants) = inline::flattened(graph, &model.functions, opset(model))?;
        let known: HashSet<&str> = constants.iter().map(|(name, _)| name.as_str()).collect();
        let inputs = graph.input.iter().filter(|input| !known.contains(input.name.as_str()));
        let flat = Self {
            inputs: inputs.collect(),
            outputs: graph.output.iter().map(|output| output.name.as_str()).collect(),
            nodes,
            constants,
        };
        order::sorted(flat)
    }

    /// Its constants as values, whose memory comes from `budget`.
    ///
    /// # Errors
    /// One that cannot be read, or that holds NaN; or there is not so much memory.
    pub(super) fn values(&self, budget: &mut ConstantBudget) -> Result<HashMap<String, Value>, OnnxError> {
        let mut values = HashMap::new();
        for (name, constant) in &self.constants {
            let tensor = match constant {
                Constant::Dense(tensor) => {
                    budget.reserve(constant::decoded_bytes(tensor))?;
                    constant::tensor_without_nan(tensor)
                }
                Constant::Sparse(tensor) => sparse::tensor(tensor, budget),
                Constant::Added(tensor) => Ok(tensor.clone()),
            };
            values.insert(name.clone(), Value::Constant(tensor.map_err(OnnxError::Unreadable)?));
        }
        Ok(values)
    }

    /// The element types of its constants.
    pub(super) fn element_types(&self) -> HashMap<String, DataType> {
        let types = self.constants.iter().filter_map(|(name, constant)| {
            let values = match constant {
                Constant::Dense(tensor) => tensor,
                Constant::Sparse(tensor) => tensor.values.as_ref()?,
                Constant::Added(_) => return None,
            };
            Some((name.clone(), DataType::try_from(values.data_type).ok()?))
        });
        types.collect()
    }

    /// A constant by its name.
    pub(super) fn constant(&self, name: &str) -> Option<&Constant<'a>> {
        let mut constants = self.constants.iter();
        constants.find(|(known, _)| known == name).map(|(_, constant)| constant)
    }

    /// Runs every node that is in training mode as at inference; the names of these nodes.
    pub(super) fn for_inference(&mut self) -> Vec<String> {
        inference::convert(self)
    }

    /// Adds a constant under a name that the file does not have; the name.
    pub(super) fn add_constant(&mut self, tensor: Tensor) -> String {
        let name = self.unused_name("constant");
        self.constants.push((name.clone(), Constant::Added(tensor)));
        name
    }

    /// A name for a value that the file does not have.
    pub(super) fn unused_name(&self, wanted: &str) -> String {
        let is_used = |name: &String| {
            self.constants.iter().any(|(known, _)| known == name)
                || self.inputs.iter().any(|input| input.name == *name)
                || self.nodes.iter().any(|node| node.output.contains(name))
        };
        let mut names = (1..).map(|count| format!("{wanted}#{count}"));
        names.find(|name| !is_used(name)).unwrap_or_default()
    }
}

impl<'a> FlatNode<'a> {
    /// An attribute by its name.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        let mut attributes = self.attributes.iter();
        attributes
            .find(|(known, _)| *known == name)
            .map(|(_, attribute)| *attribute)
    }

    /// Its name, or that of its first output.
    pub(super) fn title(&self) -> &str {
        match self.name.as_str() {
            "" => self.output.first().map_or("", String::as_str),
            name => name,
        }
    }

    /// Whether it is ONNX's own `If`, whose inputs are the condition, and the results of both branches.
    pub(super) fn is_if(&self) -> bool {
        self.op_type == "If" && super::file::is_onnx_domain(self.domain)
    }

    /// The results of a branch of an `If` node.
    pub(super) fn branch(&self, is: bool) -> &[String] {
        let results = &self.input[1..];
        let (then, other) = results.split_at(results.len() / 2);
        if is { then } else { other }
    }
}
