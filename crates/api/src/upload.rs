//! Uploaded files.

use std::fs::File;

use async_graphql::{Context, Upload};
use bytes::Bytes;

use super::error::{ApiError, Result};
use scv_service::{NamedFile, ServiceError};

/// The bytes of an uploaded file.
///
/// # Errors
/// As [`read_named_upload`].
pub fn read_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<Bytes> {
    read_named_upload(ctx, upload, field).map(|file| file.bytes)
}

/// An uploaded file with its name. The temporary file of the upload is mapped into memory, so that only the parts in use
/// are read.
///
/// # Errors
/// The file is missing from the request, or cannot be mapped.
pub fn read_named_upload(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<NamedFile> {
    let file = upload
        .value(ctx)
        .map_err(|_| ApiError::bad_input(format!("the file of `{field}` is missing from the request")))?;
    Ok(NamedFile {
        bytes: map_file(&file.content).map_err(ServiceError::internal)?,
        name: file.filename,
    })
}

#[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
fn map_file(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file was unlinked when it was created, and only this request has handles to it, none of which writes
    // any more. So nothing changes or truncates the file while it is mapped. It must be on a local disk; if that disk
    // fails, the program ends.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
