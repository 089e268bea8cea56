//! Codes for the errors of async-graphql, which have none.

use async_graphql::{Response, ServerError};

use super::syntax::nested_too_deeply;
use scv_api::error::{code, with_code};

/// The beginning of async-graphql's message for a document that nests too deeply to be walked.
const NESTED_TOO_DEEPLY: &str = "The recursion depth of the query cannot be greater than";

/// Adds a code to every error that has none, such as the errors of documents that fail validation.
pub fn add_missing_codes(mut response: Response) -> Response {
    response.errors = response.errors.into_iter().map(add_missing_code).collect();
    response
}

fn add_missing_code(error: ServerError) -> ServerError {
    if error
        .extensions
        .as_ref()
        .is_some_and(|extensions| extensions.get("code").is_some())
    {
        return error;
    }
    if !error.message.starts_with(NESTED_TOO_DEEPLY) {
        return with_code(error, code::BAD_USER_INPUT);
    }
    nested_too_deeply(error.locations.first().copied())
}
