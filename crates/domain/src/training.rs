//! How a block network is trained.

use serde::{Deserialize, Serialize};

/// Settings of one training run; equal settings and data give equal weights on the CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Passes over the train split, 1 to 1,000.
    pub epochs: u32,
    /// Images a step, 1 to 4,096.
    pub batch_size: u32,
    /// Step size at the start, above zero.
    pub learning_rate: f64,
    /// What turns gradients into steps.
    pub optimizer: Optimizer,
    /// How the learning rate changes over the run.
    pub schedule: Schedule,
    /// Draws the first weights, the order of the images and the dropped values.
    pub seed: u64,
}

/// What turns gradients into steps, with PyTorch's definitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd {
        /// 0 for none.
        momentum: f64,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
    /// Adam with betas 0.9 and 0.999 and epsilon 1e-8.
    Adam {
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay.
    Adamw {
        /// Share of the weights taken off each step, times the learning rate.
        weight_decay: f64,
    },
}

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Half a cosine from the learning rate to zero, one step a batch.
    Cosine,
}

/// What one epoch came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: u32,
    /// Mean cross-entropy over the epoch's batches, in nats.
    pub loss: f64,
    /// Share of the train images classified right while training.
    pub accuracy: f64,
}
