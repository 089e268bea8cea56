//! A network as an ONNX file.
//!
//! Every block becomes the operator of the same meaning, with the block's path for a name, and its
//! weights keep their keys of the state dict. Where ONNX has no such operator, several stand for the
//! block: the last bears the path, those before it the path, a slash and what they make.

mod activation;
mod convolution;
mod layer;
mod pad;
mod pool;
mod step;

use prost::Message;

use crate::error::{ComputeError, Result};
use crate::onnx::proto::{
    DataType, DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::weights::Weights;
use scv_domain::graph::{Graph, Node, ValueId};
use step::Step;

/// The operator set that PyTorch's own exporter wrote for years: every runtime of today reads it,
/// and what later ones add is composed here of a few operators.
const OPSET: i64 = 17;
/// The format of the file that came with that operator set.
const IR_VERSION: i64 = 8;

/// Name of the batch dimension, which is left open.
const BATCH: &str = "batch";
/// The value read: normalised pixels, `[batch, channels, height, width]`.
const IMAGES: &str = "images";
/// The scores, one a class, before a closing softmax.
const LOGITS: &str = "logits";
/// What a closing softmax makes of the scores.
const PROBABILITIES: &str = "probabilities";

/// Writes a network with its weights as the bytes of an ONNX file.
///
/// The input is `images`, the outputs are `logits` and, if the network closes with a softmax,
/// `probabilities`. Equal networks give equal bytes.
///
/// # Errors
/// [`ComputeError::Layer`] names the block that ONNX cannot express, or whose weights are missing or
/// of another shape; [`ComputeError::Invalid`] if the network computes nothing.
pub fn to_onnx(graph: &Graph, weights: &Weights, name: &str) -> Result<Vec<u8>> {
    if graph.logits == ValueId::INPUT {
        let message = "the network answers with its input: there is nothing to write down";
        return Err(ComputeError::Invalid(message.into()));
    }
    let mut file = GraphProto {
        name: name.to_owned(),
        input: vec![value_info(graph, ValueId::INPUT)],
        output: vec![value_info(graph, graph.logits)],
        ..GraphProto::default()
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        let made = ValueId(index + 1);
        let step = Step {
            node,
            input_shape: node.inputs.first().map_or(&[], |&input| graph.shape(input)),
            inputs: node.inputs.iter().map(|&input| value_name(graph, input)).collect(),
            output: value_name(graph, made),
            weights,
            file: &mut file,
        };
        layer::write(step).map_err(|source| at_layer(node, source))?;
        if made != graph.logits && made != graph.output() {
            file.value_info.push(value_info(graph, made));
        }
    }
    if graph.output() != graph.logits {
        file.output.push(value_info(graph, graph.output()));
    }
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: "SCV".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(file),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        ..ModelProto::default()
    };
    Ok(model.encode_to_vec())
}

/// What a value is called in the file: by the block that makes it, unless it is an end of the network.
fn value_name(graph: &Graph, value: ValueId) -> String {
    match value {
        ValueId::INPUT => IMAGES.into(),
        value if value == graph.logits => LOGITS.into(),
        value if value == graph.output() => PROBABILITIES.into(),
        ValueId(id) => graph.nodes[id - 1].path.clone(),
    }
}

fn value_info(graph: &Graph, value: ValueId) -> ValueInfoProto {
    let batch = DimensionProto {
        dim_value: None,
        dim_param: Some(BATCH.into()),
    };
    let own = graph.shape(value).iter().map(|&length| DimensionProto {
        dim_value: Some(length as i64),
        dim_param: None,
    });
    ValueInfoProto {
        name: value_name(graph, value),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: DataType::Float.into(),
                shape: Some(TensorShapeProto {
                    dim: std::iter::once(batch).chain(own).collect(),
                }),
            }),
        }),
    }
}

fn at_layer(node: &Node, source: ComputeError) -> ComputeError {
    ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
