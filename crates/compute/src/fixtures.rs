//! Small graphs and gradient checks for the unit tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor, Var};

use crate::weights::Weights;
use scv_domain::graph::{Activation, BatchAxis, Graph, Node, Operator, Parameter, ParameterRole, ValueId};

/// The numbers of one tensor.
pub(crate) fn numbers(weights: &Weights, key: &str) -> Vec<f32> {
    let tensor = weights.get(key).unwrap().flatten_all().unwrap();
    tensor.to_vec1().unwrap()
}

/// Builds a graph node by node. A node reads the last value unless its inputs are given.
pub(crate) struct Builder {
    graph: Graph,
}

impl Builder {
    pub(crate) fn new(input_shape: &[usize]) -> Builder {
        Builder {
            graph: Graph {
                input_shape: input_shape.to_vec(),
                nodes: Vec::new(),
                logits: ValueId::INPUT,
                is_batched: true,
            },
        }
    }

    /// Adds a node that reads the last value.
    pub(crate) fn then(
        self,
        operator: Operator,
        output_shape: &[usize],
        parameters: &[(ParameterRole, &[usize])],
    ) -> Self {
        let last = self.graph.output();
        self.join(operator, &[last], output_shape, parameters)
    }

    /// Adds a node that reads `inputs`.
    pub(crate) fn join(
        mut self,
        operator: Operator,
        inputs: &[ValueId],
        output_shape: &[usize],
        parameters: &[(ParameterRole, &[usize])],
    ) -> Self {
        self.graph.nodes.push(Node {
            path: self.graph.nodes.len().to_string(),
            kind: "Test",
            settings: serde_json::Value::Null,
            is_layer: operator.is_measured(),
            operator,
            inputs: inputs.to_vec(),
            output_shape: output_shape.to_vec(),
            batch: Some(BatchAxis::FIRST),
            parameters: parameters
                .iter()
                .map(|&(role, shape)| Parameter {
                    role,
                    shape: shape.to_vec(),
                })
                .collect(),
            multiply_accumulates: 0,
        });
        self
    }

    /// A square convolution with stride 1 that keeps the size.
    pub(crate) fn conv(self, outputs: usize, kernel: usize) -> Self {
        let shape = self.last_shape();
        let weight = [outputs, shape[0], kernel, kernel];
        let operator = Operator::Conv2d {
            stride: [1, 1],
            padding: [kernel / 2, kernel / 2],
            dilation: [1, 1],
            groups: 1,
        };
        let output = [outputs, shape[1], shape[2]];
        self.then(
            operator,
            &output,
            &[(ParameterRole::Weight, &weight), (ParameterRole::Bias, &[outputs])],
        )
    }

    pub(crate) fn batch_norm(self, momentum: Option<f64>) -> Self {
        let shape = self.last_shape();
        let channels = [shape[0]];
        let parameters = [
            (ParameterRole::Weight, channels.as_slice()),
            (ParameterRole::Bias, channels.as_slice()),
            (ParameterRole::RunningMean, channels.as_slice()),
            (ParameterRole::RunningVar, channels.as_slice()),
        ];
        self.then(Operator::BatchNorm2d { eps: 1e-5, momentum }, &shape, &parameters)
    }

    pub(crate) fn activation(self, activation: Activation) -> Self {
        let shape = self.last_shape();
        self.then(Operator::Activation(activation), &shape, &[])
    }

    pub(crate) fn dropout(self, p: f64) -> Self {
        let shape = self.last_shape();
        self.then(Operator::Dropout { p }, &shape, &[])
    }

    pub(crate) fn flatten(self) -> Self {
        let length = self.last_shape().iter().product();
        self.then(Operator::Reshape, &[length], &[])
    }

    pub(crate) fn linear(self, outputs: usize) -> Self {
        let inputs = self.last_shape()[0];
        let weight = [outputs, inputs];
        self.then(
            Operator::Linear,
            &[outputs],
            &[(ParameterRole::Weight, &weight), (ParameterRole::Bias, &[outputs])],
        )
    }

    pub(crate) fn last(&self) -> ValueId {
        self.graph.output()
    }

    /// The graph, whose last value is the logits.
    pub(crate) fn build(mut self) -> Graph {
        self.graph.logits = self.graph.output();
        self.graph
    }

    fn last_shape(&self) -> Vec<usize> {
        self.graph.image_shape(self.graph.output())
    }
}

/// The length of a tensor as one long vector.
pub(crate) fn norm(tensor: &Tensor) -> f64 {
    let squares = tensor.sqr().unwrap().sum_all().unwrap();
    f64::from(squares.to_scalar::<f32>().unwrap().sqrt())
}

/// Checks the gradient of a loss with respect to one of its variables, by central differences over twice `step`. Along
/// the gradient, the slope is the length of the gradient, because no direction is steeper. Along an unrelated
/// direction, a gradient that lacks some of its numbers is detected. `tolerance` is relative to the length. The
/// variable keeps its value.
pub(crate) fn check_gradient(
    what: &str,
    variable: &Var,
    gradient: &Tensor,
    (step, tolerance): (f64, f64),
    loss: impl Fn() -> Tensor,
) {
    let length = norm(gradient);
    let before = variable.as_tensor().copy().unwrap();
    let other = scattered(gradient.dims());
    let directions = [gradient, &other].map(|direction| (direction / norm(direction)).unwrap());
    for direction in directions {
        let at = |step: f64| {
            let moved = (&before + (&direction * step).unwrap()).unwrap();
            variable.set(&moved).unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        variable.set(&before).unwrap();
        let expected = (gradient * &direction).unwrap().sum_all().unwrap();
        let expected = f64::from(expected.to_scalar::<f32>().unwrap());
        assert!(
            (slope - expected).abs() <= tolerance * length,
            "{what}: the slope is {slope}, but {expected} by the gradient, whose length is {length}"
        );
    }
}

/// Well separated numbers from -0.5 to 0.5: the fractions of multiples of the golden ratio.
pub(crate) fn scattered(shape: &[usize]) -> Tensor {
    let number = |index: usize| ((index + 1) as f32 * 0.618_034).fract() - 0.5;
    let numbers: Vec<f32> = (0..shape.iter().product()).map(number).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}
