//! Errors of a language model. Clients see the message; the details that the endpoint sends go to the log only.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;

/// Why there is no completion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// The name is unknown, no server listens, or the connection broke before a response began.
    #[error("the language model's endpoint cannot be reached")]
    Unreachable {
        /// The network error.
        details: String,
    },
    /// The endpoint returned an error status.
    #[error("the language model's endpoint returned {status}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The delay that it requests before a retry.
        retry_after: Option<Duration>,
        /// What the endpoint sent.
        details: String,
    },
    /// The body of a successful response reports an error.
    #[error("the language model's endpoint reported an error")]
    Reported {
        /// The HTTP status in the report, if there is one.
        status: Option<u16>,
        /// What the endpoint sent.
        details: String,
    },
    /// The endpoint sent nothing for this long.
    #[error("the language model's endpoint sent nothing for {} seconds", .0.as_secs_f64())]
    IdleTimeout(Duration),
    /// The request took longer than this in total.
    #[error("the language model's endpoint did not finish within {} seconds", .0.as_secs_f64())]
    Timeout(Duration),
    /// The connection broke during the response.
    #[error("the language model's endpoint interrupted its response")]
    Interrupted,
    /// The response does not follow the chat completions protocol.
    #[error("the language model's endpoint does not follow the chat completions protocol: {problem}")]
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
        /// What the endpoint sent.
        details: String,
    },
    /// The completion is empty.
    #[error("the language model returned an empty response")]
    Empty,
}

/// Why the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ChatSetupError {
    /// An HTTP header cannot contain the key.
    #[error(
        "SCV_LLM_KEY contains characters that are not allowed in a key, such as a line break: set it to the key alone"
    )]
    Key,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] reqwest::Error),
}

impl LlmError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::IdleTimeout(_) | Self::Interrupted => true,
            Self::Refused { status, .. } => is_transient(status.as_u16()),
            Self::Reported { status, .. } => status.is_some_and(is_transient),
            Self::Timeout(_) | Self::Malformed { .. } | Self::Empty => false,
        }
    }

    /// The delay that the endpoint requests before a retry.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the endpoint or the network reported, for the log.
    pub fn details(&self) -> &str {
        match self {
            Self::Unreachable { details }
            | Self::Refused { details, .. }
            | Self::Reported { details, .. }
            | Self::Malformed { details, .. } => details,
            Self::IdleTimeout(_) | Self::Timeout(_) | Self::Interrupted | Self::Empty => "",
        }
    }
}

fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

impl From<reqwest::Error> for LlmError {
    fn from(error: reqwest::Error) -> Self {
        // The URL may contain a password.
        let error = error.without_url();
        let mut details = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            details.push_str(": ");
            details.push_str(&error.to_string());
            source = error.source();
        }
        Self::Unreachable { details }
    }
}
