//! Why a language model gave no answer. Clients see the sentence; what the endpoint itself said is for the log.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// Nobody listens, the name is not known, or the line broke before an answer began.
    #[error("the language model's endpoint cannot be reached")]
    Unreachable {
        /// What the network said.
        said: String,
    },
    /// It says no.
    #[error("the language model's endpoint answers {status}")]
    Refused {
        /// How.
        status: StatusCode,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
        /// What it said.
        said: String,
    },
    /// It reports an error in the place of an answer, or within it.
    #[error("the language model's endpoint reports an error")]
    Reported {
        /// An HTTP status, if it names one.
        status: Option<u16>,
        /// What it said.
        said: String,
    },
    /// Nothing came for so long.
    #[error("the language model's endpoint was silent for {} seconds", .0.as_secs_f64())]
    Silent(Duration),
    /// The whole took too long.
    #[error("the language model's endpoint did not come to an end within {} seconds", .0.as_secs_f64())]
    TooSlow(Duration),
    /// The answer ends in the middle.
    #[error("the language model's endpoint broke off within its answer")]
    BrokenOff,
    /// It is no answer of a chat completions endpoint.
    #[error("the language model's endpoint does not speak the chat completions protocol: {problem}")]
    Malformed {
        /// What is wrong.
        problem: &'static str,
        /// What it said.
        said: String,
    },
    /// It had nothing to say.
    #[error("the language model gave an empty answer")]
    Empty,
}

/// Why no language model can be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ChatSetupError {
    /// No HTTP header can carry the key.
    #[error("SCV_LLM_KEY holds characters that no key has, such as a line break: set it to the key alone")]
    Key,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] reqwest::Error),
}

impl LlmError {
    /// Whether it may go better the next time.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent(_) | Self::BrokenOff => true,
            Self::Refused { status, .. } => is_passing(status.as_u16()),
            Self::Reported { status, .. } => status.is_some_and(is_passing),
            Self::TooSlow(_) | Self::Malformed { .. } | Self::Empty => false,
        }
    }

    /// How long the endpoint wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the endpoint or the network said, for the log.
    pub fn said(&self) -> &str {
        match self {
            Self::Unreachable { said }
            | Self::Refused { said, .. }
            | Self::Reported { said, .. }
            | Self::Malformed { said, .. } => said,
            Self::Silent(_) | Self::TooSlow(_) | Self::BrokenOff | Self::Empty => "",
        }
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

impl From<reqwest::Error> for LlmError {
    fn from(error: reqwest::Error) -> Self {
        // The URL may hold a password.
        let error = error.without_url();
        let mut said = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            said.push_str(": ");
            said.push_str(&error.to_string());
            source = error.source();
        }
        Self::Unreachable { said }
    }
}
