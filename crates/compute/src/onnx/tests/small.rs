//! Builds small files from their messages.

use prost::Message as _;

use super::super::proto::*;

/// A file with one input, the images, and one output, that of the last node.
pub(super) fn file(input: &[Option<i64>], nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    let last = nodes.last().and_then(|node| node.output.first()).cloned();
    let dim = input.iter().map(|&dim_value| DimensionProto {
        dim_value,
        dim_param: dim_value.is_none().then(|| "open".to_owned()),
    });
    let shape = TensorShapeProto { dim: dim.collect() };
    let tensor = TensorTypeProto {
        elem_type: DataType::Float as i32,
        shape: Some(shape),
    };
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer: constants,
            input: vec![ValueInfoProto {
                name: "x".into(),
                r#type: Some(TypeProto {
                    tensor_type: Some(tensor),
                }),
            }],
            output: last.into_iter().map(output).collect(),
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// The bytes of a file.
pub(super) fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// An output of the file.
pub(super) fn output(name: impl Into<String>) -> ValueInfoProto {
    ValueInfoProto {
        name: name.into(),
        r#type: None,
    }
}

/// A node with one output, which has the same name as the node.
pub(super) fn node(operator: &str, inputs: &[&str], name: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![name.to_owned()],
        name: name.to_owned(),
        op_type: operator.to_owned(),
        attribute: attributes,
        ..NodeProto::default()
    }
}

/// An attribute with a list of integers.
pub(super) fn ints(name: &str, numbers: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: numbers.to_vec(),
        r#type: AttributeType::Ints as i32,
        ..AttributeProto::default()
    }
}

/// An attribute with one integer.
pub(super) fn int(name: &str, number: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: number,
        r#type: AttributeType::Int as i32,
        ..AttributeProto::default()
    }
}

/// An attribute with text.
pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        s: value.as_bytes().to_vec(),
        r#type: AttributeType::String as i32,
        ..AttributeProto::default()
    }
}

/// A constant of any type, from its bytes.
pub(super) fn bytes_of(name: &str, element_type: DataType, dims: &[i64], bytes: &[u8]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: element_type as i32,
        raw_data: bytes.to_vec(),
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

/// A constant of these floats.
pub(super) fn numbers_of(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: numbers.to_vec(),
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

/// A constant of integers.
pub(super) fn list(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        dims: vec![numbers.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: numbers.to_vec(),
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

/// A constant of distinct floats.
pub(super) fn numbers(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>();
    TensorProto {
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: (0..count).map(|place| (place as f32 * 0.7 + 0.3).sin()).collect(),
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

/// A convolution with its activation, and a linear layer after a reshaping that mentions the batch size.
pub(super) fn classifier(batch: Option<i64>, reshape: [i64; 2]) -> ModelProto {
    file(
        &[batch, Some(3), Some(6), Some(6)],
        vec![
            node("Conv", &["x", "kernel"], "conv", vec![ints("pads", &[1, 1, 1, 1])]),
            node("Relu", &["conv"], "relu", Vec::new()),
            node("Reshape", &["relu", "shape"], "flat", Vec::new()),
            node("Gemm", &["flat", "weight", "bias"], "scores", vec![int("transB", 1)]),
        ],
        vec![
            numbers("kernel", &[4, 3, 3, 3]),
            list("shape", &reshape),
            numbers("weight", &[5, 144]),
            numbers("bias", &[5]),
        ],
    )
}

/// A call of a function of the file's own.
pub(super) fn call(function: &str, inputs: &[&str], name: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        domain: "own".to_owned(),
        ..node(function, inputs, name, attributes)
    }
}

/// A function of the file's own. Its output is that of its last node.
pub(super) fn function(name: &str, inputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    let last = nodes.last().and_then(|node| node.output.first()).cloned();
    FunctionProto {
        name: name.to_owned(),
        domain: "own".to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: last.into_iter().collect(),
        node: nodes,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        ..FunctionProto::default()
    }
}

/// An attribute with a graph, whose output is that of its last node, or a value of its surroundings.
pub(super) fn branch(name: &str, nodes: Vec<NodeProto>, result: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        g: Some(GraphProto {
            node: nodes,
            output: vec![output(result)],
            ..GraphProto::default()
        }),
        r#type: AttributeType::Graph as i32,
        ..AttributeProto::default()
    }
}
