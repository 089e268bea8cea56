//! Uploaded files.

use std::fs::File;

use async_graphql::{Context, Request, ServerError, ServerResult, Upload, Value};
use bytes::Bytes;

use super::error::{ApiError, Result, code, with_code};
use scv_service::ServiceError;

/// The bytes of an uploaded file. They stay in the temporary file on the disk that they came into; the system reads what is
/// looked at.
pub async fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Bytes> {
    let file = upload
        .value(ctx)
        .map_err(|_| ApiError::bad_input(format!("`{field}` names a file that did not come along")))?;
    Ok(mapped(&file.content).map_err(ServiceError::internal)?)
}

/// What stands in place of a file until it is asked for, before the number of the file.
pub(super) const PLACEHOLDER: &str = "#__graphql_file__:";

/// Makes sure that whatever stands for a file stands for one that came along: async-graphql takes that for granted.
///
/// # Errors
/// It is only written so.
pub fn check_files(request: &Request) -> ServerResult<()> {
    let count = request.uploads.len();
    let is_there = |number: &str| number.parse::<usize>().is_ok_and(|number| number < count);
    fn check(value: &Value, is_there: &impl Fn(&str) -> bool) -> bool {
        match value {
            Value::String(text) => text.strip_prefix(PLACEHOLDER).is_none_or(is_there),
            Value::List(entries) => entries.iter().all(|entry| check(entry, is_there)),
            Value::Object(members) => members.values().all(|member| check(member, is_there)),
            Value::Null | Value::Number(_) | Value::Boolean(_) | Value::Enum(_) | Value::Binary(_) => true,
        }
    }
    // The files of a request are named by its variables alone.
    let is_plain = !request.query.contains(PLACEHOLDER);
    if is_plain && request.variables.values().all(|value| check(value, &is_there)) {
        return Ok(());
    }
    let message =
        "a text stands for a file that did not come along: send files after the multipart request specification";
    Err(with_code(ServerError::new(message, None), code::BAD_USER_INPUT))
}

#[expect(unsafe_code, reason = "a file can only be mapped so")]
fn mapped(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file was deleted as it was made and its only handles are those of this request, none of which writes any
    // more: nobody changes or shortens it while it is mapped. Its disk has to be a local one, whose failing ends the program.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
