//! Uploaded files.

use std::fs::File;

use async_graphql::{Context, Upload};
use bytes::Bytes;

use super::error::{ApiError, Result};
use crate::service::ServiceError;

/// The bytes of an uploaded file. They stay in the temporary file on the disk that they came into; the system reads what is
/// looked at.
pub async fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Bytes> {
    let file = upload
        .value(ctx)
        .map_err(|_| ApiError::bad_input(format!("`{field}` names a file that did not come along")))?;
    Ok(mapped(&file.content).map_err(ServiceError::internal)?)
}

#[expect(unsafe_code, reason = "a file can only be mapped so")]
fn mapped(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file was deleted as it was made and its only handles are those of this request, none of which writes any
    // more: nobody changes or shortens it while it is mapped. Its disk has to be a local one, whose failing ends the program.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
