//! Activation maximisation: gradient ascent to an image that activates a part of a network most.
//!
//! After Erhan et al., Visualizing Higher-Layer Features of a Deep Network (2009), and Olah et al., Feature
//! Visualization (Distill, 2017). The image is varied through its Fourier coefficients, and its colours along the axes
//! in which those of real images vary. Before each step it is moved, scaled and rotated a little, so that the result is
//! what activates the network wherever it appears.

use std::iter;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tracing::Span;

use super::control::{Control, PercentProgress};
use super::error::{ComputeError, Result};
use super::feature_map::planes;
use super::memory;
use super::network::{Network, check_index};
use super::optimizer::Descent;
use super::task::{DeviceContext, Task};
use scv_domain::graph::ValueId;
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::synthesis::{SynthesisSettings, SynthesisTarget, TargetGroup};
use scv_domain::training::Optimizer;

mod image;
mod transform;

use image::Canvas;
use transform::Transformation;

/// Standard deviation of the numbers that the first start image is made from.
const FAINT_DEVIATION: f32 = 0.01;

/// Standard deviation for further start images, which may activate a target that is silent for a faint one.
const STRONG_DEVIATION: f32 = 3.0;

/// How many strong start images are tried.
const MAX_STRONG_STARTS: usize = 15;

/// A network, the target to activate, and how the image is synthesized.
#[derive(Debug, Clone)]
pub struct SynthesisTask {
    /// The network.
    pub network: Arc<Network>,
    /// What pixels from 0 to 1 are normalised with: one number for each channel that the network reads.
    pub statistics: ChannelStatistics,
    /// Covariance of the colours of real images, channel by channel; `None` for a single channel.
    pub covariance: Option<[[f32; 3]; 3]>,
    /// What to activate.
    pub target: SynthesisTarget,
    /// How the image is synthesized.
    pub settings: SynthesisSettings,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// A synthetic image.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesized {
    /// The image, a list of one, as large as the network reads.
    pub image: Images,
    /// The target's activation for this image: not transformed, and rounded to pixel levels.
    pub activation: f64,
    /// The target's activation for the transformed image at each step.
    pub activation_history: Vec<f64>,
}

impl Task for SynthesisTask {
    type Output = Synthesized;

    fn span(&self) -> Span {
        tracing::info_span!("compute.synthesize", steps = self.settings.steps)
    }

    /// Ascends from a random image.
    ///
    /// # Errors
    /// A class, layer, channel or position that is out of range, or that no gradient leads from; an activation or a
    /// gradient that becomes NaN or infinite; a gradient that needs more memory than the limit; cancellation; and as
    /// [`Network::forward`].
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Synthesized> {
        let (network, settings, device) = (&self.network, &self.settings, &context.device);
        memory::check_one_gradient(network.graph(), self.activation_limit)?;
        let (objective, member) = Objective::of_target(network, self.target)?;
        // The target's activation for one image, a scalar.
        let activation =
            |input: &Tensor| -> Result<Tensor> { Ok(objective.activations(network, input)?.squeeze(0)?.get(member)?) };
        let normalise = |image: &Tensor| network.normalise(image, &self.statistics);
        let mut generator = ChaCha8Rng::seed_from_u64(settings.seed);
        let canvas = start_canvas(&self, &mut generator, device, |canvas| {
            control.between_steps()?;
            activation(&network.to_layout(normalise(&canvas.image()?)?)?)
        })?;
        let mean_image = normalise(&canvas.image()?)?.zeros_like()?;
        let reference = f64::from(activation(&network.to_layout(mean_image)?)?.to_scalar::<f32>()?);
        let mut descent = Descent::new(Optimizer::Adam { weight_decay: 0.0 }, vec![canvas.variable().clone()]);
        let mut progress = PercentProgress::new(control, settings.steps as usize);
        let mut activation_history = Vec::with_capacity(settings.steps as usize);
        for step in 1..=settings.steps {
            control.between_steps()?;
            let image = canvas.image()?;
            let numbers = normalise(&image)?;
            let transformed = Transformation::draw(settings, &mut generator).apply(&numbers)?;
            let reached = activation(&network.to_layout(transformed)?)?;
            let value = f64::from(reached.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(ComputeError::Invalid(format!(
                    "the activation became NaN or infinite in step {step}: lower the learning rate, or choose another \
                     target"
                )));
            }
            activation_history.push(value);
            // Relative to what the image adds to the activation of the mean image, the penalties have the same weight for
            // every target and at every step, whatever constant the target's activation contains.
            let loss = ((penalty(&image, &numbers, settings)? * (value - reference).abs())? - reached)?;
            descent.step(&loss.backward()?, settings.learning_rate)?;
            progress.step();
        }
        let lost = || {
            ComputeError::Invalid(
                "the gradient became NaN or infinite: lower the learning rate, or choose another target".to_owned(),
            )
        };
        let image = canvas.pixels()?.ok_or_else(lost)?;
        let input = network.input_tensor(&image, &self.statistics, device)?;
        let activation = f64::from(activation(&input)?.to_scalar::<f32>()?);
        if !activation.is_finite() {
            return Err(ComputeError::Invalid(
                "the image became NaN or infinite: lower the learning rate".into(),
            ));
        }
        Ok(Synthesized {
            image,
            activation,
            activation_history,
        })
    }
}

/// The image that the ascent starts from: a faint one, or a strong one if the target has no gradient there, as after a
/// ReLU that is silent.
fn start_canvas(
    task: &SynthesisTask,
    generator: &mut ChaCha8Rng,
    device: &Device,
    activation: impl Fn(&Canvas) -> Result<Tensor>,
) -> Result<Canvas> {
    let (shape, parametrisation) = (task.network.image_shape(), task.settings.parametrisation);
    for deviation in iter::once(FAINT_DEVIATION).chain(iter::repeat_n(STRONG_DEVIATION, MAX_STRONG_STARTS)) {
        let canvas = Canvas::new(shape, parametrisation, task.covariance, deviation, generator, device)?;
        let gradient = activation(&canvas)?.backward()?.remove(canvas.variable());
        let length = gradient.map(|gradient| gradient.sqr()?.sum_all()?.to_scalar::<f32>());
        // A gradient of NaN counts as one: the ascent reports it.
        if length.transpose()?.is_some_and(|length| length != 0.0) {
            return Ok(canvas);
        }
    }
    Err(ComputeError::Invalid(
        "no gradient leads from the target to the image: its activation may be the same for every image, as for a dead \
         channel, or it may depend on the image only through steps, such as Round and ArgMax"
            .to_owned(),
    ))
}

/// Checks that a network has a target.
///
/// # Errors
/// [`ComputeError::Invalid`], with the range of what is out of range.
pub fn check_target(network: &Network, target: SynthesisTarget) -> Result<()> {
    Objective::of_target(network, target).map(drop)
}

/// How many targets a group has in a network.
///
/// # Errors
/// [`ComputeError::Invalid`] for a group that the network does not have.
pub fn group_size(network: &Network, group: TargetGroup) -> Result<usize> {
    Objective::of(network, group).map(|objective| objective.members())
}

/// What is added to the loss, relative to what the image adds to the activation.
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
        // The normalised numbers are zero for the mean image.
        penalty = (penalty + (numbers.sqr()?.mean_all()? * settings.l2)?)?;
    }
    Ok(penalty)
}

/// The activations of a group of targets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Objective {
    /// The value that they are computed from.
    at: ValueId,
    members: usize,
    part: Part,
}

/// What a member's activation is computed from.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The mean square of all numbers, for a group of one.
    MeanSquare,
    /// The mean of the member's channel.
    Mean,
    /// One position of the member's channel, counted row after row.
    Position(usize),
}

impl Objective {
    /// The activations of a group.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`] for a group that the network does not have.
    pub(super) fn of(network: &Network, group: TargetGroup) -> Result<Self> {
        let of_layer = |layer: usize| -> Result<_> {
            let (index, node) = network.layer(layer)?;
            Ok((ValueId(index + 1), node, planes(&node.image_shape())))
        };
        Ok(match group {
            TargetGroup::Classes => Self {
                at: network.graph().logits,
                members: network.classes()?,
                part: Part::Position(0),
            },
            TargetGroup::Layer { layer } => Self {
                at: of_layer(layer)?.0,
                members: 1,
                part: Part::MeanSquare,
            },
            TargetGroup::Channels { layer } => {
                let (at, _, [members, ..]) = of_layer(layer)?;
                let part = Part::Mean;
                Self { at, members, part }
            }
            TargetGroup::Neurons { layer, row, column } => {
                let (at, node, [members, rows, columns]) = of_layer(layer)?;
                check_index(node, "row", row, rows)?;
                check_index(node, "column", column, columns)?;
                let part = Part::Position(row * columns + column);
                Self { at, members, part }
            }
        })
    }

    /// The activations of a target's group, and the target's index in it.
    ///
    /// # Errors
    /// As [`Objective::of`].
    fn of_target(network: &Network, target: SynthesisTarget) -> Result<(Self, usize)> {
        let (group, member) = target.group();
        let objective = Self::of(network, group)?;
        match target {
            SynthesisTarget::Class { class } => network.check_class(class)?,
            SynthesisTarget::Layer { .. } => {}
            SynthesisTarget::Channel { layer, channel } | SynthesisTarget::Neuron { layer, channel, .. } => {
                check_index(network.layer(layer)?.1, "channel", channel, objective.members)?;
            }
        }
        Ok((objective, member))
    }

    /// How many targets the group has.
    pub(super) fn members(&self) -> usize {
        self.members
    }

    /// The activations for each image, `[images, members]`. Differentiable.
    pub(super) fn activations(&self, network: &Network, input: &Tensor) -> Result<Tensor> {
        let value = network.forward_to(input, self.at)?.flatten_from(1)?;
        let by_member = value.reshape((value.dim(0)?, self.members, ()))?;
        Ok(match self.part {
            Part::MeanSquare => by_member.sqr()?.mean(2)?,
            Part::Mean => by_member.mean(2)?,
            Part::Position(position) => by_member.narrow(2, position, 1)?.squeeze(2)?,
        })
    }
}

#[cfg(test)]
mod tests;
