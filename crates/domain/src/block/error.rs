//! What is wrong with a block list, where, and what to do about it.

use serde::Serialize;
use serde_json::Value;

/// Longest piece of the user's own text that an error repeats, in characters.
const MAX_QUOTE_LENGTH: usize = 80;

/// Which rule of the block language was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorRule {
    /// A list that needs at least one block has none.
    Empty,
    /// There is no block of that kind.
    UnknownKind,
    /// The kind has no parameter of that name.
    UnknownParameter,
    /// A parameter without a default was not given.
    MissingParameter,
    /// A parameter's value has the wrong JSON type or length.
    WrongType,
    /// A parameter's value has the right type but is not allowed.
    OutOfRange,
    /// Two parameters of one block do not go together.
    Conflict,
    /// The block does not fit what arrives, or two branches do not fit each other.
    ShapeMismatch,
    /// The network does not end with one score a class.
    WrongOutput,
    /// A limit of the server is exceeded.
    TooLarge,
}

/// One fault of a block list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", self.located())]
pub struct BlockError {
    /// Where the block stands, such as `3` or `3.main.0`; empty for a fault of the list as a whole.
    pub path: String,
    /// Position of the block in the outermost list, or of the one around it; 0 for the whole list.
    pub index: usize,
    /// The kind as the user wrote it; empty for a fault of the list as a whole.
    pub kind: String,
    /// The parameter at fault, if it is one.
    pub parameter: Option<String>,
    /// Which rule was broken.
    pub rule: ErrorRule,
    /// What would have been right.
    pub expected: Option<String>,
    /// What was found.
    pub actual: Option<String>,
    /// A sentence that says what to do.
    pub message: String,
}

impl BlockError {
    fn located(&self) -> String {
        match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("block {path} ({}): {}", self.kind, self.message),
        }
    }
}

/// A fault before it is known which block it belongs to.
#[derive(Debug)]
pub(super) struct Problem {
    rule: ErrorRule,
    parameter: Option<String>,
    expected: Option<String>,
    actual: Option<String>,
    message: String,
}

impl Problem {
    pub fn new(rule: ErrorRule, message: impl Into<String>) -> Self {
        Self {
            rule,
            parameter: None,
            expected: None,
            actual: None,
            message: message.into(),
        }
    }

    pub fn of(self, parameter: &str) -> Self {
        Self {
            parameter: Some(abbreviated(parameter)),
            ..self
        }
    }

    pub fn expected(self, expected: impl ToString) -> Self {
        Self {
            expected: Some(expected.to_string()),
            ..self
        }
    }

    pub fn actual(self, actual: impl ToString) -> Self {
        Self {
            actual: Some(actual.to_string()),
            ..self
        }
    }

    pub fn at(self, path: &str, index: usize, kind: &str) -> BlockError {
        BlockError {
            path: path.to_owned(),
            index,
            kind: abbreviated(kind),
            parameter: self.parameter,
            rule: self.rule,
            expected: self.expected,
            actual: self.actual,
            message: self.message,
        }
    }
}

/// The beginning of a text that came from outside.
pub(super) fn abbreviated(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A JSON value as an error shows it.
pub(super) fn quoted(value: &Value) -> String {
    abbreviated(&value.to_string())
}

/// A shape as people write it, such as `16x4x4`.
pub(super) fn written(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
