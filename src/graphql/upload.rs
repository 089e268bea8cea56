//! Uploaded files.

use std::fs::File;

use async_graphql::{Context, Request, ServerError, ServerResult, Upload, Value};
use bytes::Bytes;

use super::error::{ApiError, Result, code, with_code};
use scv_service::ServiceError;

/// The bytes of an uploaded file. The temporary file of the upload is mapped into memory, so that only the parts in use
/// are read.
///
/// # Errors
/// The file is missing from the request, or cannot be mapped.
pub async fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Bytes> {
    let file = upload
        .value(ctx)
        .map_err(|_| ApiError::bad_input(format!("the file of `{field}` is missing from the request")))?;
    Ok(map_file(&file.content).map_err(ServiceError::internal)?)
}

/// The prefix of the placeholder that async-graphql puts in place of a file; the index of the file follows.
pub(super) const PLACEHOLDER: &str = "#__graphql_file__:";

/// Checks that every placeholder refers to a file of the request, which async-graphql takes for granted.
///
/// # Errors
/// A value only looks like a placeholder.
pub fn check_upload_placeholders(request: &Request) -> ServerResult<()> {
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

#[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
fn map_file(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file was unlinked when it was created, and only this request has handles to it, none of which writes
    // any more. So nothing changes or truncates the file while it is mapped. It must be on a local disk; if that disk
    // fails, the program ends.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
