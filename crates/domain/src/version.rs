//! Versions of models and their layers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{DatasetId, LayerId, ModelId, ProbeSetId, VersionId};
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
    /// How far it has come.
    pub status: VersionStatus,
    /// What it was brought as.
    pub format: ModelFormat,
    /// The data set whose images and classes it is made for.
    pub dataset_id: DatasetId,
    /// The block list, for [`ModelFormat::Blocks`].
    pub blocks: Option<serde_json::Value>,
    /// Where the weights lie, once there are any.
    pub weights_key: Option<String>,
    /// Trainable numbers.
    pub parameter_count: i64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: i64,
    /// How it was trained, if it was trained here.
    pub train_settings: Option<TrainSettings>,
    /// What each epoch came to, once trained here.
    pub train_epochs: Option<Vec<EpochReport>>,
    /// How its file is to be read; none for [`ModelFormat::Blocks`].
    pub source: Option<Source>,
    /// Why it failed, for [`VersionStatus::Failed`].
    pub failure: Option<Failure>,
    /// The version that every layer of this one had its equal in when it was ingested.
    pub duplicate_of: Option<VersionId>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// How the file of a version is to be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    /// Activations that were computed elsewhere.
    Activations {
        /// On these images.
        probe_set: ProbeSetId,
    },
    /// An ONNX file.
    Onnx {
        /// The output that is taken, where the file has several.
        output: Option<String>,
        /// How images become its input.
        preprocessing: Preprocessing,
    },
}

/// Which version of a model is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionChoice {
    /// The one of this number.
    Number(i32),
    /// The `READY` one with the highest number.
    Latest,
    /// The `READY` one most accurate on its own data set; the latest of equals.
    Best,
}

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionStatus {
    /// Its job waits.
    Queued,
    /// Its job runs.
    Running,
    /// Its layers and vectors are there.
    Ready,
    /// There are no layers and no vectors, and a reason.
    Failed,
}

/// What a version was brought as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ModelFormat {
    /// A list of blocks with safetensors weights, or trained here.
    Blocks,
    /// An ONNX file.
    Onnx,
    /// Activations on the probe set, computed elsewhere.
    Activations,
}

/// Why background work failed, in words its owner can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A constant such as `WEIGHTS_DO_NOT_FIT`.
    pub code: FailureCode,
    /// What happened and what to do.
    pub message: String,
    /// Name of the layer at fault, if there is one.
    pub layer: Option<String>,
}

/// Kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// The weights are not those of the blocks.
    WeightsDoNotFit,
    /// The numbers left the range of floating point.
    NotFinite,
    /// A layer could not be computed.
    LayerFailed,
    /// The network cannot be run as it was asked for: the message says what to change.
    CannotRun,
    /// Something that was stored is gone or damaged.
    ArtifactUnreadable,
    /// It was asked to stop.
    Cancelled,
    /// It was begun again and again without coming to an end.
    TooManyAttempts,
    /// A fault of the server; its log says more.
    Internal,
}

/// A layer of a version, in execution order.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Key.
    pub id: LayerId,
    /// The version it belongs to.
    pub version_id: VersionId,
    /// From 0, in execution order.
    pub index: i32,
    /// Where it stands in the block list, such as `3.main.0`.
    pub name: String,
    /// Layer kind, such as `Conv2d`.
    pub kind: String,
    /// Its settings, defaults filled in.
    pub parameters: serde_json::Value,
    /// Shape of what it reads, for one image.
    pub input_shape: Vec<i32>,
    /// Shape of what it makes, for one image.
    pub output_shape: Vec<i32>,
    /// Trainable numbers.
    pub parameter_count: i64,
    /// Multiply-accumulates for one image.
    pub multiply_accumulates: i64,
}
