//! Attributions of networks whose gradients are known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::fixtures::Builder;
use crate::weights::Weights;
use scv_domain::graph::{Activation, Operator, TensorOperator, UnaryFunction};
use scv_domain::image::ImageShape;

fn network(seed: u64) -> Network {
    let graph = Builder::new(&[2, 6, 5])
        .conv(4, 3)
        .activation(Activation::Silu)
        .conv(3, 3)
        .activation(Activation::Tanh)
        .flatten()
        .linear(4)
        .build();
    let weights = Weights::init(&graph, seed, &Device::Cpu).unwrap();
    Network::new(Arc::new(graph), weights)
}

fn task(method: AttributionMethod) -> AttributionTask {
    let shape = ImageShape {
        channels: 2,
        height: 6,
        width: 5,
    };
    AttributionTask {
        network: Arc::new(network(3)),
        image: Images {
            shape,
            pixels: (0..shape.len()).map(|index| (index * 37 % 256) as u8).collect(),
        },
        statistics: ChannelStatistics {
            mean: vec![0.4, 0.6],
            std: vec![0.3, 0.2],
        },
        class: 2,
        method,
        activation_limit: u64::MAX,
    }
}

fn run(task: &AttributionTask) -> Result<Attribution> {
    task.clone()
        .run(&DeviceContext::new(Device::Cpu), &Control::unwatched())
}

fn score(task: &AttributionTask, input: &Tensor) -> f64 {
    let logits = task
        .network
        .forward(input, Mode::Inference, &mut |_, _| Ok(()))
        .unwrap();
    value(&logits.flatten_all().unwrap().get(task.class).unwrap()).unwrap()
}

#[test]
fn the_input_gradient_is_the_slope_of_the_score() {
    let task = task(AttributionMethod::InputGradient);
    let found = run(&task).unwrap();
    assert_eq!((found.channels, found.height, found.width), (2, 6, 5));
    let input = task
        .network
        .input_tensor(&task.image, &task.statistics, &Device::Cpu)
        .unwrap();
    let flat = numbers(&input).unwrap();
    for index in [0, 7, 29, 31, 59] {
        let moved = |step: f32| {
            let mut moved = flat.clone();
            moved[index] += step;
            score(&task, &Tensor::from_vec(moved, input.dims(), &Device::Cpu).unwrap())
        };
        let slope = (moved(0.01) - moved(-0.01)) / 0.02;
        let gradient = f64::from(found.values[index]);
        assert!((slope - gradient).abs() < 1e-3, "at {index}: {slope} is not {gradient}");
    }
}

#[test]
fn integrated_gradients_add_up_to_the_difference_of_the_scores() {
    let found = run(&task(AttributionMethod::IntegratedGradients { steps: 30 })).unwrap();
    let error = found.completeness_error.unwrap();
    assert!(error < 1e-4, "{error}");
    let coarse = run(&task(AttributionMethod::IntegratedGradients { steps: 1 })).unwrap();
    assert!(coarse.completeness_error.unwrap() > error);
}

#[test]
fn smooth_gradients_without_noise_equal_the_gradient_and_with_noise_depend_on_the_seed() {
    let plain = run(&task(AttributionMethod::InputGradient)).unwrap();
    let smooth = |noise: f64, seed: u64| {
        run(&task(AttributionMethod::SmoothGrad {
            samples: 4,
            noise,
            seed,
        }))
        .unwrap()
    };
    for (a, b) in smooth(0.0, 1).values.iter().zip(&plain.values) {
        assert!((a - b).abs() < 1e-5);
    }
    assert_eq!(smooth(0.2, 1), smooth(0.2, 1));
    assert_ne!(smooth(0.2, 1), smooth(0.2, 2));
}

#[test]
fn grad_cam_weighs_the_channels_of_a_layer_by_their_mean_gradient() {
    let task = task(AttributionMethod::GradCam { layer: 0 });
    let found = run(&task).unwrap();
    let input = task
        .network
        .input_tensor(&task.image, &task.statistics, &Device::Cpu)
        .unwrap();
    let at = ValueId(task.network.graph().layers().next().unwrap().0 + 1);
    let activations = task.network.forward_to(&input, at).unwrap();
    let (_, channels, height, width) = activations.dims4().unwrap();
    assert_eq!((found.channels, found.height, found.width), (1, height, width));

    // A shift of all numbers of a channel moves the score by the sum of their gradients.
    let pass = task.network.forward_with_leaf(&input, at).unwrap();
    let gradient = ClassScore {
        network: &task.network,
        class: task.class,
    }
    .of(&pass.logits)
    .unwrap()
    .backward()
    .unwrap()
    .remove(&pass.leaf)
    .unwrap();
    let mean = numbers(&gradient.mean((2, 3)).unwrap()).unwrap();
    let activations = numbers(&activations).unwrap();
    let area = height * width;
    for (index, value) in found.values.iter().enumerate() {
        let sum: f32 = (0..channels)
            .map(|channel| mean[channel] * activations[channel * area + index])
            .sum();
        assert!((value - sum.max(0.0)).abs() < 1e-4, "{value} is not {sum}");
    }
}

#[test]
fn the_points_of_the_integral_are_those_of_gauss_and_legendre() {
    let two = gauss_legendre(2);
    let expected = [(0.5 - 3f64.sqrt() / 6.0, 0.5), (0.5 + 3f64.sqrt() / 6.0, 0.5)];
    for ((at, weight), (expected_at, expected_weight)) in two.into_iter().zip(expected) {
        assert!((at - expected_at).abs() < 1e-12 && (weight - expected_weight).abs() < 1e-12);
    }
    // Exact for polynomials of up to twice as many degrees as points, less one.
    for (points, degree) in [(1, 1), (5, 9), (50, 60)] {
        let sum: f64 = gauss_legendre(points)
            .iter()
            .map(|(at, weight)| weight * at.powi(degree))
            .sum();
        assert!(
            (sum - 1.0 / f64::from(degree + 1)).abs() < 1e-12,
            "{points} points, degree {degree}"
        );
    }
}

#[test]
fn a_class_or_layer_that_does_not_fit_is_refused() {
    let beyond = AttributionTask {
        class: 4,
        ..task(AttributionMethod::InputGradient)
    };
    let error = run(&beyond).unwrap_err().to_string();
    assert_eq!(error, "class 4 is out of range (0–3)");
    let layers = task(AttributionMethod::InputGradient).network.graph().layers().count();
    let error = run(&task(AttributionMethod::GradCam { layer: layers - 1 }))
        .unwrap_err()
        .to_string();
    assert!(error.contains("needs a layer with rows and columns"), "{error}");
    assert!(run(&task(AttributionMethod::GradCam { layer: 99 })).is_err());
}

/// The network, image and attributions of Captum in tests/golden/attribution.json.
fn golden() -> (serde_json::Value, AttributionTask) {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/golden/attribution.json")).unwrap();
    let shape = ImageShape {
        channels: 2,
        height: 11,
        width: 9,
    };
    let blocks: Vec<_> = serde_json::from_value(golden["blocks"].clone()).unwrap();
    let graph = scv_domain::block::lower(&blocks, shape, 6).unwrap();
    let mut weights = Weights::default();
    for (key, tensor) in golden["weights"].as_object().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        let tensor = Tensor::from_vec(list(&tensor["values"]), shape, &Device::Cpu).unwrap();
        weights.0.insert(key.clone(), tensor);
    }
    let task = AttributionTask {
        network: Arc::new(Network::new(Arc::new(graph), weights)),
        image: Images {
            shape,
            pixels: list(&golden["pixels"]).iter().map(|pixel| *pixel as u8).collect(),
        },
        statistics: ChannelStatistics {
            mean: list(&golden["mean"]),
            std: list(&golden["std"]),
        },
        class: golden["class"].as_u64().unwrap() as usize,
        method: AttributionMethod::InputGradient,
        activation_limit: u64::MAX,
    };
    (golden, task)
}

fn list(value: &serde_json::Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap() as f32)
        .collect()
}

#[test]
fn attributions_are_those_of_captum_on_the_same_weights() {
    let (golden, task) = golden();
    for (name, method) in [
        ("input_gradient", AttributionMethod::InputGradient),
        (
            "integrated_gradients",
            AttributionMethod::IntegratedGradients { steps: 50 },
        ),
        // The second convolution: among the layers, the pooling has index 2.
        ("grad_cam", AttributionMethod::GradCam { layer: 3 }),
    ] {
        let found = run(&AttributionTask { method, ..task.clone() }).unwrap();
        assert!((found.score - golden["score"].as_f64().unwrap()).abs() < 1e-4);
        let expected = list(&golden[name]);
        assert_eq!(found.values.len(), expected.len(), "{name}");
        let largest = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
        for (index, (value, expected)) in found.values.iter().zip(&expected).enumerate() {
            let error = (value - expected).abs();
            assert!(
                error < 1e-4 * largest.max(1.0),
                "{name} at {index}: {value} is not {expected}"
            );
        }
        if let Some(error) = found.completeness_error {
            let captum = golden["convergence_delta"].as_f64().unwrap().abs();
            assert!((error - captum).abs() < 1e-3, "{error} is not {captum}");
        }
    }
}

#[test]
fn every_method_reports_a_gradient_that_is_not_finite() {
    // The root of a number that is always 0: an infinite slope, times weights of 0.
    let graph = Builder::new(&[2, 6, 5]).conv(4, 3).flatten().linear(3);
    let root = Operator::Tensor(TensorOperator::Unary(UnaryFunction::Sqrt));
    let graph = graph.then(root, &[3], &[]).build();
    let mut weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
    for (key, shape) in [("2.weight", vec![3, 120]), ("2.bias", vec![3])] {
        let zeros = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        weights.0.insert(key.to_owned(), zeros);
    }
    let network = Arc::new(Network::new(Arc::new(graph), weights));
    for method in [
        AttributionMethod::InputGradient,
        AttributionMethod::SmoothGrad {
            samples: 2,
            noise: 0.1,
            seed: 0,
        },
        AttributionMethod::IntegratedGradients { steps: 2 },
        AttributionMethod::GradCam { layer: 0 },
    ] {
        let task = AttributionTask {
            network: Arc::clone(&network),
            ..task(method)
        };
        let error = run(&task).unwrap_err().to_string();
        assert!(
            error.starts_with("the gradient is NaN or infinite"),
            "{method:?}: {error}"
        );
    }
}

#[test]
fn smooth_gradients_are_close_to_those_of_captum_with_other_noise() {
    let (golden, task) = golden();
    let found = run(&AttributionTask {
        method: AttributionMethod::SmoothGrad {
            samples: 300,
            noise: golden["noise"].as_f64().unwrap(),
            seed: 1,
        },
        ..task
    })
    .unwrap();
    let expected = list(&golden["smooth_grad"]);
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let (ours, theirs) = (&found.values, &expected);
    let cosine = product(ours, theirs) / (product(ours, ours) * product(theirs, theirs)).sqrt();
    assert!(cosine > 0.99, "{cosine}");
}
