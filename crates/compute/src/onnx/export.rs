//! Writes a network as an ONNX file.
//!
//! Every block becomes the equivalent operator, named by the block's path, and its weights keep their keys of the state
//! dict. Where ONNX has no such operator, several operators represent the block. The last one is named by the path, and
//! the others by the path, a slash and a name for their output.

mod activation;
mod convolution;
mod layer;
mod pad;
mod pool;
mod writer;

use prost::Message;

use crate::error::{ComputeError, Result};
use crate::onnx::proto::{
    DataType, DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::weights::Weights;
use scv_domain::graph::{Graph, Node, ValueId};
use writer::BlockWriter;

/// The operator set that PyTorch's exporter wrote for years. Every current runtime reads it, and functions that later
/// sets add are composed from a few operators here.
const OPSET: i64 = 17;
/// The version of the file format that was released with this operator set.
const IR_VERSION: i64 = 8;

/// Name of the batch dimension, which is left open.
const BATCH: &str = "batch";
/// The input: normalised pixels, `[batch, channels, height, width]`.
const IMAGES: &str = "images";
/// The scores, one per class, before a closing softmax.
const LOGITS: &str = "logits";
/// The output of a closing softmax.
const PROBABILITIES: &str = "probabilities";

/// Writes a network with its weights as the bytes of an ONNX file.
///
/// The input is `images`; the outputs are `logits` and, if the network ends with a softmax, `probabilities`. Equal
/// networks give equal bytes.
///
/// # Errors
/// [`ComputeError::Layer`] names a block that ONNX cannot express, or whose weights are missing or of another shape;
/// [`ComputeError::Invalid`] if the network computes nothing.
pub fn to_onnx(graph: &Graph, weights: &Weights, name: &str) -> Result<Vec<u8>> {
    if graph.logits == ValueId::INPUT {
        let message = "the network returns its input: there is nothing to export";
        return Err(ComputeError::Invalid(message.into()));
    }
    let mut file = GraphProto {
        name: name.to_owned(),
        input: vec![value_info(graph, ValueId::INPUT)],
        output: vec![value_info(graph, graph.logits)],
        ..GraphProto::default()
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        let output = ValueId(index + 1);
        let writer = BlockWriter {
            node,
            input_shape: node.inputs.first().map_or(&[], |&input| graph.shape(input)),
            inputs: node.inputs.iter().map(|&input| value_name(graph, input)).collect(),
            output: value_name(graph, output),
            weights,
            file: &mut file,
        };
        layer::write(writer).map_err(|source| at_layer(node, source))?;
        if output != graph.logits && output != graph.output() {
            file.value_info.push(value_info(graph, output));
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

/// The name of a value in the file: the path of the block that computes it, or the fixed name of an input or output.
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

fn at_layer(node: &Node, cause: ComputeError) -> ComputeError {
    ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        cause: Box::new(cause),
    }
}

#[cfg(test)]
mod tests;
