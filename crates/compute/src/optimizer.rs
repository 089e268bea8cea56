//! Optimizers with PyTorch's definitions.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use scv_domain::training::{Optimizer, Schedule};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Gradient descent on some variables, with the state of the optimizer.
pub(super) struct Descent {
    optimizer: Optimizer,
    parameters: Vec<ParameterState>,
    steps: i32,
}

/// A variable, with what the optimizer keeps for it.
struct ParameterState {
    variable: Var,
    /// Momentum buffer, or the mean of the gradients; `None` before the first step.
    first: Option<Tensor>,
    /// Mean of the squared gradients.
    second: Option<Tensor>,
}

impl Descent {
    /// Starts a descent on `variables`.
    pub(super) fn new(optimizer: Optimizer, variables: Vec<Var>) -> Descent {
        let parameters = variables
            .into_iter()
            .map(|variable| ParameterState {
                variable,
                first: None,
                second: None,
            })
            .collect();
        Descent {
            optimizer,
            parameters,
            steps: 0,
        }
    }

    /// Updates every variable that has a gradient.
    pub(super) fn step(&mut self, gradients: &GradStore, learning_rate: f64) -> Result<()> {
        self.steps += 1;
        for parameter in &mut self.parameters {
            let Some(gradient) = gradients.get(parameter.variable.as_tensor()) else {
                continue;
            };
            let gradient = gradient.detach();
            match self.optimizer {
                Optimizer::Sgd { momentum, weight_decay } => {
                    let gradient = parameter.decayed(&gradient, weight_decay)?;
                    parameter.sgd(gradient, momentum, learning_rate)?;
                }
                Optimizer::Adam { weight_decay } => {
                    let gradient = parameter.decayed(&gradient, weight_decay)?;
                    parameter.adam(&gradient, learning_rate, 0.0, self.steps)?;
                }
                Optimizer::Adamw { weight_decay } => {
                    parameter.adam(&gradient, learning_rate, weight_decay, self.steps)?;
                }
            }
        }
        Ok(())
    }
}

impl ParameterState {
    /// The gradient with the L2 penalty.
    fn decayed(&self, gradient: &Tensor, weight_decay: f64) -> Result<Tensor> {
        if weight_decay == 0.0 {
            return Ok(gradient.clone());
        }
        gradient + (self.variable.as_detached_tensor() * weight_decay)?
    }

    fn sgd(&mut self, gradient: Tensor, momentum: f64, learning_rate: f64) -> Result<()> {
        let direction = match &self.first {
            Some(buffer) if momentum != 0.0 => ((buffer * momentum)? + gradient)?,
            _ => gradient,
        };
        let moved = (self.variable.as_detached_tensor() - (&direction * learning_rate)?)?;
        self.first = (momentum != 0.0).then_some(direction);
        self.variable.set(&moved)
    }

    /// `decay` is AdamW's weight decay, applied to the weights themselves.
    fn adam(&mut self, gradient: &Tensor, learning_rate: f64, decay: f64, steps: i32) -> Result<()> {
        let blend = |mean: &Option<Tensor>, new: Tensor, beta: f64| match mean {
            Some(mean) => (mean * beta)? + (new * (1.0 - beta))?,
            None => new * (1.0 - beta),
        };
        let first = blend(&self.first, gradient.clone(), BETA_1)?;
        let second = blend(&self.second, gradient.sqr()?, BETA_2)?;
        let (first_bias, second_bias) = (1.0 - BETA_1.powi(steps), 1.0 - BETA_2.powi(steps));
        let divisor = ((second.sqrt()? / second_bias.sqrt())? + EPSILON)?;
        let step = ((&first / divisor)? * (learning_rate / first_bias))?;
        let moved = ((self.variable.as_detached_tensor() * (1.0 - learning_rate * decay))? - step)?;
        (self.first, self.second) = (Some(first), Some(second));
        self.variable.set(&moved)
    }
}

/// The learning rate for a batch, counted from 0 over the whole run of `total` batches.
pub(super) fn learning_rate(schedule: Schedule, start: f64, batch: usize, total: usize) -> f64 {
    match schedule {
        Schedule::Constant => start,
        Schedule::Cosine => start * 0.5 * (1.0 + (std::f64::consts::PI * batch as f64 / total.max(1) as f64).cos()),
    }
}

#[cfg(test)]
mod tests;
