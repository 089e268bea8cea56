//! Trains a network from randomly drawn weights.

mod draw;
mod validation;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Var};
use rand::seq::SliceRandom;
use tracing::Span;

use crate::control::{Control, PercentProgress, Progress};
use crate::error::{ComputeError, Result};
use crate::evaluate::{EvaluateTask, check_labels, count_correct};
use crate::executor::{Mode, TrainingState};
use crate::images::to_tensor;
use crate::memory;
use crate::network::Network;
use crate::ops::{cross_entropy, predictions};
use crate::optimizer::{Descent, learning_rate};
use crate::task::{DeviceContext, Task};
use crate::weights::Weights;
use draw::{Draw, generator};
use scv_domain::graph::{Graph, Operator};
use scv_domain::image::{ChannelStatistics, LabelledImages};
use scv_domain::training::{EpochReport, TrainSettings};
use validation::{ValidationSplit, validate};

/// A network and the images to train it on.
#[derive(Debug, Clone)]
pub struct TrainTask {
    /// The network.
    pub graph: Arc<Graph>,
    /// The train split.
    pub data: LabelledImages,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// How it is trained.
    pub settings: TrainSettings,
    /// Classes of the data set, and logits of the network.
    pub classes: usize,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// A trained network.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The weights and running statistics as a safetensors file.
    pub weights: Vec<u8>,
    /// Loss and accuracy of each epoch.
    pub epochs: Vec<EpochReport>,
}

impl Task for TrainTask {
    type Output = Trained;

    fn span(&self) -> Span {
        tracing::info_span!("compute.train")
    }

    /// Draws the initial weights from the seed and minimises the cross-entropy.
    ///
    /// Equal tasks give equal bytes on one CPU. The last batch of an epoch may be short. A batch of a
    /// single image is left out if some batch normalisation sees one position per channel: one number has
    /// no variance (PyTorch refuses it).
    ///
    /// # Errors
    /// [`ComputeError::Invalid`] if data and network do not fit, [`ComputeError::NotFinite`] if the
    /// training diverges, and [`ComputeError::Cancelled`] before the next batch once it is cancelled.
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Trained> {
        let settings = &self.settings;
        check_labels(&self.data, self.classes)?;
        let split = ValidationSplit::of(&self.data, settings)?;
        check(&self, &split.training)?;
        let (network, variables) = initial_network(&self, &context.device)?;
        let mut descent = Descent::new(settings.optimizer, variables);
        let mut state = TrainingState::new(generator(settings.seed, Draw::Dropout, 0));
        let total = batches(&self, &split.training, 0).len() * settings.epochs as usize;
        let mut progress = PercentProgress::new(control, total);
        let mut done = 0;
        let mut epochs = Vec::with_capacity(settings.epochs as usize);
        for epoch in 1..=settings.epochs {
            let (mut loss_sum, mut correct, mut seen) = (0.0, 0, 0);
            for (index, batch) in batches(&self, &split.training, epoch).iter().enumerate() {
                control.between_steps()?;
                let images = to_tensor(&self.data.images.select(batch), &self.statistics, &context.device)?;
                let labels: Vec<u16> = batch.iter().map(|&image| self.data.labels[image]).collect();
                let logits = network.forward(&images, Mode::Training(&mut state), &mut |_, _| Ok(()))?;
                let loss = cross_entropy(&logits, &labels)?;
                let value = f64::from(loss.to_scalar::<f32>()?);
                if !value.is_finite() {
                    return Err(ComputeError::NotFinite {
                        what: "the loss",
                        epoch,
                        step: index + 1,
                    });
                }
                let rate = learning_rate(settings.schedule, settings.learning_rate, done, total);
                descent.step(&loss.backward()?, rate)?;
                loss_sum += value * batch.len() as f64;
                correct += count_correct(&predictions(&logits)?, &labels);
                seen += batch.len();
                done += 1;
                progress.step();
            }
            let report = EpochReport {
                epoch,
                loss: loss_sum / seen as f64,
                accuracy: correct as f64 / seen as f64,
                validation: match &split.validation {
                    None => None,
                    Some(images) => {
                        let evaluation = self.evaluation(current_weights(&network, &state), images.clone());
                        Some(validate(evaluation, context, control)?)
                    }
                },
            };
            control.report(Progress::Epoch(report));
            epochs.push(report);
        }
        let weights = current_weights(&network, &state);
        if !all_finite(&weights)? {
            let (epoch, steps) = (settings.epochs, total / settings.epochs.max(1) as usize);
            return Err(ComputeError::NotFinite {
                what: "a weight",
                epoch,
                step: steps,
            });
        }
        Ok(Trained {
            weights: weights.to_safetensors()?,
            epochs,
        })
    }
}

impl TrainTask {
    /// The evaluation of weights on some of the images.
    fn evaluation(&self, weights: Weights, data: LabelledImages) -> EvaluateTask {
        // Without the variables, so that no activation is kept for a gradient.
        let weights = weights.0.into_iter().map(|(key, tensor)| (key, tensor.detach()));
        EvaluateTask {
            network: Arc::new(Network::new(self.graph.clone(), Weights(weights.collect()))),
            data,
            statistics: self.statistics.clone(),
            activation_limit: self.activation_limit,
        }
    }
}

fn check(task: &TrainTask, training: &[usize]) -> Result<()> {
    let logits = task.graph.image_shape(task.graph.logits);
    if logits != [task.classes] {
        let message = format!(
            "the network's output has shape {logits:?}, but the data set has {} classes",
            task.classes
        );
        return Err(ComputeError::Invalid(message));
    }
    let images = (task.settings.batch_size as usize).min(training.len());
    memory::check(
        memory::of_training(&task.graph, images),
        task.activation_limit,
        format_args!("a batch of {images} images and its gradient"),
        "use a smaller batch size",
    )?;
    if batches(task, training, 0).is_empty() {
        let message = "a batch of one image has no variance for a batch normalisation that sees one position per \
                       channel; use a batch size of at least 2";
        return Err(ComputeError::Invalid(message.into()));
    }
    Ok(())
}

/// A network whose trainable weights are variables, which candle computes gradients for, and those variables.
fn initial_network(task: &TrainTask, device: &Device) -> Result<(Network, Vec<Var>)> {
    let drawn = Weights::init(&task.graph, task.settings.seed, device)?;
    let mut variables = Vec::new();
    let mut weights = BTreeMap::new();
    for (key, parameter) in task.graph.parameters() {
        let Some(tensor) = drawn.get(&key) else {
            continue;
        };
        if !parameter.role.is_trainable() {
            weights.insert(key, tensor.clone());
            continue;
        }
        let variable = Var::from_tensor(tensor)?;
        weights.insert(key, variable.as_tensor().clone());
        variables.push(variable);
    }
    Ok((Network::new(task.graph.clone(), Weights(weights)), variables))
}

/// The image indices of every batch of an epoch, shuffled by the seed and the epoch alone.
fn batches(task: &TrainTask, training: &[usize], epoch: u32) -> Vec<Vec<usize>> {
    let mut order = training.to_vec();
    order.shuffle(&mut generator(task.settings.seed, Draw::Order, epoch));
    let size = task.settings.batch_size.max(1) as usize;
    let min_length = if normalises_single_positions(&task.graph) { 2 } else { 1 };
    order
        .chunks(size)
        .filter(|batch| batch.len() >= min_length)
        .map(<[usize]>::to_vec)
        .collect()
}

/// Whether some batch normalisation sees one number per channel and image.
fn normalises_single_positions(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| {
        matches!(node.operator, Operator::BatchNorm2d { .. })
            && node.output_shape.iter().skip(1).all(|&length| length == 1)
    })
}

/// The weights after a step, with the running statistics of the training.
fn current_weights(network: &Network, state: &TrainingState) -> Weights {
    let mut tensors = network.weights().0.clone();
    let running = state.running.iter();
    tensors.extend(running.map(|(key, tensor)| (key.clone(), tensor.clone())));
    Weights(tensors)
}

fn all_finite(weights: &Weights) -> Result<bool> {
    for tensor in weights.0.values() {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        if !values.iter().all(|value| value.is_finite()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
