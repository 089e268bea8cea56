//! One or two numbers per channel, applied to all its positions: biases, and normalisation in inference mode.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::kernels::Kernels;
use super::slices::{output, values, with_values};

/// `x + shift[channel]` for `x [batch, channels, ..]`.
pub(super) fn shift(kernels: Kernels, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
    match kernels {
        Kernels::Cpu => x.contiguous()?.apply_op2(&shift.contiguous()?, Shift),
        Kernels::Portable => x.broadcast_add(&by_channel(shift, x)?),
    }
}

/// `x * scale[channel] + shift[channel]` for `x [batch, channels, ..]`.
pub(super) fn affine(kernels: Kernels, x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    match kernels {
        Kernels::Cpu => x
            .contiguous()?
            .apply_op3(&scale.contiguous()?, &shift.contiguous()?, Affine),
        Kernels::Portable => x
            .broadcast_mul(&by_channel(scale, x)?)?
            .broadcast_add(&by_channel(shift, x)?),
    }
}

/// `x` where it is positive and `x * slope[channel]` elsewhere. `None` if it needs a gradient, is on another device or
/// has slopes in another shape.
pub(super) fn leaky_by_channel(x: &Tensor, slope: &Tensor) -> Result<Option<Tensor>> {
    let Ok(planes) = Planes::of(x.dims()) else {
        return Ok(None);
    };
    let by_channel =
        slope.elem_count() == planes.channels && slope.dims().iter().rev().nth(x.rank() - 2) == Some(&planes.channels);
    let fits = x.device().is_cpu() && x.dtype() == DType::F32 && slope.dtype() == DType::F32;
    if !by_channel || !fits || x.track_op() || slope.track_op() {
        return Ok(None);
    }
    let slope = slope.flatten_all()?.to_vec1::<f32>()?;
    let leaky = with_values(x, |x| {
        planes.map(x, |channel, x, y| {
            let slope = slope[channel];
            y.iter_mut()
                .zip(x)
                .for_each(|(y, &x)| *y = if x > 0.0 { x } else { x * slope });
        })
    })?;
    Tensor::from_vec(leaky, x.shape(), x.device()).map(Some)
}

/// Reshapes `[channels]` to the rank of `x`, so that it broadcasts.
pub(super) fn by_channel(numbers: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut dims = vec![1; x.rank()];
    dims[1] = numbers.elem_count();
    numbers.reshape(dims)
}

/// The number of channels, and of positions in one channel of one image.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    pub(super) channels: usize,
    pub(super) positions: usize,
}

impl Planes {
    pub(super) fn of(dims: &[usize]) -> Result<Planes> {
        match dims {
            [_, channels, rest @ ..] => Ok(Planes {
                channels: *channels,
                positions: rest.iter().product(),
            }),
            _ => candle_core::bail!("{dims:?} has no channels"),
        }
    }

    /// Calls `write` for every plane with its channel, the plane of `x`, and the plane to write.
    pub(super) fn map(self, x: &[f32], write: impl Fn(usize, &[f32], &mut [f32]) + Sync) -> Vec<f32> {
        let mut result = vec![0.0; x.len()];
        let planes = result
            .par_chunks_mut(self.positions.max(1))
            .zip(x.par_chunks(self.positions.max(1)));
        planes
            .enumerate()
            .for_each(|(index, (result, x))| write(index % self.channels, x, result));
        result
    }

    /// For each channel, the sum of `term` over its planes, in a fixed order. `term` receives the channel and the range
    /// of a plane.
    pub(super) fn sums(self, count: usize, term: impl Fn(usize, std::ops::Range<usize>) -> f64 + Sync) -> Vec<f64> {
        let image = self.channels * self.positions;
        let of_channel = |channel| {
            let starts = (0..count)
                .step_by(image.max(1))
                .map(|start| start + channel * self.positions);
            starts.map(|start| term(channel, start..start + self.positions)).sum()
        };
        (0..self.channels).into_par_iter().map(of_channel).collect()
    }
}

/// Sum of products in double precision.
#[inline]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Sum in double precision.
#[inline]
pub(super) fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

/// Numbers per channel as a tensor, `[channels]`, in single precision.
pub(super) fn channel_tensor(numbers: &[f64], like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(
        numbers.iter().map(|&number| number as f32).collect(),
        numbers.len(),
        like.device(),
    )
}

fn check(x: &Layout, numbers: &[&Layout]) -> Result<Planes> {
    let planes = Planes::of(x.dims())?;
    if numbers.iter().all(|numbers| numbers.dims() == [planes.channels]) {
        Ok(planes)
    } else {
        candle_core::bail!("one number per channel is needed for shape {:?}", x.dims())
    }
}

struct Shift;

impl CustomOp2 for Shift {
    fn name(&self) -> &'static str {
        "channel shift"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let planes = check(l1, &[l2])?;
        let (x, shift) = (values(s1, l1)?, values(s2, l2)?);
        let y = planes.map(x, |channel, x, y| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x + shift[channel])
        });
        output(y, l1.shape().clone())
    }

    fn bwd(&self, x: &Tensor, shift: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dshift = shift.track_op().then(|| sums_of(x.dims(), dy)).transpose()?;
        Ok((x.track_op().then(|| dy.clone()), dshift))
    }
}

struct Affine;

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "channel affine"
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
        let planes = check(l1, &[l2, l3])?;
        let (x, scale, shift) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let y = planes.map(x, |channel, x, y| {
            let (scale, shift) = (scale[channel], shift[channel]);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x * scale + shift);
        });
        output(y, l1.shape().clone())
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dx = x
            .track_op()
            .then(|| dy.broadcast_mul(&by_channel(&scale.detach(), x)?))
            .transpose()?;
        let dscale = scale.track_op().then(|| products_of(x, dy)).transpose()?;
        let dshift = shift.track_op().then(|| sums_of(x.dims(), dy)).transpose()?;
        Ok((dx, dscale, dshift))
    }
}

/// Sums of a gradient by channel.
fn sums_of(dims: &[usize], dy: &Tensor) -> Result<Tensor> {
    let planes = Planes::of(dims)?;
    let sums = with_values(dy, |dy| planes.sums(dy.len(), |_, range| sum(&dy[range])))?;
    channel_tensor(&sums, dy)
}

/// Sums of `x * dy` by channel.
fn products_of(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let planes = Planes::of(x.dims())?;
    let sums = with_values(x, |x| {
        with_values(dy, |dy| {
            planes.sums(dy.len(), |_, range| dot(&x[range.clone()], &dy[range]))
        })
    })??;
    channel_tensor(&sums, dy)
}
