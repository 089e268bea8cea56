//! Reads the arguments of instructions from the bytes, never beyond their end.

use std::borrow::Cow;

use super::value::Value;
use crate::pytorch::error::{PytorchError, Result};

/// The bytes of a pickle, with a read position.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    /// The offset of the current instruction.
    instruction: usize,
}

impl<'a> Reader<'a> {
    /// A reader that starts at `position`.
    pub(super) fn new(bytes: &'a [u8], position: usize) -> Reader<'a> {
        Reader {
            bytes,
            position,
            instruction: position,
        }
    }

    /// The offset of the next byte.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The error for a malformed instruction at the current offset.
    pub(super) fn broken(&self, what: impl Into<String>) -> PytorchError {
        PytorchError::Pickle {
            offset: self.instruction,
            what: what.into(),
        }
    }

    /// The next instruction.
    pub(super) fn opcode(&mut self) -> Result<u8> {
        self.instruction = self.position;
        self.byte()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return Err(self.broken(format!("{count} bytes should follow, but only {} do", rest.len())));
        };
        self.position += count;
        Ok(taken)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken
            .first_chunk::<N>()
            .copied()
            .ok_or_else(|| self.broken("the pickle ends here"))
    }

    /// A length of four bytes.
    pub(super) fn length4(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// A length of eight bytes.
    pub(super) fn length8(&mut self) -> Result<usize> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.broken(format!("{length} bytes should follow")))
    }

    /// A line without its line feed.
    pub(super) fn line(&mut self) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.broken("a line should follow, but it does not end"));
        };
        self.position += end + 1;
        Ok(&rest[..end])
    }

    /// A line of text.
    pub(super) fn text_line(&mut self) -> Result<&'a str> {
        let line = self.line()?;
        std::str::from_utf8(line).map_err(|_| self.broken("a line is not text"))
    }

    /// A text of `count` bytes. Paths may hold bytes that are no UTF-8, and no key of a tensor does.
    pub(super) fn text(&mut self, count: usize) -> Result<Value<'a>> {
        let text = std::str::from_utf8(self.take(count)?);
        Ok(text.map_or(Value::Other, |text| Value::Text(Cow::Borrowed(text))))
    }

    /// A Python 2 string as source text: in quotes, with backslashes.
    pub(super) fn quoted_string(&mut self) -> Result<Value<'a>> {
        let line = self.text_line()?.trim_ascii_end();
        let inner = ['\'', '"']
            .iter()
            .find_map(|&quote| line.strip_prefix(quote)?.strip_suffix(quote));
        match inner {
            Some(inner) if inner.contains('\\') => Ok(Value::Other),
            Some(inner) => Ok(Value::Text(Cow::Borrowed(inner))),
            None => Err(self.broken("a string has no quotes")),
        }
    }

    /// A line of text in which `\u0041` represents a character, and any other byte itself.
    pub(super) fn escaped_text(&mut self) -> Result<Value<'a>> {
        let line = self.line()?;
        if line.is_ascii() && !line.contains(&b'\\') {
            return Ok(Value::Text(String::from_utf8_lossy(line)));
        }
        let mut text = String::new();
        let mut rest = line;
        while let [first, after @ ..] = rest {
            let (character, left) = escaped(rest).unwrap_or((char::from(*first), after));
            text.push(character);
            rest = left;
        }
        Ok(Value::Text(Cow::Owned(text)))
    }

    /// A decimal integer. Protocol 0 writes false and true as `00` and `01`.
    pub(super) fn decimal(&mut self) -> Result<Value<'a>> {
        match self.text_line()?.trim() {
            "00" | "01" => Ok(Value::Other),
            digits => match digits.trim_end_matches('L').parse() {
                Ok(integer) => Ok(Value::Integer(integer)),
                Err(_) if is_decimal(digits) => Ok(Value::Other),
                Err(_) => Err(self.broken("a number is malformed")),
            },
        }
    }

    /// A two's complement integer of `count` bytes.
    pub(super) fn long(&mut self, count: usize) -> Result<Value<'a>> {
        let bytes = self.take(count)?;
        let mut wide = match bytes.last() {
            Some(last) if last & 0x80 != 0 => [0xff; 16],
            _ => [0; 16],
        };
        match wide.get_mut(..count) {
            Some(low) => low.copy_from_slice(bytes),
            // The state of a random generator, for example.
            None => return Ok(Value::Other),
        }
        Ok(Value::Integer(i128::from_le_bytes(wide)))
    }
}

/// The character of the `\uXXXX` or `\UXXXXXXXX` at the beginning, and the text after it.
fn escaped(text: &[u8]) -> Option<(char, &[u8])> {
    let digits = match text {
        [b'\\', b'u', ..] => 4,
        [b'\\', b'U', ..] => 8,
        _ => return None,
    };
    let code = std::str::from_utf8(text.get(2..2 + digits)?).ok()?;
    let character = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
    Some((character, text.get(2 + digits..)?))
}

fn is_decimal(text: &str) -> bool {
    let digits = text.trim_end_matches('L').trim_start_matches('-');
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
