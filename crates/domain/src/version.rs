//! Versions of models and their layers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{AccountId, DatasetId, LayerId, ModelId, ProbeSetId, VersionId};
use super::image::Preprocessing;
use super::training::{EpochReport, TrainSettings};

/// A numbered, immutable version of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Key.
    pub id: VersionId,
    /// The model it belongs to.
    pub model_id: ModelId,
    /// From 1, without gaps.
    pub number: i32,
    /// Status of its job.
    pub status: VersionStatus,
    /// The format it was uploaded in.
    pub format: ModelFormat,
    /// The data set whose images and classes it is for.
    pub dataset_id: DatasetId,
    /// The block list, for [`ModelFormat::Blocks`].
    pub blocks: Option<serde_json::Value>,
    /// Key of the object with its weights, once there are any.
    pub weights_key: Option<String>,
    /// Number of trainable parameters.
    pub parameter_count: i64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: i64,
    /// Training settings, if it is trained by SCV.
    pub train_settings: Option<TrainSettings>,
    /// Results of each epoch, once it has been trained by SCV.
    pub train_epochs: Option<Vec<EpochReport>>,
    /// How to read its file; `None` for [`ModelFormat::Blocks`].
    pub source: Option<VersionSource>,
    /// Why it failed, for [`VersionStatus::Failed`].
    pub failure: Option<Failure>,
    /// An older version whose layers equal all layers of this one, found when it was ingested.
    pub duplicate_of: Option<VersionId>,
    /// The account that registered it; `None` if the caller had no token.
    pub created_by: Option<AccountId>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// Where a version comes from, which never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionOrigin {
    /// Its key.
    pub version: VersionId,
    /// The model it belongs to.
    pub model: ModelId,
    /// The data set whose images and classes it is for.
    pub dataset: DatasetId,
    /// The format it was uploaded in.
    pub format: ModelFormat,
}

impl Version {
    /// Where it comes from.
    pub fn origin(&self) -> VersionOrigin {
        VersionOrigin {
            version: self.id,
            model: self.model_id,
            dataset: self.dataset_id,
            format: self.format,
        }
    }
}

/// How to read the file of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionSource {
    /// Uploaded activations.
    Activations {
        /// The probe set that the activations are for.
        probe_set: ProbeSetId,
    },
    /// Weights of blocks whose images are not normalised as those of the data set.
    Blocks {
        /// How images become the input of the network.
        preprocessing: Preprocessing,
    },
    /// An ONNX file.
    Onnx {
        /// Name of the output to use, if the file has several.
        output: Option<String>,
        /// How images become the input of the network.
        preprocessing: Preprocessing,
    },
}

/// A choice of a version of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionChoice {
    /// The version of this number.
    Number(i32),
    /// The `READY` version with the highest number.
    Latest,
    /// The `READY` version with the highest accuracy on its own data set; the latest one if versions tie.
    Best,
}

/// A filter for lists of versions across models.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VersionFilter {
    /// Part of the model's name, ignoring case.
    pub model_name_contains: Option<String>,
    /// Only versions of models with all of these tags.
    pub tags: Vec<String>,
    /// Only versions for one of these data sets; empty for any.
    pub datasets: Vec<String>,
    /// Only versions of one of these statuses; empty for any.
    pub statuses: Vec<VersionStatus>,
    /// Only versions of one of these formats; empty for any.
    pub formats: Vec<ModelFormat>,
    /// Minimum accuracy on the version's own data set.
    pub min_accuracy: Option<f64>,
    /// Only versions that were registered at this time or later.
    pub created_since: Option<DateTime<Utc>>,
    /// Only versions that were registered before this time.
    pub created_before: Option<DateTime<Utc>>,
}

/// The field that a list of versions is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum VersionOrderField {
    /// When the versions were registered.
    #[default]
    CreatedAt,
    /// The accuracy on the version's own data set.
    Accuracy,
    /// The number of trainable parameters.
    ParameterCount,
    /// The multiply-accumulates for one image.
    MultiplyAccumulates,
}

/// Status of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionStatus {
    /// Its job is queued.
    Queued,
    /// Its job is running.
    Running,
    /// Its layers and vectors are available.
    Ready,
    /// Its job failed: it has no layers or vectors, and a [`Failure`].
    Failed,
}

/// The format a version was uploaded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ModelFormat {
    /// A list of blocks, with uploaded weights or trained by SCV.
    Blocks,
    /// An ONNX file.
    Onnx,
    /// Activations on a probe set, computed elsewhere.
    Activations,
}

/// Why a job failed, with a message that its owner can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A machine-readable code such as `WEIGHTS_DO_NOT_FIT`.
    pub code: FailureCode,
    /// What happened and how to fix it.
    pub message: String,
    /// Name of the layer that failed, if a layer did.
    pub layer: Option<String>,
}

/// Kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// The weights do not match the blocks.
    WeightsDoNotFit,
    /// Values became NaN or infinite.
    NotFinite,
    /// A layer could not be computed.
    LayerFailed,
    /// The network cannot be run, or the data set cannot be imported, as requested; the message says what to change.
    CannotRun,
    /// A stored object is missing or damaged.
    ArtifactUnreadable,
    /// Cancellation was requested.
    Cancelled,
    /// The job was started too many times without finishing.
    TooManyAttempts,
    /// An internal error of the server; its log has the details.
    Internal,
}

/// A layer of a version, in execution order.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Key.
    pub id: LayerId,
    /// The version it belongs to.
    pub version_id: VersionId,
    /// Index in execution order, from 0.
    pub index: i32,
    /// Its path in the block list, such as `3.main.0`.
    pub name: String,
    /// Layer kind, such as `Conv2d`.
    pub kind: String,
    /// Its parameters, including defaults.
    pub parameters: serde_json::Value,
    /// Input shape, for one image.
    pub input_shape: Vec<i32>,
    /// Output shape, for one image.
    pub output_shape: Vec<i32>,
    /// Number of trainable parameters.
    pub parameter_count: i64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: i64,
    /// Indices of the layers whose outputs it reads, [`IMAGE_INPUT`] for the image. `None` if only its activations are known,
    /// or if an older release registered it.
    pub inputs: Option<Vec<i32>>,
}

/// What stands for the image among the inputs of a layer.
pub const IMAGE_INPUT: i32 = -1;
