//! Why jobs and their versions fail.

use async_graphql::{Enum, SimpleObject};

use scv_domain::version as domain;

/// Why a job failed, and what the caller can do about it.
#[derive(Debug, Clone, SimpleObject)]
pub struct Failure {
    /// The kind of failure.
    code: FailureCode,
    /// What happened and how to fix it.
    message: String,
    /// Name of the layer that caused the failure, if any.
    layer: Option<String>,
}

impl From<domain::Failure> for Failure {
    fn from(failure: domain::Failure) -> Self {
        Self {
            code: failure.code.into(),
            message: failure.message,
            layer: failure.layer,
        }
    }
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::FailureCode")]
pub enum FailureCode {
    /// The weights do not match the blocks.
    WeightsDoNotFit,
    /// The computation produced NaN or infinity.
    NotFinite,
    /// A layer could not be computed.
    LayerFailed,
    /// The network cannot be run, or the data set cannot be imported, as requested; the message says what to change.
    CannotRun,
    /// A stored file is missing or damaged.
    ArtifactUnreadable,
    /// The job was cancelled.
    Cancelled,
    /// The job was started several times without finishing, or the server ended twice while it ran.
    TooManyAttempts,
    /// An internal error of the server; its log has the details.
    Internal,
}
