//! Errors of JSON as sentences with a position.

use serde_json::error::Category;

/// The maximum length of a word that an error repeats, in characters.
const MAX_WORD_LENGTH: usize = 20;

/// The bytes of a file as text, without a byte order mark.
///
/// # Errors
/// They are not UTF-8; with the line of the first wrong byte.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16 text; save it as UTF-8".to_owned());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let valid = &bytes[..error.valid_up_to()];
            let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
            let found = bytes.get(valid.len()).copied().unwrap_or_default();
            Err(format!(
                "line {line} has the byte 0x{found:02x}, which is not UTF-8 text; save it as UTF-8"
            ))
        }
    }
}

/// What is wrong with a text that is not the expected JSON: the place, what was found there, and what was expected.
pub(super) fn describe(text: &str, error: &serde_json::Error) -> String {
    let is_end = error.classify() == Category::Eof;
    if is_end && text.trim().is_empty() {
        return "it is empty".to_owned();
    }
    let offset = if is_end {
        text.trim_end().len()
    } else {
        offset_of(text, error.line(), error.column())
    };
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    // A misspelt literal is reported at its first wrong letter.
    let offset = match reason {
        "expected ident" => text[..offset].trim_end_matches(char::is_alphanumeric).len(),
        _ => offset,
    };
    let before = &text[..offset];
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.chars().rev().take_while(|&character| character != '\n').count();
    let problem = match expected(reason) {
        Some(expected) if is_end => format!("found the end of the file, expected {expected}"),
        Some(expected) => format!("found {}, expected {expected}", found(&text[offset..])),
        None => reason.replace("duplicate field", "a block has a second key"),
    };
    format!("line {line}, column {column}: {problem}")
}

/// The offset of the byte that an error is about. `serde_json` counts the bytes of a line from 1, and gives a line break
/// as the column 0 of the next line.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let lines_before = text.split_inclusive('\n').take(line.saturating_sub(1));
    let start: usize = lines_before.map(str::len).sum();
    let mut offset = (start + column).saturating_sub(1).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// What should have followed, by `serde_json`'s reason; `None` if the reason says it all.
fn expected(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "expected `:`" => "`:` after a key",
        "expected `,` or `]`" | "EOF while parsing a list" => "`,` or `]`",
        "expected `,` or `}`" | "EOF while parsing an object" => "`,` or `}`",
        "expected value" | "EOF while parsing a value" => {
            "a value: a string in double quotes, a number, true, false, null, a list or an object"
        }
        "expected ident" => "true, false or null",
        "key must be a string" => "a key in double quotes",
        "trailing comma" => "another entry after the comma",
        "trailing characters" => "the end of the file after the list",
        "EOF while parsing a string" => "the closing quote of a string",
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "the closing quote of a string, or \\t or \\n for a tab or a line break in it"
        }
        _ => return None,
    })
}

/// The word or the character that a text begins with.
fn found(rest: &str) -> String {
    let is_in_word = |character: &char| character.is_alphanumeric() || *character == '_';
    let word: String = rest.chars().take_while(is_in_word).take(MAX_WORD_LENGTH).collect();
    match rest.chars().next() {
        None => "the end of the file".to_owned(),
        Some('\n' | '\r') => "the end of the line".to_owned(),
        Some(_) if !word.is_empty() => format!("`{word}`"),
        Some(character) if character.is_control() => format!("the character {character:?}"),
        Some(character) => format!("`{character}`"),
    }
}
