//! Compares the gradients of operations on whole tensors with finite differences.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Var};

use super::*;
use crate::fixtures::{check_gradient, norm};
use scv_domain::graph::{BinaryFunction, PadMode, UnaryFunction};

/// Different positive numbers, so that logarithms, roots and maxima are smooth around them.
fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let count = shape.iter().product::<usize>();
    let number = |index: usize| 0.4 + ((index * 37 + seed * 17) % 101) as f32 * 0.013;
    Tensor::from_vec((0..count).map(number).collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

/// Checks the gradient of each input.
fn check(operator: TensorOperator, inputs: &[&[usize]], dims: &[usize]) {
    check_from(0.0, &operator, &[], inputs, dims);
}

/// The same for inputs that are smaller by `shift`, after `constants` that have no gradient.
fn check_from(shift: f64, operator: &TensorOperator, constants: &[Tensor], inputs: &[&[usize]], dims: &[usize]) {
    let variables: Vec<Var> = inputs
        .iter()
        .enumerate()
        .map(|(seed, shape)| Var::from_tensor(&(numbers(shape, seed) - shift).unwrap()).unwrap())
        .collect();
    let weights = (numbers(dims, 7) - 0.9).unwrap();
    let loss = || {
        let varied = variables.iter().map(|variable| variable.as_tensor());
        let inputs: Vec<Tensor> = constants.iter().chain(varied).cloned().collect();
        let value = apply(operator, &inputs, dims).unwrap();
        assert_eq!(value.dims(), dims, "{operator:?}");
        (value * &weights).unwrap().sum_all().unwrap()
    };
    let gradients = loss().backward().unwrap();
    for (index, variable) in variables.iter().enumerate() {
        let gradient = gradients.get(variable);
        let gradient = gradient.unwrap_or_else(|| panic!("{operator:?} has no gradient for input {index}"));
        assert!(norm(gradient) > 1e-4, "{operator:?} has no slope for input {index}");
        check_gradient(
            &format!("{operator:?}, input {index}"),
            variable,
            gradient,
            (2e-3, 0.01),
            loss,
        );
    }
}

#[test]
fn gradients_of_operations_that_move_numbers_match_finite_differences() {
    check(TensorOperator::Reshape, &[&[2, 6]], &[3, 4]);
    check(TensorOperator::Expand, &[&[2, 1, 3]], &[2, 4, 3]);
    check(TensorOperator::Transpose(vec![2, 0, 1]), &[&[2, 3, 4]], &[4, 2, 3]);
    check(TensorOperator::Concat(1), &[&[2, 3], &[2, 1]], &[2, 4]);
    let slice = TensorOperator::Slice {
        starts: vec![1, 4],
        steps: vec![1, -2],
    };
    check(slice, &[&[3, 5]], &[2, 3]);
    let gather = TensorOperator::Gather {
        axis: 1,
        indices: vec![2, 0, 2, 1],
    };
    check(gather, &[&[2, 3, 2]], &[2, 4, 2]);
    for mode in [PadMode::Constant(0.5), PadMode::Reflection, PadMode::Replication] {
        let pad = TensorOperator::Pad {
            mode,
            before: vec![0, 2],
            after: vec![1, -1],
        };
        check(pad, &[&[3, 4]], &[4, 5]);
    }
}

#[test]
fn gradients_of_elementwise_functions_match_finite_differences() {
    for function in [
        BinaryFunction::Add,
        BinaryFunction::Sub,
        BinaryFunction::Mul,
        BinaryFunction::Div,
        BinaryFunction::Pow,
        BinaryFunction::Min,
        BinaryFunction::Max,
        BinaryFunction::Mod,
        BinaryFunction::Fmod,
    ] {
        check(TensorOperator::Binary(function), &[&[2, 3, 4], &[3, 1]], &[2, 3, 4]);
    }
    // One exponent for all numbers, with a gradient of its own; numbers below zero.
    check(TensorOperator::Binary(BinaryFunction::Pow), &[&[2, 3], &[1]], &[2, 3]);
    for (shift, function) in [
        (0.9, BinaryFunction::Prelu),
        (2.5, BinaryFunction::Mod),
        (2.5, BinaryFunction::Fmod),
    ] {
        let operator = TensorOperator::Binary(function);
        check_from(shift, &operator, &[], &[&[2, 3, 4], &[3, 1]], &[2, 3, 4]);
    }
    for function in [
        UnaryFunction::Neg,
        UnaryFunction::Abs,
        UnaryFunction::Exp,
        UnaryFunction::Log,
        UnaryFunction::Sqrt,
        UnaryFunction::Reciprocal,
        UnaryFunction::Erf,
        UnaryFunction::Sin,
        UnaryFunction::Cos,
    ] {
        check(TensorOperator::Unary(function), &[&[3, 5]], &[3, 5]);
    }
}

#[test]
fn gradients_of_choices_and_casts_match_finite_differences() {
    let chosen = Tensor::new(&[1_u8, 0, 1], &Device::Cpu).unwrap();
    check_from(0.0, &TensorOperator::Where, &[chosen], &[&[2, 3], &[2, 1]], &[2, 3]);
    check(TensorOperator::Cast(NumberType::Float), &[&[2, 3]], &[2, 3]);
    check(TensorOperator::Constant, &[&[2, 3]], &[2, 3]);
}

/// `And`, `Or` and `Xor` are missing: they read booleans, which have no gradient.
#[test]
fn step_functions_have_no_slope_and_do_not_stop_other_gradients() {
    let steps = [
        TensorOperator::Unary(UnaryFunction::Floor),
        TensorOperator::Unary(UnaryFunction::Ceil),
        TensorOperator::Unary(UnaryFunction::Round),
        TensorOperator::Unary(UnaryFunction::Sign),
        TensorOperator::Unary(UnaryFunction::Not),
        TensorOperator::Binary(BinaryFunction::Equal),
        TensorOperator::Binary(BinaryFunction::Less),
        TensorOperator::Binary(BinaryFunction::LessOrEqual),
        TensorOperator::Binary(BinaryFunction::Greater),
        TensorOperator::Binary(BinaryFunction::GreaterOrEqual),
        TensorOperator::ArgMax(0),
        TensorOperator::Cast(NumberType::Integer),
        TensorOperator::Cast(NumberType::Boolean),
    ];
    for step in steps {
        let x = Var::from_tensor(&numbers(&[3, 4], 0)).unwrap();
        let inputs = [x.as_tensor().clone(), numbers(&[3, 4], 1)];
        let dims: &[usize] = if step == TensorOperator::ArgMax(0) {
            &[4]
        } else {
            &[3, 4]
        };
        let value = apply(&step, &inputs, dims).unwrap().to_dtype(DType::F32).unwrap();
        let sum = value.broadcast_add(&x).unwrap();
        let gradients = sum.sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&x).unwrap().flatten_all().unwrap();
        assert_eq!(gradient.to_vec1::<f32>().unwrap(), [1.0; 12], "{step:?}");
    }
}

#[test]
fn gradients_of_products_and_sums_match_finite_differences() {
    check(TensorOperator::MatMul, &[&[2, 3, 4], &[4, 2]], &[2, 3, 2]);
    check(TensorOperator::MatMul, &[&[2, 1, 3, 4], &[2, 4, 2]], &[2, 2, 3, 2]);
    check(TensorOperator::MatMul, &[&[4], &[4, 2]], &[2]);
    for function in [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Max,
        Reduction::Min,
        Reduction::Prod,
        Reduction::L1,
        Reduction::L2,
        Reduction::SumSquare,
        Reduction::LogSum,
        Reduction::LogSumExp,
    ] {
        let axes = vec![0, 2];
        check(TensorOperator::Reduce { function, axes }, &[&[2, 3, 4]], &[3]);
    }
}

#[test]
fn equal_numbers_share_the_gradient_of_the_largest() {
    let numbers = [[1.0_f32, 3.0, 3.0], [3.0, 0.0, f32::NEG_INFINITY]];
    for (function, sign) in [(Reduction::Max, 1.0), (Reduction::Min, -1.0)] {
        let x = Var::from_tensor(&(Tensor::new(&numbers, &Device::Cpu).unwrap() * sign).unwrap()).unwrap();
        let axes = vec![0, 1];
        let found = apply(
            &TensorOperator::Reduce { function, axes },
            &[x.as_tensor().clone()],
            &[],
        )
        .unwrap();
        assert_eq!(f64::from(found.to_scalar::<f32>().unwrap()), 3.0 * sign);
        let gradient = found.backward().unwrap().remove(&x).unwrap();
        let third = 1.0 / 3.0;
        assert_eq!(
            gradient.to_vec2::<f32>().unwrap(),
            [[0.0, third, third], [third, 0.0, 0.0]]
        );
    }
}

#[test]
fn the_largest_of_booleans_and_of_huge_numbers_is_found_while_gradients_are_tracked() {
    let x = Var::from_tensor(&Tensor::full(3e38_f32, 300, &Device::Cpu).unwrap()).unwrap();
    let axes = vec![0];
    let largest = TensorOperator::Reduce {
        function: Reduction::Max,
        axes,
    };
    let found = apply(&largest, &[x.as_tensor().clone()], &[]).unwrap();
    assert_eq!(found.to_scalar::<f32>().unwrap(), 3e38);
    let booleans = apply(
        &TensorOperator::Cast(NumberType::Boolean),
        &[x.as_tensor().clone()],
        &[300],
    )
    .unwrap();
    assert_eq!(apply(&largest, &[booleans], &[]).unwrap().to_scalar::<u8>().unwrap(), 1);
}

#[test]
fn gradients_of_normalisations_and_resizing_match_finite_differences() {
    for log in [false, true] {
        let axes = vec![1, 2];
        check(TensorOperator::Softmax { axes, log }, &[&[2, 3, 4]], &[2, 3, 4]);
    }
    let axes = vec![2];
    for is_centred in [true, false] {
        let normalise = TensorOperator::Normalise {
            axes: axes.clone(),
            is_centred,
            eps: 1e-5,
        };
        check(normalise, &[&[2, 3, 4]], &[2, 3, 4]);
    }
    let local = TensorOperator::LocalResponse {
        size: 3,
        alpha: 0.5,
        beta: 0.75,
        bias: 1.0,
    };
    check(local, &[&[2, 5, 3]], &[2, 5, 3]);
    let rows = Interpolation {
        sources: vec![vec![0, 0, 1], vec![1, 1, 1]],
        weights: vec![vec![1.0, 0.5, 0.75], vec![0.0, 0.5, 0.25]],
    };
    let columns = Interpolation {
        sources: vec![vec![2, 0]],
        weights: vec![vec![1.0, 1.0]],
    };
    for (axis, interpolation, dims) in [(2, rows, [1, 2, 3, 3]), (3, columns, [1, 2, 2, 2])] {
        let interpolation = Box::new(interpolation);
        check(TensorOperator::Resize { axis, interpolation }, &[&[1, 2, 2, 3]], &dims);
    }
}

#[test]
fn functions_of_infinite_numbers_have_the_same_values_with_and_without_gradients() {
    let [a, b] = [[f32::INFINITY, 1.0, 0.0], [-1.0, f32::INFINITY, 0.5]]
        .map(|numbers| Var::new(&numbers, &Device::Cpu).unwrap());
    for function in [BinaryFunction::Pow, BinaryFunction::Fmod] {
        let values = |inputs: [Tensor; 2]| {
            let value = apply(&TensorOperator::Binary(function), &inputs, &[3]).unwrap();
            value.to_vec1::<f32>().unwrap()
        };
        let tracked = values([a.as_tensor().clone(), b.as_tensor().clone()]);
        let plain = values([a.as_detached_tensor(), b.as_detached_tensor()]);
        for (tracked, plain) in tracked.into_iter().zip(plain) {
            assert!(
                tracked == plain || tracked.is_nan() && plain.is_nan(),
                "{function:?}: {tracked}, not {plain}"
            );
        }
    }
}

#[test]
fn powers_of_negative_numbers_follow_the_definition() {
    let base = Tensor::new(&[-2.0_f32, -2.0, 3.0], &Device::Cpu).unwrap();
    let exponent = Tensor::new(&[3.0_f32, 2.0, -1.0], &Device::Cpu).unwrap();
    let power = TensorOperator::Binary(BinaryFunction::Pow);
    let values = apply(&power, &[base, exponent], &[3])
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert_eq!(values, [-8.0, 4.0, 1.0 / 3.0]);
}

#[test]
fn quantisation_passes_the_gradient_of_numbers_that_it_does_not_clip() {
    let x = Var::new(&[0.6_f32, 2.5, 3.4, -9.0, 9.0], &Device::Cpu).unwrap();
    let [scale, zero_point] = [0.5_f32, 3.0].map(|number| Tensor::new(number, &Device::Cpu).unwrap());
    let steps = |x: &Tensor| {
        let inputs = [x.clone(), scale.clone(), zero_point.clone()];
        apply(&TensorOperator::Quantise { min: 0, max: 10 }, &inputs, &[5]).unwrap()
    };
    let expected = [4.0, 8.0, 10.0, 0.0, 10.0];
    assert_eq!(steps(&x.as_detached_tensor()).to_vec1::<f32>().unwrap(), expected);
    let tracked = steps(x.as_tensor());
    assert_eq!(tracked.to_vec1::<f32>().unwrap(), expected);
    let real = apply(
        &TensorOperator::Dequantise,
        &[tracked, scale.clone(), zero_point.clone()],
        &[5],
    )
    .unwrap();
    let gradients = real.sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(&x).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(gradient, [1.0, 1.0, 1.0, 0.0, 0.0]);
}
