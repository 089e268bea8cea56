#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use candle_core::Device;

use super::*;
use crate::vector::reference::Activations;
use crate::weights::Weights;
use scv_domain::graph::{Activation, BatchAxis, Graph, Operator, Parameter, ParameterRole, ValueId};
use scv_domain::image::ImageShape;

const PIXELS: usize = 2 * 3 * 4;

fn node(path: &str, kind: &'static str, operator: Operator, inputs: &[usize], features: usize) -> Node {
    Node {
        path: path.to_owned(),
        kind,
        settings: serde_json::json!({}),
        is_layer: operator.is_measured(),
        operator,
        inputs: inputs.iter().map(|&input| ValueId(input)).collect(),
        output_shape: vec![features],
        batch: Some(BatchAxis::FIRST),
        parameters: Vec::new(),
        multiply_accumulates: 0,
    }
}

fn linear(path: &str, input: usize, from: usize, to: usize) -> Node {
    let parameters = vec![
        Parameter {
            role: ParameterRole::Weight,
            shape: vec![to, from],
        },
        Parameter {
            role: ParameterRole::Bias,
            shape: vec![to],
        },
    ];
    Node {
        parameters,
        ..node(path, "Linear", Operator::Linear, &[input], to)
    }
}

/// Flatten, then a linear layer with a ReLU, one whose weights are all zero, one that overflows, and the
/// sum of the ReLU and the zero layer.
fn graph() -> Graph {
    Graph {
        input_shape: vec![2, 3, 4],
        nodes: vec![
            node("0", "Flatten", Operator::Reshape, &[0], PIXELS),
            linear("1", 1, PIXELS, 6),
            node("2", "ReLU", Operator::Activation(Activation::Relu), &[2], 6),
            linear("3", 3, 6, 6),
            linear("4", 3, 6, 6),
            node("5", "Add", Operator::Add, &[3, 4], 6),
        ],
        logits: ValueId(6),
        is_batched: true,
    }
}

fn weights() -> Weights {
    let tensor = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    let first = Activations::noise(6, PIXELS, 1).tensor();
    let tensors = [
        ("1.weight", first),
        ("1.bias", tensor(vec![0.1; 6], &[6])),
        ("3.weight", tensor(vec![0.0; 36], &[6, 6])),
        ("3.bias", tensor(vec![2.5; 6], &[6])),
        ("4.weight", tensor(vec![3e38; 36], &[6, 6])),
        ("4.bias", tensor(vec![0.0; 6], &[6])),
    ];
    Weights(
        tensors
            .into_iter()
            .map(|(key, tensor)| (key.to_owned(), tensor))
            .collect(),
    )
}

fn images(count: usize) -> Images {
    let pixels = (0..count * PIXELS).map(|at| (at * at * 37 % 251) as u8).collect();
    Images {
        shape: ImageShape {
            channels: 2,
            height: 3,
            width: 4,
        },
        pixels,
    }
}

/// A network of five layers on `count` probe images.
pub(crate) fn task(count: usize) -> IngestTask {
    IngestTask {
        network: Arc::new(Network::new(Arc::new(graph()), weights())),
        probes: images(count),
        statistics: ChannelStatistics {
            mean: vec![0.4, 0.5],
            std: vec![0.2, 0.3],
        },
        activation_limit: u64::MAX,
    }
}

fn run(task: &IngestTask, control: &Control) -> Result<Vec<LayerOutcome>, ComputeError> {
    task.clone().run(&DeviceContext::new(Device::Cpu), control)
}

#[test]
fn every_layer_has_a_vector_or_a_reason_why_not() {
    let task = task(12);
    let outcomes = run(&task, &Control::unwatched()).unwrap();

    let layers: Vec<usize> = task.network.graph().layers().map(|(node, _)| node).collect();
    assert_eq!(outcomes.iter().map(|outcome| outcome.node).collect::<Vec<_>>(), layers);
    assert_eq!(layers, [1, 2, 3, 4, 5]);
    assert_eq!(outcomes[2].vector, Err(Degenerate::Constant));
    assert_eq!(outcomes[3].vector, Err(Degenerate::NotFinite));

    // The third layer adds the same to every image, so the sum has a CKA of 1 with the second layer.
    let [second, sum] = [1, 4].map(|at| outcomes[at].vector.as_ref().unwrap());
    assert!((second.cka(sum) - 1.0).abs() < 1e-6);
}

#[test]
fn vectors_are_those_of_the_activations() {
    let task = task(12);
    let outcomes = run(&task, &Control::unwatched()).unwrap();

    let pixels = crate::images::to_tensor(&task.probes, &task.statistics, &Device::Cpu).unwrap();
    let flat = pixels.reshape((12, PIXELS)).unwrap();
    let weight = Activations::noise(6, PIXELS, 1).tensor();
    let first = (flat.matmul(&weight.t().unwrap()).unwrap() + 0.1).unwrap();
    for (outcome, activations) in outcomes.iter().zip([first.clone(), first.relu().unwrap()]) {
        let expected = layer_vector(&CentredGram::of(&activations).unwrap()).unwrap();
        let vector = outcome.vector.as_ref().unwrap();
        assert!(
            vector
                .lead
                .iter()
                .zip(&expected.lead)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
        assert!(
            vector
                .tail
                .iter()
                .zip(&expected.tail)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }
}

#[test]
fn progress_rises_to_one_layer_by_layer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let progress = Arc::clone(&seen);
    let control = Control {
        progress: Arc::new(move |step| progress.lock().unwrap().push(step)),
        ..Control::unwatched()
    };
    run(&task(6), &control).unwrap();
    let expected = [0.2, 0.4, 0.6, 0.8, 1.0].map(Progress::Fraction);
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn cancelling_ends_the_pass_at_the_next_layer() {
    let cancelled = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (flag, seen) = (Arc::clone(&cancelled), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&seen);
    let progress = move |_| {
        *count.lock().unwrap() += 1;
        flag.store(true, Ordering::Relaxed);
    };
    let control = Control {
        cancelled,
        progress: Arc::new(progress),
        ..Control::unwatched()
    };
    assert!(matches!(run(&task(6), &control), Err(ComputeError::Cancelled)));
    assert_eq!(*seen.lock().unwrap(), 1);
}

#[test]
fn three_probe_images_are_refused() {
    let error = run(&task(3), &Control::unwatched()).unwrap_err();
    assert!(
        matches!(error, ComputeError::TooFewProbes { given: 3, needed: 4 }),
        "{error}"
    );
}

#[test]
fn a_pass_that_needs_too_much_memory_is_refused_before_it_starts() {
    let limited = IngestTask {
        activation_limit: 1,
        ..task(6)
    };
    let error = run(&limited, &Control::unwatched()).unwrap_err().to_string();
    assert!(
        error.contains("6 probe images in one pass") && error.contains("fewer images"),
        "{error}"
    );
}

#[test]
fn a_value_is_counted_from_the_node_that_makes_it_to_its_last_reader() {
    // At the first linear layer: the image and the flattened image, 24 numbers each, and the output.
    assert_eq!(memory::of_inference(&graph(), 1), (24 + 24 + 6) * 4);
    // With small images the peak is at the sum: the image, both values that it adds, and the sum itself.
    let mut small = graph();
    small.input_shape = vec![1, 1, 1];
    small.nodes[0].output_shape = vec![1];
    assert_eq!(memory::of_inference(&small, 10), (1 + 6 + 6 + 6) * 4 * 10);
}
