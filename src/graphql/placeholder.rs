//! What async-graphql puts in place of an uploaded file.

use async_graphql::{Request, ServerError, ServerResult, Value};

use scv_api::error::{code, with_code};

/// The prefix of the placeholder that async-graphql puts in place of a file; the index of the file follows.
pub const PLACEHOLDER: &str = "#__graphql_file__:";

/// Checks that every placeholder refers to a file of the request, which async-graphql takes for granted.
///
/// # Errors
/// A value only looks like a placeholder.
pub fn check(request: &Request) -> ServerResult<()> {
    let count = request.uploads.len();
    let is_uploaded = |index: &str| index.parse::<usize>().is_ok_and(|index| index < count);
    fn check(value: &Value, is_uploaded: &impl Fn(&str) -> bool) -> bool {
        match value {
            Value::String(text) => text.strip_prefix(PLACEHOLDER).is_none_or(is_uploaded),
            Value::List(entries) => entries.iter().all(|entry| check(entry, is_uploaded)),
            Value::Object(members) => members.values().all(|member| check(member, is_uploaded)),
            Value::Null | Value::Number(_) | Value::Boolean(_) | Value::Enum(_) | Value::Binary(_) => true,
        }
    }
    // Only variables can refer to files.
    let has_plain_query = !request.query.contains(PLACEHOLDER);
    if has_plain_query && request.variables.values().all(|value| check(value, &is_uploaded)) {
        return Ok(());
    }
    let message = "a value refers to a file that is missing from the request: send files as the GraphQL multipart \
                   request specification describes";
    Err(with_code(ServerError::new(message, None), code::BAD_USER_INPUT))
}
