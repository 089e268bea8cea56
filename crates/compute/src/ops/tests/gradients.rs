//! Compares the gradients of layers with finite differences, in both implementations.

use std::collections::BTreeSet;

use super::*;
use crate::fixtures::{check_gradient, norm, scattered};

/// Kinds of layers that the script has cases of.
const KINDS: usize = 10;

/// The index of a layer's kind among them. For a new kind, state here where its gradient is checked.
fn kind(operator: &Operator) -> Option<usize> {
    Some(match operator {
        Operator::Conv2d { .. } => 0,
        Operator::ConvTranspose2d { .. } => 1,
        Operator::MaxPool2d { .. } => 2,
        Operator::AvgPool2d { .. } => 3,
        Operator::AdaptiveAvgPool2d => 4,
        Operator::Pad2d { .. } => 5,
        Operator::BatchNorm2d { .. } => 6,
        Operator::Linear => 7,
        Operator::Softmax { .. } => 8,
        Operator::Activation(_) => 9,
        // Checked in whole networks, and with the operations on whole tensors.
        Operator::Dropout { .. } | Operator::Reshape | Operator::Add | Operator::Tensor(_) => return None,
    })
}

#[test]
fn gradients_of_every_kind_of_layer_match_finite_differences_for_all_windows() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut checked = [false; KINDS];
    for case in golden["cases"].as_array().unwrap() {
        if case["training"].as_bool().unwrap() {
            continue;
        }
        let built = built(case);
        // The script's own inputs have ties, where there is no slope.
        let input = &built.variables["input"];
        input.set(&(scattered(input.dims()) * 4.0).unwrap()).unwrap();
        checked[kind(&built.node.operator).unwrap()] = true;
        for kernels in [Kernels::Cpu, Kernels::Portable] {
            let loss = || directed_sum(&built.output(kernels));
            let gradients = loss().backward().unwrap();
            for (role, variable) in &built.variables {
                let what = format!("{} on {kernels:?}, {role}", built.name);
                let gradient = gradients.get(variable).unwrap();
                assert!(norm(gradient) > 0.01, "{what} has no slope");
                check_gradient(&what, variable, gradient, (2e-3, 0.01), loss);
            }
        }
    }
    assert_eq!(checked, [true; KINDS]);
}

/// The index of an activation's kind among them. For a new activation, add its index here and an example to
/// `ACTIVATIONS`.
fn activation_kind(activation: Activation) -> usize {
    match activation {
        Activation::Relu => 0,
        Activation::LeakyRelu { .. } => 1,
        Activation::Elu { .. } => 2,
        Activation::Gelu { .. } => 3,
        Activation::Silu => 4,
        Activation::Sigmoid => 5,
        Activation::Tanh => 6,
        Activation::Hardtanh { .. } => 7,
        Activation::Softplus { .. } => 8,
        Activation::HardSigmoid { .. } => 9,
        Activation::HardSwish => 10,
        Activation::Selu { .. } => 11,
        Activation::Celu { .. } => 12,
        Activation::ThresholdedRelu { .. } => 13,
        Activation::Softsign => 14,
        Activation::Mish => 15,
    }
}

#[test]
fn there_is_an_example_of_every_activation() {
    let kinds: BTreeSet<usize> = ACTIVATIONS.into_iter().map(activation_kind).collect();
    assert_eq!(kinds, (0..16).collect());
}

#[test]
fn gradients_of_every_activation_match_finite_differences() {
    // From -3.93 to 3.89: beyond the kinks of all of them, but on none.
    let spread: Vec<f32> = (0..35).map(|step| -3.93 + 0.23 * step as f32).collect();
    let x = Var::new(spread.as_slice(), &Device::Cpu).unwrap();
    for kernels in [Kernels::Cpu, Kernels::Portable] {
        for activation in ACTIVATIONS {
            let loss = || directed_sum(&activation::apply(kernels, &x, activation).unwrap());
            let gradients = loss().backward().unwrap();
            let gradient = gradients.get(&x).unwrap();
            let what = format!("{activation:?} on {kernels:?}");
            check_gradient(&what, &x, gradient, (2e-3, 0.01), loss);
        }
    }
}
