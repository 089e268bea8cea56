//! Which pixels of an image a network's score for a class depends on.
//!
//! Input gradients (Simonyan et al., Deep Inside Convolutional Networks, 2013), SmoothGrad (Smilkov et al., 2017),
//! integrated gradients (Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017) and Grad-CAM (Selvaraju et
//! al., 2017). The score is the logit. Gradients are with respect to the network's input: normalised numbers, in its
//! own layout.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};
use tracing::Span;

use super::control::{Control, PercentProgress};
use super::error::{ComputeError, Result};
use super::executor::Mode;
use super::feature_map::planes;
use super::images::Layout;
use super::memory;
use super::network::Network;
use super::task::{DeviceContext, Task};
use scv_domain::graph::ValueId;
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::insight::{Attribution, AttributionMethod};

/// An image, a class, and the attribution method.
#[derive(Debug, Clone)]
pub struct AttributionTask {
    /// The network.
    pub network: Arc<Network>,
    /// The image, a list of one.
    pub image: Images,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// Index of the class.
    pub class: usize,
    /// How pixels are attributed.
    pub method: AttributionMethod,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

impl Task for AttributionTask {
    type Output = Attribution;

    fn span(&self) -> Span {
        tracing::info_span!("compute.attribute", class = self.class)
    }

    /// Attributes the score of the class to the pixels of the image, or for Grad-CAM to the positions of a layer.
    ///
    /// # Errors
    /// A class or layer that is out of range, a layer without rows and columns for Grad-CAM, a gradient that is NaN or
    /// infinite, one image that needs more memory than the limit, cancellation, and as [`Network::forward`].
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Attribution> {
        let device = &context.device;
        memory::check_one_gradient(self.network.graph(), self.activation_limit)?;
        self.network.check_class(self.class)?;
        let input = self.network.input_tensor(&self.image, &self.statistics, device)?;
        let target = ClassScore {
            network: &self.network,
            class: self.class,
        };
        let mut completeness_error = None;
        let (values, score) = match self.method {
            AttributionMethod::InputGradient => target.gradient(&input)?,
            AttributionMethod::SmoothGrad { samples, noise, seed } => {
                let mut generator = ChaCha8Rng::seed_from_u64(seed);
                let deviation = noise * range(&input)?;
                let mut progress = PercentProgress::new(control, samples);
                let mut sum = input.zeros_like()?;
                for _ in 0..samples {
                    control.check()?;
                    let noisy = (&input + normal(input.dims(), deviation, &mut generator, device)?)?;
                    sum = (sum + target.gradient(&noisy)?.0)?;
                    progress.step();
                }
                ((sum / samples.max(1) as f64)?, target.score(&input)?)
            }
            AttributionMethod::IntegratedGradients { steps } => {
                let mut progress = PercentProgress::new(control, steps);
                let mut sum = input.zeros_like()?;
                for (at, weight) in gauss_legendre(steps) {
                    control.check()?;
                    sum = (sum + (target.gradient(&(&input * at)?)?.0 * weight)?)?;
                    progress.step();
                }
                let values = (sum * &input)?;
                let (score, baseline) = (target.score(&input)?, target.score(&input.zeros_like()?)?);
                let total: f64 = numbers(&values)?.iter().map(|value| f64::from(*value)).sum();
                completeness_error = Some((total - (score - baseline)).abs());
                (values, score)
            }
            AttributionMethod::GradCam { layer } => return target.grad_cam(&input, layer),
        };
        let values = match self.network.layout() {
            Layout::ChannelsFirst => values,
            Layout::ChannelsLast => values.permute((0, 3, 1, 2))?,
        };
        let (_, channels, height, width) = values.dims4()?;
        check_finite(Attribution {
            channels,
            height,
            width,
            values: numbers(&values)?,
            score,
            completeness_error,
        })
    }
}

/// The score of one class.
struct ClassScore<'a> {
    network: &'a Network,
    class: usize,
}

impl ClassScore<'_> {
    fn score(&self, input: &Tensor) -> Result<f64> {
        let logits = self.network.forward(input, Mode::Inference, &mut |_, _| Ok(()))?;
        self.of(&logits).and_then(|score| value(&score))
    }

    fn of(&self, logits: &Tensor) -> Result<Tensor> {
        Ok(logits.flatten_all()?.get(self.class)?)
    }

    /// The gradient of the score with respect to the input, and the score.
    fn gradient(&self, input: &Tensor) -> Result<(Tensor, f64)> {
        let input = Var::from_tensor(input)?;
        let logits = self.network.forward(&input, Mode::Inference, &mut |_, _| Ok(()))?;
        let score = self.of(&logits)?;
        let gradient = score.backward()?.remove(&input);
        // A score that does not depend on the image has no gradient in the store: it is zero.
        let gradient = gradient.map_or_else(|| input.zeros_like(), Ok)?;
        Ok((gradient.detach(), value(&score)?))
    }

    /// One number for each position of a layer.
    fn grad_cam(&self, input: &Tensor, layer: usize) -> Result<Attribution> {
        let graph = self.network.graph();
        let (index, node) = self.network.layer(layer)?;
        let shape = node.image_shape();
        if shape.len() != 3 {
            return Err(ComputeError::Invalid(format!(
                "Grad-CAM needs a layer with rows and columns, such as a convolution; the output of layer {} has shape \
                 {shape:?}",
                node.path
            )));
        }
        if index >= graph.logits.0 {
            return Err(ComputeError::Invalid(format!(
                "layer {} comes after the logits: choose an earlier one",
                node.path
            )));
        }
        let at = ValueId(index + 1);
        let pass = self.network.forward_with_leaf(input, at)?;
        let score = self.of(&pass.logits)?;
        let gradient = score.backward()?.remove(&pass.leaf);
        let gradient = gradient.map_or_else(|| pass.leaf.zeros_like(), Ok)?;
        let activations = self.network.with_image_first(at, &pass.leaf.as_tensor().detach())?;
        let gradient = self.network.with_image_first(at, &gradient)?;
        let weights = gradient.mean_keepdim((2, 3))?;
        let map = activations.broadcast_mul(&weights)?.sum(1)?;
        let [_, height, width] = planes(&shape);
        // The check comes first: setting negative numbers to zero would hide NaN.
        let mut attribution = check_finite(Attribution {
            channels: 1,
            height,
            width,
            values: numbers(&map)?,
            score: value(&score)?,
            completeness_error: None,
        })?;
        for value in &mut attribution.values {
            *value = value.max(0.0);
        }
        Ok(attribution)
    }
}

fn check_finite(attribution: Attribution) -> Result<Attribution> {
    let is_finite = attribution.score.is_finite()
        && attribution.completeness_error.is_none_or(f64::is_finite)
        && attribution.values.iter().all(|value| value.is_finite());
    if is_finite {
        Ok(attribution)
    } else {
        Err(ComputeError::Invalid(
            "the gradient is NaN or infinite: the network's numbers are too large".into(),
        ))
    }
}

fn value(score: &Tensor) -> Result<f64> {
    Ok(f64::from(score.detach().to_dtype(DType::F32)?.to_scalar::<f32>()?))
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn range(tensor: &Tensor) -> Result<f64> {
    let numbers = numbers(tensor)?;
    let (min, max) = numbers
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), number| {
            (min.min(*number), max.max(*number))
        });
    Ok(f64::from(max - min))
}

/// Normal noise, drawn on the CPU, so that a seed gives the same noise on every device.
fn normal(dims: &[usize], deviation: f64, generator: &mut ChaCha8Rng, device: &Device) -> Result<Tensor> {
    let draw = |_| {
        let number: f64 = StandardNormal.sample(generator);
        (deviation * number) as f32
    };
    let drawn: Vec<f32> = (0..dims.iter().product()).map(draw).collect();
    Ok(Tensor::from_vec(drawn, dims, device)?)
}

/// The points of the Gauss-Legendre rule on [0, 1] with their weights: the roots of the Legendre polynomial, by
/// Newton's method from Tricomi's approximation.
fn gauss_legendre(points: usize) -> Vec<(f64, f64)> {
    let degree = points as f64;
    let root = |index: usize| {
        let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (degree + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut before, mut now) = (1.0, x);
            for k in 2..=points {
                let k = k as f64;
                (before, now) = (now, ((2.0 * k - 1.0) * x * now - (k - 1.0) * before) / k);
            }
            slope = degree * (x * now - before) / (x * x - 1.0);
            let step = now / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        ((1.0 - x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..points).map(root).collect()
}

#[cfg(test)]
mod tests;
