//! The subset of Python that numpy writes: a dictionary of a string, a boolean and a tuple.

/// The maximum number of dimensions of an array, as in numpy.
const MAX_DIMENSIONS: usize = 64;

/// The three entries of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dictionary {
    /// The type, in numpy's short form; `record` for an array with fields.
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// Why the text of a header cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::activations) enum TextError {
    #[error("has no entry {0:?}")]
    Missing(&'static str),
    #[error("has the entry {0:?}, which is unknown or repeated")]
    Unexpected(String),
    #[error("lacks {expected} before {found:?}")]
    Syntax { expected: &'static str, found: String },
    #[error("claims a length of {0}, which exceeds any memory")]
    Length(String),
    #[error("claims more than {MAX_DIMENSIONS} dimensions")]
    Dimensions,
}

impl Dictionary {
    /// Reads the text of a header.
    pub(super) fn parse(text: &str) -> Result<Self, TextError> {
        let mut text = Text { rest: text };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        text.expect('{', "`{`")?;
        while !text.take('}') {
            let key = text.quoted()?;
            text.expect(':', "`:`")?;
            match key {
                "descr" if descr.is_none() => descr = Some(text.descr()?),
                "fortran_order" if fortran_order.is_none() => fortran_order = Some(text.boolean()?),
                "shape" if shape.is_none() => shape = Some(text.tuple()?),
                other => return Err(TextError::Unexpected(beginning(other))),
            }
            if !text.take(',') {
                text.expect('}', "`,` or `}`")?;
                break;
            }
        }
        if !text.rest.trim().is_empty() {
            return Err(text.missing("the end"));
        }
        Ok(Self {
            descr: descr.ok_or(TextError::Missing("descr"))?,
            fortran_order: fortran_order.ok_or(TextError::Missing("fortran_order"))?,
            shape: shape.ok_or(TextError::Missing("shape"))?,
        })
    }
}

/// The text that has not been read yet.
struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    /// Skips blanks, and then the given character if it comes next. Returns whether it did.
    fn take(&mut self, character: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, character: char, expected: &'static str) -> Result<(), TextError> {
        if self.take(character) {
            Ok(())
        } else {
            Err(self.missing(expected))
        }
    }

    fn quoted(&mut self) -> Result<&'a str, TextError> {
        for quote in ['\'', '"'] {
            if self.take(quote) {
                let Some((inside, rest)) = self.rest.split_once(quote) else {
                    return Err(self.missing("a closing quotation mark"));
                };
                self.rest = rest;
                return Ok(inside);
            }
        }
        Err(self.missing("a quoted string"))
    }

    /// A type in short form, or a list of fields, which is skipped.
    fn descr(&mut self) -> Result<String, TextError> {
        if !self.take('[') {
            return self.quoted().map(beginning);
        }
        let mut open = 1;
        while open > 0 {
            let Some(at) = self.rest.find(['[', ']', '\'', '"']) else {
                return Err(self.missing("`]`"));
            };
            self.rest = &self.rest[at..];
            if self.take('[') {
                open += 1;
            } else if self.take(']') {
                open -= 1;
            } else {
                self.quoted()?;
            }
        }
        Ok("record".to_owned())
    }

    fn boolean(&mut self) -> Result<bool, TextError> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.missing("`True` or `False`"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, TextError> {
        self.expect('(', "`(`")?;
        let mut lengths = Vec::new();
        while !self.take(')') {
            if lengths.len() == MAX_DIMENSIONS {
                return Err(TextError::Dimensions);
            }
            lengths.push(self.length()?);
            if !self.take(',') {
                self.expect(')', "`,` or `)`")?;
                break;
            }
        }
        Ok(lengths)
    }

    fn length(&mut self) -> Result<usize, TextError> {
        self.rest = self.rest.trim_start();
        let end = self
            .rest
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() {
            return Err(self.missing("a length"));
        }
        // Python 2 wrote long integers with this suffix.
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        digits.parse().map_err(|_| TextError::Length(beginning(digits)))
    }

    fn missing(&self, expected: &'static str) -> TextError {
        TextError::Syntax {
            expected,
            found: beginning(self.rest.trim_end()),
        }
    }
}

/// Enough of a text to find the position.
fn beginning(text: &str) -> String {
    text.chars().take(24).collect()
}
