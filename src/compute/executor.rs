//! Runs a network node by node and lets go of every value after its last use.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use crate::compute::error::{ComputeError, Result};
use crate::compute::network::Network;
use crate::compute::ops::{self, Kernels};
use crate::domain::graph::{Node, Operator, ParameterRole, ValueId};

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

impl Network {
    /// Runs images `[batch, channels, height, width]` through the network and answers with the
    /// logits, `[batch, classes]`.
    ///
    /// `tap` is shown the index and the output of every node, in execution order. A value is freed
    /// after the last node that reads it, unless the tap keeps it or a gradient needs it: gradients
    /// are followed only from variables, so plain weights and images cost no memory.
    ///
    /// # Errors
    /// [`ComputeError::Layer`] names the layer at fault; an error of the tap is handed on as it is.
    pub fn forward(
        &self,
        input: &Tensor,
        mode: Mode<'_>,
        tap: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        self.run(input, self.graph.logits, self.graph.nodes.len(), mode, tap)
    }

    /// Runs only as far as `target` and answers with that value, `[batch, ..]`, at inference.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_to(&self, input: &Tensor, target: ValueId) -> Result<Tensor> {
        self.run(input, target, target.0, Mode::Inference, &mut |_, _| Ok(()))
    }

    fn run(
        &self,
        input: &Tensor,
        target: ValueId,
        node_count: usize,
        mut mode: Mode<'_>,
        tap: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        self.check_input(input)?;
        if let Mode::Training(state) = &mut mode {
            state.batches += 1;
        }
        let mut values: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len() + 1];
        values[0] = Some(input.clone());
        for (index, node) in self.graph.nodes.iter().enumerate().take(node_count) {
            let value = self
                .compute(node, input, &values, &mut mode)
                .map_err(|error| at_layer(node, error))?;
            tap(index, &value)?;
            values[index + 1] = Some(value);
            for spent in self.spent[index].iter().filter(|&&spent| spent != target) {
                values[spent.0] = None;
            }
        }
        let missing = || ComputeError::Invalid(format!("the network has no value {}", target.0));
        values.get_mut(target.0).and_then(Option::take).ok_or_else(missing)
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

    fn compute(&self, node: &Node, images: &Tensor, values: &[Option<Tensor>], mode: &mut Mode<'_>) -> Result<Tensor> {
        let inputs: Vec<Tensor> = node
            .inputs
            .iter()
            .filter_map(|input| values.get(input.0).cloned().flatten())
            .collect();
        if inputs.len() != node.inputs.len() {
            return Err(ComputeError::Invalid("it reads a value that is not there".into()));
        }
        let kernels = Kernels::of(images.device());
        let dims = node.dims(images.dims()[0]);
        let value = match (&node.operator, mode) {
            (Operator::Dropout { p }, Mode::Training(state)) => ops::dropout(&inputs[0], *p, &mut state.generator)?,
            (Operator::BatchNorm2d { eps, momentum }, Mode::Training(state)) => {
                let moments = ops::batch_moments(kernels, &inputs[0])?;
                self.move_running(node, &moments, *momentum, state)?;
                let (weight, bias) = ops::scale_and_shift(node, &self.weights, &inputs[0])?;
                ops::normalise_batch(kernels, &inputs[0], &moments, (&weight, &bias), *eps)?
            }
            _ => ops::forward(kernels, node, &inputs, &self.weights, &dims)?,
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

fn at_layer(node: &Node, source: ComputeError) -> ComputeError {
    ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
