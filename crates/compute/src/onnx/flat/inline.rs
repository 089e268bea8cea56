//! Puts the bodies of functions and the branches of `If` nodes in the places of their calls.

use std::collections::HashMap;

use prost::Message as _;

use super::functions::{Functions, opset_of};
use super::scope::{Names, Scope, produced};
use super::{Constant, FlatNode, Guard};
use crate::error::OnnxError;
use crate::onnx::file::is_onnx_domain;
use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};

/// The maximum number of nodes of a file, with the bodies of its functions in the places of their calls.
const MAX_NODES: usize = 100_000;

/// The maximum size of the names of these nodes, and of the tensors in the bodies of all calls, in bytes.
const MAX_BYTES: usize = 1 << 30;

/// The maximum length of what the names of a body begin with, in bytes.
const MAX_PREFIX_BYTES: usize = 400;

/// The maximum depth of calls and branches within each other.
const MAX_DEPTH: usize = 64;

type Flattened<'a> = (Vec<FlatNode<'a>>, Vec<(String, Constant<'a>)>);

/// All nodes of a graph, in the order of the file, and all of its constants.
///
/// # Errors
/// Functions that are recursive or too many.
pub(super) fn flattened<'a>(
    graph: &'a GraphProto,
    functions: &'a [FunctionProto],
    opset: i64,
) -> Result<Flattened<'a>, OnnxError> {
    let mut inliner = Inliner {
        functions: Functions::of(functions)?,
        names: Names::of(graph),
        calls: Vec::new(),
        depth: 0,
        count: 0,
        bytes: 0,
        nodes: Vec::new(),
        constants: Vec::new(),
    };
    let scope = Scope {
        opset,
        ..Scope::default()
    };
    inliner.add_constants(graph, &scope)?;
    inliner.add_nodes(&graph.node, &scope)?;
    Ok((inliner.nodes, inliner.constants))
}

struct Inliner<'a> {
    functions: Functions<'a>,
    names: Names,
    /// The functions whose bodies are being added.
    calls: Vec<&'a FunctionProto>,
    depth: usize,
    /// Nodes so far, calls included.
    count: usize,
    /// Bytes of their names, and of the tensors in the bodies of calls.
    bytes: usize,
    nodes: Vec<FlatNode<'a>>,
    constants: Vec<(String, Constant<'a>)>,
}

impl<'a> Inliner<'a> {
    fn add_nodes(&mut self, nodes: &'a [NodeProto], scope: &Scope<'a, '_>) -> Result<(), OnnxError> {
        for node in nodes {
            self.count += 1;
            self.check_size()?;
            if let Some(function) = self.functions.called_by(node) {
                self.add_call(node, function, scope)?;
            } else if node.op_type == "If" && is_onnx_domain(&node.domain) {
                self.add_if(node, scope)?;
            } else {
                self.add_operator(node, scope)?;
            }
        }
        Ok(())
    }

    fn add_operator(&mut self, node: &'a NodeProto, scope: &Scope<'a, '_>) -> Result<(), OnnxError> {
        let attributes = attributes(node, scope);
        let sparse = attributes.iter().find_map(|(name, attribute)| match *name {
            "sparse_value" if node.op_type == "Constant" => attribute.sparse_tensor.as_ref(),
            _ => None,
        });
        if let (Some(sparse), Some(output)) = (sparse, node.output.first()) {
            self.constants.push((scope.resolved(output), Constant::Sparse(sparse)));
            return Ok(());
        }
        if !self.calls.is_empty() {
            let tensors = attributes.iter().filter_map(|(_, attribute)| attribute.t.as_ref());
            self.bytes += tensors.map(TensorProto::encoded_len).sum::<usize>();
        }
        let input = node.input.iter().map(|name| scope.resolved(name)).collect();
        self.push(flat(node, input, attributes, scope));
        Ok(())
    }

    fn push(&mut self, node: FlatNode<'a>) {
        let conditions = node.guards.iter().map(|guard| &guard.condition);
        let names = node.input.iter().chain(&node.output).chain(conditions);
        self.bytes += node.name.len() + names.map(String::len).sum::<usize>();
        self.nodes.push(node);
    }

    /// A small file may describe very many nodes.
    fn check_size(&self) -> Result<(), OnnxError> {
        if self.count <= MAX_NODES && self.bytes <= MAX_BYTES {
            return Ok(());
        }
        Err(OnnxError::Invalid(format!(
            "with its functions in the places of their calls, it has more than {MAX_NODES} nodes or {MAX_BYTES} bytes of names \
             and tensors: simplify the file"
        )))
    }

    /// Adds the body of a function.
    fn add_call(
        &mut self,
        node: &'a NodeProto,
        function: &'a FunctionProto,
        scope: &Scope<'a, '_>,
    ) -> Result<(), OnnxError> {
        if self.calls.iter().any(|&call| std::ptr::eq(call, function)) {
            return Err(OnnxError::Invalid(format!("function {:?} calls itself", function.name)));
        }
        if node.input.len() > function.input.len() || node.output.len() > function.output.len() {
            return Err(OnnxError::Invalid(format!(
                "node {:?} calls function {:?} with {} inputs and {} outputs; it has {} and {}",
                title(node),
                function.name,
                node.input.len(),
                node.output.len(),
                function.input.len(),
                function.output.len(),
            )));
        }
        let mut body = Scope {
            prefix: self.prefix(node, scope),
            opset: opset_of(function, scope.opset)?,
            guards: scope.guards.clone(),
            attributes: defaults(function),
            ..Scope::default()
        };
        body.attributes.extend(attributes(node, scope));
        for (index, name) in function.input.iter().enumerate() {
            let given = node.input.get(index).map_or("", String::as_str);
            body.names.insert(name, scope.resolved(given));
        }
        let given = node.output.iter().map(|name| scope.resolved(name));
        for (name, given) in function.output.iter().zip(given).filter(|(_, given)| !given.is_empty()) {
            if let Some(input) = body.names.get(name.as_str()).cloned() {
                // What a function only hands through.
                self.push(FlatNode {
                    op_type: "Identity",
                    domain: "",
                    output: vec![given],
                    ..flat(node, vec![input], Vec::new(), scope)
                });
            } else {
                body.names.insert(name, given);
            }
        }
        self.add_own_names(produced(&function.node), &mut body);
        self.calls.push(function);
        self.nested(|inliner| inliner.add_nodes(&function.node, &body))?;
        self.calls.pop();
        Ok(())
    }

    /// Adds both branches, each under the condition that it is taken, and a node that selects the results.
    fn add_if(&mut self, node: &'a NodeProto, scope: &Scope<'a, '_>) -> Result<(), OnnxError> {
        let attributes = attributes(node, scope);
        let condition = node.input.first().map(|name| scope.resolved(name)).unwrap_or_default();
        let mut input = vec![condition.clone()];
        for (branch, is) in [("then_branch", true), ("else_branch", false)] {
            let graph = attributes.iter().find(|(name, _)| *name == branch);
            let graph = graph.and_then(|(_, attribute)| attribute.g.as_ref());
            let graph = graph.filter(|graph| graph.output.len() == node.output.len());
            let Some(graph) = graph else {
                return Err(OnnxError::Invalid(format!(
                    "node {:?} (If) has no {branch} with as many outputs as it has itself",
                    title(node)
                )));
            };
            let mut body = Scope {
                outer: Some(scope),
                prefix: self.prefix(node, scope),
                opset: scope.opset,
                guards: scope.guards.clone(),
                ..Scope::default()
            };
            let condition = condition.clone();
            body.guards.push(Guard { condition, is });
            let dense = graph.initializer.iter().map(|tensor| tensor.name.as_str());
            let sparse = graph
                .sparse_initializer
                .iter()
                .filter_map(|sparse| sparse.values.as_ref());
            let constants = dense.chain(sparse.map(|values| values.name.as_str()));
            self.add_own_names(constants.chain(produced(&graph.node)), &mut body);
            self.add_constants(graph, &body)?;
            self.nested(|inliner| inliner.add_nodes(&graph.node, &body))?;
            input.extend(graph.output.iter().map(|output| body.resolved(&output.name)));
        }
        self.push(flat(node, input, Vec::new(), scope));
        Ok(())
    }

    fn nested(&mut self, add: impl FnOnce(&mut Self) -> Result<(), OnnxError>) -> Result<(), OnnxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(OnnxError::Invalid(format!(
                "its functions and branches are nested more than {MAX_DEPTH} deep: simplify the file"
            )));
        }
        add(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn add_constants(&mut self, graph: &'a GraphProto, scope: &Scope<'a, '_>) -> Result<(), OnnxError> {
        for tensor in &graph.initializer {
            if !self.calls.is_empty() {
                self.bytes += tensor.encoded_len();
                self.check_size()?;
            }
            self.constants
                .push((scope.resolved(&tensor.name), Constant::Dense(tensor)));
        }
        for tensor in &graph.sparse_initializer {
            let name = tensor.values.as_ref().map_or("", |values| values.name.as_str());
            self.constants.push((scope.resolved(name), Constant::Sparse(tensor)));
        }
        Ok(())
    }

    /// Gives names of a body that have none yet a unique one.
    fn add_own_names(&mut self, names: impl Iterator<Item = &'a str>, body: &mut Scope<'a, '_>) {
        for name in names {
            if !body.names.contains_key(name) {
                let unique = self.names.unused(format!("{}{name}", body.prefix));
                body.names.insert(name, unique);
            }
        }
    }

    /// What the names of a body begin with: the name of its node.
    fn prefix(&self, node: &NodeProto, scope: &Scope<'a, '_>) -> String {
        let prefix = format!("{}{}/", scope.prefix, title(node));
        if prefix.len() <= MAX_PREFIX_BYTES {
            prefix
        } else {
            format!("{}/", self.count)
        }
    }
}

/// A node with the names of its scope.
fn flat<'a>(
    node: &'a NodeProto,
    input: Vec<String>,
    attributes: Vec<(&'a str, &'a AttributeProto)>,
    scope: &Scope<'a, '_>,
) -> FlatNode<'a> {
    let name = match node.name.as_str() {
        "" => String::new(),
        name => format!("{}{name}", scope.prefix),
    };
    FlatNode {
        name,
        op_type: &node.op_type,
        domain: &node.domain,
        opset: scope.opset,
        input,
        output: node.output.iter().map(|name| scope.resolved(name)).collect(),
        attributes,
        guards: scope.guards.clone(),
    }
}

/// The attributes of a node. One that refers to an attribute of the call has its value, and is left out if it has none.
fn attributes<'a>(node: &'a NodeProto, scope: &Scope<'a, '_>) -> Vec<(&'a str, &'a AttributeProto)> {
    let found = node.attribute.iter().filter_map(|attribute| {
        let value = match attribute.ref_attr_name.as_str() {
            "" => attribute,
            referred => scope.attribute(referred)?,
        };
        Some((attribute.name.as_str(), value))
    });
    found.collect()
}

fn defaults(function: &FunctionProto) -> HashMap<&str, &AttributeProto> {
    let named = function.attribute_proto.iter();
    named.map(|attribute| (attribute.name.as_str(), attribute)).collect()
}

fn title(node: &NodeProto) -> &str {
    match node.name.as_str() {
        "" => node.output.first().map_or("", String::as_str),
        name => name,
    }
}
