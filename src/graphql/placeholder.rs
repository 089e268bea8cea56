//! What async-graphql puts in place of an uploaded file.

use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Pos, Request, ServerError, ServerResult, Value};
use async_graphql_value::Value as Literal;

use super::document::fields;
use scv_api::error::{code, with_code};

/// The prefix of the placeholder that async-graphql puts in place of a file; the index of the file follows.
pub const PLACEHOLDER: &str = "#__graphql_file__:";

/// Checks that every placeholder refers to a file of the request, which async-graphql takes for granted. The document must be
/// within the limits.
///
/// # Errors
/// A value only looks like a placeholder.
pub fn check(request: &mut Request) -> ServerResult<()> {
    let count = request.uploads.len();
    let is_uploaded = |index: &str| index.parse::<usize>().is_ok_and(|index| index < count);
    if !request.variables.values().all(|value| refers_to(value, &is_uploaded)) {
        return Err(missing_file(None));
    }
    match request.parsed_query().ok().and_then(placeholder_in) {
        Some(place) => Err(missing_file(Some(place))),
        None => Ok(()),
    }
}

/// Whether all placeholders in a value refer to files.
fn refers_to(value: &Value, is_uploaded: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => text.strip_prefix(PLACEHOLDER).is_none_or(is_uploaded),
        Value::List(entries) => entries.iter().all(|entry| refers_to(entry, is_uploaded)),
        Value::Object(members) => members.values().all(|member| refers_to(member, is_uploaded)),
        Value::Null | Value::Number(_) | Value::Boolean(_) | Value::Enum(_) | Value::Binary(_) => true,
    }
}

/// Where a document has a placeholder. Only variables can refer to files. A string is looked at as it is parsed: as it is
/// written, it may have escapes.
fn placeholder_in(document: &ExecutableDocument) -> Option<Pos> {
    let arguments = fields(document).into_iter().flat_map(|field| &field.node.arguments);
    let mut arguments = arguments.filter(|(_, value)| has_placeholder(&value.node));
    let defaults = document
        .operations
        .iter()
        .flat_map(|(_, operation)| &operation.node.variable_definitions);
    let mut defaults = defaults.filter_map(|definition| definition.node.default_value.as_ref());
    let in_argument = arguments.next().map(|(_, value)| value.pos);
    let is_placeholder = |value: &Value| !refers_to(value, &|_: &str| false);
    in_argument.or_else(|| {
        defaults
            .find(|value| is_placeholder(&value.node))
            .map(|value| value.pos)
    })
}

fn has_placeholder(value: &Literal) -> bool {
    match value {
        Literal::String(text) => text.starts_with(PLACEHOLDER),
        Literal::List(entries) => entries.iter().any(has_placeholder),
        Literal::Object(members) => members.values().any(has_placeholder),
        Literal::Variable(_)
        | Literal::Null
        | Literal::Number(_)
        | Literal::Boolean(_)
        | Literal::Enum(_)
        | Literal::Binary(_) => false,
    }
}

fn missing_file(place: Option<Pos>) -> ServerError {
    let message = "a value refers to a file that is missing from the request: send files as the GraphQL multipart \
                   request specification describes";
    with_code(ServerError::new(message, place), code::BAD_USER_INPUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_in_a_document_is_refused_however_it_is_written() {
        for document in [
            r##"mutation { predict(input: { image: "#__graphql_file__:0" }) { x } }"##,
            r##"mutation { predict(input: { image: "\u0023__graphql_file__:9" }) { x } }"##,
            r##"mutation { a { ... { b(c: [["""#__graphql_file__:0"""]]) } } }"##,
            r##"query($image: Upload = "#__graphql_file__:0") { a(image: $image) }"##,
            r##"{ ...f } fragment f on Query { a(b: "\u0023__graphql_file__:0") }"##,
        ] {
            assert!(check(&mut Request::new(document)).is_err(), "{document}");
        }
        let harmless = r##"{ a(b: "a#__graphql_file__:0", c: "# __graphql_file__:0") }"##;
        assert!(check(&mut Request::new(harmless)).is_ok());
    }
}
