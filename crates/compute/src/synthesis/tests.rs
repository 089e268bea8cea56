//! Synthetic images for networks whose best image is known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::DType;

use super::*;
use crate::executor::Mode;
use crate::fixtures::{Builder, check_gradient};
use crate::weights::Weights;
use scv_domain::graph::{Activation, Operator, TensorOperator, UnaryFunction};
use scv_domain::synthesis::{Padding, Parametrisation};

/// Settings without transformations and penalties.
fn still() -> SynthesisSettings {
    SynthesisSettings {
        steps: 60,
        jitter: 0.0,
        scale: 0.0,
        rotation: 0.0,
        total_variation: 0.0,
        l2: 0.0,
        ..SynthesisSettings::defaults_for(8, 8)
    }
}

fn task(network: Network, target: SynthesisTarget, settings: SynthesisSettings) -> SynthesisTask {
    let channels = network.image_shape().channels;
    SynthesisTask {
        network: Arc::new(network),
        statistics: ChannelStatistics {
            mean: vec![0.4; channels],
            std: vec![0.3; channels],
        },
        covariance: (channels == 3).then_some([[0.06, 0.05, 0.04], [0.05, 0.07, 0.05], [0.04, 0.05, 0.08]]),
        target,
        settings,
        activation_limit: u64::MAX,
    }
}

fn run(task: &SynthesisTask) -> Result<Synthesized> {
    run_with(task, &Control::unwatched())
}

fn run_with(task: &SynthesisTask, control: &Control) -> Result<Synthesized> {
    task.clone().run(&DeviceContext::new(Device::Cpu), control)
}

/// A network of one linear layer with one output.
fn linear(weights: &[f32]) -> Network {
    let graph = Builder::new(&[1, 2, weights.len() / 2]).flatten().linear(1).build();
    Network::new(Arc::new(graph), linear_weights(weights))
}

fn linear_weights(weights: &[f32]) -> Weights {
    let device = Device::Cpu;
    let mut all = Weights::default();
    let row = Tensor::from_slice(weights, (1, weights.len()), &device).unwrap();
    all.0.insert("1.weight".into(), row);
    all.0
        .insert("1.bias".into(), Tensor::zeros(1, DType::F32, &device).unwrap());
    all
}

fn convolutional(channels: usize) -> Network {
    let graph = Builder::new(&[channels, 9, 8])
        .conv(4, 3)
        .activation(Activation::Relu)
        .conv(5, 3)
        .activation(Activation::Silu)
        .flatten()
        .linear(3)
        .build();
    let weights = Weights::init(&graph, 7, &Device::Cpu).unwrap();
    Network::new(Arc::new(graph), weights)
}

const CLASS: SynthesisTarget = SynthesisTarget::Class { class: 0 };

#[test]
fn a_weighted_sum_is_largest_where_pixels_under_positive_weights_are_light() {
    let weights = [1.0, -1.0, 0.5, -0.5, 2.0, -2.0];
    let settings = SynthesisSettings {
        parametrisation: Parametrisation::Pixels,
        learning_rate: 0.2,
        ..still()
    };
    let found = run(&task(linear(&weights), CLASS, settings)).unwrap();
    for (pixel, weight) in found.image.pixels.iter().zip(weights) {
        assert!(
            if weight > 0.0 { *pixel > 240 } else { *pixel < 15 },
            "{pixel} under {weight}"
        );
    }
}

#[test]
fn both_parametrisations_raise_the_activation_of_every_kind_of_target() {
    let targets = [
        CLASS,
        SynthesisTarget::Layer { layer: 2 },
        SynthesisTarget::Channel { layer: 2, channel: 4 },
        SynthesisTarget::Neuron {
            layer: 0,
            channel: 1,
            row: 3,
            column: 2,
        },
    ];
    for channels in [1, 3] {
        for parametrisation in [Parametrisation::Pixels, Parametrisation::Fourier] {
            for target in targets {
                let settings = SynthesisSettings {
                    parametrisation,
                    ..still()
                };
                let found = run(&task(convolutional(channels), target, settings)).unwrap();
                let (first, last) = (found.activation_history[0], *found.activation_history.last().unwrap());
                assert!(last > first, "{target:?}, {parametrisation:?}: from {first} to {last}");
                // The image differs from the last step only by the rounding to pixel levels.
                let near = 0.05 * last.abs().max(0.2);
                assert!(
                    (found.activation - last).abs() < near,
                    "{} is not {last}",
                    found.activation
                );
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_image_and_another_seed_another() {
    let with = |seed: u64| {
        let settings = SynthesisSettings {
            seed,
            steps: 10,
            ..SynthesisSettings::defaults_for(9, 8)
        };
        run(&task(convolutional(1), CLASS, settings)).unwrap().image
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn penalties_make_the_image_smoother_and_closer_to_the_mean() {
    let with = |total_variation: f64, l2: f64| {
        let settings = SynthesisSettings {
            parametrisation: Parametrisation::Pixels,
            total_variation,
            l2,
            ..still()
        };
        run(&task(convolutional(1), CLASS, settings)).unwrap().image.pixels
    };
    let roughness = |pixels: &[u8]| {
        pixels
            .windows(2)
            .map(|pair| u64::from(pair[0].abs_diff(pair[1])))
            .sum::<u64>()
    };
    let distance = |pixels: &[u8]| pixels.iter().map(|pixel| u64::from(pixel.abs_diff(102))).sum::<u64>();
    let (free, smooth, near) = (with(0.0, 0.0), with(100.0, 0.0), with(0.0, 100.0));
    assert!(roughness(&smooth) < roughness(&free));
    assert!(distance(&near) < distance(&free));
}

#[test]
fn the_gradient_of_every_parametrisation_matches_finite_differences() {
    for parametrisation in [Parametrisation::Pixels, Parametrisation::Fourier] {
        let network = convolutional(3);
        let settings = SynthesisSettings {
            parametrisation,
            ..still()
        };
        let task = task(network, CLASS, settings);
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let shape = task.network.image_shape();
        let canvas = Canvas::new(
            shape,
            parametrisation,
            task.covariance,
            0.01,
            &mut generator,
            &Device::Cpu,
        )
        .unwrap();
        let transformation = Transformation {
            shift: [0.6, -0.3],
            scale: 1.1,
            rotation: 0.1,
            padding: Padding::Reflection,
        };
        let loss = || {
            let numbers = task
                .network
                .normalise(&canvas.image().unwrap(), &task.statistics)
                .unwrap();
            let input = task.network.to_layout(transformation.apply(&numbers).unwrap()).unwrap();
            let logits = task
                .network
                .forward(&input, Mode::Inference, &mut |_, _| Ok(()))
                .unwrap();
            logits.flatten_all().unwrap().get(0).unwrap()
        };
        let gradient = loss().backward().unwrap().remove(canvas.variable()).unwrap();
        let what = format!("{parametrisation:?}");
        check_gradient(&what, canvas.variable(), &gradient, (1e-2, 0.02), loss);
    }
}

#[test]
fn a_target_that_is_silent_for_the_first_image_is_activated_and_a_dead_one_reported() {
    let after_relu = |bias: f32| {
        let graph = Builder::new(&[1, 2, 3]).flatten().linear(1);
        let graph = graph.activation(Activation::Relu).build();
        let mut weights = linear_weights(&[1.0, -1.0, 0.5, -0.5, 2.0, -2.0]);
        let bias = Tensor::new(&[bias], &Device::Cpu).unwrap();
        weights.0.insert("1.bias".into(), bias);
        run(&task(Network::new(Arc::new(graph), weights), CLASS, still()))
    };
    // Zero for a grey image, and up to 11 for others.
    assert!(after_relu(-1.0).unwrap().activation > 1.0);
    let error = after_relu(-100.0).unwrap_err().to_string();
    assert!(
        error.starts_with("no gradient leads from the target to the image"),
        "{error}"
    );
}

#[test]
fn a_target_out_of_range_is_refused_with_the_range() {
    let refused = |target| run(&task(convolutional(1), target, still())).unwrap_err().to_string();
    assert_eq!(
        refused(SynthesisTarget::Class { class: 3 }),
        "class 3 is out of range (0–2)"
    );
    let channel = refused(SynthesisTarget::Channel { layer: 0, channel: 4 });
    assert_eq!(channel, "channel 4 of layer 0 is out of range (0–3)");
    assert!(refused(SynthesisTarget::Layer { layer: 99 }).contains("layer 99 is out of range"));
}

#[test]
fn a_synthesis_can_be_cancelled_and_reports_where_it_diverged() {
    let control = Control::unwatched();
    control.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let task = task(convolutional(1), CLASS, still());
    assert!(matches!(run_with(&task, &control), Err(ComputeError::Cancelled)));

    // The root of a number that is always 0: an infinite slope, times weights of 0.
    let graph = Builder::new(&[1, 2, 3]).flatten().linear(1);
    let root = Operator::Tensor(TensorOperator::Unary(UnaryFunction::Sqrt));
    let graph = graph.then(root, &[1], &[]).build();
    let steep = SynthesisTask {
        network: Arc::new(Network::new(Arc::new(graph), linear_weights(&[0.0; 6]))),
        settings: SynthesisSettings { steps: 1, ..still() },
        ..task.clone()
    };
    let error = run(&steep).unwrap_err().to_string();
    assert!(error.starts_with("the gradient became NaN or infinite"), "{error}");

    let wild = SynthesisTask {
        network: Arc::new(linear(&[f32::MAX; 6])),
        ..task
    };
    let error = run(&wild).unwrap_err().to_string();
    assert!(
        error.starts_with("the activation became NaN or infinite in step 1"),
        "{error}"
    );
}

#[test]
fn the_image_does_not_depend_on_a_constant_in_the_activation() {
    let settings = SynthesisSettings {
        steps: 60,
        ..SynthesisSettings::defaults_for(8, 8)
    };
    let image = |constant: f64| {
        let mut network = convolutional(1);
        let bias = &network.weights.0["5.bias"];
        let bias = (bias.ones_like().unwrap() * constant).unwrap();
        network.weights.0.insert("5.bias".into(), bias);
        run(&task(network, CLASS, settings)).unwrap().image
    };
    let (small, large) = (image(0.0), image(-50.0));
    let levels = small.pixels.iter().zip(large.pixels.iter());
    let difference = levels.map(|(a, b)| a.abs_diff(*b)).max();
    assert!(difference.is_some_and(|levels| levels <= 2), "{difference:?} levels");
}
