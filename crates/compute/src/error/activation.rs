//! What can be wrong with a file of activations.

use serde::Serialize;

/// One way in which a file of activations cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct ActivationError {
    /// The array that the error is about; `None` for the file as a whole.
    pub array: Option<String>,
    /// The rule that is broken.
    pub rule: ActivationRule,
    /// What the rule requires.
    pub expected: String,
    /// What the file holds.
    pub actual: String,
    /// A sentence that says what to do.
    pub message: String,
}

/// The rules for a file of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActivationRule {
    /// The file is a well-formed `.npz` or safetensors file, and so is each of its arrays.
    Readable,
    /// There is at least one array.
    NotEmpty,
    /// Neither the arrays nor the numbers exceed a limit.
    Limit,
    /// A name has 1 to 256 characters, none of them a control character.
    Name,
    /// No name occurs twice.
    Unique,
    /// An array holds floating point numbers or integers.
    Dtype,
    /// The first dimension of an array is the probe images.
    Probes,
    /// An array has at least one number per image.
    Features,
    /// If a safetensors file states the order of its layers, it names each of them once.
    Order,
}

impl ActivationError {
    /// The file as a whole cannot be read.
    pub(crate) fn unreadable_file(actual: String) -> Self {
        Self {
            array: None,
            rule: ActivationRule::Readable,
            expected: "a .npz or safetensors file".to_owned(),
            message: format!(
                "The activations cannot be read: {actual}. Upload a file written by numpy.savez or by save_file of \
                 safetensors."
            ),
            actual,
        }
    }

    /// One array cannot be read.
    pub(crate) fn unreadable_array(name: &str, actual: String) -> Self {
        Self {
            array: Some(shortened(name)),
            rule: ActivationRule::Readable,
            expected: "a .npy file".to_owned(),
            message: format!(
                "Array {} cannot be read: {actual}. Export the file again.",
                name_in_message(name)
            ),
            actual,
        }
    }

    /// One array breaks a rule; the message begins with its name.
    pub(crate) fn of_array(name: &str, rule: ActivationRule, expected: &str, actual: String, advice: &str) -> Self {
        Self {
            array: Some(shortened(name)),
            rule,
            expected: expected.to_owned(),
            message: format!("Array {} {advice}", name_in_message(name)),
            actual,
        }
    }
}

fn name_in_message(name: &str) -> String {
    match name {
        "" => "\"\"".to_owned(),
        name => shortened(name),
    }
}

/// A name that fits into a message: on one line, and not too long.
pub(crate) fn shortened(name: &str) -> String {
    const MAX_SHOWN: usize = 80;
    let mut text: String = name.chars().take(MAX_SHOWN).flat_map(escaped).collect();
    if name.chars().count() > MAX_SHOWN {
        text.push('…');
    }
    text
}

fn escaped(character: char) -> Vec<char> {
    if character.is_control() {
        character.escape_default().collect()
    } else {
        vec![character]
    }
}
