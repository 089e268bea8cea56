//! Functions of each element as ONNX operators.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::step::{Operation, Step};
use crate::error::Result;
use scv_domain::graph::Activation;

/// The cubic term of the tanh approximation of GELU.
const TANH_CUBE: f64 = 0.044_715;
/// Above it a softplus is its argument to the last digit of an `f32`.
const SOFTPLUS_IS_IDENTITY: f64 = 17.0;

/// Writes a function of each element.
pub(super) fn write(step: &mut Step<'_>, function: Activation) -> Result<()> {
    let input = step.input()?;
    let operation = match function {
        Activation::Relu => Operation::new("Relu", &[input]),
        Activation::LeakyRelu { negative_slope } => {
            Operation::new("LeakyRelu", &[input]).number("alpha", negative_slope)
        }
        Activation::Elu { alpha } => Operation::new("Elu", &[input]).number("alpha", alpha),
        Activation::Gelu { tanh } => gelu(step, &input, tanh),
        Activation::Silu => {
            let share = step.inner("sigmoid", Operation::new("Sigmoid", &[&input]));
            Operation::new("Mul", &[input, share])
        }
        Activation::Sigmoid => Operation::new("Sigmoid", &[input]),
        Activation::Tanh => Operation::new("Tanh", &[input]),
        Activation::Hardtanh { min, max } => {
            let [min, max] = [step.number("min", min), step.number("max", max)];
            Operation::new("Clip", &[input, min, max])
        }
        Activation::Softplus { beta, threshold } => softplus(step, input, beta, threshold),
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
            let soft = softplus(step, input.clone(), 1.0, f64::INFINITY);
            let soft = step.inner("softplus", soft);
            let share = step.inner("tanh", Operation::new("Tanh", &[soft]));
            Operation::new("Mul", &[input, share])
        }
    };
    step.last(operation);
    Ok(())
}

/// `x (1 + f(x)) / 2`, where f is erf(x / √2) or its approximation through tanh.
fn gelu(step: &mut Step<'_>, input: &str, tanh: bool) -> Operation {
    let curve = if tanh {
        let square = step.inner("square", Operation::new("Mul", &[input, input]));
        let cube = step.inner("cube", Operation::new("Mul", &[&square, input]));
        let cubic_term = step.number("cubic_term", TANH_CUBE);
        let bend = step.inner("bend", Operation::new("Mul", &[cube, cubic_term]));
        let sum = step.inner("sum", Operation::new("Add", &[input, &bend]));
        let scale = step.number("scale", FRAC_2_SQRT_PI / SQRT_2);
        let scaled = step.inner("scaled", Operation::new("Mul", &[sum, scale]));
        step.inner("tanh", Operation::new("Tanh", &[scaled]))
    } else {
        let scale = step.number("scale", SQRT_2);
        let scaled = step.inner("scaled", Operation::new("Div", &[input, &scale]));
        step.inner("erf", Operation::new("Erf", &[scaled]))
    };
    let one = step.number("one", 1.0);
    let raised = step.inner("raised", Operation::new("Add", &[curve, one]));
    let product = step.inner("product", Operation::new("Mul", &[input, &raised]));
    let half = step.number("half", 0.5);
    Operation::new("Mul", &[product, half])
}

/// ONNX's softplus has neither sharpness nor threshold.
fn softplus(step: &mut Step<'_>, input: String, beta: f64, threshold: f64) -> Operation {
    if beta == 1.0 && threshold >= SOFTPLUS_IS_IDENTITY {
        return Operation::new("Softplus", &[input]);
    }
    let [beta, threshold] = [step.number("beta", beta), step.number("threshold", threshold)];
    let argument = step.inner("argument", Operation::new("Mul", &[&input, &beta]));
    let sharp = step.inner("sharp", Operation::new("Softplus", &[&argument]));
    let curve = step.inner("curve", Operation::new("Div", &[sharp, beta]));
    let is_above = step.inner("is_above", Operation::new("Greater", &[argument, threshold]));
    Operation::new("Where", &[is_above, input, curve])
}
