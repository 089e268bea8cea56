//! What can go wrong with a request or a job, and whose fault it is. That decides the code that the client gets, the log
//! level, and whether a job is tried again.

use std::fmt::{self, Display};
use std::sync::Arc;

use serde::Serialize;

use scv_artifact::ArtifactError;
use scv_compute::error::{ComputeError, OnnxError};
use scv_dataset::ImportError;
use scv_domain::block::BlockError;
use scv_domain::id::Key;
use scv_domain::job::{MAX_ATTEMPTS, MAX_ATTEMPTS_WITHOUT_FILES};
use scv_domain::version::{Failure, FailureCode};
use scv_memory::MemoryError;
use scv_store::StoreError;
use scv_store::error::Conflict;

#[cfg(test)]
mod tests;

/// Why a request or a job was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    /// The caller can fix it: what is wrong and what to do.
    #[error("{message}")]
    BadInput {
        /// A sentence that says what to do.
        message: String,
        /// Each single error, for programs.
        details: Option<serde_json::Value>,
    },
    /// It does not exist, or it is deleted.
    #[error("there is no {}", missing(.what, .key))]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// What it was looked up by.
        key: LookupKey,
    },
    /// It contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// The caller's token is missing or invalid.
    #[error("{0}")]
    Unauthenticated(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The server has too much to do now; a later attempt will work.
    #[error("the server is busy: try again in a moment")]
    Overloaded,
    /// The database took longer than a statement may.
    #[error("the request takes too long: request less at a time")]
    TimedOut,
    /// A stored object has changed. An operator has to fix it.
    #[error("{0}")]
    Damaged(String),
    /// Something that was stored is not there now, as when a folder is not mounted. An operator has to bring it back; then the same
    /// request or job succeeds.
    #[error("{0}")]
    Missing(String),
    /// A computation failed. Whose fault that is depends on the error: see [`ServiceError::classify`].
    #[error("{}", ComputeMessage(.0))]
    Compute(Arc<ComputeError>),
    /// The running system or the program failed. The log has the details; the caller gets a general message.
    #[error("{0:#}")]
    Internal(Arc<anyhow::Error>),
}

/// What something was looked up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupKey {
    /// Its key in the database. Clients know it as a global id, which only the API can encode.
    Id(Key),
    /// A name, possibly with the names that exist.
    Name(String),
}

/// What is missing. The key in the database means nothing to a user.
fn missing(what: &str, key: &LookupKey) -> String {
    match key {
        LookupKey::Id(_) => format!("such {what}"),
        LookupKey::Name(name) => format!("{what} {name}"),
    }
}

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller, who reads the message.
    Caller,
    /// The operator or a developer of the server. The message belongs in the log.
    Server,
}

/// What an error means for the request or the job that meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classification {
    /// Who has to act on it.
    pub fault: Fault,
    /// The code of the job's failure.
    pub code: FailureCode,
    /// How often a job is started that meets it: once if the failure is final, more often if the same job may succeed when it is
    /// tried again.
    pub max_attempts: i32,
}

/// The number of attempts where the failure of the first is final.
const ONCE: i32 = 1;

impl Classification {
    /// Whether the same job may succeed when it is tried again.
    pub fn is_transient(&self) -> bool {
        self.max_attempts > ONCE
    }

    /// The caller has to change something first.
    const fn caller(code: FailureCode) -> Self {
        Self {
            fault: Fault::Caller,
            code,
            max_attempts: ONCE,
        }
    }

    /// The server failed, and the same work may succeed later.
    const TRANSIENT: Self = Self {
        fault: Fault::Server,
        code: FailureCode::Internal,
        max_attempts: MAX_ATTEMPTS,
    };
}

impl ServiceError {
    /// Bad input without single errors to list.
    pub fn bad_input(message: impl ToString) -> Self {
        Self::BadInput {
            message: message.to_string(),
            details: None,
        }
    }

    /// A failure of the program or of the running system.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::Internal(Arc::new(error.into()))
    }

    /// Something that does not exist, looked up by its id.
    pub fn not_found(what: &'static str, id: impl Into<Key>) -> Self {
        Self::NotFound {
            what,
            key: LookupKey::Id(id.into()),
        }
    }

    /// Something that does not exist, looked up by a name.
    pub fn not_found_by_name(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound {
            what,
            key: LookupKey::Name(name.to_string()),
        }
    }

    /// The same error with the name of the uploaded file, if it is about the content of that file.
    pub(crate) fn in_file(self, file: &str) -> Self {
        let Self::Compute(error) = &self else { return self };
        let message = match &**error {
            ComputeError::Weights(errors) => summary(&format!("the weights in {file:?} do not fit"), errors),
            ComputeError::Activations(errors) => summary(&format!("the activations in {file:?} do not fit"), errors),
            ComputeError::Onnx(OnnxError::Unreadable(reason)) => {
                format!("the ONNX file {file:?} cannot be read: {reason}")
            }
            _ => return self,
        };
        Self::BadInput {
            message,
            details: self.details(),
        }
    }

    /// Blocks that do not fit, each error in the details.
    pub fn blocks(errors: &[BlockError]) -> Self {
        Self::BadInput {
            message: summary("the blocks do not fit", errors),
            details: Some(details(errors)),
        }
    }

    /// Who is at fault, and what it means for a job: the failure code, and whether to try again.
    ///
    /// Requests and jobs, and all steps of a job, go by this one table.
    pub fn classify(&self) -> Classification {
        match self {
            Self::BadInput { .. } | Self::NotFound { .. } | Self::Unauthenticated(_) | Self::Forbidden(_) => {
                Classification::caller(FailureCode::CannotRun)
            }
            // Another writer was quicker: the next attempt reads what that one wrote.
            Self::Conflict(_) => Classification {
                max_attempts: MAX_ATTEMPTS,
                ..Classification::caller(FailureCode::CannotRun)
            },
            Self::Overloaded | Self::TimedOut | Self::Internal(_) => Classification::TRANSIENT,
            Self::Damaged(_) => Classification {
                fault: Fault::Server,
                code: FailureCode::ArtifactUnreadable,
                max_attempts: ONCE,
            },
            Self::Missing(_) => Classification {
                fault: Fault::Server,
                code: FailureCode::ArtifactUnreadable,
                max_attempts: MAX_ATTEMPTS_WITHOUT_FILES,
            },
            Self::Compute(error) => classify_compute(error),
        }
    }

    /// Each single error of bad input, for programs.
    pub fn details(&self) -> Option<serde_json::Value> {
        match self {
            Self::BadInput { details, .. } => details.clone(),
            Self::Compute(error) => match &**error {
                ComputeError::Weights(errors) => Some(details(errors)),
                ComputeError::Activations(errors) => Some(details(errors)),
                ComputeError::Onnx(OnnxError::Nodes(errors)) => Some(details(errors)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The failure that a job ends with.
    pub fn failure(&self) -> Failure {
        let code = self.classify().code;
        Failure {
            code,
            message: if code == FailureCode::Internal {
                "internal server error; the server's log has the details".to_owned()
            } else {
                self.to_string()
            },
            layer: match self {
                Self::Compute(error) => match &**error {
                    ComputeError::Layer { path, .. } => Some(path.clone()),
                    _ => None,
                },
                _ => None,
            },
        }
    }
}

fn classify_compute(error: &ComputeError) -> Classification {
    match error {
        ComputeError::Weights(_) => Classification::caller(FailureCode::WeightsDoNotFit),
        ComputeError::Activations(_)
        | ComputeError::Onnx(_)
        | ComputeError::Invalid(_)
        | ComputeError::TooFewProbes { .. } => Classification::caller(FailureCode::CannotRun),
        ComputeError::NotFinite { .. } | ComputeError::OutputNotFinite { .. } => {
            Classification::caller(FailureCode::NotFinite)
        }
        ComputeError::Cancelled => Classification::caller(FailureCode::Cancelled),
        // A layer that fails once fails again, whatever the cause.
        ComputeError::Layer { cause, .. } => Classification {
            fault: classify_compute(cause).fault,
            ..Classification::caller(FailureCode::LayerFailed)
        },
        // What panicked once panics again.
        ComputeError::NoDevice(_) | ComputeError::ThreadFailed(_) => Classification {
            max_attempts: ONCE,
            ..Classification::TRANSIENT
        },
        // Memory of a device that ran out may be free again later.
        ComputeError::Overloaded | ComputeError::Candle(_) => Classification::TRANSIENT,
    }
}

/// The message of a failed computation, with each single error where there are several.
struct ComputeMessage<'a>(&'a ComputeError);

impl Display for ComputeMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ComputeError::Weights(errors) => f.write_str(&summary("the weights do not fit", errors)),
            ComputeError::Activations(errors) => f.write_str(&summary("the activations do not fit", errors)),
            ComputeError::Onnx(OnnxError::Nodes(errors)) => {
                f.write_str(&summary("the network cannot be computed", errors))
            }
            error => error.fmt(f),
        }
    }
}

/// What is wrong, with the number of errors and each of them.
fn summary<E: Display>(what: &str, errors: &[E]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let count = match errors.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    format!("{what} ({count}): {}", lines.join(" | "))
}

fn details<E: Display + Serialize>(errors: &[E]) -> serde_json::Value {
    errors.iter().map(with_message).collect()
}

/// An error as programs read it: its fields, and the sentence.
fn with_message<E: Display + Serialize>(error: &E) -> serde_json::Value {
    let mut fields = serde_json::json!(error);
    if let Some(fields) = fields.as_object_mut().filter(|fields| !fields.contains_key("message")) {
        fields.insert("message".to_owned(), error.to_string().into());
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
            StoreError::Overtaken => Self::Conflict(error.to_string()),
            StoreError::Shared(shared) => match shared.innermost() {
                StoreError::Busy => Self::Overloaded,
                StoreError::TimedOut => Self::TimedOut,
                StoreError::Overtaken => Self::Conflict(shared.to_string()),
                _ => Self::internal(shared),
            },
            other => Self::internal(other),
        }
    }
}

impl From<Conflict> for ServiceError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict.to_string())
    }
}

impl From<MemoryError> for ServiceError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Busy { .. } => Self::Overloaded,
            MemoryError::TooLarge { .. } => Self::bad_input(error),
        }
    }
}

impl From<ArtifactError> for ServiceError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Missing { .. } => Self::Missing(error.to_string()),
            ArtifactError::Corrupt { .. } | ArtifactError::NotASplit { .. } => Self::Damaged(error.to_string()),
            other => Self::internal(other),
        }
    }
}

impl From<ImportError> for ServiceError {
    fn from(error: ImportError) -> Self {
        Self::bad_input(error)
    }
}

impl From<ComputeError> for ServiceError {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Overloaded => Self::Overloaded,
            ComputeError::Onnx(OnnxError::Memory(error)) => error.into(),
            other => Self::Compute(Arc::new(other)),
        }
    }
}
