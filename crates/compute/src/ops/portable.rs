//! Operators composed of candle's differentiable primitives, for devices other than the CPU.
//!
//! Nothing here relies on candle's own pooling or on the gradient of its convolution: the gradient of
//! the first is wrong, and the second assumes square strides.

use candle_core::{Result, Tensor};

use super::means::Means;
use super::pad::extend;
use super::window::Window;
use scv_domain::graph::Activation;

/// Convolution: candle's own if no gradient is needed and one number per setting fits both axes, otherwise the columns
/// of all taps and one product.
pub(super) fn convolve(x: &Tensor, weight: &Tensor, window: &Window, groups: usize) -> Result<Tensor> {
    let square = |pair: [usize; 2]| pair[0] == pair[1];
    let tracked = x.track_op() || weight.track_op();
    let plain = square(window.stride) && square(window.padding) && square(window.dilation) && window.is_symmetric();
    if !tracked && groups == 1 && plain {
        let (padding, stride, dilation) = (window.padding[0], window.stride[0], window.dilation[0]);
        return x.conv2d(weight, padding, stride, dilation, groups);
    }
    let (batch, inputs, ..) = x.dims4()?;
    let (outputs, group_inputs, ..) = weight.dims4()?;
    let [height, width] = window.output;
    let taps = taps(x, window, 0.0)?;
    if group_inputs == 1 && inputs == outputs {
        return depthwise(&taps, weight);
    }
    let depth = group_inputs * window.taps();
    let columns = Tensor::stack(&taps, 2)?.reshape((batch, groups, depth, height * width))?;
    let weight = weight.reshape((1, groups, outputs / groups, depth))?;
    weight
        .broadcast_matmul(&columns)?
        .reshape((batch, outputs, height, width))
}

/// Depthwise convolution: every tap times one number per channel.
fn depthwise(taps: &[Tensor], weight: &Tensor) -> Result<Tensor> {
    let channels = weight.dim(0)?;
    let weight = weight.reshape((channels, taps.len()))?;
    let mut sum: Option<Tensor> = None;
    for (index, tap) in taps.iter().enumerate() {
        let term = tap.broadcast_mul(&weight.narrow(1, index, 1)?.reshape((1, channels, 1, 1))?)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("a kernel needs at least one tap".into()))
}

/// Transposed convolution: the product first, then every tap spread to the positions it is read from.
/// `window` is that of the convolution whose gradient this is.
pub(super) fn convolve_transposed(x: &Tensor, weight: &Tensor, window: &Window, groups: usize) -> Result<Tensor> {
    let (batch, inputs, height, width) = x.dims4()?;
    let (_, group_outputs, ..) = weight.dims4()?;
    let outputs = group_outputs * groups;
    let weight = weight
        .reshape((1, groups, inputs / groups, group_outputs * window.taps()))?
        .transpose(2, 3)?;
    let columns =
        weight
            .contiguous()?
            .broadcast_matmul(&x.reshape((batch, groups, inputs / groups, height * width))?)?;
    let columns = columns.reshape((batch, outputs, window.taps(), height * width))?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..window.taps() {
        let values = columns.narrow(2, tap, 1)?.reshape((batch, outputs, height, width))?;
        let spread = spread(&values, window, [tap / window.kernel[1], tap % window.kernel[1]])?;
        sum = Some(match sum {
            Some(sum) => (sum + spread)?,
            None => spread,
        });
    }
    let sum = sum.ok_or_else(|| candle_core::Error::Msg("a kernel needs at least one tap".into()))?;
    let mut cropped = sum;
    for axis in 0..2 {
        let after = (window.input[axis] + window.padding[axis]) as i64 - reach(window, axis) as i64;
        cropped = extend(&cropped, 2 + axis, 0.0, -(window.padding[axis] as i64), after)?;
    }
    Ok(cropped)
}

/// Positions along an axis, padding included, from the first that the first tap reads to the last step
/// of the last tap.
fn reach(window: &Window, axis: usize) -> usize {
    (window.kernel[axis] - 1) * window.dilation[axis] + window.output[axis] * window.stride[axis]
}

/// The numbers that each tap of the kernel reads, `[batch, channels, output rows, output columns]` each.
fn taps(x: &Tensor, window: &Window, outside: f64) -> Result<Vec<Tensor>> {
    let (batch, channels, ..) = x.dims4()?;
    let mut padded = x.clone();
    for axis in 0..2 {
        let after = reach(window, axis) as i64 - (window.input[axis] + window.padding[axis]) as i64;
        padded = extend(&padded, 2 + axis, outside, window.padding[axis] as i64, after)?;
    }
    let ([height, width], [down, right]) = (window.output, window.stride);
    let tap = |row: usize, column: usize| {
        let rows = padded.narrow(2, row * window.dilation[0], height * down)?;
        let lines = rows
            .narrow(3, column * window.dilation[1], width * right)?
            .contiguous()?;
        let steps = lines.reshape(vec![batch, channels, height, down, width, right])?;
        steps
            .narrow(3, 0, 1)?
            .narrow(5, 0, 1)?
            .contiguous()?
            .reshape((batch, channels, height, width))
    };
    let kernel = (0..window.kernel[0]).flat_map(|row| (0..window.kernel[1]).map(move |column| (row, column)));
    kernel.map(|(row, column)| tap(row, column)).collect()
}

/// The inverse of reading a tap: its values at the positions they were read from, zeros elsewhere.
fn spread(values: &Tensor, window: &Window, tap: [usize; 2]) -> Result<Tensor> {
    let (batch, channels, height, width) = values.dims4()?;
    let [down, right] = window.stride;
    let steps = values.reshape(vec![batch, channels, height, 1, width, 1])?;
    let steps = extend(&steps, 3, 0.0, 0, down as i64 - 1)?;
    let steps = extend(&steps, 5, 0.0, 0, right as i64 - 1)?;
    let mut placed = steps.reshape((batch, channels, height * down, width * right))?;
    for (axis, tap) in tap.into_iter().enumerate() {
        let before = tap * window.dilation[axis];
        let after = reach(window, axis) - before - window.output[axis] * window.stride[axis];
        placed = extend(&placed, 2 + axis, 0.0, before as i64, after as i64)?;
    }
    Ok(placed)
}

/// The maximum of every window, folded tap by tap. The earlier of two equals is chosen, so that it
/// receives the whole gradient; candle's `maximum` would give each one half.
pub(super) fn maximum(x: &Tensor, window: &Window) -> Result<Tensor> {
    let mut taps = taps(x, window, f64::NEG_INFINITY)?.into_iter();
    let first = taps
        .next()
        .ok_or_else(|| candle_core::Error::Msg("a kernel needs at least one tap".into()))?;
    taps.try_fold(first, |best, tap| {
        let wins = (tap.detach().gt(&best.detach())? + tap.detach().ne(&tap.detach())?)?;
        wins.where_cond(&tap, &best)
    })
}

/// The mean of every window. A rectangle's sum is a sum over rows of sums over columns: two products
/// with matrices of ones and zeros.
pub(super) fn average(x: &Tensor, means: &Means) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let planes = batch * channels;
    let (rows, columns) = (means.rows.len(), means.columns.len());
    let membership = |ranges: &[std::ops::Range<usize>], length: usize| {
        let entries = (0..length).flat_map(|position| {
            ranges
                .iter()
                .map(move |range| f32::from(u8::from(range.contains(&position))))
        });
        Tensor::from_vec(entries.collect::<Vec<f32>>(), (length, ranges.len()), x.device())
    };
    let sums = x
        .reshape((planes * height, width))?
        .matmul(&membership(&means.columns, width)?)?;
    let sums = sums.reshape((planes, height, columns))?.transpose(1, 2)?.contiguous()?;
    let sums = sums
        .reshape((planes * columns, height))?
        .matmul(&membership(&means.rows, height)?)?;
    let sums = sums.reshape((planes, columns, rows))?.transpose(1, 2)?.contiguous()?;
    let factors = Tensor::from_slice(&means.factors, (1, rows, columns), x.device())?;
    sums.broadcast_mul(&factors)?.reshape((batch, channels, rows, columns))
}

/// An elementwise activation. Branches are chosen by `where_cond`, whose arguments are kept finite:
/// an infinite branch that is not chosen would still turn the gradient into NaN.
pub(super) fn activation(x: &Tensor, function: Activation) -> Result<Tensor> {
    match function {
        Activation::Relu => below(x, 0.0)?.where_cond(&x.zeros_like()?, x),
        Activation::LeakyRelu { negative_slope } => below(x, 0.0)?.where_cond(&(x * negative_slope)?, x),
        Activation::Elu { alpha } => {
            let mask = below(x, 0.0)?;
            let negative = mask.where_cond(x, &x.zeros_like()?)?;
            mask.where_cond(&((negative.exp()? - 1.0)? * alpha)?, x)
        }
        Activation::Gelu { tanh: false } => {
            let normal_cdf = (((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5)?;
            x * normal_cdf
        }
        Activation::Gelu { tanh: true } => {
            let scale = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
            let argument = ((x + (x.sqr()? * x)?.affine(0.044_715, 0.0)?)? * scale)?;
            x * ((argument.tanh()? + 1.0)? * 0.5)?
        }
        Activation::Silu => x * sigmoid(x)?,
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Hardtanh { min, max } => {
            let raised = below(x, min)?.where_cond(&x.affine(0.0, min)?, x)?;
            x.detach().ge(max)?.where_cond(&x.affine(0.0, max)?, &raised)
        }
        Activation::Softplus { beta, threshold } => {
            let scaled = (x * beta)?;
            let mask = below(&scaled, 0.0)?;
            let above = mask.where_cond(&scaled.zeros_like()?, &scaled)?;
            let sunk = mask.where_cond(&scaled, &scaled.neg()?)?;
            let smooth = ((above + (sunk.exp()? + 1.0)?.log()?)? / beta)?;
            scaled.detach().gt(threshold)?.where_cond(x, &smooth)
        }
        Activation::HardSigmoid { alpha, beta } => clipped(&x.affine(alpha, beta)?, 0.0, 1.0),
        Activation::HardSwish => x * clipped(&x.affine(1.0 / 6.0, 0.5)?, 0.0, 1.0)?,
        Activation::Selu { alpha, gamma } => activation(x, Activation::Elu { alpha })? * gamma,
        Activation::Celu { alpha } => activation(&(x / alpha)?, Activation::Elu { alpha: 1.0 })?.affine(alpha, 0.0),
        Activation::ThresholdedRelu { alpha } => below(x, alpha)?.where_cond(&x.zeros_like()?, x),
        Activation::Softsign => x / (x.abs()? + 1.0)?,
        Activation::Mish => x * softplus(x)?.tanh()?,
    }
}

fn clipped(x: &Tensor, min: f64, max: f64) -> Result<Tensor> {
    activation(x, Activation::Hardtanh { min, max })
}

/// Needs no threshold: the logarithm is only taken of numbers between 1 and 2.
fn softplus(x: &Tensor) -> Result<Tensor> {
    let threshold = f64::INFINITY;
    activation(x, Activation::Softplus { beta: 1.0, threshold })
}

/// Where `x` is at or below a bound.
fn below(x: &Tensor, bound: f64) -> Result<Tensor> {
    x.detach().le(bound)
}

/// Through tanh, whose gradient stays finite where `1 / (1 + exp(-x))` would give NaN.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}
