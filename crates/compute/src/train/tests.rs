//! Training: that it learns, is reproducible and agrees with PyTorch, and how it stops.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Tensor;
use serde_json::Value;

use super::*;
use crate::evaluate::EvaluateTask;
use crate::fixtures::Builder;
use scv_domain::graph::{Activation, ParameterRole};
use scv_domain::image::{ImageShape, Images};
use scv_domain::training::{Optimizer, Schedule};

/// What `scripts/golden_training.py` wrote.
const GOLDEN: &str = include_str!("../../../../tests/golden/training.json");

/// Horizontal stripes are class 0, vertical stripes are class 1. Phase and noise vary.
fn stripes(count: usize) -> LabelledImages {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for index in 0..count {
        let class = index % 2;
        for row in 0..8 {
            for column in 0..8 {
                let along = if class == 0 { row } else { column };
                let bright = (along + index / 2) % 4 < 2;
                let noise = (index * 31 + row * 17 + column * 7) % 60;
                pixels.push(if bright { 190 + noise as u8 } else { noise as u8 });
            }
        }
        labels.push(class as u16);
    }
    let shape = ImageShape {
        channels: 1,
        height: 8,
        width: 8,
    };
    LabelledImages {
        images: Images {
            shape,
            pixels: pixels.into(),
        },
        labels: labels.into(),
    }
}

fn task() -> TrainTask {
    let graph = Builder::new(&[1, 8, 8])
        .conv(6, 3)
        .batch_norm(Some(0.1))
        .activation(Activation::Relu)
        .then(
            Operator::MaxPool2d {
                kernel: [2, 2],
                stride: [2, 2],
                padding: [0, 0],
                dilation: [1, 1],
            },
            &[6, 4, 4],
            &[],
        )
        .dropout(0.2)
        .flatten()
        .linear(2)
        .build();
    TrainTask {
        graph: Arc::new(graph),
        data: stripes(50),
        statistics: ChannelStatistics {
            mean: vec![0.5],
            std: vec![0.5],
        },
        settings: TrainSettings {
            epochs: 6,
            batch_size: 16,
            learning_rate: 0.02,
            optimizer: Optimizer::Sgd {
                momentum: 0.9,
                weight_decay: 1e-4,
            },
            schedule: Schedule::Cosine,
            seed: 11,
            validation_share: 0.0,
        },
        classes: 2,
        activation_limit: u64::MAX,
    }
}

fn run(task: &TrainTask) -> Result<Trained> {
    run_with(task, &Control::unwatched())
}

fn run_with(task: &TrainTask, control: &Control) -> Result<Trained> {
    task.clone().run(&DeviceContext::new(Device::Cpu), control)
}

#[test]
fn a_small_network_learns_to_tell_stripes_apart() {
    for optimizer in [task().settings.optimizer, Optimizer::Adam { weight_decay: 0.0 }] {
        let mut task = task();
        task.settings.optimizer = optimizer;
        let trained = run(&task).unwrap();

        assert_eq!(
            trained.epochs.iter().map(|report| report.epoch).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6]
        );
        assert!(
            trained.epochs[5].loss < trained.epochs[0].loss / 2.0,
            "{:?}",
            trained.epochs
        );
        let weights = Weights::read(&trained.weights, &task.graph, &Device::Cpu).unwrap();
        let network = Network::new(task.graph.clone(), weights);
        let evaluation = EvaluateTask {
            network: Arc::new(network),
            data: stripes(80),
            statistics: task.statistics.clone(),
            activation_limit: u64::MAX,
        };
        let result = evaluation
            .run(&DeviceContext::new(Device::Cpu), &Control::unwatched())
            .unwrap();
        assert!(result.accuracy > 0.95, "{result:?}");
    }
}

#[test]
fn equal_tasks_give_equal_bytes_and_another_seed_does_not() {
    let mut task = task();
    task.settings.epochs = 2;
    let first = run(&task).unwrap();
    let again = run(&task).unwrap();
    assert_eq!(first.weights, again.weights);
    assert_eq!(first.epochs, again.epochs);
    task.settings.seed += 1;
    assert_ne!(first.weights, run(&task).unwrap().weights);
}

#[test]
fn a_share_of_each_class_is_kept_out_of_the_training_and_measured_after_each_epoch() {
    let mut task = task();
    task.settings.validation_share = 0.3;
    let split = ValidationSplit::of(&task.data, &task.settings).unwrap();
    let kept_out = split.validation.unwrap();
    let of_class = |class| kept_out.labels.iter().filter(|&&label| label == class).count();
    assert_eq!((split.training.len(), of_class(0), of_class(1)), (35, 7, 8));
    assert!(split.training.is_sorted());

    let trained = run(&task).unwrap();
    assert_eq!(trained.epochs, run(&task).unwrap().epochs);
    let weights = Weights::read(&trained.weights, &task.graph, &Device::Cpu).unwrap();
    let report = task
        .evaluation(weights, kept_out)
        .run(&DeviceContext::new(Device::Cpu), &Control::unwatched())
        .unwrap();
    let last = trained.epochs[5].validation.unwrap();
    assert_eq!((last.accuracy, last.loss), (report.accuracy, report.loss));
    assert!(last.loss < trained.epochs[0].validation.unwrap().loss);

    // The images that are kept out change nothing of the training.
    let mut same = task.clone();
    let images: Vec<u8> = (0..50)
        .flat_map(|image| {
            let is_trained_on = split.training.contains(&image);
            task.data
                .images
                .image(image)
                .iter()
                .map(move |&pixel| if is_trained_on { pixel } else { 0 })
        })
        .collect();
    same.data.images.pixels = images.into();
    assert_eq!(run(&same).unwrap().weights, trained.weights);
}

#[test]
fn of_each_class_an_image_stays_in_the_training() {
    let mut task = task();
    let mut labels = task.data.labels.to_vec();
    (labels[3], labels[40]) = (2, 3);
    task.data.labels = labels.into();
    task.settings.validation_share = 0.5;
    for seed in 0..20 {
        task.settings.seed = seed;
        let split = ValidationSplit::of(&task.data, &task.settings).unwrap();
        for class in 0..4 {
            let is_trained = split.training.iter().any(|&image| task.data.labels[image] == class);
            assert!(is_trained, "class {class}, seed {seed}");
        }
    }
}

#[test]
fn without_a_validation_share_all_images_are_trained_on_in_the_same_order_as_ever() {
    let task = task();
    let split = ValidationSplit::of(&task.data, &task.settings).unwrap();
    assert_eq!(split.training, (0..50).collect::<Vec<_>>());
    let trained = run(&task).unwrap();
    assert!(split.validation.is_none() && trained.epochs.iter().all(|report| report.validation.is_none()));
}

#[test]
fn a_validation_share_of_less_than_one_image_is_refused() {
    let mut task = task();
    task.settings.validation_share = 0.01;
    let message = run(&task).unwrap_err().to_string();
    assert!(message.contains("use a larger share"), "{message}");
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let mut task = task();
    task.settings.epochs = 1;
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&task).unwrap().weights)
    };
    assert_eq!(with(1), with(5));
}

#[test]
fn progress_is_reported_within_epochs_and_at_their_end() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let control = Control {
        progress: Arc::new(move |progress| sink.lock().unwrap().push(progress)),
        ..Control::unwatched()
    };
    let mut task = task();
    task.settings.epochs = 2;
    let trained = run_with(&task, &control).unwrap();

    let seen = seen.lock().unwrap();
    let epochs: Vec<_> = seen
        .iter()
        .filter(|progress| matches!(progress, Progress::Epoch(_)))
        .copied()
        .collect();
    assert_eq!(
        epochs,
        [Progress::Epoch(trained.epochs[0]), Progress::Epoch(trained.epochs[1])]
    );
    // 50 images in batches of 16 are four steps per epoch.
    let fractions: Vec<_> = seen
        .iter()
        .filter(|progress| !epochs.contains(progress))
        .copied()
        .collect();
    assert_eq!(
        fractions,
        (1..=8)
            .map(|step| Progress::Fraction(f64::from(step) / 8.0))
            .collect::<Vec<_>>()
    );
}

#[test]
fn cancelling_ends_the_training_before_its_next_batch() {
    let cancelled = Arc::new(AtomicBool::new(false));
    let steps = Arc::new(Mutex::new(0));
    let (flag, count) = (cancelled.clone(), steps.clone());
    let progress = move |_| {
        *count.lock().unwrap() += 1;
        flag.store(true, Ordering::Relaxed);
    };
    let control = Control {
        cancelled,
        progress: Arc::new(progress),
        ..Control::unwatched()
    };
    let result = run_with(&task(), &control);
    assert!(matches!(result, Err(ComputeError::Cancelled)));
    assert_eq!(*steps.lock().unwrap(), 1);
}

#[test]
fn a_training_that_diverges_says_where_and_what_to_do() {
    let mut task = task();
    task.settings.learning_rate = 1e30;
    let error = run(&task).unwrap_err();
    assert!(matches!(error, ComputeError::NotFinite { epoch: 1, .. }), "{error}");
    assert!(error.to_string().ends_with("lower the learning rate"), "{error}");
}

#[test]
fn data_and_network_that_do_not_fit_are_refused() {
    let mut other = task();
    other.classes = 3;
    assert_eq!(
        run(&other).unwrap_err().to_string(),
        "the network's output has shape [2], but the data set has 3 classes"
    );
    let mut out_of_range = task();
    out_of_range.data.labels = vec![5; 50].into();
    assert_eq!(
        run(&out_of_range).unwrap_err().to_string(),
        "label 5 is out of range: the network has 2 classes"
    );
}

#[test]
fn a_last_batch_of_one_is_left_out_only_where_it_would_have_no_variance() {
    let mut single = task();
    let graph = Builder::new(&[1, 8, 8])
        .then(Operator::AdaptiveAvgPool2d, &[1, 1, 1], &[])
        .batch_norm(Some(0.1))
        .flatten()
        .linear(2)
        .build();
    single.graph = Arc::new(graph);
    single.data = stripes(33);
    let all: Vec<usize> = (0..single.data.images.count()).collect();
    assert_eq!(
        batches(&single, &all, 1).iter().map(Vec::len).collect::<Vec<_>>(),
        [16, 16]
    );
    run(&single).unwrap();

    single.graph = task().graph;
    assert_eq!(
        batches(&single, &all, 1).iter().map(Vec::len).collect::<Vec<_>>(),
        [16, 16, 1]
    );
    run(&single).unwrap();
}

#[test]
fn a_batch_size_of_one_is_refused_where_one_number_would_have_to_be_normalised() {
    let mut single = task();
    single.graph = Arc::new(
        Builder::new(&[1, 8, 8])
            .then(Operator::AdaptiveAvgPool2d, &[1, 1, 1], &[])
            .batch_norm(Some(0.1))
            .flatten()
            .linear(2)
            .build(),
    );
    single.settings.batch_size = 1;
    assert!(
        run(&single)
            .unwrap_err()
            .to_string()
            .contains("batch size of at least 2")
    );
}

#[test]
fn every_epoch_sees_every_image_once_in_an_order_of_its_own() {
    let task = task();
    let all: Vec<usize> = (0..task.data.images.count()).collect();
    let orders: Vec<Vec<usize>> = (1..=2).map(|epoch| batches(&task, &all, epoch).concat()).collect();
    assert_ne!(orders[0], orders[1]);
    for mut order in orders {
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}

#[test]
fn five_steps_of_a_residual_network_agree_with_pytorch() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let golden = &golden["network"];
    let graph = Arc::new(residual());
    let mut tensors = Weights::init(&graph, 0, &Device::Cpu).unwrap();
    let mut variables = Vec::new();
    for (key, parameter) in graph
        .parameters()
        .filter(|(_, parameter)| parameter.role.is_trainable())
    {
        let first = numbers(&parameter.shape, variables.len() as f64, 0.5);
        let variable = Var::from_tensor(&first).unwrap();
        tensors.0.insert(key, variable.as_tensor().clone());
        variables.push(variable);
    }
    let network = Network::new(graph.clone(), tensors);
    let mut descent = Descent::new(
        Optimizer::Sgd {
            momentum: 0.9,
            weight_decay: 0.0,
        },
        variables,
    );
    let mut state = TrainingState::new(generator(0, Draw::Dropout, 0));

    for (step, expected) in floats(&golden["losses"]).into_iter().enumerate() {
        let x = numbers(&[4, 2, 8, 8], 10.0 + step as f64, 1.0);
        let logits = network
            .forward(&x, Mode::Training(&mut state), &mut |_, _| Ok(()))
            .unwrap();
        let loss = cross_entropy(&logits, &[0, 1, 2, 1]).unwrap();
        assert_close("loss", &loss, &[expected]);
        descent.step(&loss.backward().unwrap(), 0.1).unwrap();
    }

    let weights = current_weights(&network, &state);
    for ((key, _), expected) in graph.parameters().zip(golden["weights"].as_array().unwrap()) {
        assert_close(&key, weights.get(&key).unwrap(), &floats(expected));
    }
    let trained = Network::new(graph, weights);
    let logits = trained
        .forward(&numbers(&[4, 2, 8, 8], 20.0, 1.0), Mode::Inference, &mut |_, _| Ok(()))
        .unwrap();
    assert_close("logits", &logits, &floats(&golden["logits"]));
}

/// The network of the script.
fn residual() -> Graph {
    let pool = Operator::MaxPool2d {
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        dilation: [1, 1],
    };
    let depthwise = Operator::Conv2d {
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 4,
    };
    let average = Operator::AvgPool2d {
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0, 0],
        count_include_pad: true,
        divisor_override: None,
    };
    let transposed = Operator::ConvTranspose2d {
        stride: [2, 2],
        padding: [0, 0],
        output_padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    let builder = Builder::new(&[2, 8, 8])
        .conv(4, 3)
        .batch_norm(Some(0.1))
        .activation(Activation::Gelu { tanh: false })
        .then(pool, &[4, 4, 4], &[]);
    let shortcut = builder.last();
    let builder = builder
        .then(depthwise, &[4, 4, 4], &[(ParameterRole::Weight, &[4, 1, 3, 3])])
        .batch_norm(None)
        .activation(Activation::Silu);
    let main = builder.last();
    builder
        .join(Operator::Add, &[main, shortcut], &[4, 4, 4], &[])
        .then(average, &[4, 2, 2], &[])
        .then(
            transposed,
            &[3, 4, 4],
            &[(ParameterRole::Weight, &[4, 3, 2, 2]), (ParameterRole::Bias, &[3])],
        )
        .activation(Activation::LeakyRelu { negative_slope: 0.1 })
        .then(Operator::AdaptiveAvgPool2d, &[3, 2, 1], &[])
        .flatten()
        .linear(3)
        .build()
}

fn numbers(shape: &[usize], phase: f64, scale: f64) -> Tensor {
    let number = |index: usize| ((0.37 * index as f64 + phase).sin() * scale) as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(number).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn assert_close(what: &str, actual: &Tensor, expected: &[f64]) {
    let actual = actual.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (actual, expected) in actual.iter().zip(expected) {
        let error = (f64::from(*actual) - expected).abs();
        assert!(
            error < 1e-5 * expected.abs().max(1.0),
            "{what}: {actual} is not {expected}"
        );
    }
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}
