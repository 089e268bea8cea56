//! Errors of documents that cannot be parsed, in plain words. The parser's own message is a drawing of several lines with
//! the names of its grammar's rules.

use async_graphql::parser::{Error, parse_query, types::ExecutableDocument};
use async_graphql::{Pos, ServerError, ServerResult};

use super::MAX_DOCUMENT_DEPTH;
use super::limits::tokens;
use scv_api::error::{code, with_code};

/// The maximum length of a token that an error repeats, in characters.
const MAX_TOKEN_LENGTH: usize = 20;

/// Parses a document.
///
/// # Errors
/// Where it is not GraphQL, what was found there, and what was expected.
pub(super) fn parse(document: &str) -> ServerResult<ExecutableDocument> {
    parse_query(document).map_err(|error| match error {
        Error::Syntax { message, start, .. } => {
            let Pos { line, column } = start;
            let found = match tokens(rest(document, start)).next() {
                Some(token) if token.chars().nth(MAX_TOKEN_LENGTH).is_some() => {
                    format!("{:?}…", token.chars().take(MAX_TOKEN_LENGTH).collect::<String>())
                }
                Some(token) => format!("{token:?}"),
                None => "the end of the document".to_owned(),
            };
            let message = format!(
                "syntax error in line {line}, column {column}: found {found}, {}",
                in_plain_words(&message)
            );
            with_code(ServerError::new(message, Some(start)), code::BAD_USER_INPUT)
        }
        Error::RecursionLimitExceeded => nested_too_deeply(None),
        other => with_code(other.into(), code::BAD_USER_INPUT),
    })
}

/// The error of a document whose fields and fragments nest too deeply to be walked.
pub(super) fn nested_too_deeply(place: Option<Pos>) -> ServerError {
    let message = format!("the document is nested more than {MAX_DOCUMENT_DEPTH} levels deep: reduce its depth");
    with_code(ServerError::new(message, place), code::QUERY_TOO_COMPLEX)
}

/// The document from a position on.
fn rest(document: &str, at: Pos) -> &str {
    let lines_before = document.split_inclusive('\n').take(at.line.saturating_sub(1));
    let start: usize = lines_before.map(str::len).sum();
    let rest = document.get(start..).unwrap_or_default();
    let mut places = rest.char_indices().map(|(place, _)| place);
    let place = places.nth(at.column.saturating_sub(1)).unwrap_or(rest.len());
    &rest[place..]
}

/// The last line of the parser's message, such as `= expected selection or name`, without names of rules.
fn in_plain_words(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default();
    let line = line.trim().trim_start_matches("= ");
    let words = line.split_inclusive([' ', ',', ';']);
    let plain = words.map(|word| {
        let name = word.trim_end_matches([' ', ',', ';']);
        format!("{}{}", plain_name(name), &word[name.len()..])
    });
    plain.collect()
}

/// What a rule of the grammar stands for. Other words stay as they are.
fn plain_name(rule: &str) -> String {
    match rule {
        "EOI" => "the end of the document",
        "executable_document" | "executable_definition" => "an operation or a fragment",
        "selection" => "a field or a fragment",
        "selection_set" => "fields in braces",
        "name" | "name_start" => "a name",
        "type_" => "a type",
        "value" | "const_value" => "a value",
        "argument" | "const_argument" => "an argument",
        "arguments" | "const_arguments" => "arguments in parentheses",
        "object_field" | "const_object_field" => "a field of an object",
        "variable_definition" => "a variable",
        "variable_definitions" => "variables in parentheses",
        "type_condition" => "`on` and a type",
        "string_content" | "block_string_content" => "the rest of a string",
        other => return other.trim_end_matches('_').replace('_', " "),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use scv_api::error::code_of;

    #[test]
    fn a_syntax_error_says_in_one_line_where_it_is_and_what_was_found() {
        for (document, beginning) in [
            (
                "{ models(first: ) }",
                "syntax error in line 1, column 17: found \")\", expected ",
            ),
            (
                "{\n  models {\n  }\n}",
                "syntax error in line 3, column 3: found \"}\", expected ",
            ),
            (
                "{ models",
                "syntax error in line 1, column 9: found the end of the document, expected ",
            ),
            ("hello", "syntax error in line 1, column 1: found \"hello\", expected "),
        ] {
            let error = parse(document).unwrap_err();
            assert!(error.message.starts_with(beginning), "{document}: {}", error.message);
            assert!(
                !error.message.contains(['\n', '_', '=']),
                "{document}: {}",
                error.message
            );
            assert_eq!(code_of(&error), Some("BAD_USER_INPUT"));
            assert_eq!(error.locations.len(), 1);
        }
    }

    #[test]
    fn rules_of_the_grammar_have_plain_names() {
        let message = " --> 1:2\n  |\n1 | {\n  |  ^---\n  |\n  = expected selection_set, alias, or name";
        assert_eq!(in_plain_words(message), "expected fields in braces, alias, or a name");
        assert_eq!(
            in_plain_words("  = expected EOI or executable_definition"),
            "expected the end of the document or an operation or a fragment"
        );
    }

    #[test]
    fn other_errors_of_the_parser_keep_their_messages() {
        let error = parse("query a { x } query a { x }").unwrap_err();
        assert_eq!(error.message, "operation a is defined twice");
    }

    #[test]
    fn a_document_that_is_nested_too_deeply_to_be_parsed_is_too_complex() {
        let document = format!("{}x{}", "{ a ".repeat(100), " }".repeat(100));
        let error = parse(&document).unwrap_err();
        assert_eq!(code_of(&error), Some("QUERY_TOO_COMPLEX"));
        assert!(error.message.contains("more than 64 levels deep"), "{}", error.message);
    }
}
