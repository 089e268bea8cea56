//! The functions that a file defines, found by what calls them.

use std::collections::HashMap;

use crate::error::OnnxError;
use crate::onnx::file::{is_onnx_domain, supported, version_of_onnx};
use crate::onnx::proto::{FunctionProto, NodeProto};

/// The domain, name and overload of a function.
type Key<'a> = (&'a str, &'a str, &'a str);

/// The functions of a file.
pub(super) struct Functions<'a>(HashMap<Key<'a>, &'a FunctionProto>);

impl<'a> Functions<'a> {
    /// # Errors
    /// Two functions that a call could mean, or one of an operator set that SCV does not support.
    pub(super) fn of(functions: &'a [FunctionProto]) -> Result<Self, OnnxError> {
        let mut known = HashMap::new();
        for function in functions {
            let key = (
                domain(&function.domain),
                function.name.as_str(),
                function.overload.as_str(),
            );
            if known.insert(key, function).is_some() {
                return Err(OnnxError::Invalid(format!(
                    "function {:?} is defined twice",
                    function.name
                )));
            }
        }
        Ok(Self(known))
    }

    /// The function that a node calls; `None` for an operator.
    pub(super) fn called_by(&self, node: &NodeProto) -> Option<&'a FunctionProto> {
        let key = (domain(&node.domain), node.op_type.as_str(), node.overload.as_str());
        self.0.get(&key).copied()
    }
}

/// The version of ONNX's operators in the body of a function; that of the file if it states none.
///
/// # Errors
/// It is not supported.
pub(super) fn opset_of(function: &FunctionProto, of_file: i64) -> Result<i64, OnnxError> {
    supported(version_of_onnx(&function.opset_import).unwrap_or(of_file))
}

fn domain(name: &str) -> &str {
    if is_onnx_domain(name) { "" } else { name }
}
