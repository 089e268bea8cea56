//! Errors as clients see them: a sentence and a code. Our own error chains stay in the log.

use async_graphql::{ErrorExtensionValues, Response, ServerError};

use scv_domain::page::PageError;
use scv_domain::text::TextError;
use scv_service::ServiceError;
use scv_store::StoreError;

/// The list of codes in `extensions.code`.
pub mod code {
    /// The caller can mend it.
    pub const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
    /// Nobody is let in with what was shown.
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    /// Whoever asks may not do this.
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// There is no such thing.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// It contradicts what is stored.
    pub const CONFLICT: &str = "CONFLICT";
    /// An upload or a request is larger than the server takes.
    pub const PAYLOAD_TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
    /// Too much to do just now.
    pub const OVERLOADED: &str = "OVERLOADED";
    /// A request took longer than one may.
    pub const TIMEOUT: &str = "TIMEOUT";
    /// A query asks for more than one request may.
    pub const QUERY_TOO_COMPLEX: &str = "QUERY_TOO_COMPLEX";
    /// Our fault.
    pub const INTERNAL: &str = "INTERNAL";
}

/// An error on its way to the client. Deliberately without `Display`: async-graphql would turn that into an
/// error without a code.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: &'static str,
    message: String,
    details: Option<serde_json::Value>,
}

/// What resolvers answer.
pub type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// Something the caller can mend.
    pub fn bad_input(message: impl ToString) -> Self {
        Self {
            code: code::BAD_USER_INPUT,
            message: message.to_string(),
            details: None,
        }
    }
}

impl ApiError {
    /// One of the codes of [`code`].
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        let (code, details) = match error {
            ServiceError::BadInput { details, .. } => (code::BAD_USER_INPUT, details),
            ServiceError::NotFound { .. } => (code::NOT_FOUND, None),
            ServiceError::Conflict(_) => (code::CONFLICT, None),
            ServiceError::Unauthenticated(_) => (code::UNAUTHENTICATED, None),
            ServiceError::Forbidden(_) => (code::FORBIDDEN, None),
            ServiceError::Overloaded => (code::OVERLOADED, None),
            ServiceError::TimedOut => (code::TIMEOUT, None),
            ServiceError::Damaged(message) => return internal(&anyhow::anyhow!(message)),
            ServiceError::Internal(error) => return internal(&error),
        };
        Self { code, message, details }
    }
}

fn internal(error: &anyhow::Error) -> ApiError {
    tracing::error!(error = format!("{error:#}"), "a request failed by our fault");
    ApiError {
        code: code::INTERNAL,
        message: "the server failed to answer; its log says why".to_owned(),
        details: None,
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

/// Loaders share one failure among all who asked.
impl From<std::sync::Arc<StoreError>> for ApiError {
    fn from(error: std::sync::Arc<StoreError>) -> Self {
        match *error {
            StoreError::Busy => ServiceError::Overloaded.into(),
            StoreError::TimedOut => ServiceError::TimedOut.into(),
            _ => internal(&anyhow::anyhow!("{error}")),
        }
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

/// What async-graphql says of queries that ask for too much, and what to say in its place.
const TOO_COMPLEX: [(&str, &str); 3] = [
    (
        "Query is nested too deep.",
        "the document is nested too deep (serverInfo.limits.depth): ask for less at a time",
    ),
    (
        "Query is too complex.",
        "the document is too complex: its price, which grows with the entries of lists, is above the limit \
         (serverInfo.limits.complexity). Ask for fewer entries or fields at a time",
    ),
    (
        "The recursion depth of the query cannot be greater than",
        "the document is nested too deep to be read: ask for less at a time",
    ),
];

/// A response in which every error has a code: those of documents that are no queries of this schema have none yet.
pub fn complete(mut response: Response) -> Response {
    response.errors = response.errors.into_iter().map(complete_error).collect();
    response
}

fn complete_error(error: ServerError) -> ServerError {
    if error
        .extensions
        .as_ref()
        .is_some_and(|extensions| extensions.get("code").is_some())
    {
        return error;
    }
    let said = |(beginning, _): &&(&str, &str)| error.message.starts_with(beginning);
    match TOO_COMPLEX.iter().find(said) {
        Some((_, message)) => {
            let message = (*message).to_owned();
            with_code(ServerError { message, ..error }, code::QUERY_TOO_COMPLEX)
        }
        None => with_code(error, code::BAD_USER_INPUT),
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

/// The error with a code.
pub fn with_code(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    error
}
