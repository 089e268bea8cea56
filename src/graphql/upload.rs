//! Uploaded files.

use std::io::Read as _;

use async_graphql::{Context, Upload};

use super::error::{ApiError, Result};
use crate::service::MOST_IMAGE_BYTES;

/// The bytes of an uploaded file.
pub async fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Vec<u8>> {
    read_some(ctx, upload, field, u64::MAX).await
}

/// The bytes of an uploaded image; of one that is too large so many that this can be told.
pub async fn read_image(ctx: &Context<'_>, upload: Upload) -> Result<Vec<u8>> {
    read_some(ctx, upload, "image", MOST_IMAGE_BYTES as u64 + 1).await
}

async fn read_some(ctx: &Context<'_>, upload: Upload, field: &str, most: u64) -> Result<Vec<u8>> {
    let unreadable = |reason: String| ApiError::bad_input(format!("`{field}` could not be read: {reason}"));
    let file = upload.value(ctx).map_err(|error| unreadable(error.to_string()))?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        file.content.take(most).read_to_end(&mut bytes).map(|_| bytes)
    });
    read.await
        .map_err(|error| unreadable(error.to_string()))?
        .map_err(|error| unreadable(error.to_string()))
}
