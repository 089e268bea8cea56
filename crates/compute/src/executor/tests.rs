//! Whole small networks: order, memory, modes, gradients and errors.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use candle_core::{DType, Device, Var};
use rand::SeedableRng;

use super::*;
use crate::fixtures::{Builder, check_gradient, norm};
use crate::weights::Weights;
use scv_domain::graph::{Activation, Graph, PadMode};

fn network(graph: Graph) -> Network {
    let weights = Weights::init(&graph, 3, &Device::Cpu).unwrap();
    Network::new(Arc::new(graph), weights)
}

fn images(batch: usize, shape: &[usize]) -> Tensor {
    let count = batch * shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|index| (index as f32 * 0.37 + 0.1).sin()).collect();
    Tensor::from_vec(values, [&[batch], shape].concat(), &Device::Cpu).unwrap()
}

fn infer(network: &Network, input: &Tensor) -> Tensor {
    network.forward(input, Mode::Inference, &mut |_, _| Ok(())).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn training_state(seed: u64) -> TrainingState {
    TrainingState::new(ChaCha8Rng::seed_from_u64(seed))
}

#[test]
fn the_tap_sees_every_node_in_order_and_the_logits_come_before_a_final_softmax() {
    let mut graph = Builder::new(&[1, 2, 2]).flatten().linear(3).build();
    let logits = graph.output();
    let softmax = Builder::new(&[3])
        .then(Operator::Softmax { dim: 0 }, &[3], &[])
        .build()
        .nodes
        .remove(0);
    graph.nodes.push(Node {
        path: "2".into(),
        inputs: vec![logits],
        ..softmax
    });
    graph.logits = logits;
    let network = network(graph);

    let mut seen = Vec::new();
    let tap = &mut |index: usize, value: &Tensor| {
        seen.push((index, value.dims().to_vec(), flat(value)));
        Ok(())
    };
    let output = network.forward(&images(2, &[1, 2, 2]), Mode::Inference, tap).unwrap();

    assert_eq!(
        seen.iter()
            .map(|(index, dims, _)| (*index, dims.clone()))
            .collect::<Vec<_>>(),
        [(0, vec![2, 4]), (1, vec![2, 3]), (2, vec![2, 3])]
    );
    assert_eq!(flat(&output), seen[1].2);
    assert!((seen[2].2[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6);
}

#[test]
fn a_value_is_freed_after_the_last_node_that_reads_it() {
    // 0 -> 1 -> 2 -> 3 = 1 + 2 -> 4: value 1 lives until the sum, the others only for one node.
    let builder = Builder::new(&[2, 3, 3]).activation(Activation::Relu);
    let branch = builder.last();
    let builder = builder.activation(Activation::Tanh).activation(Activation::Sigmoid);
    let main = builder.last();
    let graph = builder
        .join(Operator::Add, &[branch, main], &[2, 3, 3], &[])
        .activation(Activation::Relu)
        .build();
    let network = network(graph);

    assert_eq!(
        network.to_free,
        [
            vec![ValueId(0)],
            vec![],
            vec![ValueId(2)],
            vec![ValueId(1), ValueId(3)],
            vec![ValueId(4), ValueId(5)]
        ]
    );
    assert_eq!(infer(&network, &images(2, &[2, 3, 3])).dims(), [2, 2, 3, 3]);
}

#[test]
fn inference_tracks_no_gradient_unless_the_image_is_a_variable() {
    let network = network(
        Builder::new(&[2, 4, 4])
            .conv(3, 3)
            .batch_norm(None)
            .flatten()
            .linear(2)
            .build(),
    );
    let input = images(2, &[2, 4, 4]);
    assert!(!infer(&network, &input).track_op());

    let variable = Var::from_tensor(&input).unwrap();
    let loss = infer(&network, variable.as_tensor()).sum_all().unwrap();
    assert_eq!(loss.backward().unwrap().get(&variable).unwrap().dims(), [2, 2, 4, 4]);
}

#[test]
fn running_to_a_value_returns_what_the_tap_sees_there() {
    let network = network(
        Builder::new(&[2, 4, 4])
            .conv(3, 3)
            .activation(Activation::Silu)
            .flatten()
            .linear(2)
            .build(),
    );
    let input = images(2, &[2, 4, 4]);
    let mut seen = Vec::new();
    let tap = &mut |index: usize, value: &Tensor| {
        if index == 1 {
            seen = flat(value);
        }
        Ok(())
    };
    network.forward(&input, Mode::Inference, tap).unwrap();
    assert_eq!(flat(&network.forward_to(&input, ValueId(2)).unwrap()), seen);
    assert_eq!(flat(&network.forward_to(&input, ValueId::INPUT).unwrap()), flat(&input));
}

#[test]
fn an_image_has_the_same_output_alone_as_in_a_batch() {
    let graph = Builder::new(&[3, 8, 8])
        .conv(6, 3)
        .batch_norm(Some(0.1))
        .conv(4, 3)
        .flatten()
        .linear(5)
        .build();
    let network = network(graph);
    let batch = images(12, &[3, 8, 8]);
    let together = infer(&network, &batch).to_vec2::<f32>().unwrap();
    for (index, row) in together.iter().enumerate() {
        let alone = flat(&infer(&network, &batch.narrow(0, index, 1).unwrap()));
        assert!(
            row.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-6),
            "{row:?} is not {alone:?}"
        );
    }
}

#[test]
fn images_that_run_one_by_one_are_returned_as_one_batch() {
    let graph = Builder::new(&[2, 4, 4])
        .conv(3, 3)
        .activation(Activation::Silu)
        .flatten()
        .linear(5)
        .build();
    let together = network(graph.clone());
    let one_by_one = network(Graph {
        is_batched: false,
        ..graph
    });
    let images = images(3, &[2, 4, 4]);
    let seen = |network: &Network| {
        let mut seen = Vec::new();
        let tap = &mut |_: usize, value: &Tensor| {
            seen.push(value.clone());
            Ok(())
        };
        let output = network.forward(&images, Mode::Inference, tap).unwrap();
        seen.push(output);
        seen
    };
    let (a, b) = (seen(&together), seen(&one_by_one));
    assert_eq!(a.len(), 5);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.dims(), b.dims());
        assert!(flat(a).iter().zip(flat(b)).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn dropout_does_nothing_at_inference_and_draws_from_the_seed_in_training() {
    let network = network(Builder::new(&[1, 10, 10]).dropout(0.5).flatten().build());
    let input = images(1, &[1, 10, 10]);
    let train = |seed| {
        let mut state = training_state(seed);
        flat(
            &network
                .forward(&input, Mode::Training(&mut state), &mut |_, _| Ok(()))
                .unwrap(),
        )
    };
    assert_eq!(flat(&infer(&network, &input)), flat(&input));
    assert_eq!(train(1), train(1));
    assert_ne!(train(1), train(2));
}

#[test]
fn batch_normalisation_moves_its_running_statistics_only_in_training() {
    for (momentum, share) in [(Some(0.25), [0.25, 0.25]), (None, [1.0, 0.5])] {
        let network = network(Builder::new(&[1, 1, 2]).batch_norm(momentum).build());
        let mut state = training_state(0);
        // Means 2.5 and 0.5, unbiased variances 5/3 and 1/3.
        let batches = [[1.0f32, 2.0, 3.0, 4.0], [0.0, 0.0, 1.0, 1.0]];
        let (mut mean, mut variance) = (0.0, 1.0);
        for (index, batch) in batches.iter().enumerate() {
            let input = Tensor::from_slice(batch, (2, 1, 1, 2), &Device::Cpu).unwrap();
            network
                .forward(&input, Mode::Training(&mut state), &mut |_, _| Ok(()))
                .unwrap();
            mean += share[index] * ([2.5, 0.5][index] - mean);
            variance += share[index] * ([5.0 / 3.0, 1.0 / 3.0][index] - variance);
        }
        assert!((flat(&state.running["0.running_mean"])[0] - mean).abs() < 1e-6);
        assert!((flat(&state.running["0.running_var"])[0] - variance).abs() < 1e-6);
        assert_eq!(flat(network.weights().get("0.running_mean").unwrap()), [0.0]);
    }
}

#[test]
fn a_failure_names_the_layer() {
    let graph = Builder::new(&[2, 4, 4]).conv(3, 3).conv(3, 3).build();
    let mut weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
    weights.0.insert(
        "1.weight".into(),
        Tensor::zeros((3, 5, 3, 3), DType::F32, &Device::Cpu).unwrap(),
    );
    let network = Network::new(Arc::new(graph), weights);
    let error = network
        .forward(&images(1, &[2, 4, 4]), Mode::Inference, &mut |_, _| Ok(()))
        .unwrap_err();
    assert!(
        matches!(&error, ComputeError::Layer { path, kind: "Test", .. } if path == "1"),
        "{error}"
    );
    assert!(error.to_string().starts_with("layer 1 (Test): "), "{error}");
    assert!(
        std::error::Error::source(&error).is_none(),
        "the message contains the cause; as a source it would be printed twice"
    );
}

#[test]
fn images_of_another_shape_are_refused() {
    let network = network(Builder::new(&[2, 4, 4]).conv(3, 3).build());
    let error = network
        .forward(&images(1, &[2, 4, 5]), Mode::Inference, &mut |_, _| Ok(()))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network reads images of shape [2, 4, 4]; this batch has shape [1, 2, 4, 5]"
    );
}

#[test]
fn an_error_of_the_tap_ends_the_run_and_is_passed_on_unchanged() {
    let network = network(Builder::new(&[2, 4, 4]).conv(3, 3).build());
    let mut cancel = |_: usize, _: &Tensor| Err(ComputeError::Cancelled);
    let error = network
        .forward(&images(1, &[2, 4, 4]), Mode::Inference, &mut cancel)
        .unwrap_err();
    assert!(matches!(error, ComputeError::Cancelled));
}

/// A network with every operator, smooth enough for finite differences.
fn every_operator() -> Graph {
    let steps = |stride, padding| Operator::Conv2d {
        stride,
        padding,
        dilation: [1, 1],
        groups: 2,
    };
    let (kernel, stride, padding) = ([2, 2], [2, 2], [0, 0]);
    let builder = Builder::new(&[2, 8, 8])
        .then(
            Operator::Pad2d {
                mode: PadMode::Reflection,
                padding: [1, 1, 1, 1],
            },
            &[2, 10, 10],
            &[],
        )
        .then(
            steps([1, 1], [0, 0]),
            &[4, 8, 8],
            &[(ParameterRole::Weight, &[4, 1, 3, 3]), (ParameterRole::Bias, &[4])],
        )
        .batch_norm(Some(0.1))
        .activation(Activation::Gelu { tanh: true });
    let branch = builder.last();
    let builder = builder.conv(4, 3).activation(Activation::Tanh).dropout(0.3);
    let main = builder.last();
    let transposed = Operator::ConvTranspose2d {
        stride: [2, 2],
        padding: [1, 1],
        output_padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
    };
    builder
        .join(Operator::Add, &[branch, main], &[4, 8, 8], &[])
        .then(
            Operator::MaxPool2d {
                kernel,
                stride,
                padding,
                dilation: [1, 1],
            },
            &[4, 4, 4],
            &[],
        )
        .then(transposed, &[3, 8, 8], &[(ParameterRole::Weight, &[4, 3, 3, 3])])
        .then(
            Operator::AvgPool2d {
                kernel,
                stride,
                padding,
                count_include_pad: true,
                divisor_override: None,
            },
            &[3, 4, 4],
            &[],
        )
        .activation(Activation::Silu)
        .then(Operator::AdaptiveAvgPool2d, &[3, 2, 3], &[])
        .then(Operator::Softmax { dim: 0 }, &[3, 2, 3], &[])
        .flatten()
        .linear(4)
        .build()
}

#[test]
fn gradients_of_a_network_with_every_operator_match_finite_differences() {
    let graph = Arc::new(every_operator());
    let drawn = Weights::init(&graph, 5, &Device::Cpu).unwrap();
    // Larger weights make slopes that are well above the rounding of the loss.
    let variable = |tensor: &Tensor| Var::from_tensor(&(tensor * 3.0).unwrap()).unwrap();
    let variables: BTreeMap<String, Var> = drawn
        .0
        .iter()
        .map(|(key, tensor)| (key.clone(), variable(tensor)))
        .collect();
    let weights = Weights(
        variables
            .iter()
            .map(|(key, var)| (key.clone(), var.as_tensor().clone()))
            .collect(),
    );
    let network = Network::new(graph.clone(), weights);
    let input = Var::from_tensor(&images(3, &[2, 8, 8])).unwrap();
    let loss = || {
        let mut state = training_state(9);
        let logits = network
            .forward(input.as_tensor(), Mode::Training(&mut state), &mut |_, _| Ok(()))
            .unwrap();
        crate::ops::cross_entropy(&logits, &[0, 3, 1]).unwrap()
    };
    let gradients = loss().backward().unwrap();

    let trainable = graph
        .parameters()
        .filter(|(_, parameter)| parameter.role.is_trainable())
        .map(|(key, _)| key);
    for key in trainable.chain(["input".to_owned()]) {
        let variable = if key == "input" { &input } else { &variables[&key] };
        let gradient = gradients.get(variable).unwrap();
        // A bias before a normalisation has no effect, so no slope either.
        if norm(gradient) < 1e-5 {
            assert_eq!(key, "1.bias");
            continue;
        }
        check_gradient(&key, variable, gradient, (3e-3, 0.01), loss);
    }
}
