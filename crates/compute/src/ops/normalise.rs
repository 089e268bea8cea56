//! Batch normalisation and dropout in training mode.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::channels::{Planes, by_channel, channel_tensor, dot, sum};
use super::kernels::Kernels;
use super::slices::{output, values, with_values};

/// Mean and variance of every channel over a batch and its positions.
pub(crate) struct Moments {
    /// `[channels]`
    pub(crate) mean: Tensor,
    /// `[channels]`, the sum of squares divided by the count.
    pub(crate) variance: Tensor,
    /// Numbers of each channel.
    pub(crate) count: usize,
}

/// The moments of `x [batch, channels, ..]`.
pub(crate) fn batch_moments(kernels: Kernels, x: &Tensor) -> Result<Moments> {
    let planes = Planes::of(x.dims())?;
    let count = x.elem_count() / planes.channels.max(1);
    if kernels == Kernels::Portable {
        let rows = x.transpose(0, 1)?.contiguous()?.reshape((planes.channels, count))?;
        let mean = rows.mean(1)?;
        let variance = rows.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.mean(1)?;
        return Ok(Moments { mean, variance, count });
    }
    let (mean, variance) = with_values(x, |x| {
        let mean: Vec<f64> = planes
            .sums(x.len(), |_, range| sum(&x[range]))
            .iter()
            .map(|sum| sum / count as f64)
            .collect();
        let squares = planes.sums(x.len(), |channel, range| {
            x[range].iter().map(|&x| (f64::from(x) - mean[channel]).powi(2)).sum()
        });
        let variance: Vec<f64> = squares.iter().map(|sum| sum / count as f64).collect();
        (mean, variance)
    })?;
    Ok(Moments {
        mean: channel_tensor(&mean, x)?,
        variance: channel_tensor(&variance, x)?,
        count,
    })
}

/// `(x - mean) / √(variance + eps) * weight + bias`, with the gradient through the moments, which
/// must be those of `x`.
pub(crate) fn normalise_batch(
    kernels: Kernels,
    x: &Tensor,
    moments: &Moments,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
) -> Result<Tensor> {
    if kernels == Kernels::Portable {
        let deviation = (&moments.variance + eps)?.sqrt()?;
        let normal = x
            .broadcast_sub(&by_channel(&moments.mean, x)?)?
            .broadcast_div(&by_channel(&deviation, x)?)?;
        return normal
            .broadcast_mul(&by_channel(weight, x)?)?
            .broadcast_add(&by_channel(bias, x)?);
    }
    let mean = moments.mean.to_vec1::<f32>()?;
    let variance = moments.variance.to_vec1::<f32>()?;
    let scale = variance
        .iter()
        .map(|&variance| (1.0 / (f64::from(variance) + eps).sqrt()) as f32)
        .collect();
    let operation = NormaliseBatch {
        mean,
        scale,
        count: moments.count,
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, operation)
}

/// Zeroes each value with probability `p` and scales the others by `1 / (1 - p)`, which keeps the
/// expectation.
pub(crate) fn dropout(x: &Tensor, p: f64, generator: &mut ChaCha8Rng) -> Result<Tensor> {
    if p == 0.0 {
        return Ok(x.clone());
    }
    let kept = if p < 1.0 { (1.0 / (1.0 - p)) as f32 } else { 0.0 };
    let mask: Vec<f32> = (0..x.elem_count())
        .map(|_| {
            if f64::from(generator.random::<f32>()) < p {
                0.0
            } else {
                kept
            }
        })
        .collect();
    x * Tensor::from_vec(mask, x.shape(), x.device())?
}

struct NormaliseBatch {
    mean: Vec<f32>,
    /// One over the deviation.
    scale: Vec<f32>,
    count: usize,
}

impl CustomOp3 for NormaliseBatch {
    fn name(&self) -> &'static str {
        "batch normalisation"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let planes = Planes::of(l1.dims())?;
        let (x, weight, bias) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        if weight.len() != planes.channels || bias.len() != planes.channels || self.mean.len() != planes.channels {
            candle_core::bail!("one number per channel is needed for shape {:?}", l1.dims());
        }
        let y = planes.map(x, |channel, x, y| {
            let (mean, scale, shift) = (self.mean[channel], self.scale[channel] * weight[channel], bias[channel]);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * scale + shift);
        });
        output(y, l1.shape().clone())
    }

    /// With n = (x - mean) * scale, the gradient of the weight is Σ dy n and that of the bias Σ dy. The
    /// gradient of x is dy * weight * scale without its mean and without its part along n.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let planes = Planes::of(x.dims())?;
        let factors = weight.to_vec1::<f32>()?;
        let (dx, dweight, dbias) = with_values(x, |x| {
            with_values(dy, |dy| {
                let dbias = planes.sums(dy.len(), |_, range| sum(&dy[range]));
                let products = planes.sums(dy.len(), |_, range| dot(&dy[range.clone()], &x[range]));
                let dweight: Vec<f64> = (0..planes.channels)
                    .map(|c| (products[c] - f64::from(self.mean[c]) * dbias[c]) * f64::from(self.scale[c]))
                    .collect();
                let mut dx = planes.map(x, |channel, x, dx| {
                    let (mean, scale) = (self.mean[channel], self.scale[channel]);
                    let along = (dweight[channel] / self.count as f64) as f32;
                    let level = (dbias[channel] / self.count as f64) as f32;
                    dx.iter_mut()
                        .zip(x)
                        .for_each(|(dx, x)| *dx = -level - (x - mean) * scale * along);
                });
                add_and_scale(planes, &mut dx, dy, |channel| self.scale[channel] * factors[channel]);
                (dx, dweight, dbias)
            })
        })??;
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
        Ok((
            Some(dx),
            Some(channel_tensor(&dweight, x)?),
            Some(channel_tensor(&dbias, x)?),
        ))
    }
}

/// `target = (target + other) * factor(channel)`
fn add_and_scale(planes: Planes, target: &mut [f32], other: &[f32], factor: impl Fn(usize) -> f32) {
    let positions = planes.positions.max(1);
    for (index, (target, other)) in target.chunks_mut(positions).zip(other.chunks(positions)).enumerate() {
        let factor = factor(index % planes.channels);
        target
            .iter_mut()
            .zip(other)
            .for_each(|(target, other)| *target = (*target + other) * factor);
    }
}
