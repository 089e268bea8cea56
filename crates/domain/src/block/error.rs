//! Errors of block lists: what is wrong, where, and how to fix it.

use serde::Serialize;
use serde_json::Value;

/// Maximum length of user text that an error repeats, in characters.
const MAX_QUOTE_LENGTH: usize = 80;

/// A rule of the block language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorRule {
    /// A list that needs at least one block has none.
    Empty,
    /// The kind of the block is unknown.
    UnknownKind,
    /// The kind has no parameter of that name.
    UnknownParameter,
    /// A required parameter is missing.
    MissingParameter,
    /// A parameter's value has the wrong JSON type or length.
    WrongType,
    /// A parameter's value has the right type but is not allowed.
    OutOfRange,
    /// Two parameters of one block contradict each other.
    Conflict,
    /// The block does not fit its input, or the two branches of a residual have different output shapes.
    ShapeMismatch,
    /// The network does not output one score per class.
    WrongOutput,
    /// A limit of the server is exceeded.
    TooLarge,
}

/// One error of a block list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", self.located())]
pub struct BlockError {
    /// Path of the block, such as `3` or `3.main.0`; empty for an error of the whole list.
    pub path: String,
    /// Index of the block in the outermost list, or of the block that contains it; 0 for the whole list.
    pub index: usize,
    /// The kind as the user wrote it; empty for an error of the whole list, and for a block without a kind.
    pub kind: String,
    /// The invalid parameter, if the error is about one.
    pub parameter: Option<String>,
    /// The broken rule.
    pub rule: ErrorRule,
    /// The expected value.
    pub expected: Option<String>,
    /// The actual value.
    pub actual: Option<String>,
    /// A sentence that says what is wrong and how to fix it.
    pub message: String,
}

impl BlockError {
    fn located(&self) -> String {
        match (self.path.as_str(), self.kind.as_str()) {
            ("", _) => self.message.clone(),
            (path, "") => format!("block {path}: {}", self.message),
            (path, kind) => format!("block {path} ({kind}): {}", self.message),
        }
    }
}

/// An error that has not been assigned to a block yet.
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

    pub fn for_parameter(self, parameter: &str) -> Self {
        Self {
            parameter: Some(truncated(parameter)),
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

    /// Whether a required parameter is missing.
    pub fn is_missing(&self) -> bool {
        self.rule == ErrorRule::MissingParameter
    }

    pub fn at(self, path: &str, index: usize, kind: &str) -> BlockError {
        BlockError {
            path: path.to_owned(),
            index,
            kind: truncated(kind),
            parameter: self.parameter,
            rule: self.rule,
            expected: self.expected,
            actual: self.actual,
            message: self.message,
        }
    }
}

/// User text, truncated if it is long.
pub(super) fn truncated(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Formats a JSON value for an error.
pub(super) fn format_value(value: &Value) -> String {
    truncated(&value.to_string())
}

/// Formats a shape, such as `16x4x4`.
pub(super) fn format_shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
