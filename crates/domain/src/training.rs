//! Training of block networks.

use serde::{Deserialize, Serialize};

/// Settings of one training run. Equal settings and data give equal weights on the CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Number of passes over the train split, 1 to 1,000.
    pub epochs: u32,
    /// Number of images per step, 1 to 4,096.
    pub batch_size: u32,
    /// Initial learning rate, above zero.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// How the learning rate changes over the run.
    pub schedule: Schedule,
    /// Random seed of the initial weights, the order of the images and dropout.
    pub seed: u64,
}

/// An optimizer, as PyTorch defines it.
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
        /// Share of the weights subtracted per step, before multiplying by the learning rate.
        weight_decay: f64,
    },
}

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Schedule {
    /// It stays constant.
    Constant,
    /// Half a cosine from the initial learning rate to zero, updated after every batch.
    Cosine,
}

/// The result of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean cross-entropy over the epoch's batches, in nats.
    pub loss: f64,
    /// Accuracy on the train images while training, 0 to 1.
    pub accuracy: f64,
}
