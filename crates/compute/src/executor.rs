//! Runs a network node by node and frees every value after its last use.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use rand_chacha::ChaCha8Rng;

use crate::error::{ComputeError, Result};
use crate::network::Network;
use crate::ops::{self, Kernels};
use scv_domain::graph::{BatchAxis, Graph, Node, Operator, ParameterRole, ValueId};

/// Whether dropout and batch normalisation behave as in training.
pub enum Mode<'a> {
    /// Dropout does nothing, and batch normalisation uses the running statistics.
    Inference,
    /// Dropout draws, and batch normalisation uses the batch's own statistics and updates the running ones.
    Training(&'a mut TrainingState),
}

/// What a training run changes in addition to the trainable weights.
pub struct TrainingState {
    /// Draws the values that dropout zeroes.
    pub generator: ChaCha8Rng,
    /// Running statistics by key. Where a key is missing, the network's own weights are the first value.
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

/// A value: one portion for all images of a batch, or one for each image.
type Portions = Vec<Tensor>;

/// What all nodes of a pass have in common.
#[derive(Clone, Copy)]
struct Batch {
    kernels: Kernels,
    /// Images in a portion.
    images: usize,
}

/// What a pass runs and returns.
#[derive(Clone, Copy)]
struct RunPlan {
    /// The value to return.
    target: ValueId,
    /// How many nodes run.
    node_count: usize,
    /// The value that becomes a leaf variable.
    leaf: Option<ValueId>,
}

impl RunPlan {
    /// Runs the whole graph and returns the logits.
    fn whole(graph: &Graph) -> Self {
        Self {
            target: graph.logits,
            node_count: graph.nodes.len(),
            leaf: None,
        }
    }
}

/// The result of [`Network::forward_with_leaf`]: a pass that is cut at one value for gradients.
#[derive(Debug, Clone)]
pub struct CutForward {
    /// The logits, `[1, classes]`.
    pub logits: Tensor,
    /// The value that the pass is cut at. The logits are differentiable with respect to it.
    pub leaf: Var,
}

impl Network {
    /// Runs images `[batch, channels, height, width]` through the network and returns the logits, `[batch, classes]`.
    ///
    /// `tap` receives the index and the output of every node, in execution order. The images are the first dimension of
    /// an output, and nothing else is merged into it. A value is freed after the last node that reads it, unless the
    /// tap keeps it or a gradient needs it. Only variables have gradients, so plain weights and images cost no
    /// memory.
    ///
    /// # Errors
    /// [`ComputeError::Layer`] names the layer that failed; an error of the tap is passed on unchanged.
    pub fn forward(
        &self,
        input: &Tensor,
        mode: Mode<'_>,
        tap: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        Ok(self.run(input, RunPlan::whole(&self.graph), mode, tap)?.0)
    }

    /// Runs only as far as `target` and returns that value, `[batch, ..]`, in inference mode.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_to(&self, input: &Tensor, target: ValueId) -> Result<Tensor> {
        let plan = RunPlan {
            target,
            node_count: target.0,
            leaf: None,
        };
        Ok(self.run(input, plan, Mode::Inference, &mut |_, _| Ok(()))?.0)
    }

    /// Runs one image in inference mode, with a variable in the place of the value `at`. The variable's gradient is
    /// that of the value.
    ///
    /// # Errors
    /// As [`Network::forward`]; for more than one image; and if the pass does not compute the value.
    pub fn forward_with_leaf(&self, input: &Tensor, at: ValueId) -> Result<CutForward> {
        let plan = RunPlan {
            leaf: Some(at),
            ..RunPlan::whole(&self.graph)
        };
        let (logits, leaf) = self.run(input, plan, Mode::Inference, &mut |_, _| Ok(()))?;
        let missing = || ComputeError::Invalid(format!("value {} is not computed for a single image", at.0));
        Ok(CutForward {
            logits,
            leaf: leaf.ok_or_else(missing)?,
        })
    }

    /// Brings the image to the first dimension of a value of [`Network::forward_with_leaf`], or of its gradient.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn with_image_first(&self, at: ValueId, value: &Tensor) -> Result<Tensor> {
        let node = &self.graph.nodes[at.0 - 1];
        Ok(self.join_images(node, std::slice::from_ref(value))?)
    }

    fn run(
        &self,
        input: &Tensor,
        plan: RunPlan,
        mut mode: Mode<'_>,
        tap: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<(Tensor, Option<Var>)> {
        let RunPlan {
            target,
            node_count,
            leaf,
        } = plan;
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
        let mut output = (target == ValueId::INPUT).then(|| input.clone());
        for (index, node) in self.graph.nodes.iter().enumerate().take(node_count) {
            let value = (0..portions).map(|portion| {
                let inputs = inputs_of(node, &values, portion)?;
                self.compute(node, &inputs, batch, &mut mode)
            });
            let mut value = value
                .collect::<Result<Portions>>()
                .map_err(|error| at_layer(node, error))?;
            if leaf == Some(ValueId(index + 1))
                && let [only] = value.as_slice()
            {
                let cut = Var::from_tensor(only)?;
                value = vec![cut.as_tensor().clone()];
                variable = Some(cut);
            }
            let whole = self
                .join_images(node, &value)
                .map_err(|error| at_layer(node, error.into()))?;
            tap(index, &whole)?;
            if target.0 == index + 1 {
                output = Some(whole);
            }
            values[index + 1] = value;
            for unused in &self.to_free[index] {
                values[unused.0] = Portions::new();
            }
        }
        let output = output.ok_or_else(|| ComputeError::Invalid(format!("the network has no value {}", target.0)))?;
        Ok((output, variable))
    }

    /// One portion for all images, or one for each.
    fn portions(&self, input: &Tensor) -> Result<Portions> {
        if self.graph.is_batched {
            return Ok(vec![input.clone()]);
        }
        let images = input.dim(0)?;
        Ok((0..images)
            .map(|image| input.narrow(0, image, 1))
            .collect::<candle_core::Result<_>>()?)
    }

    /// Joins the portions of a value: the images are its first dimension, and nothing else is merged into it. A value
    /// that is the same for every image stays as it is.
    fn join_images(&self, node: &Node, portions: &[Tensor]) -> candle_core::Result<Tensor> {
        match portions {
            [only] if self.graph.is_batched => images_first(node, only),
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
                "the network reads images of shape {expected:?}; this batch has shape {dims:?}"
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
                self.update_running(node, &moments, *momentum, state)?;
                let (weight, bias) = ops::scale_and_shift(node, &self.weights, &inputs[0])?;
                ops::normalise_batch(kernels, &inputs[0], &moments, (&weight, &bias), *eps)?
            }
            _ => ops::forward(kernels, node, inputs, &self.weights, &dims)?,
        };
        if value.dims() != dims {
            let actual = value.dims();
            return Err(ComputeError::Invalid(format!(
                "its output has shape {actual:?}, but {dims:?} was inferred"
            )));
        }
        Ok(value)
    }

    /// Moves the running statistics towards those of the batch, as PyTorch does: it keeps the unbiased variance, and
    /// without momentum every batch has the same weight.
    fn update_running(
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
    inputs.ok_or_else(|| ComputeError::Invalid("it reads a value that was not computed".into()))
}

/// Moves the dimension that counts images to the front of a value or a portion, followed by what was merged into it.
/// A value without such a dimension belongs to a single image, or is the same for all.
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

fn at_layer(node: &Node, cause: ComputeError) -> ComputeError {
    ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        cause: Box::new(cause),
    }
}

#[cfg(test)]
mod tests;
