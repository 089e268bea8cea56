//! Trainings: their settings and their epochs.

use async_graphql::{Enum, Object, SimpleObject};

use scv_domain::training;

/// The settings with which a version was trained.
#[derive(Debug, SimpleObject)]
pub struct TrainSettings {
    /// Number of epochs.
    epochs: u32,
    /// Batch size.
    batch_size: u32,
    /// Initial learning rate.
    learning_rate: f64,
    /// The optimiser.
    optimizer: OptimizerKind,
    /// Momentum; null for other optimisers than SGD.
    momentum: Option<f64>,
    /// Weight decay: an L2 penalty for SGD and ADAM, decoupled weight decay for ADAMW.
    weight_decay: f64,
    /// The learning rate schedule.
    schedule: Schedule,
    /// Random seed of the initial weights, the order of images, dropout and the choice of the validation images.
    seed: u64,
    /// Share of the training images of each class that were kept out of the training and measured after each epoch; 0 if
    /// none were.
    validation_share: f64,
}

impl From<training::TrainSettings> for TrainSettings {
    fn from(settings: training::TrainSettings) -> Self {
        let (optimizer, momentum, weight_decay) = match settings.optimizer {
            training::Optimizer::Sgd { momentum, weight_decay } => (OptimizerKind::Sgd, Some(momentum), weight_decay),
            training::Optimizer::Adam { weight_decay } => (OptimizerKind::Adam, None, weight_decay),
            training::Optimizer::Adamw { weight_decay } => (OptimizerKind::Adamw, None, weight_decay),
        };
        Self {
            epochs: settings.epochs,
            batch_size: settings.batch_size,
            learning_rate: settings.learning_rate,
            optimizer,
            momentum,
            weight_decay,
            schedule: settings.schedule.into(),
            seed: settings.seed,
            validation_share: settings.validation_share,
        }
    }
}

/// Optimisers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// Learning rate schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "training::Schedule")]
pub enum Schedule {
    /// A constant learning rate.
    Constant,
    /// Cosine annealing: half a cosine from the initial learning rate to zero.
    Cosine,
}

/// The results of one training epoch.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct EpochReport(pub training::EpochReport);

#[Object(use_type_description)]
impl EpochReport {
    /// Number of the epoch, from 1.
    async fn epoch(&self) -> u32 {
        self.0.epoch
    }

    /// Mean cross-entropy over the batches of the epoch, in nats.
    async fn loss(&self) -> f64 {
        self.0.loss
    }

    /// Share of training images that were classified correctly during the epoch, 0 to 1.
    async fn accuracy(&self) -> f64 {
        self.0.accuracy
    }

    /// Share of the validation images that the network classified correctly after the epoch, 0 to 1; null if no images
    /// were kept out of the training.
    async fn validation_accuracy(&self) -> Option<f64> {
        self.0.validation.map(|validation| validation.accuracy)
    }

    /// Mean cross-entropy of the validation images after the epoch, in nats; null if no images were kept out of the
    /// training.
    async fn validation_loss(&self) -> Option<f64> {
        self.0.validation.map(|validation| validation.loss)
    }
}
