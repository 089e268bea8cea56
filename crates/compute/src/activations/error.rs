//! What can be wrong with a file of activations.

use serde::Serialize;

/// One way in which a file of activations cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct ActivationError {
    /// The array at fault; `None` if the file as a whole is.
    pub array: Option<String>,
    /// Which rule it breaks.
    pub rule: ActivationRule,
    /// What the rule asks for.
    pub expected: String,
    /// What the file holds.
    pub actual: String,
    /// A sentence that says what to do.
    pub message: String,
}

/// What a file of activations must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActivationRule {
    /// The file is a well-formed `.npz` or safetensors file, and so is each of its arrays.
    Readable,
    /// There is at least one array.
    NotEmpty,
    /// Neither arrays nor numbers are more than can be taken.
    Limit,
    /// A name has 1 to 256 characters, none of them a control character.
    Name,
    /// No name occurs twice.
    Unique,
    /// An array holds floating point numbers or integers.
    Dtype,
    /// The first dimension of an array is the probe images.
    Probes,
    /// An array has at least one number for each image.
    Features,
    /// If a safetensors file says the order of its layers, it names each of them once.
    Order,
}

impl ActivationError {
    /// The file as a whole cannot be read.
    pub(super) fn unreadable_file(actual: String) -> Self {
        Self {
            array: None,
            rule: ActivationRule::Readable,
            expected: "a .npz or safetensors file".to_owned(),
            message: format!(
                "The activations cannot be read: {actual}. Upload what numpy.savez or safetensors' save_file wrote."
            ),
            actual,
        }
    }

    /// One array cannot be read.
    pub(super) fn unreadable_array(name: &str, actual: String) -> Self {
        Self {
            array: Some(shown(name)),
            rule: ActivationRule::Readable,
            expected: "a .npy file".to_owned(),
            message: format!(
                "Array {} cannot be read: {actual}. Export the file again.",
                called(name)
            ),
            actual,
        }
    }

    /// One array breaks a rule; the message begins with its name.
    pub(super) fn of_array(name: &str, rule: ActivationRule, expected: &str, actual: String, advice: &str) -> Self {
        Self {
            array: Some(shown(name)),
            rule,
            expected: expected.to_owned(),
            message: format!("Array {} {advice}", called(name)),
            actual,
        }
    }
}

fn called(name: &str) -> String {
    match name {
        "" => "\"\"".to_owned(),
        name => shown(name),
    }
}

/// A name as it may stand in a message: on one line and not too long.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 80;
    let mut text: String = name.chars().take(LONGEST).flat_map(escaped).collect();
    if name.chars().count() > LONGEST {
        text.push('…');
    }
    text
}

fn escaped(character: char) -> Vec<char> {
    match character.is_control() {
        true => character.escape_default().collect(),
        false => vec![character],
    }
}
