//! Compares the optimizers with PyTorch's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use serde_json::Value;

use super::*;

/// What `scripts/golden_training.py` wrote.
const GOLDEN: &str = include_str!("../../../../tests/golden/training.json");

#[test]
fn every_optimizer_agrees_with_pytorch() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for case in golden["optimizers"].as_array().unwrap() {
        let optimizer: Optimizer = serde_json::from_value(case["optimizer"].clone()).unwrap();
        let variable = Var::from_tensor(&numbers(1.0)).unwrap();
        let mut descent = Descent::new(optimizer, vec![variable.clone()]);
        for step in 0..4 {
            // The gradient of a product with constants is those constants.
            let loss = (variable.as_tensor() * numbers(2.0 + f64::from(step)))
                .unwrap()
                .sum_all()
                .unwrap();
            descent.step(&loss.backward().unwrap(), 0.1).unwrap();
        }
        let after = variable.to_vec1::<f32>().unwrap();
        for (after, expected) in after.iter().zip(case["after"].as_array().unwrap()) {
            let expected = expected.as_f64().unwrap();
            assert!(
                (f64::from(*after) - expected).abs() < 2e-6,
                "{optimizer:?}: {after} is not {expected}"
            );
        }
    }
}

#[test]
fn a_cosine_schedule_falls_from_the_learning_rate_towards_zero() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for (batch, expected) in golden["cosine"].as_array().unwrap().iter().enumerate() {
        let rate = learning_rate(Schedule::Cosine, 0.3, batch, 7);
        assert!(
            (rate - expected.as_f64().unwrap()).abs() < 1e-12,
            "batch {batch}: {rate} is not {expected}"
        );
    }
    assert_eq!(learning_rate(Schedule::Constant, 0.3, 5, 7), 0.3);
}

#[test]
fn a_variable_without_a_gradient_stays_unchanged() {
    let (used, unused) = (
        Var::from_tensor(&numbers(0.0)).unwrap(),
        Var::from_tensor(&numbers(1.0)).unwrap(),
    );
    let mut descent = Descent::new(
        Optimizer::Adam { weight_decay: 0.1 },
        vec![used.clone(), unused.clone()],
    );
    let before = unused.to_vec1::<f32>().unwrap();
    descent.step(&used.sum_all().unwrap().backward().unwrap(), 0.1).unwrap();
    assert_eq!(unused.to_vec1::<f32>().unwrap(), before);
}

fn numbers(phase: f64) -> Tensor {
    let values: Vec<f32> = (0..5)
        .map(|index| (0.37 * f64::from(index) + phase).sin() as f32)
        .collect();
    Tensor::from_vec(values, 5, &Device::Cpu).unwrap()
}
