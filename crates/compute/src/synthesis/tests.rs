//! Images that networks whose best image is known answer to most.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::DType;

use super::*;
use crate::executor::Mode;
use crate::fixtures::{Builder, check_gradient};
use crate::weights::Weights;
use scv_domain::graph::{Activation, Operator, TensorOperator, UnaryFunction};
use scv_domain::synthesis::{Padding, Parametrisation};

/// Ascends without moving the image.
fn still() -> SynthesisSettings {
    SynthesisSettings {
        steps: 60,
        jitter: 0.0,
        scale: 0.0,
        rotation: 0.0,
        total_variation: 0.0,
        l2: 0.0,
        ..SynthesisSettings::usual(8, 8)
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
    synthesize(task, &Device::Cpu, &Control::unwatched())
}

/// One number: what its weights make of the pixels.
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
fn a_weighed_sum_is_largest_where_pixels_are_light_under_positive_weights() {
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
fn every_kind_of_target_is_answered_more_and_more_by_either_parametrisation() {
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
                let (first, last) = (found.course[0], *found.course.last().unwrap());
                assert!(last > first, "{target:?}, {parametrisation:?}: from {first} to {last}");
                // What is shown is what was found, but for the rounding to levels of pixels.
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
            ..SynthesisSettings::usual(9, 8)
        };
        run(&task(convolutional(1), CLASS, settings)).unwrap().image
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn penalties_make_the_image_smoother_and_nearer_to_the_mean() {
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
fn the_slope_of_every_parametrisation_is_that_of_finite_differences() {
    for parametrisation in [Parametrisation::Pixels, Parametrisation::Fourier] {
        let network = convolutional(3);
        let settings = SynthesisSettings {
            parametrisation,
            ..still()
        };
        let task = task(network, CLASS, settings);
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let canvas = Canvas::new(&task, 0.01, &mut generator, &Device::Cpu).unwrap();
        let moves = Transformation {
            moved: [0.6, -0.3],
            scale: 1.1,
            turned: 0.1,
            padding: Padding::Reflection,
        };
        let loss = || {
            let numbers = task
                .network
                .normalised(&canvas.image().unwrap(), &task.statistics)
                .unwrap();
            let read = task.network.laid_out(moves.apply(&numbers).unwrap()).unwrap();
            let logits = task
                .network
                .forward(&read, Mode::Inference, &mut |_, _| Ok(()))
                .unwrap();
            logits.flatten_all().unwrap().get(0).unwrap()
        };
        let gradient = loss().backward().unwrap().remove(canvas.variable()).unwrap();
        let what = format!("{parametrisation:?}");
        check_gradient(&what, canvas.variable(), &gradient, (1e-2, 0.02), loss);
    }
}

#[test]
fn a_channel_that_is_silent_at_first_is_woken_and_a_dead_one_told() {
    let behind = |bias: f32| {
        let graph = Builder::new(&[1, 2, 3]).flatten().linear(1);
        let graph = graph.activation(Activation::Relu).build();
        let mut weights = linear_weights(&[1.0, -1.0, 0.5, -0.5, 2.0, -2.0]);
        let bias = Tensor::new(&[bias], &Device::Cpu).unwrap();
        weights.0.insert("1.bias".into(), bias);
        run(&task(Network::new(Arc::new(graph), weights), CLASS, still()))
    };
    // Zero for a grey image, and up to 11 for others.
    assert!(behind(-1.0).unwrap().activation > 1.0);
    let error = behind(-100.0).unwrap_err().to_string();
    assert!(
        error.starts_with("no gradient leads from the target to the image"),
        "{error}"
    );
}

#[test]
fn a_target_that_is_not_there_is_told_with_what_is() {
    let refused = |target| run(&task(convolutional(1), target, still())).unwrap_err().to_string();
    assert_eq!(
        refused(SynthesisTarget::Class { class: 3 }),
        "the network has classes 0 to 2, and none of index 3"
    );
    let channel = refused(SynthesisTarget::Channel { layer: 0, channel: 4 });
    assert_eq!(channel, "layer 0 has channels 0 to 3, and none of index 4");
    assert!(refused(SynthesisTarget::Layer { layer: 99 }).contains("none of index 99"));
}

#[test]
fn a_search_can_be_stopped_and_says_where_it_went_astray() {
    let control = Control::unwatched();
    control.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let task = task(convolutional(1), CLASS, still());
    assert!(matches!(
        synthesize(&task, &Device::Cpu, &control),
        Err(ComputeError::Cancelled)
    ));

    // The root of a number that is always 0: a slope without end, times weights of 0.
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
        error.starts_with("the answer became NaN or infinite in step 1"),
        "{error}"
    );
}
