//! Compares every operator with PyTorch, forward and gradient, in both implementations.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::*;
use crate::fixtures::Builder;
use scv_domain::graph::{Activation, BinaryFunction, PadMode};

mod gradients;

/// What `scripts/golden_operators.py` wrote.
const GOLDEN: &str = include_str!("../../../../tests/golden/operators.json");

/// Relative to the largest number of a tensor.
const TOLERANCE: f64 = 3e-6;

/// One of every kind.
const ACTIVATIONS: [Activation; 17] = [
    Activation::Relu,
    Activation::LeakyRelu { negative_slope: 0.1 },
    Activation::Elu { alpha: 1.0 },
    Activation::Gelu { tanh: false },
    Activation::Gelu { tanh: true },
    Activation::Silu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Hardtanh { min: 0.0, max: 6.0 },
    Activation::Softplus {
        beta: 1.0,
        threshold: 20.0,
    },
    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Activation::HardSwish,
    Activation::Selu {
        alpha: 1.673_263_2,
        gamma: 1.050_701,
    },
    Activation::Celu { alpha: 1.5 },
    Activation::ThresholdedRelu { alpha: 1.0 },
    Activation::Softsign,
    Activation::Mish,
];

#[test]
fn every_operator_agrees_with_pytorch_on_the_cpu() {
    check_all(Kernels::Cpu);
}

#[test]
fn every_operator_composed_of_primitives_agrees_with_pytorch() {
    check_all(Kernels::Portable);
}

#[test]
fn windows_that_reach_over_the_edge_on_one_side_only_read_zeros_there() {
    // Input, output, kernel, stride, padding before, dilation; channels and groups.
    let windows = [
        // As ONNX's SAME_UPPER pads: after the image only.
        ([4, 4], [2, 2], [3, 3], [2, 2], [0, 0], [1, 1], 2, 1),
        ([1, 1], [1, 1], [2, 2], [1, 1], [0, 0], [1, 1], 2, 1),
        ([1, 9], [1, 3], [1, 5], [1, 4], [0, 0], [1, 1], 2, 1),
        // Patches, whole and truncated.
        ([8, 8], [2, 2], [4, 4], [4, 4], [0, 0], [1, 1], 3, 1),
        ([9, 9], [2, 2], [4, 4], [4, 4], [0, 0], [1, 1], 3, 1),
        ([9, 9], [1, 1], [4, 4], [4, 4], [0, 0], [2, 2], 3, 1),
        // One group per channel: uneven, dilated, and a plane with more sums than the cache holds.
        ([5, 6], [5, 6], [4, 4], [1, 1], [1, 1], [1, 1], 3, 3),
        ([7, 7], [5, 5], [3, 3], [1, 1], [1, 1], [2, 2], 3, 3),
        ([40, 41], [40, 41], [5, 5], [1, 1], [2, 2], [1, 1], 2, 2),
    ];
    for (input, output, kernel, stride, padding, dilation, channels, groups) in windows {
        let window = Window {
            input,
            output,
            kernel,
            stride,
            padding,
            dilation,
        };
        let x = numbers("input", &[3, channels, input[0], input[1]], 1.0, None);
        let outputs = 2 * channels;
        let w = numbers("weight", &[outputs, channels / groups, kernel[0], kernel[1]], 1.0, None);
        let [ours, composed] = [Kernels::Cpu, Kernels::Portable]
            .map(|kernels| convolution::convolve(kernels, &x, &w, window, groups).unwrap());
        let composed: Vec<f64> = flat(&composed).into_iter().map(f64::from).collect();
        assert_close(&format!("{window:?}"), &ours, &composed, 1e-5);
    }
}

#[test]
fn the_faster_ways_without_a_gradient_agree_with_those_that_have_one() {
    let expected = |tensor: &Tensor| flat(tensor).into_iter().map(f64::from).collect::<Vec<_>>();

    let (rows, inputs, outputs) = (700, 9, 5);
    let mut graph = Builder::new(&[inputs]).linear(outputs).build();
    let node = graph.nodes.remove(0);
    let x = numbers("input", &[rows, inputs], 1.0, None);
    let bias = numbers("bias", &[outputs], 1.0, None);
    let weights = Weights(BTreeMap::from([
        (
            node.key(ParameterRole::Weight),
            numbers("weight", &[outputs, inputs], 1.0, None),
        ),
        (node.key(ParameterRole::Bias), bias),
    ]));
    let [ours, composed] = [Kernels::Cpu, Kernels::Portable]
        .map(|kernels| linear(kernels, &x, &node, &weights, &[rows, outputs]).unwrap());
    assert_close("linear", &ours, &expected(&composed), 1e-6);

    let x = numbers("input", &[2, 3, 4, 5], 1.0, None);
    for slopes in [&[3, 1, 1][..], &[1, 3, 1, 1], &[1, 1, 5]] {
        let slope = numbers("weight", slopes, 1.0, None);
        let tracked = Var::from_tensor(&slope).unwrap();
        let prelu = |slope: &Tensor| elementwise::binary(BinaryFunction::Prelu, &x, slope, x.dims()).unwrap();
        assert_close("PRelu", &prelu(&slope), &expected(&prelu(&tracked).detach()), 1e-6);
    }
}

#[test]
fn both_implementations_agree_on_shapes_that_are_divided_into_pieces() {
    // Large and small images, few and many channels and images: every way in which the work is divided.
    for (batch, inputs, outputs, groups, size, kernel, stride) in [
        (1, 64, 96, 1, 17, 3, 1),
        (3, 8, 128, 2, 20, 3, 2),
        (40, 12, 20, 2, 5, 3, 1),
        (17, 6, 10, 1, 4, 2, 2),
        (2, 40, 70, 1, 33, 1, 1),
        (1, 3, 8, 1, 90, 7, 2),
    ] {
        let padding = kernel / 2;
        let output = (size + 2 * padding - kernel) / stride + 1;
        let window = Window {
            input: [size; 2],
            output: [output; 2],
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1, 1],
        };
        let x = Var::from_tensor(&numbers("input", &[batch, inputs, size, size], 1.0, None)).unwrap();
        let w = Var::from_tensor(&numbers(
            "weight",
            &[outputs, inputs / groups, kernel, kernel],
            1.0,
            None,
        ))
        .unwrap();
        let [ours, composed] = [Kernels::Cpu, Kernels::Portable].map(|kernels| {
            let y = convolution::convolve(kernels, &x, &w, window, groups).unwrap();
            let gradients = directed_sum(&y).backward().unwrap();
            [
                y.detach(),
                gradients.get(&x).unwrap().clone(),
                gradients.get(&w).unwrap().clone(),
            ]
        });
        for (ours, composed) in ours.iter().zip(&composed) {
            let what = format!("batch {batch}, {inputs} to {outputs} channels, size {size}");
            assert_close(
                &what,
                ours,
                &flat(composed).iter().map(|&x| f64::from(x)).collect::<Vec<_>>(),
                1e-5,
            );
        }
    }
}

#[test]
fn not_a_number_is_never_hidden() {
    let x = Tensor::new(&[[[[1.0f32, f32::NAN], [3.0, 2.0]]]], &Device::Cpu).unwrap();
    let window = Window {
        input: [2; 2],
        output: [1; 2],
        kernel: [2; 2],
        stride: [2; 2],
        padding: [0; 2],
        dilation: [1; 2],
    };
    for kernels in [Kernels::Cpu, Kernels::Portable] {
        for activation in ACTIVATIONS {
            let y = flat(&activation::apply(kernels, &x, activation).unwrap());
            assert!(
                y[1].is_nan() && !y[0].is_nan(),
                "{activation:?} on {kernels:?} gave {y:?}"
            );
        }
        assert!(flat(&pool::maximum(kernels, &x, window).unwrap())[0].is_nan());
    }
}

#[test]
fn dropout_zeroes_a_share_and_keeps_the_expectation() {
    let x = Tensor::ones((10, 1000), candle_core::DType::F32, &Device::Cpu).unwrap();
    let draw = |p, seed| flat(&dropout(&x, p, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap());

    let y = draw(0.25, 1);
    let zeros = y.iter().filter(|&&y| y == 0.0).count();
    assert!((2300..2700).contains(&zeros), "{zeros} zeros of 10,000");
    assert!(y.iter().all(|&y| y == 0.0 || (y - 4.0 / 3.0).abs() < 1e-6));
    assert_eq!(y, draw(0.25, 1));
    assert_ne!(y, draw(0.25, 2));
    assert!(draw(1.0, 1).iter().all(|&y| y == 0.0));
    assert!(draw(0.0, 1).iter().all(|&y| y == 1.0));
}

#[test]
fn cross_entropy_is_finite_for_extreme_logits() {
    let logits = Var::new(&[[1000.0f32, -1000.0], [0.0, 0.0]], &Device::Cpu).unwrap();
    let loss = cross_entropy(&logits, &[1, 0]).unwrap();
    assert!((loss.to_scalar::<f32>().unwrap() - (2000.0 + 2f32.ln()) / 2.0).abs() < 1e-3);
    let gradients = loss.backward().unwrap();
    assert_eq!(flat(gradients.get(&logits).unwrap()), [0.5, -0.5, -0.25, 0.25]);
}

#[test]
fn a_tie_between_classes_goes_to_the_first() {
    let logits = Tensor::new(&[[1.0f32, 2.0, 2.0], [3.0, 3.0, 1.0]], &Device::Cpu).unwrap();
    assert_eq!(predictions(&logits).unwrap(), [1, 0]);
}

fn check_all(kernels: Kernels) {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        check_case(kernels, case);
    }
}

/// A layer of one of the script's cases, with its variables: the input, and the parameters by role.
struct Case {
    name: String,
    node: Node,
    variables: BTreeMap<String, Var>,
    weights: Weights,
    output_shape: Vec<usize>,
}

fn built(case: &Value) -> Case {
    let output_shape = sizes(&case["output_shape"]);
    let scale = case["scale"].as_f64().unwrap();
    let input = numbers("input", &sizes(&case["input_shape"]), scale, case["levels"].as_f64());
    let mut variables = BTreeMap::from([("input".to_owned(), Var::from_tensor(&input).unwrap())]);
    let mut weights = Weights::default();
    let mut roles = Vec::new();
    for role in [
        ParameterRole::Weight,
        ParameterRole::Bias,
        ParameterRole::RunningMean,
        ParameterRole::RunningVar,
    ] {
        if let Some(shape) = case["parameters"].get(role.name()) {
            let mut tensor = numbers(role.name(), &sizes(shape), 1.0, None);
            if role.is_trainable() {
                let variable = Var::from_tensor(&tensor).unwrap();
                tensor = variable.as_tensor().clone();
                variables.insert(role.name().to_owned(), variable);
            }
            weights.0.insert(format!("0.{}", role.name()), tensor);
            roles.push((role, sizes(shape)));
        }
    }
    let roles: Vec<_> = roles.iter().map(|(role, shape)| (*role, shape.as_slice())).collect();
    let operator = operator(&case["operator"]);
    let mut graph = Builder::new(&[]).then(operator, &output_shape[1..], &roles).build();
    Case {
        name: case["name"].as_str().unwrap().to_owned(),
        node: graph.nodes.remove(0),
        variables,
        weights,
        output_shape,
    }
}

impl Case {
    fn output(&self, kernels: Kernels) -> Tensor {
        let x = self.variables["input"].as_tensor().clone();
        let dims = self.node.dims(x.dims()[0]);
        forward(kernels, &self.node, &[x], &self.weights, &dims).unwrap()
    }
}

fn check_case(kernels: Kernels, case: &Value) {
    let built = built(case);
    let name = format!("{} on {kernels:?}", built.name);
    let y = if case["training"].as_bool().unwrap() {
        train_normalisation(kernels, &built.node, &built.variables["input"], &built.weights)
    } else {
        built.output(kernels)
    };

    assert_eq!(y.dims(), built.output_shape, "{name}");
    assert_close(&name, &y, &floats(&case["output"]), TOLERANCE);
    let gradients = directed_sum(&y).backward().unwrap();
    for (role, expected) in case["gradients"].as_object().unwrap() {
        let gradient = gradients
            .get(&built.variables[role])
            .unwrap_or_else(|| panic!("{name}: no gradient of {role}"));
        assert_close(
            &format!("{name}, gradient of {role}"),
            gradient,
            &floats(expected),
            TOLERANCE,
        );
    }
}

fn train_normalisation(kernels: Kernels, node: &Node, x: &Tensor, weights: &Weights) -> Tensor {
    let Operator::BatchNorm2d { eps, .. } = node.operator else {
        panic!("only batch normalisation has a training case")
    };
    let moments = batch_moments(kernels, x).unwrap();
    let (weight, bias) = scale_and_shift(node, weights, x).unwrap();
    normalise_batch(kernels, x, &moments, (&weight, &bias), eps).unwrap()
}

/// The weighted sum of the elements, with a different weight for each.
fn directed_sum(y: &Tensor) -> Tensor {
    (y * numbers("direction", y.dims(), 1.0, None))
        .unwrap()
        .sum_all()
        .unwrap()
}

/// The numbers that the script uses.
fn numbers(role: &str, shape: &[usize], scale: f64, levels: Option<f64>) -> Tensor {
    let roles = ["input", "weight", "bias", "running_mean", "running_var", "direction"];
    let phase = roles.iter().position(|&known| known == role).unwrap() as f64;
    let number = |index: usize| {
        let mut value = (0.37 * index as f64 + phase).sin();
        if let Some(levels) = levels {
            value = (value * levels + 0.5).floor() / levels;
        }
        let raised = if role == "running_var" { value + 1.5 } else { value };
        (raised * scale) as f32
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(number).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn assert_close(what: &str, actual: &Tensor, expected: &[f64], tolerance: f64) {
    let actual = flat(actual);
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f64, |largest, x| largest.max(x.abs()));
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(*actual) - expected).abs();
        assert!(
            error <= tolerance * largest,
            "{what}: number {index} is {actual}, not {expected}"
        );
    }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn sizes(value: &Value) -> Vec<usize> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|size| size.as_u64().unwrap() as usize)
        .collect()
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

fn operator(spec: &Value) -> Operator {
    let pair = |key: &str| -> [usize; 2] { sizes(&spec[key]).try_into().unwrap() };
    let number = |key: &str| spec[key].as_f64().unwrap();
    let count = |key: &str| spec[key].as_u64().unwrap() as usize;
    match spec["type"].as_str().unwrap() {
        "Conv2d" => Operator::Conv2d {
            stride: pair("stride"),
            padding: pair("padding"),
            dilation: pair("dilation"),
            groups: count("groups"),
        },
        "ConvTranspose2d" => Operator::ConvTranspose2d {
            stride: pair("stride"),
            padding: pair("padding"),
            output_padding: pair("output_padding"),
            dilation: pair("dilation"),
            groups: count("groups"),
        },
        "MaxPool2d" => Operator::MaxPool2d {
            kernel: pair("kernel"),
            stride: pair("stride"),
            padding: pair("padding"),
            dilation: pair("dilation"),
        },
        "AvgPool2d" => Operator::AvgPool2d {
            kernel: pair("kernel"),
            stride: pair("stride"),
            padding: pair("padding"),
            count_include_pad: spec["count_include_pad"].as_bool().unwrap(),
            divisor_override: spec["divisor_override"].as_u64().map(|divisor| divisor as usize),
        },
        "AdaptiveAvgPool2d" => Operator::AdaptiveAvgPool2d,
        "Pad2d" => Operator::Pad2d {
            mode: match spec["mode"].as_str().unwrap() {
                "constant" => PadMode::Constant(number("value")),
                "reflection" => PadMode::Reflection,
                _ => PadMode::Replication,
            },
            padding: std::array::from_fn(|side| spec["padding"][side].as_i64().unwrap()),
        },
        "BatchNorm2d" => Operator::BatchNorm2d {
            eps: number("eps"),
            momentum: spec["momentum"].as_f64(),
        },
        "Linear" => Operator::Linear,
        "Softmax" => Operator::Softmax { dim: count("dim") },
        "Relu" => Operator::Activation(Activation::Relu),
        "LeakyRelu" => Operator::Activation(Activation::LeakyRelu {
            negative_slope: number("negative_slope"),
        }),
        "Elu" => Operator::Activation(Activation::Elu { alpha: number("alpha") }),
        "Gelu" => Operator::Activation(Activation::Gelu {
            tanh: spec["tanh"].as_bool().unwrap(),
        }),
        "Silu" => Operator::Activation(Activation::Silu),
        "Sigmoid" => Operator::Activation(Activation::Sigmoid),
        "Tanh" => Operator::Activation(Activation::Tanh),
        "Hardtanh" => Operator::Activation(Activation::Hardtanh {
            min: number("min"),
            max: number("max"),
        }),
        "Softplus" => Operator::Activation(Activation::Softplus {
            beta: number("beta"),
            threshold: number("threshold"),
        }),
        other => panic!("unknown operator {other}"),
    }
}
