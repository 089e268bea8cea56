//! Uploaded files.

use std::io::Read as _;

use async_graphql::{Context, Upload};

use super::error::{ApiError, Result};

/// The bytes of an uploaded file.
pub async fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Vec<u8>> {
    let unreadable = |reason: String| ApiError::bad_input(format!("`{field}` could not be read: {reason}"));
    let mut file = upload.value(ctx).map_err(|error| unreadable(error.to_string()))?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        file.content.read_to_end(&mut bytes).map(|_| bytes)
    });
    read.await
        .map_err(|error| unreadable(error.to_string()))?
        .map_err(|error| unreadable(error.to_string()))
}
