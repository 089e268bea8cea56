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
    /// Random seed of the initial weights, the order of the images, dropout and the choice of the validation images.
    pub seed: u64,
    /// Share of the images of each class that are kept out of the training and measured after each epoch, 0 to
    /// [`MAX_VALIDATION_SHARE`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub validation_share: f64,
}

/// Maximum share of the train split that can be kept out of the training.
pub const MAX_VALIDATION_SHARE: f64 = 0.5;

/// Trainings without a validation are stored as they were before there was one.
fn is_zero(share: &f64) -> bool {
    *share == 0.0
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
    /// What the network made of the validation images after the epoch, if any are kept out.
    #[serde(flatten)]
    pub validation: Option<Validation>,
}

/// The accuracy and loss of a network on images that it is not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Share of images that were classified correctly, 0 to 1.
    #[serde(rename = "validation_accuracy")]
    pub accuracy: f64,
    /// Mean cross-entropy, in nats.
    #[serde(rename = "validation_loss")]
    pub loss: f64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trainings_without_a_validation_are_stored_as_those_of_earlier_releases() -> serde_json::Result<()> {
        let settings = json!({ "epochs": 1, "batch_size": 8, "learning_rate": 0.1, "schedule": "CONSTANT", "seed": 3,
                               "optimizer": { "kind": "ADAM", "weight_decay": 0.0 } });
        let read: TrainSettings = serde_json::from_value(settings.clone())?;
        assert_eq!(read.validation_share, 0.0);
        assert_eq!(json!(read), settings);
        let report = json!({ "epoch": 1, "loss": 0.1, "accuracy": 0.7 });
        let read: EpochReport = serde_json::from_value(report.clone())?;
        assert_eq!(read.validation, None);
        assert_eq!(json!(read), report);
        let report =
            json!({ "epoch": 1, "loss": 0.1, "accuracy": 0.7, "validation_loss": 0.3, "validation_accuracy": 0.6 });
        let read: EpochReport = serde_json::from_value(report.clone())?;
        assert_eq!(json!(read), report);
        Ok(())
    }
}
