//! Activation maximisation: an image that a part of a network answers to most, by gradient ascent.
//!
//! After Erhan et al., Visualizing Higher-Layer Features of a Deep Network (2009), and Olah et al., Feature Visualization
//! (Distill, 2017): the image is varied by its Fourier coefficients, its colours along the axes in which those of real images
//! vary, and before each step it is moved, scaled and turned a little, so that what remains is what the network answers to
//! wherever it lies.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::control::{Control, Hundredths};
use super::error::{ComputeError, Result};
use super::feature_map::planes;
use super::memory;
use super::network::{Network, check_within};
use super::optimizer::Descent;
use crate::domain::graph::ValueId;
use crate::domain::image::{ChannelStatistics, Images};
use crate::domain::synthesis::{SynthesisSettings, SynthesisTarget};
use crate::domain::training::Optimizer;

mod image;
mod transform;

use image::Canvas;
use transform::Transformation;

/// A network, what of it is to answer, and how the image is sought.
#[derive(Debug, Clone)]
pub struct SynthesisTask {
    /// The network.
    pub network: Arc<Network>,
    /// What pixels from 0 to 1 are normalised with, a number for each channel that the network reads.
    pub statistics: ChannelStatistics,
    /// Covariance of the colours of real images, channel by channel; none for a single channel.
    pub covariance: Option<[[f32; 3]; 3]>,
    /// What is to answer.
    pub target: SynthesisTarget,
    /// How the image is sought.
    pub settings: SynthesisSettings,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// An image that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesized {
    /// The image, a list of one, as large as the network reads.
    pub image: Images,
    /// What the target answers to it, as it is shown: untransformed and rounded to levels of pixels.
    pub activation: f64,
    /// What the target answered to the transformed image at each step.
    pub course: Vec<f64>,
}

/// Seeks an image.
///
/// # Errors
/// A class, layer, channel or place that is not there; an answer that becomes NaN or infinite; a gradient that takes more
/// memory than may be held; cancellation; and as [`Network::forward`].
pub fn synthesize(task: &SynthesisTask, device: &Device, control: &Control) -> Result<Synthesized> {
    let graph = task.network.graph();
    memory::check(memory::of_training(graph, 1), task.activation_limit, || {
        "a gradient through one image: make its values smaller".to_owned()
    })?;
    let objective = Objective::of(&task.network, task.target)?;
    let settings = &task.settings;
    let shape = task.network.image_shape();
    let mut generator = ChaCha8Rng::seed_from_u64(settings.seed);
    let canvas = Canvas::new(shape, settings.parametrisation, task.covariance, &mut generator, device)?;
    let mut descent = Descent::new(Optimizer::Adam { weight_decay: 0.0 }, vec![canvas.variable().clone()]);
    let mut watch = Hundredths::new(control, settings.steps as usize);
    let mut course = Vec::with_capacity(settings.steps as usize);
    for step in 1..=settings.steps {
        control.check()?;
        let image = canvas.image()?;
        let numbers = task.network.normalised(&image, &task.statistics)?;
        let moved = Transformation::draw(settings, &mut generator).apply(&numbers)?;
        let answer = objective.answer(&task.network, &task.network.laid_out(moved)?)?;
        let value = f64::from(answer.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(ComputeError::Invalid(format!(
                "the answer became NaN or infinite in step {step}: lower the learning rate, or choose another target"
            )));
        }
        course.push(value);
        // In shares of the answer, the penalties weigh the same for every target and from the first step to the last.
        let loss = ((penalty(&image, &numbers, settings)? * value.abs())? - answer)?;
        descent.step(&loss.backward()?, settings.learning_rate)?;
        watch.step();
    }
    let image = canvas.pixels()?;
    let read = task.network.input_of(&image, &task.statistics, device)?;
    let activation = f64::from(objective.answer(&task.network, &read)?.to_scalar::<f32>()?);
    if !activation.is_finite() {
        return Err(ComputeError::Invalid(
            "the image became NaN or infinite: lower the learning rate".into(),
        ));
    }
    Ok(Synthesized {
        image,
        activation,
        course,
    })
}

/// Refuses a target that a network does not have.
///
/// # Errors
/// [`ComputeError::Invalid`], with what there is.
pub fn check_target(network: &Network, target: SynthesisTarget) -> Result<()> {
    Objective::of(network, target).map(drop)
}

/// What the loss has beside the answer, as a share of it.
fn penalty(image: &Tensor, numbers: &Tensor, settings: &SynthesisSettings) -> candle_core::Result<Tensor> {
    let (_, _, height, width) = image.dims4()?;
    let mut penalty = Tensor::zeros((), image.dtype(), image.device())?;
    if settings.total_variation > 0.0 && height > 1 && width > 1 {
        let down = (image.narrow(2, 1, height - 1)? - image.narrow(2, 0, height - 1)?)?;
        let across = (image.narrow(3, 1, width - 1)? - image.narrow(3, 0, width - 1)?)?;
        let variation = (down.sqr()?.mean_all()? + across.sqr()?.mean_all()?)?;
        penalty = (penalty + (variation * settings.total_variation)?)?;
    }
    if settings.l2 > 0.0 {
        // What the network reads is zero for the mean image.
        penalty = (penalty + (numbers.sqr()?.mean_all()? * settings.l2)?)?;
    }
    Ok(penalty)
}

/// A number that an image makes in a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Objective {
    /// Where it is made.
    at: ValueId,
    part: Part,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// The mean square of all.
    Square,
    /// The mean of so many numbers from a place on.
    Mean { from: usize, count: usize },
}

impl Objective {
    /// The number that a target names.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`] for one that is not there, with what is.
    pub(super) fn of(network: &Network, target: SynthesisTarget) -> Result<Self> {
        let graph = network.graph();
        Ok(match target {
            SynthesisTarget::Class { class } => {
                network.check_class(class)?;
                let part = Part::Mean { from: class, count: 1 };
                Self { at: graph.logits, part }
            }
            SynthesisTarget::Layer { layer } => Self {
                at: ValueId(network.layer(layer)?.0 + 1),
                part: Part::Square,
            },
            SynthesisTarget::Channel { layer, channel } => {
                let (place, node) = network.layer(layer)?;
                let [channels, rows, columns] = planes(&node.image_shape());
                check_within(node, "channels", channel, channels)?;
                let count = rows * columns;
                let from = channel * count;
                Self {
                    at: ValueId(place + 1),
                    part: Part::Mean { from, count },
                }
            }
            SynthesisTarget::Neuron {
                layer,
                channel,
                row,
                column,
            } => {
                let (place, node) = network.layer(layer)?;
                let [channels, rows, columns] = planes(&node.image_shape());
                check_within(node, "channels", channel, channels)?;
                check_within(node, "rows", row, rows)?;
                check_within(node, "columns", column, columns)?;
                let from = (channel * rows + row) * columns + column;
                Self {
                    at: ValueId(place + 1),
                    part: Part::Mean { from, count: 1 },
                }
            }
        })
    }

    /// The number for one image, a scalar that gradients follow.
    fn answer(&self, network: &Network, read: &Tensor) -> Result<Tensor> {
        Ok(self.answers(network, read)?.squeeze(0)?)
    }

    /// The number for each image, `[images]`.
    pub(super) fn answers(&self, network: &Network, read: &Tensor) -> Result<Tensor> {
        let value = network.forward_to(read, self.at)?.flatten_from(1)?;
        Ok(match self.part {
            Part::Square => value.sqr()?.mean(1)?,
            Part::Mean { from, count } => value.narrow(1, from, count)?.mean(1)?,
        })
    }
}

#[cfg(test)]
mod tests;
