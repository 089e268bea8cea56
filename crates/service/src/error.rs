//! What can go wrong with a request, by whose doing: that decides the code that is sent and the log level.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;

use scv_artifact::ArtifactError;
use scv_compute::error::ComputeError;
use scv_compute::onnx::error::OnnxError;
use scv_domain::block::BlockError;
use scv_store::StoreError;
use scv_store::error::Conflict;

/// Why a request was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    /// The caller can mend it: what is wrong and what to do.
    #[error("{message}")]
    BadInput {
        /// A sentence that says what to do.
        message: String,
        /// Every single fault, for programs.
        details: Option<serde_json::Value>,
    },
    /// There is no such thing, or it is deleted.
    #[error("there is no {what} {key}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// What it was asked for by.
        key: String,
    },
    /// It contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// Nobody is let in with what was shown.
    #[error("{0}")]
    Unauthenticated(String),
    /// Whoever asks may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is too much to do just now; later it will work.
    #[error("the server is busy: try again in a moment")]
    Overloaded,
    /// It took longer than may be waited for.
    #[error("this takes longer than a request may: ask for less at a time")]
    TimedOut,
    /// Something that was stored is gone or no longer what it was: an operator's to mend.
    #[error("{0}")]
    Damaged(String),
    /// A fault of the running system or of ours. The caller is told no more than that.
    #[error("{0:#}")]
    Internal(Arc<anyhow::Error>),
}

impl ServiceError {
    /// Bad input without single faults to list.
    pub fn bad_input(message: impl ToString) -> Self {
        Self::BadInput {
            message: message.to_string(),
            details: None,
        }
    }

    /// A fault of ours or of the running system.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::Internal(Arc::new(error.into()))
    }

    /// No such thing.
    pub fn not_found(what: &'static str, key: impl ToString) -> Self {
        Self::NotFound {
            what,
            key: key.to_string(),
        }
    }

    /// Blocks that do not fit, each fault in the details.
    pub fn blocks(errors: &[BlockError]) -> Self {
        Self::faults("the blocks do not fit", errors)
    }

    /// Several faults of one thing, each in the details.
    fn faults<F: Display + Serialize>(what: &str, faults: &[F]) -> Self {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let count = match faults.len() {
            1 => "1 fault".to_owned(),
            count => format!("{count} faults"),
        };
        Self::BadInput {
            message: format!("{what} ({count}): {}", lines.join(" | ")),
            details: Some(faults.iter().map(with_message).collect()),
        }
    }
}

/// A fault as programs read it: its fields, and the sentence.
fn with_message<F: Display + Serialize>(fault: &F) -> serde_json::Value {
    let mut fields = serde_json::json!(fault);
    if let Some(fields) = fields.as_object_mut().filter(|fields| !fields.contains_key("message")) {
        fields.insert("message".to_owned(), fault.to_string().into());
    }
    fields
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(conflict) => conflict.into(),
            StoreError::Busy => Self::Overloaded,
            StoreError::TimedOut => Self::TimedOut,
            StoreError::Text => Self::bad_input(error),
            other => Self::internal(other),
        }
    }
}

impl From<Conflict> for ServiceError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict.to_string())
    }
}

impl From<ArtifactError> for ServiceError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Missing { .. } | ArtifactError::Corrupt { .. } | ArtifactError::NotASplit { .. } => {
                Self::Damaged(error.to_string())
            }
            other => Self::internal(other),
        }
    }
}

impl From<ComputeError> for ServiceError {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Overloaded => Self::Overloaded,
            ComputeError::Weights(faults) => Self::faults("the weights do not fit", &faults),
            ComputeError::Activations(faults) => Self::faults("the activations do not fit", &faults),
            ComputeError::Onnx(OnnxError::Nodes(faults)) => Self::faults("the network cannot be computed", &faults),
            ComputeError::Onnx(refused) => Self::bad_input(refused),
            ComputeError::Invalid(reason) => Self::bad_input(reason),
            ComputeError::AnswerNotFinite { .. } => Self::bad_input(error),
            other => Self::internal(other),
        }
    }
}
