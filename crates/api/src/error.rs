//! Errors as clients see them: a message and a code. Internal error chains go to the log only.

use async_graphql::{ErrorExtensionValues, Response, ServerError};

use super::id::encode_key;
use scv_domain::page::PageError;
use scv_domain::text::TextError;
use scv_service::{Fault, LookupKey, ServiceError};
use scv_store::StoreError;

/// The values of `extensions.code`.
pub mod code {
    /// The input is invalid; the caller can fix it.
    pub const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
    /// The token is missing, unknown, expired or revoked.
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    /// The caller's token does not allow this.
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// The object does not exist, or the caller may not see it.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// The change conflicts with stored data.
    pub const CONFLICT: &str = "CONFLICT";
    /// An upload or a request exceeds a size limit.
    pub const PAYLOAD_TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
    /// The server is too busy at the moment.
    pub const OVERLOADED: &str = "OVERLOADED";
    /// The request exceeded the time limit.
    pub const TIMEOUT: &str = "TIMEOUT";
    /// The document exceeds a limit on one request.
    pub const QUERY_TOO_COMPLEX: &str = "QUERY_TOO_COMPLEX";
    /// The uploaded network is one that SCV cannot run, for example because it has an unsupported operator.
    pub const UNSUPPORTED_MODEL: &str = "UNSUPPORTED_MODEL";
    /// The server is at fault.
    pub const INTERNAL: &str = "INTERNAL";
}

/// An error for the client. It deliberately has no `Display`: async-graphql would turn such a type into an error
/// without a code.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: &'static str,
    message: String,
    details: Option<serde_json::Value>,
}

/// The result of a resolver.
pub type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// An error that the caller can fix.
    pub fn bad_input(message: impl ToString) -> Self {
        Self {
            code: code::BAD_USER_INPUT,
            message: message.to_string(),
            details: None,
        }
    }

    /// The same error with the name of the input field that it is about.
    pub fn in_field(self, field: &str) -> Self {
        Self {
            message: format!("`{field}`: {}", self.message),
            ..self
        }
    }

    /// One of the codes of [`code`].
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The message for the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let message = match &error {
            ServiceError::NotFound {
                what,
                key: LookupKey::Id(key),
            } => format!("there is no {what} with the id {:?}", encode_key(*key).0),
            other => other.to_string(),
        };
        let code = match &error {
            ServiceError::BadInput { .. } => code::BAD_USER_INPUT,
            ServiceError::NotFound { .. } => code::NOT_FOUND,
            ServiceError::Conflict(_) => code::CONFLICT,
            ServiceError::Unauthenticated(_) => code::UNAUTHENTICATED,
            ServiceError::Forbidden(_) => code::FORBIDDEN,
            ServiceError::Overloaded => code::OVERLOADED,
            ServiceError::TimedOut => code::TIMEOUT,
            ServiceError::Compute(error) if error.is_unsupported_model() => code::UNSUPPORTED_MODEL,
            ServiceError::Compute(_) if error.classify().fault == Fault::Caller => code::BAD_USER_INPUT,
            ServiceError::Compute(_) | ServiceError::Damaged(_) | ServiceError::Missing(_) => {
                return internal(&anyhow::anyhow!(message));
            }
            ServiceError::Internal(error) => return internal(error),
        };
        Self {
            code,
            message,
            details: error.details(),
        }
    }
}

fn internal(error: &anyhow::Error) -> ApiError {
    tracing::error!(error = format!("{error:#}"), "a request failed with an internal error");
    ApiError {
        code: code::INTERNAL,
        message: "internal server error; the server's log has the details".to_owned(),
        details: None,
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

/// A loader shares one failure among all requests of a batch.
impl From<std::sync::Arc<StoreError>> for ApiError {
    fn from(error: std::sync::Arc<StoreError>) -> Self {
        StoreError::Shared(error).into()
    }
}

impl From<PageError> for ApiError {
    fn from(error: PageError) -> Self {
        Self::bad_input(error)
    }
}

impl From<TextError> for ApiError {
    fn from(error: TextError) -> Self {
        Self::bad_input(error)
    }
}

impl From<ApiError> for async_graphql::Error {
    fn from(error: ApiError) -> Self {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", error.code);
        if let Some(details) = error
            .details
            .and_then(|details| async_graphql::Value::from_json(details).ok())
        {
            extensions.set("details", details);
        }
        Self {
            message: error.message,
            source: None,
            extensions: Some(extensions),
        }
    }
}

/// The code of the first error of a response.
pub fn first_code(response: &Response) -> Option<&str> {
    code_of(response.errors.first()?)
}

/// The code of an error, if it has one.
pub fn code_of(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        async_graphql::Value::String(code) => Some(code),
        _ => None,
    }
}

/// Sets the code of an error.
pub fn with_code(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    error
}
