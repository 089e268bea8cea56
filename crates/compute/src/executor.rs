//! Runs a network node by node and lets go of every value after its last use.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use rand_chacha::ChaCha8Rng;

use crate::error::{ComputeError, Result};
use crate::network::Network;
use crate::ops::{self, Kernels};
use scv_domain::graph::{BatchAxis, Graph, Node, Operator, ParameterRole, ValueId};

/// Whether dropout and batch normalisation behave as in training.
pub enum Mode<'a> {
    /// Dropout does nothing; running statistics normalise.
    Inference,
    /// Dropout draws, and the batch normalises itself and moves the running statistics.
    Training(&'a mut TrainingState),
}

/// What a training run changes besides the weights it descends on.
pub struct TrainingState {
    /// Draws the values that dropout zeroes.
    pub generator: ChaCha8Rng,
    /// Running statistics by key. A key that is not here begins with the network's own weights.
    pub running: BTreeMap<String, Tensor>,
    /// Batches seen, the current one included.
    pub batches: u64,
}

impl TrainingState {
    /// The state before the first batch.
    pub fn new(generator: ChaCha8Rng) -> TrainingState {
        TrainingState {
            generator,
            running: BTreeMap::new(),
            batches: 0,
        }
    }
}

/// A value: of all images together, or of each image as a portion of its own.
type Portions = Vec<Tensor>;

/// What all nodes have in common while a batch passes.
#[derive(Clone, Copy)]
struct Batch {
    kernels: Kernels,
    /// Images in a portion.
    images: usize,
}

/// How a pass goes.
#[derive(Clone, Copy)]
struct Course {
    /// The value to answer with.
    target: ValueId,
    /// How many nodes are run.
    node_count: usize,
    /// The value that a variable stands for.
    cut: Option<ValueId>,
}

impl Course {
    /// Through the whole graph, to the logits.
    fn whole(graph: &Graph) -> Self {
        Self {
            target: graph.logits,
            node_count: graph.nodes.len(),
            cut: None,
        }
    }
}

/// What [`Network::forward_through`] answers with.
#[derive(Debug, Clone)]
pub struct Through {
    /// The logits, `[1, classes]`.
    pub logits: Tensor,
    /// What they hang on.
    pub variable: Var,
}

impl Network {
    /// Runs images `[batch, channels, height, width]` through the network and answers with the
    /// logits, `[batch, classes]`.
    ///
    /// `tap` is shown the index and the output of every node, in execution order, image by image: with the images
    /// along the first dimension and nothing merged into it. A value is freed after the last node that reads it, unless the
    /// tap keeps it or a gradient needs it: gradients are followed only from variables, so plain weights and images cost no
    /// memory.
    ///
    /// # Errors
    /// [`ComputeError::Layer`] names the layer at fault; an error of the tap is handed on as it is.
    pub fn forward(
        &self,
        input: &Tensor,
        mode: Mode<'_>,
        tap: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        Ok(self.run(input, Course::whole(&self.graph), mode, tap)?.0)
    }

    /// Runs only as far as `target` and answers with that value, `[batch, ..]`, at inference.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_to(&self, input: &Tensor, target: ValueId) -> Result<Tensor> {
        let course = Course {
            target,
            node_count: target.0,
            cut: None,
        };
        Ok(self.run(input, course, Mode::Inference, &mut |_, _| Ok(()))?.0)
    }

    /// Runs one image and answers with the logits and with a variable in the place of the value `at`, at inference: what comes
    /// after hangs on it, and its gradient is that of the value.
    ///
    /// # Errors
    /// As [`Network::forward`], for more than one image, and for a value that the logits do not come after.
    pub fn forward_through(&self, input: &Tensor, at: ValueId) -> Result<Through> {
        let course = Course {
            cut: Some(at),
            ..Course::whole(&self.graph)
        };
        let (logits, variable) = self.run(input, course, Mode::Inference, &mut |_, _| Ok(()))?;
        let missing = || ComputeError::Invalid(format!("no single image has the value {}", at.0));
        Ok(Through {
            logits,
            variable: variable.ok_or_else(missing)?,
        })
    }

    /// A value of [`Network::forward_through`], or its gradient, with the image in front.
    ///
    /// # Errors
    /// The device has no memory left.
    pub fn with_image_first(&self, at: ValueId, value: &Tensor) -> Result<Tensor> {
        let node = &self.graph.nodes[at.0 - 1];
        Ok(self.image_by_image(node, std::slice::from_ref(value))?)
    }

    fn run(
        &self,
        input: &Tensor,
        course: Course,
        mut mode: Mode<'_>,
        tap: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<(Tensor, Option<Var>)> {
        let Course {
            target,
            node_count,
            cut,
        } = course;
        let mut variable = None;
        self.check_input(input)?;
        if let Mode::Training(state) = &mut mode {
            state.batches += 1;
        }
        let mut values: Vec<Portions> = vec![Portions::new(); self.graph.nodes.len() + 1];
        values[0] = self.portions(input)?;
        let portions = values[0].len();
        let batch = Batch {
            kernels: Kernels::of(input.device()),
            images: values[0].first().map_or(Ok(0), |first| first.dim(0))?,
        };
        let mut answer = (target == ValueId::INPUT).then(|| input.clone());
        for (index, node) in self.graph.nodes.iter().enumerate().take(node_count) {
            let value = (0..portions).map(|portion| {
                let inputs = inputs_of(node, &values, portion)?;
                self.compute(node, &inputs, batch, &mut mode)
            });
            let mut value = value
                .collect::<Result<Portions>>()
                .map_err(|error| at_layer(node, error))?;
            if let ([only], true) = (value.as_slice(), cut == Some(ValueId(index + 1))) {
                let made = Var::from_tensor(only)?;
                value = vec![made.as_tensor().clone()];
                variable = Some(made);
            }
            let whole = self
                .image_by_image(node, &value)
                .map_err(|error| at_layer(node, error.into()))?;
            tap(index, &whole)?;
            if target.0 == index + 1 {
                answer = Some(whole);
            }
            values[index + 1] = value;
            for spent in &self.spent[index] {
                values[spent.0] = Portions::new();
            }
        }
        let answer = answer.ok_or_else(|| ComputeError::Invalid(format!("the network has no value {}", target.0)))?;
        Ok((answer, variable))
    }

    /// All images as one portion, or each as its own.
    fn portions(&self, input: &Tensor) -> Result<Portions> {
        if self.graph.images_together {
            return Ok(vec![input.clone()]);
        }
        let images = input.dim(0)?;
        Ok((0..images)
            .map(|image| input.narrow(0, image, 1))
            .collect::<candle_core::Result<_>>()?)
    }

    /// A value with its images along the first dimension and nothing merged into it. One that is the same for every
    /// image stays as it is.
    fn image_by_image(&self, node: &Node, portions: &[Tensor]) -> candle_core::Result<Tensor> {
        match portions {
            [only] if self.graph.images_together => images_first(node, only),
            [first, ..] if node.inputs.is_empty() => Ok(first.clone()),
            portions => {
                let images = portions.iter().map(|portion| images_first(node, portion));
                Tensor::cat(&images.collect::<candle_core::Result<Vec<_>>>()?, 0)
            }
        }
    }

    fn check_input(&self, input: &Tensor) -> Result<()> {
        let dims = input.dims();
        if dims.len() != self.graph.input_shape.len() + 1 || dims[1..] != self.graph.input_shape {
            let expected = &self.graph.input_shape;
            return Err(ComputeError::Invalid(format!(
                "the network reads images {expected:?}, not a batch {dims:?}"
            )));
        }
        Ok(())
    }

    fn compute(&self, node: &Node, inputs: &[Tensor], batch: Batch, mode: &mut Mode<'_>) -> Result<Tensor> {
        let kernels = batch.kernels;
        let dims = node.dims(batch.images);
        let value = match (&node.operator, mode) {
            (Operator::Dropout { p }, Mode::Training(state)) => ops::dropout(&inputs[0], *p, &mut state.generator)?,
            (Operator::BatchNorm2d { eps, momentum }, Mode::Training(state)) => {
                let moments = ops::batch_moments(kernels, &inputs[0])?;
                self.move_running(node, &moments, *momentum, state)?;
                let (weight, bias) = ops::scale_and_shift(node, &self.weights, &inputs[0])?;
                ops::normalise_batch(kernels, &inputs[0], &moments, (&weight, &bias), *eps)?
            }
            _ => ops::forward(kernels, node, inputs, &self.weights, &dims)?,
        };
        if value.dims() != dims {
            let actual = value.dims();
            return Err(ComputeError::Invalid(format!(
                "it gives {actual:?} where {dims:?} was inferred"
            )));
        }
        Ok(value)
    }

    /// Moves the running statistics towards the batch as PyTorch does: the variance that is kept is
    /// the unbiased one, and without momentum every batch counts alike.
    fn move_running(
        &self,
        node: &Node,
        moments: &ops::Moments,
        momentum: Option<f64>,
        state: &mut TrainingState,
    ) -> Result<()> {
        let share = momentum.unwrap_or(1.0 / state.batches as f64);
        let count = moments.count as f64;
        let unbiased = moments.variance.affine(count / (count - 1.0).max(1.0), 0.0)?;
        for (role, batch) in [
            (ParameterRole::RunningMean, &moments.mean),
            (ParameterRole::RunningVar, &unbiased),
        ] {
            let key = node.key(role);
            let before = match state.running.get(&key) {
                Some(running) => running.clone(),
                None => ops::parameter(node, role, &self.weights)?.clone(),
            };
            let after = (before.affine(1.0 - share, 0.0)? + batch.affine(share, 0.0)?)?;
            state.running.insert(key, after.detach());
        }
        Ok(())
    }
}

fn inputs_of(node: &Node, values: &[Portions], portion: usize) -> Result<Vec<Tensor>> {
    let input = |input: &ValueId| values.get(input.0)?.get(portion).cloned();
    let inputs: Option<Vec<Tensor>> = node.inputs.iter().map(input).collect();
    inputs.ok_or_else(|| ComputeError::Invalid("it reads a value that is not there".into()))
}

/// A value, or the images of one portion of it, with the dimension that counts images in front and what was merged
/// into it behind. One without such a dimension belongs to a single image, or is the same for all.
fn images_first(node: &Node, value: &Tensor) -> candle_core::Result<Tensor> {
    let Some(BatchAxis { axis, factor, inner }) = node.batch else {
        return if node.inputs.is_empty() {
            Ok(value.clone())
        } else {
            value.unsqueeze(0)
        };
    };
    if axis == 0 && factor == 1 {
        return Ok(value.clone());
    }
    let (before, rest) = value.dims().split_at(axis);
    let (factor, inner) = (factor.max(1), inner.max(1));
    let images = rest[0] / factor;
    let parted = value.reshape([before, &[factor / inner, images, inner], &rest[1..]].concat())?;
    let others = (0..axis).chain(axis + 3..parted.rank());
    let axes: Vec<usize> = [axis + 1, axis, axis + 2].into_iter().chain(others).collect();
    let merged: &[usize] = if factor == 1 { &[] } else { &[factor] };
    parted
        .permute(axes)?
        .contiguous()?
        .reshape([&[images], merged, before, &rest[1..]].concat())
}

fn at_layer(node: &Node, source: ComputeError) -> ComputeError {
    ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
