//! Words of commands that are printed for the user to run.

/// A text as one word of a shell's command line.
pub(crate) fn word(text: &str) -> String {
    let is_safe = |c: char| c.is_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_split_or_expand_are_quoted() {
        assert_eq!(word("/usr/bin/psql"), "/usr/bin/psql");
        assert_eq!(word("plain-1:latest"), "plain-1:latest");
        assert_eq!(word("two words"), "'two words'");
        assert_eq!(word("$x`y\"\\"), "'$x`y\"\\'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
