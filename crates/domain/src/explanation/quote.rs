//! Words that others gave, written so that they stay words: in data for a language model, and in Markdown.

use std::fmt::Write as _;

use serde_json::Value;

/// Characters of a name that are kept.
const MAX_NAME_LENGTH: usize = 64;

/// Characters of a name that are kept where there is hardly any room.
const MAX_WORD_LENGTH: usize = 24;

/// Bytes of a value that are kept.
const MAX_VALUE_LENGTH: usize = 96;

/// Bytes of all parameters of a layer that are kept.
const MAX_PARAMETERS_LENGTH: usize = 768;

/// The beginning of a name.
pub(super) fn name(text: &str) -> String {
    match text.chars().nth(MAX_NAME_LENGTH) {
        Some(_) => text.chars().take(MAX_NAME_LENGTH - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// A value, if it is short; else the beginning of how it is written.
pub(super) fn value(value: &Value) -> Value {
    let written = value.to_string();
    match (value, written.len() > MAX_VALUE_LENGTH) {
        (_, false) => value.clone(),
        (Value::String(text), true) => name(text).into(),
        (_, true) => name(&written).into(),
    }
}

/// The first parameters of a layer, as many as there is room for.
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

/// Leaves no more than the first characters of each string.
pub(super) fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.chars().take(MAX_WORD_LENGTH).collect(),
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// JSON in which strings hold nothing but letters, digits and plain signs. Everything else is written as its number: what
/// could end the data or a line of it, what cannot be seen, and what changes the direction of reading.
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

/// Whether a character changes the direction of reading, or cannot be seen.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A name in Markdown, as code.
pub(super) fn code(text: &str) -> String {
    span(&name(text))
}

/// A text in Markdown, as code: it can neither end its span nor its line.
pub(super) fn span(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        '`' => '\'',
        c if c.is_control() || is_direction(c) => ' ',
        c => c,
    });
    format!("`{}`", plain.collect::<String>())
}
