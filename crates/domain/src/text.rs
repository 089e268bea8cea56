//! Text from users, such as names, tags and descriptions. It is checked once, here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}: got {actual}")]
pub struct TextError {
    what: &'static str,
    problem: String,
    actual: String,
}

fn invalid(what: &'static str, problem: impl Into<String>, actual: impl Into<String>) -> TextError {
    TextError {
        what,
        problem: problem.into(),
        actual: actual.into(),
    }
}

fn one_line(what: &'static str, text: &str, max_length: usize) -> Result<String, TextError> {
    let trimmed = text.trim();
    let length = trimmed.chars().count();
    if length == 0 || length > max_length {
        return Err(invalid(
            what,
            format!("must have 1 to {max_length} characters"),
            length.to_string(),
        ));
    }
    match trimmed.chars().find(|c| c.is_control()) {
        Some(c) => Err(invalid(
            what,
            "must be a single line without control characters",
            format!("{c:?}"),
        )),
        None => Ok(trimmed.to_owned()),
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident => $check:expr),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                let check: fn(&str) -> Result<String, TextError> = $check;
                check(&text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts! {
    /// A model's name: one line of 1 to 128 characters. [`ModelName::check_new`] has one more rule for new names.
    ModelName => |text| one_line("a model's name", text, 128),
    /// An account's name: one line of 1 to 64 characters.
    AccountName => |text| one_line("an account's name", text, 64),
    /// A tag: one line of 1 to 64 characters, compared as written.
    Tag => |text| one_line("a tag", text, 64),
    /// A description: at most 10,000 characters.
    Description => |text| match text.chars().count() {
        _ if text.contains('\0') => Err(invalid("a description", "must not contain the character U+0000", "one")),
        0..=10_000 => Ok(text.to_owned()),
        length => Err(invalid("a description", "must have at most 10,000 characters", length.to_string())),
    },
}

impl ModelName {
    /// Checks a name that a model is to get. Names that are stored already may be older than this rule.
    ///
    /// # Errors
    /// The name contains a colon.
    pub fn check_new(&self) -> Result<(), TextError> {
        if self.0.contains(':') {
            return Err(invalid(
                "a model's name",
                "must not contain `:`, because MODEL:NUMBER names a version",
                format!("{:?}", self.0),
            ));
        }
        Ok(())
    }
}

/// Maximum number of tags of a model.
pub const MAX_TAGS: usize = 32;

/// Validates tags, sorts them and removes duplicates.
///
/// # Errors
/// There are more than [`MAX_TAGS`] tags, or one of them is not a valid [`Tag`].
pub fn parse_tags(texts: Vec<String>) -> Result<Vec<Tag>, TextError> {
    if texts.len() > MAX_TAGS {
        return Err(invalid(
            "the list of tags",
            format!("must have at most {MAX_TAGS} entries"),
            texts.len().to_string(),
        ));
    }
    let mut tags = texts.into_iter().map(Tag::try_from).collect::<Result<Vec<_>, _>>()?;
    tags.sort();
    tags.dedup();
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_keeps_its_inner_spaces() {
        let name = ModelName::try_from("  small cnn ".to_owned()).map(String::from);
        assert_eq!(name, Ok("small cnn".to_owned()));
    }

    #[test]
    fn an_empty_name_is_rejected_with_the_allowed_length() {
        let error = ModelName::try_from("  ".to_owned()).map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("a model's name must have 1 to 128 characters: got 0".to_owned())
        );
    }

    #[test]
    fn a_new_name_with_a_colon_is_rejected_with_the_reason_and_a_stored_one_stays_readable() {
        let stored = ModelName::try_from("team:cnn".to_owned());
        let checked = stored.map(|name| name.check_new().map_err(|e| e.to_string()));
        let reason = "a model's name must not contain `:`, because MODEL:NUMBER names a version: got \"team:cnn\"";
        assert_eq!(checked, Ok(Err(reason.to_owned())));
        let plain = ModelName::try_from("team/cnn 3".to_owned());
        assert_eq!(plain.map(|name| name.check_new()), Ok(Ok(())));
    }

    #[test]
    fn tags_are_sorted_and_unique() {
        let sorted = parse_tags(["b", "a", "b"].map(str::to_owned).to_vec())
            .map(|t| t.iter().map(|t| t.as_str().to_owned()).collect::<Vec<_>>());
        assert_eq!(sorted, Ok(vec!["a".to_owned(), "b".to_owned()]));
    }
}
