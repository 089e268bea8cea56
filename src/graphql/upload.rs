//! Uploaded files.

use std::fs::File;

use async_graphql::{Context, Upload};
use bytes::Bytes;

use super::error::{ApiError, Result};
use crate::service::MOST_IMAGE_BYTES;

/// The bytes of an uploaded file. They stay in the temporary file on the disk that they came into; the system reads what is
/// looked at.
pub async fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Bytes> {
    let unreadable = |error: std::io::Error| ApiError::bad_input(format!("`{field}` could not be read: {error}"));
    mapped(&upload.value(ctx).map_err(unreadable)?.content).map_err(unreadable)
}

/// The bytes of an uploaded image; of one that is too large so many that this can be told.
pub async fn read_image(ctx: &Context<'_>, upload: Upload) -> Result<Vec<u8>> {
    let mut bytes = read_upload(ctx, upload, "image").await?;
    bytes.truncate(MOST_IMAGE_BYTES + 1);
    Ok(bytes.to_vec())
}

#[expect(unsafe_code, reason = "a file can only be mapped so")]
fn mapped(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file was deleted as it was made and its only handles are those of this request, none of which writes any
    // more: nobody changes or shortens it while it is mapped. Its disk has to be a local one, whose failing ends the program.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
