//! Uploaded files.

use std::fs::File;
use std::io::Read as _;

use async_graphql::{Context, Upload};
use bytes::Bytes;

use super::error::{ApiError, Result};
use crate::service::MOST_IMAGE_BYTES;

/// The bytes of an uploaded file. They stay in the temporary file on the disk that they came into; the system reads what is
/// looked at.
pub async fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Bytes> {
    let file = opened(ctx, upload, field)?;
    mapped(&file).map_err(|error| unreadable(field, error))
}

/// The bytes of an uploaded image; of one that is too large so many that this can be told.
pub async fn read_image(ctx: &Context<'_>, upload: Upload) -> Result<Vec<u8>> {
    let file = opened(ctx, upload, "image")?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        file.take(MOST_IMAGE_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    });
    read.await
        .map_err(|error| unreadable("image", error))?
        .map_err(|error| unreadable("image", error))
}

fn opened(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<File> {
    let value = upload.value(ctx).map_err(|error| unreadable(field, error))?;
    Ok(value.content)
}

fn unreadable(field: &str, error: impl std::fmt::Display) -> ApiError {
    ApiError::bad_input(format!("`{field}` could not be read: {error}"))
}

#[expect(unsafe_code, reason = "a file can only be mapped so")]
fn mapped(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file has no name and its only handles are those of this request, none of which writes any more: nobody can
    // change or shorten it while it is mapped.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
