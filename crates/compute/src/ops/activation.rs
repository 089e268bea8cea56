//! Elementwise activations, with PyTorch's values and slopes.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::erf::erf;
use super::kernels::Kernels;
use super::portable;
use super::slices::{map, output, values};
use scv_domain::graph::Activation;

/// √(2/π), the scale of the tanh approximation.
const TANH_SCALE: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
/// The cubic term of the tanh approximation.
const TANH_CUBE: f32 = 0.044_715;

/// Applies an activation to every element of `x`.
pub(super) fn apply(kernels: Kernels, x: &Tensor, activation: Activation) -> Result<Tensor> {
    match kernels {
        Kernels::Cpu => x.contiguous()?.apply_op1(Value(activation)),
        Kernels::Portable => portable::activation(x, activation),
    }
}

struct Value(Activation);

impl CustomOp1 for Value {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        output(all_values(self.0, values(storage, layout)?), layout.shape().clone())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&dy.contiguous()?, &Slope(self.0))?))
    }
}

/// The slope at the first tensor times the second.
struct Slope(Activation);

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "activation slope"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut gradient = all_slopes(self.0, values(s1, l1)?);
        gradient
            .iter_mut()
            .zip(values(s2, l2)?)
            .for_each(|(slope, dy)| *slope *= dy);
        output(gradient, l1.shape().clone())
    }
}

/// Comparisons are written so that NaN stays NaN.
fn all_values(activation: Activation, x: &[f32]) -> Vec<f32> {
    match activation {
        Activation::Relu => map(x, |x| if x <= 0.0 { 0.0 } else { x }),
        Activation::LeakyRelu { negative_slope } => {
            let slope = negative_slope as f32;
            map(x, |x| if x > 0.0 { x } else { x * slope })
        }
        Activation::Elu { alpha } => {
            let alpha = alpha as f32;
            map(x, |x| if x > 0.0 { x } else { alpha * x.exp_m1() })
        }
        Activation::Gelu { tanh: false } => map(x, |x| x * normal_cdf(x)),
        Activation::Gelu { tanh: true } => map(x, |x| 0.5 * x * (1.0 + tanh_argument(x).tanh())),
        Activation::Silu => map(x, |x| x * sigmoid(x)),
        Activation::Sigmoid => map(x, sigmoid),
        Activation::Tanh => map(x, f32::tanh),
        Activation::Hardtanh { min, max } => {
            let (min, max) = (min as f32, max as f32);
            map(x, |x| {
                if x < min {
                    min
                } else if x > max {
                    max
                } else {
                    x
                }
            })
        }
        Activation::Softplus { beta, threshold } => {
            let (beta, threshold) = (beta as f32, threshold as f32);
            map(x, |x| {
                if x * beta > threshold {
                    x
                } else {
                    softplus(x * beta) / beta
                }
            })
        }
        Activation::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (alpha as f32, beta as f32);
            map(x, |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        Activation::HardSwish => map(x, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        Activation::Selu { alpha, gamma } => {
            let (alpha, gamma) = (alpha as f32, gamma as f32);
            map(x, |x| gamma * if x > 0.0 { x } else { alpha * x.exp_m1() })
        }
        Activation::Celu { alpha } => {
            let alpha = alpha as f32;
            map(x, |x| if x > 0.0 { x } else { alpha * (x / alpha).exp_m1() })
        }
        Activation::ThresholdedRelu { alpha } => {
            let alpha = alpha as f32;
            map(x, |x| if x <= alpha { 0.0 } else { x })
        }
        Activation::Softsign => map(x, |x| x / (1.0 + x.abs())),
        Activation::Mish => map(x, |x| x * softplus(x).tanh()),
    }
}

/// At a kink the slope is PyTorch's choice.
fn all_slopes(activation: Activation, x: &[f32]) -> Vec<f32> {
    match activation {
        Activation::Relu => map(x, |x| if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::LeakyRelu { negative_slope } => {
            let slope = negative_slope as f32;
            map(x, |x| if x > 0.0 { 1.0 } else { slope })
        }
        Activation::Elu { alpha } => {
            let alpha = alpha as f32;
            map(x, |x| if x > 0.0 { 1.0 } else { alpha * x.exp() })
        }
        Activation::Gelu { tanh: false } => {
            let density = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
            map(x, |x| normal_cdf(x) + x * density * (-0.5 * x * x).exp())
        }
        Activation::Gelu { tanh: true } => map(x, |x| {
            let tanh = tanh_argument(x).tanh();
            let argument_slope = TANH_SCALE * (1.0 + 3.0 * TANH_CUBE * x * x);
            0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * argument_slope
        }),
        Activation::Silu => map(x, |x| {
            let sigmoid = sigmoid(x);
            sigmoid * (1.0 + x * (1.0 - sigmoid))
        }),
        Activation::Sigmoid => map(x, |x| {
            let sigmoid = sigmoid(x);
            sigmoid * (1.0 - sigmoid)
        }),
        Activation::Tanh => map(x, |x| {
            let tanh = x.tanh();
            1.0 - tanh * tanh
        }),
        Activation::Hardtanh { min, max } => {
            let (min, max) = (min as f32, max as f32);
            map(x, |x| if x <= min || x >= max { 0.0 } else { 1.0 })
        }
        Activation::Softplus { beta, threshold } => {
            let (beta, threshold) = (beta as f32, threshold as f32);
            map(x, |x| if x * beta > threshold { 1.0 } else { sigmoid(x * beta) })
        }
        Activation::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (alpha as f32, beta as f32);
            let inside = move |x: f32| (0.0..1.0).contains(&(alpha * x + beta));
            map(x, |x| if inside(x) { alpha } else { 0.0 })
        }
        Activation::HardSwish => map(x, |x| match x {
            ..=-3.0 => 0.0,
            3.0.. => 1.0,
            _ => x / 3.0 + 0.5,
        }),
        Activation::Selu { alpha, gamma } => {
            let (alpha, gamma) = (alpha as f32, gamma as f32);
            map(x, |x| gamma * if x > 0.0 { 1.0 } else { alpha * x.exp() })
        }
        Activation::Celu { alpha } => {
            let alpha = alpha as f32;
            map(x, |x| if x > 0.0 { 1.0 } else { (x / alpha).exp() })
        }
        Activation::ThresholdedRelu { alpha } => {
            let alpha = alpha as f32;
            map(x, |x| if x <= alpha { 0.0 } else { 1.0 })
        }
        Activation::Softsign => map(x, |x| (1.0 + x.abs()).powi(-2)),
        Activation::Mish => map(x, |x| {
            let tanh = softplus(x).tanh();
            tanh + x * (1.0 - tanh * tanh) * sigmoid(x)
        }),
    }
}

#[inline]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The cumulative distribution function of the standard normal distribution.
#[inline]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * FRAC_1_SQRT_2))
}

#[inline]
fn tanh_argument(x: f32) -> f32 {
    TANH_SCALE * (x + TANH_CUBE * x * x * x)
}

/// `log(1 + exp(x))` without overflow.
#[inline]
fn softplus(x: f32) -> f32 {
    let above = if x <= 0.0 { 0.0 } else { x };
    above + (-x.abs()).exp().ln_1p()
}
