//! Activation maximisation: an image that a part of a network answers to most, by gradient ascent.
//!
//! After Erhan et al., Visualizing Higher-Layer Features of a Deep Network (2009), and Olah et al., Feature Visualization
//! (Distill, 2017): the image is varied by its Fourier coefficients, its colours along the axes in which those of real images
//! vary, and before each step it is moved, scaled and turned a little, so that what remains is what the network answers to
//! wherever it lies.

use std::iter;
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
use scv_domain::graph::ValueId;
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::synthesis::{SynthesisSettings, SynthesisTarget, TargetGroup};
use scv_domain::training::Optimizer;

mod image;
mod transform;

use image::Canvas;
use transform::Transformation;

/// Deviation of the numbers that the first image is made from.
const PALE: f32 = 0.01;

/// Deviation of those of a first image that is to wake what is silent for a pale one.
const STRONG: f32 = 3.0;

/// Strong images that are tried.
const STRONG_TRIES: usize = 15;

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
/// A class, layer, channel or place that is not there, or that no gradient leads from; an answer or a gradient that becomes NaN
/// or infinite; a gradient that takes more memory than may be held; cancellation; and as [`Network::forward`].
pub fn synthesize(task: &SynthesisTask, device: &Device, control: &Control) -> Result<Synthesized> {
    let graph = task.network.graph();
    memory::check(memory::of_training(graph, 1), task.activation_limit, || {
        "a gradient through one image: make its values smaller".to_owned()
    })?;
    let (objective, member) = Objective::of_target(&task.network, task.target)?;
    // The target's number for one image, a scalar.
    let answer =
        |read: &Tensor| -> Result<Tensor> { Ok(objective.answers(&task.network, read)?.squeeze(0)?.get(member)?) };
    let settings = &task.settings;
    let numbers_of = |image: &Tensor| task.network.normalised(image, &task.statistics);
    let mut generator = ChaCha8Rng::seed_from_u64(settings.seed);
    let canvas = first_canvas(task, &mut generator, device, |canvas| {
        control.between_steps()?;
        answer(&task.network.laid_out(numbers_of(&canvas.image()?)?)?)
    })?;
    let mut descent = Descent::new(Optimizer::Adam { weight_decay: 0.0 }, vec![canvas.variable().clone()]);
    let mut watch = Hundredths::new(control, settings.steps as usize);
    let mut course = Vec::with_capacity(settings.steps as usize);
    for step in 1..=settings.steps {
        control.between_steps()?;
        let image = canvas.image()?;
        let numbers = numbers_of(&image)?;
        let moved = Transformation::draw(settings, &mut generator).apply(&numbers)?;
        let answered = answer(&task.network.laid_out(moved)?)?;
        let value = f64::from(answered.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(ComputeError::Invalid(format!(
                "the answer became NaN or infinite in step {step}: lower the learning rate, or choose another target"
            )));
        }
        course.push(value);
        // In shares of the answer, the penalties weigh the same for every target and from the first step to the last.
        let loss = ((penalty(&image, &numbers, settings)? * value.abs())? - answered)?;
        descent.step(&loss.backward()?, settings.learning_rate)?;
        watch.step();
    }
    let lost = || {
        ComputeError::Invalid(
            "the gradient became NaN or infinite: lower the learning rate, or choose another target".to_owned(),
        )
    };
    let image = canvas.pixels()?.ok_or_else(lost)?;
    let read = task.network.input_of(&image, &task.statistics, device)?;
    let activation = f64::from(answer(&read)?.to_scalar::<f32>()?);
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

/// The image that the ascent begins with: a pale one, or where no gradient leads to that, as behind a ReLU that is silent, a
/// strong one.
fn first_canvas(
    task: &SynthesisTask,
    generator: &mut ChaCha8Rng,
    device: &Device,
    answer: impl Fn(&Canvas) -> Result<Tensor>,
) -> Result<Canvas> {
    for deviation in iter::once(PALE).chain(iter::repeat_n(STRONG, STRONG_TRIES)) {
        let canvas = Canvas::new(task, deviation, generator, device)?;
        let gradient = answer(&canvas)?.backward()?.remove(canvas.variable());
        let length = gradient.map(|gradient| gradient.sqr()?.sum_all()?.to_scalar::<f32>());
        // What is NaN leads somewhere, and is told where it is met.
        if length.transpose()?.is_some_and(|length| length != 0.0) {
            return Ok(canvas);
        }
    }
    Err(ComputeError::Invalid(
        "no gradient leads from the target to the image: it may answer the same whatever is shown, as a dead channel does, or \
         what leads to it goes in steps, such as Round and ArgMax"
            .to_owned(),
    ))
}

/// Refuses a target that a network does not have.
///
/// # Errors
/// [`ComputeError::Invalid`], with what there is.
pub fn check_target(network: &Network, target: SynthesisTarget) -> Result<()> {
    Objective::of_target(network, target).map(drop)
}

/// How many targets a group has in a network.
///
/// # Errors
/// [`ComputeError::Invalid`] for a group that is not there, with what is.
pub fn group_size(network: &Network, group: TargetGroup) -> Result<usize> {
    Objective::of(network, group).map(|objective| objective.members())
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

/// The numbers that an image makes in a network for a group of targets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Objective {
    /// Where they are made.
    at: ValueId,
    members: usize,
    part: Part,
}

/// What of a value is a member's number.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The mean square of all, for an only member.
    Square,
    /// The mean of the member's channel.
    Mean,
    /// One place of the member's channel, counted row after row.
    Place(usize),
}

impl Objective {
    /// The numbers that a group names.
    ///
    /// # Errors
    /// [`ComputeError::Invalid`] for one that is not there, with what is.
    pub(super) fn of(network: &Network, group: TargetGroup) -> Result<Self> {
        let of_layer = |layer: usize| -> Result<_> {
            let (index, node) = network.layer(layer)?;
            Ok((ValueId(index + 1), node, planes(&node.image_shape())))
        };
        Ok(match group {
            TargetGroup::Classes => Self {
                at: network.graph().logits,
                members: network.classes()?,
                part: Part::Place(0),
            },
            TargetGroup::Layer { layer } => Self {
                at: of_layer(layer)?.0,
                members: 1,
                part: Part::Square,
            },
            TargetGroup::Channels { layer } => {
                let (at, _, [members, ..]) = of_layer(layer)?;
                let part = Part::Mean;
                Self { at, members, part }
            }
            TargetGroup::Neurons { layer, row, column } => {
                let (at, node, [members, rows, columns]) = of_layer(layer)?;
                check_within(node, "rows", row, rows)?;
                check_within(node, "columns", column, columns)?;
                let part = Part::Place(row * columns + column);
                Self { at, members, part }
            }
        })
    }

    /// The numbers of a target's group, and the target's place among them.
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
                check_within(network.layer(layer)?.1, "channels", channel, objective.members)?;
            }
        }
        Ok((objective, member))
    }

    /// How many numbers an image makes.
    pub(super) fn members(&self) -> usize {
        self.members
    }

    /// The numbers for each image, `[images, members]`, which gradients follow.
    pub(super) fn answers(&self, network: &Network, read: &Tensor) -> Result<Tensor> {
        let value = network.forward_to(read, self.at)?.flatten_from(1)?;
        let by_member = value.reshape((value.dim(0)?, self.members, ()))?;
        Ok(match self.part {
            Part::Square => by_member.sqr()?.mean(2)?,
            Part::Mean => by_member.mean(2)?,
            Part::Place(place) => by_member.narrow(2, place, 1)?.squeeze(2)?,
        })
    }
}

#[cfg(test)]
mod tests;
