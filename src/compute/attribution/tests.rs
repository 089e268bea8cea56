//! Attributions of networks whose gradients are known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::compute::fixtures::Builder;
use crate::compute::weights::Weights;
use crate::domain::graph::Activation;
use crate::domain::image::ImageShape;

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

fn task(method: Method) -> AttributionTask {
    let shape = ImageShape {
        channels: 2,
        height: 6,
        width: 5,
    };
    AttributionTask {
        network: Arc::new(network(3)),
        image: Images {
            shape,
            pixels: (0..shape.len()).map(|place| (place * 37 % 256) as u8).collect(),
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
    attribute(task, &Device::Cpu, &Control::unwatched())
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
    let task = task(Method::InputGradient);
    let found = run(&task).unwrap();
    assert_eq!((found.channels, found.height, found.width), (2, 6, 5));
    let input = task
        .network
        .input_of(&task.image, &task.statistics, &Device::Cpu)
        .unwrap();
    let flat = numbers(&input).unwrap();
    for place in [0, 7, 29, 31, 59] {
        let moved = |step: f32| {
            let mut moved = flat.clone();
            moved[place] += step;
            score(&task, &Tensor::from_vec(moved, input.dims(), &Device::Cpu).unwrap())
        };
        let slope = (moved(0.01) - moved(-0.01)) / 0.02;
        let gradient = f64::from(found.values[place]);
        assert!((slope - gradient).abs() < 1e-3, "at {place}: {slope} is not {gradient}");
    }
}

#[test]
fn integrated_gradients_add_up_to_the_difference_of_the_scores() {
    let found = run(&task(Method::IntegratedGradients { steps: 30 })).unwrap();
    let error = found.completeness_error.unwrap();
    assert!(error < 1e-4, "{error}");
    let coarse = run(&task(Method::IntegratedGradients { steps: 1 })).unwrap();
    assert!(coarse.completeness_error.unwrap() > error);
}

#[test]
fn smooth_gradients_without_noise_are_the_gradient_and_with_noise_follow_their_seed() {
    let plain = run(&task(Method::InputGradient)).unwrap();
    let smooth = |noise: f64, seed: u64| {
        run(&task(Method::SmoothGrad {
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
    let task = task(Method::GradCam { layer: 0 });
    let found = run(&task).unwrap();
    let input = task
        .network
        .input_of(&task.image, &task.statistics, &Device::Cpu)
        .unwrap();
    let at = ValueId(task.network.graph().layers().next().unwrap().0 + 1);
    let activations = task.network.forward_to(&input, at).unwrap();
    let (_, channels, height, width) = activations.dims4().unwrap();
    assert_eq!((found.channels, found.height, found.width), (1, height, width));

    // A shift of all numbers of a channel moves the score by the sum of their gradients.
    let through = task.network.forward_through(&input, at).unwrap();
    let gradient = Subject {
        network: &task.network,
        class: task.class,
    }
    .of(&through.logits)
    .unwrap()
    .backward()
    .unwrap()
    .remove(&through.variable)
    .unwrap();
    let mean = numbers(&gradient.mean((2, 3)).unwrap()).unwrap();
    let activations = numbers(&activations).unwrap();
    let area = height * width;
    for (place, value) in found.values.iter().enumerate() {
        let sum: f32 = (0..channels)
            .map(|channel| mean[channel] * activations[channel * area + place])
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
fn a_class_or_layer_that_cannot_be_is_told() {
    let beyond = AttributionTask {
        class: 4,
        ..task(Method::InputGradient)
    };
    let error = run(&beyond).unwrap_err().to_string();
    assert_eq!(error, "the network has classes 0 to 3, and none of index 4");
    let layers = task(Method::InputGradient).network.graph().layers().count();
    let error = run(&task(Method::GradCam { layer: layers - 1 }))
        .unwrap_err()
        .to_string();
    assert!(error.contains("without rows and columns"), "{error}");
    assert!(run(&task(Method::GradCam { layer: 99 })).is_err());
}
