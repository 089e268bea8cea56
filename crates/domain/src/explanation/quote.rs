//! Quoting of text from users, so that it cannot act as markup or as instructions: in JSON for a language model, and in
//! Markdown.

use std::fmt::Write as _;

use serde_json::Value;

/// Maximum length of a quoted name, in characters.
const MAX_NAME_LENGTH: usize = 64;

/// Maximum length of a string where there is little room, in characters.
const MAX_SHORT_LENGTH: usize = 24;

/// Maximum size of a value, in bytes.
const MAX_VALUE_LENGTH: usize = 96;

/// Maximum size of all parameters of a layer, in bytes.
const MAX_PARAMETERS_LENGTH: usize = 768;

/// A name, truncated if it is long.
pub(super) fn name(text: &str) -> String {
    match text.chars().nth(MAX_NAME_LENGTH) {
        Some(_) => text.chars().take(MAX_NAME_LENGTH - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// A value if it is short, else the beginning of its text.
pub(super) fn value(value: &Value) -> Value {
    let written = value.to_string();
    match (value, written.len() > MAX_VALUE_LENGTH) {
        (_, false) => value.clone(),
        (Value::String(text), true) => name(text).into(),
        (_, true) => name(&written).into(),
    }
}

/// The first parameters of a layer, as many as fit.
pub(super) fn parameters(all: &Value) -> Value {
    let Value::Object(all) = all else {
        return value(all);
    };
    let mut room = MAX_PARAMETERS_LENGTH;
    let few = all.iter().map_while(|(key, given)| {
        let (key, given) = (name(key), value(given));
        room = room.checked_sub(key.len() + given.to_string().len())?;
        Some((key, given))
    });
    Value::Object(few.collect())
}

/// Truncates every string in a value.
pub(super) fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.chars().take(MAX_SHORT_LENGTH).collect(),
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// JSON whose strings contain only letters, digits and plain ASCII punctuation. All other characters are escaped: those
/// that could end the data or a line, invisible characters, and characters that change the text direction.
pub(super) fn json(value: &Value) -> String {
    let mut quoted = String::new();
    for character in value.to_string().chars() {
        let is_plain = match character {
            '<' | '>' | '`' => false,
            ' '..='~' => true,
            other => other.is_alphanumeric(),
        };
        if is_plain {
            quoted.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(quoted, "\\u{unit:04x}");
        }
    }
    quoted
}

/// Whether a character is invisible or changes the text direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A name as a Markdown code span, truncated if it is long.
pub(super) fn code(text: &str) -> String {
    span(&name(text))
}

/// A text as a Markdown code span. The text can end neither the span nor the line.
pub(super) fn span(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        '`' => '\'',
        c if c.is_control() || is_invisible(c) => ' ',
        c => c,
    });
    format!("`{}`", plain.collect::<String>())
}
