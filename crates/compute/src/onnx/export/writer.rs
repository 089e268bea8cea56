//! Writes the operators and tensors of one block into the file.

use candle_core::DType;

use crate::error::{ComputeError, Result};
use crate::onnx::proto::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};
use crate::weights::Weights;
use scv_domain::graph::{Node, ParameterRole};

/// Writes the operators and tensors of one block into the file.
pub(super) struct BlockWriter<'a> {
    pub node: &'a Node,
    /// Shape of the first input, for one image.
    pub input_shape: &'a [usize],
    /// Names of the inputs.
    pub inputs: Vec<String>,
    /// Name of the output.
    pub output: String,
    pub weights: &'a Weights,
    pub file: &'a mut GraphProto,
}

impl BlockWriter<'_> {
    /// The name of the first input.
    pub fn input(&self) -> Result<String> {
        let input = self.inputs.first().cloned();
        input.ok_or_else(|| ComputeError::Invalid("it has no input".into()))
    }

    /// Height and width of the first input and of the output.
    pub fn plane_sizes(&self) -> Result<[[usize; 2]; 2]> {
        match (self.input_shape, self.node.output_shape.as_slice()) {
            (&[_, height, width], &[_, output_height, output_width]) => {
                Ok([[height, width], [output_height, output_width]])
            }
            (input, output) => Err(ComputeError::Invalid(format!(
                "its input {input:?} and its output {output:?} are not both images"
            ))),
        }
    }

    /// Writes the operator that computes the block's output.
    pub fn write_output(&mut self, operation: Operation) {
        let (name, output) = (self.node.path.clone(), self.output.clone());
        self.push(operation, name, output);
    }

    /// Writes an operator whose output another operator of the block reads. Returns the name of that output.
    pub fn write_intermediate(&mut self, what: &str, operation: Operation) -> String {
        let name = self.name_within(what);
        self.push(operation, name.clone(), name.clone());
        name
    }

    /// Writes one of the block's own tensors under its key; `None` if the block does not have it.
    pub fn write_tensor(&mut self, role: ParameterRole) -> Result<Option<String>> {
        let Some(parameter) = self.node.parameters.iter().find(|parameter| parameter.role == role) else {
            return Ok(None);
        };
        let key = self.node.key(role);
        let missing = || ComputeError::Invalid(format!("tensor {key} is missing"));
        let tensor = self.weights.get(&key).ok_or_else(missing)?;
        if tensor.dims() != parameter.shape {
            let (expected, actual) = (&parameter.shape, tensor.dims());
            return Err(ComputeError::Invalid(format!(
                "tensor {key} has shape {actual:?}, not {expected:?}"
            )));
        }
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        self.write_named_floats(key.clone(), &parameter.shape, &values);
        Ok(Some(key))
    }

    /// Writes a tensor that the block must have.
    pub fn write_required_tensor(&mut self, role: ParameterRole) -> Result<String> {
        let none = || ComputeError::Invalid(format!("it has no {}", role.name()));
        self.write_tensor(role)?.ok_or_else(none)
    }

    /// Writes a constant that is not a weight.
    pub fn write_floats(&mut self, what: &str, dims: &[usize], values: &[f32]) -> String {
        let name = self.name_within(what);
        self.write_named_floats(name.clone(), dims, values);
        name
    }

    /// Writes a single number.
    pub fn write_number(&mut self, what: &str, value: f64) -> String {
        self.write_floats(what, &[], &[value as f32])
    }

    /// Writes integers, such as sizes and positions.
    pub fn write_integers(&mut self, what: &str, dims: &[usize], values: &[i64]) -> String {
        let name = self.name_within(what);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.push_constant(name.clone(), DataType::Int64, dims, bytes);
        name
    }

    fn name_within(&self, what: &str) -> String {
        format!("{}/{what}", self.node.path)
    }

    fn write_named_floats(&mut self, name: String, dims: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.push_constant(name, DataType::Float, dims, bytes);
    }

    fn push_constant(&mut self, name: String, data_type: DataType, dims: &[usize], raw_data: Vec<u8>) {
        self.file.initializer.push(TensorProto {
            name,
            dims: dims.iter().map(|&length| length as i64).collect(),
            data_type: data_type.into(),
            raw_data,
            ..TensorProto::default()
        });
    }

    fn push(&mut self, operation: Operation, name: String, output: String) {
        self.file.node.push(NodeProto {
            name,
            output: vec![output],
            ..operation.0
        });
    }
}

/// An ONNX operator before it has a name.
pub(super) struct Operation(NodeProto);

impl Operation {
    pub fn new<T: AsRef<str>>(op_type: &str, inputs: &[T]) -> Self {
        Self(NodeProto {
            op_type: op_type.into(),
            input: inputs.iter().map(|input| input.as_ref().to_owned()).collect(),
            ..NodeProto::default()
        })
    }

    pub fn integer(self, name: &str, i: i64) -> Self {
        self.attribute(AttributeProto {
            i,
            ..attribute(name, AttributeType::Int)
        })
    }

    pub fn sizes(self, name: &str, sizes: &[usize]) -> Self {
        self.attribute(AttributeProto {
            ints: sizes.iter().map(|&size| size as i64).collect(),
            ..attribute(name, AttributeType::Ints)
        })
    }

    pub fn number(self, name: &str, number: f64) -> Self {
        self.attribute(AttributeProto {
            f: number as f32,
            ..attribute(name, AttributeType::Float)
        })
    }

    pub fn text(self, name: &str, text: &str) -> Self {
        self.attribute(AttributeProto {
            s: text.into(),
            ..attribute(name, AttributeType::String)
        })
    }

    fn attribute(mut self, attribute: AttributeProto) -> Self {
        self.0.attribute.push(attribute);
        self
    }
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: r#type.into(),
        ..AttributeProto::default()
    }
}
