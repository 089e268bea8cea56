//! Element-wise functions as ONNX operators.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::writer::{BlockWriter, Operation};
use crate::error::Result;
use scv_domain::graph::Activation;

/// The cubic term of the tanh approximation of GELU.
const TANH_CUBE: f64 = 0.044_715;
/// From here on, softplus equals its argument to the last digit of an `f32`.
const SOFTPLUS_IS_IDENTITY: f64 = 17.0;

/// Writes an element-wise function.
pub(super) fn write(writer: &mut BlockWriter<'_>, function: Activation) -> Result<()> {
    let input = writer.input()?;
    let operation = match function {
        Activation::Relu => Operation::new("Relu", &[input]),
        Activation::LeakyRelu { negative_slope } => {
            Operation::new("LeakyRelu", &[input]).number("alpha", negative_slope)
        }
        Activation::Elu { alpha } => Operation::new("Elu", &[input]).number("alpha", alpha),
        Activation::Gelu { tanh } => gelu(writer, &input, tanh),
        Activation::Silu => {
            let gate = writer.write_intermediate("sigmoid", Operation::new("Sigmoid", &[&input]));
            Operation::new("Mul", &[input, gate])
        }
        Activation::Sigmoid => Operation::new("Sigmoid", &[input]),
        Activation::Tanh => Operation::new("Tanh", &[input]),
        Activation::Hardtanh { min, max } => {
            let [min, max] = [writer.write_number("min", min), writer.write_number("max", max)];
            Operation::new("Clip", &[input, min, max])
        }
        Activation::Softplus { beta, threshold } => softplus(writer, input, beta, threshold),
        Activation::HardSigmoid { alpha, beta } => Operation::new("HardSigmoid", &[input])
            .number("alpha", alpha)
            .number("beta", beta),
        Activation::HardSwish => Operation::new("HardSwish", &[input]),
        Activation::Selu { alpha, gamma } => Operation::new("Selu", &[input])
            .number("alpha", alpha)
            .number("gamma", gamma),
        Activation::Celu { alpha } => Operation::new("Celu", &[input]).number("alpha", alpha),
        Activation::ThresholdedRelu { alpha } => Operation::new("ThresholdedRelu", &[input]).number("alpha", alpha),
        Activation::Softsign => Operation::new("Softsign", &[input]),
        Activation::Mish => {
            let soft = softplus(writer, input.clone(), 1.0, f64::INFINITY);
            let soft = writer.write_intermediate("softplus", soft);
            let gate = writer.write_intermediate("tanh", Operation::new("Tanh", &[soft]));
            Operation::new("Mul", &[input, gate])
        }
    };
    writer.write_output(operation);
    Ok(())
}

/// `x (1 + f(x)) / 2`, where f is erf(x / √2) or its approximation through tanh.
fn gelu(writer: &mut BlockWriter<'_>, input: &str, tanh: bool) -> Operation {
    let curve = if tanh {
        let square = writer.write_intermediate("square", Operation::new("Mul", &[input, input]));
        let cube = writer.write_intermediate("cube", Operation::new("Mul", &[&square, input]));
        let cubic_term = writer.write_number("cubic_term", TANH_CUBE);
        let bend = writer.write_intermediate("bend", Operation::new("Mul", &[cube, cubic_term]));
        let sum = writer.write_intermediate("sum", Operation::new("Add", &[input, &bend]));
        let scale = writer.write_number("scale", FRAC_2_SQRT_PI / SQRT_2);
        let scaled = writer.write_intermediate("scaled", Operation::new("Mul", &[sum, scale]));
        writer.write_intermediate("tanh", Operation::new("Tanh", &[scaled]))
    } else {
        let scale = writer.write_number("scale", SQRT_2);
        let scaled = writer.write_intermediate("scaled", Operation::new("Div", &[input, &scale]));
        writer.write_intermediate("erf", Operation::new("Erf", &[scaled]))
    };
    let one = writer.write_number("one", 1.0);
    let raised = writer.write_intermediate("raised", Operation::new("Add", &[curve, one]));
    let product = writer.write_intermediate("product", Operation::new("Mul", &[input, &raised]));
    let half = writer.write_number("half", 0.5);
    Operation::new("Mul", &[product, half])
}

/// A softplus with a sharpness `beta` and a threshold, which ONNX's own operator does not have.
fn softplus(writer: &mut BlockWriter<'_>, input: String, beta: f64, threshold: f64) -> Operation {
    if beta == 1.0 && threshold >= SOFTPLUS_IS_IDENTITY {
        return Operation::new("Softplus", &[input]);
    }
    let [beta, threshold] = [
        writer.write_number("beta", beta),
        writer.write_number("threshold", threshold),
    ];
    let argument = writer.write_intermediate("argument", Operation::new("Mul", &[&input, &beta]));
    let sharp = writer.write_intermediate("sharp", Operation::new("Softplus", &[&argument]));
    let curve = writer.write_intermediate("curve", Operation::new("Div", &[sharp, beta]));
    let is_above = writer.write_intermediate("is_above", Operation::new("Greater", &[argument, threshold]));
    Operation::new("Where", &[is_above, input, curve])
}
