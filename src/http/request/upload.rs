//! Reads requests with files, by the GraphQL multipart request specification. Files are written to temporary files on
//! disk as they arrive.

use std::collections::HashMap;
use std::io::{self, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use async_graphql::UploadValue;
use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use multer::{Constraints, Field, Multipart, SizeLimit};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::{CheckBeforeFiles, GraphqlRequest, deadline, too_slow};
use crate::config::Limits;
use crate::http::error::HttpError;

/// Bytes allowed for the boundaries and headers of the parts, in addition to the files and the document.
const ENVELOPE_BYTES: usize = 1 << 20;

/// Pieces of a body that may wait to be read.
const PIECE_BACKLOG: usize = 4;

/// Bytes that may precede a part that is read: its headers, and any parts that are ignored.
const MAX_BYTES_BETWEEN_PARTS: usize = 1 << 20;

/// Reads the parts `operations` and `map`, and the files that `map` refers to.
///
/// # Errors
/// There are too many bytes or files, a part is missing or invalid, the body is too slow, or the check fails.
pub(super) async fn read(
    payload: Payload,
    boundary: &str,
    limits: &Limits,
    check: &CheckBeforeFiles<'_>,
) -> Result<GraphqlRequest, HttpError> {
    let max_bytes = limits
        .upload_bytes
        .saturating_add(limits.body_bytes)
        .saturating_add(ENVELOPE_BYTES);
    let mut parts = Parts::new(payload, boundary, limits, max_bytes);
    let (mut operations, mut map) = (None, None);
    let mut files: HashMap<String, UploadValue> = HashMap::new();
    while let Some(mut part) = parts.next().await? {
        match (
            part.name().map(str::to_owned).as_deref(),
            part.file_name().map(str::to_owned),
        ) {
            (Some("operations"), _) => {
                let text = parts.text(&mut part).await?;
                if let GraphqlRequest::Single(request) = GraphqlRequest::from_json(&text, limits)? {
                    check(*request)?;
                }
                operations = Some(text);
            }
            (Some("map"), _) => map = Some(parts.text(&mut part).await?),
            (Some(name), Some(filename)) => {
                if files.len() >= limits.files {
                    return Err(HttpError::too_large(format!(
                        "the request has more than {} files, which is the limit: `scv serve --max-files` raises it",
                        limits.files
                    )));
                }
                let value = UploadValue {
                    filename,
                    content_type: part.content_type().map(ToString::to_string),
                    content: parts.file(&mut part).await?,
                };
                files.insert(name.to_owned(), value);
            }
            _ => {}
        }
    }
    let missing = |part: &str| HttpError::bad_request(format!("the part `{part}` is missing"));
    let operations = operations.ok_or_else(|| missing("operations"))?;
    let map = map.ok_or_else(|| missing("map"))?;
    let map: HashMap<String, Vec<String>> = serde_json::from_slice(&map)
        .map_err(|error| HttpError::bad_request(format!("`map` must name the variables of each file: {error}")))?;
    let GraphqlRequest::Single(mut request) = GraphqlRequest::from_json(&operations, limits)? else {
        return Err(HttpError::bad_request(
            "a batch cannot have files: send them with a single request",
        ));
    };
    let variables: usize = map.values().map(Vec::len).sum();
    if variables > limits.files {
        return Err(HttpError::bad_request(format!(
            "`map` lists {variables} variables; the limit is {}, that of files",
            limits.files
        )));
    }
    for (name, paths) in map {
        let file = files.get(&name).ok_or_else(|| {
            HttpError::bad_request(format!(
                "`map` refers to a file `{name}`, which is missing from the request"
            ))
        })?;
        for path in paths {
            let copy = file.try_clone().map_err(cannot_store)?;
            let before = request.uploads.len();
            request.set_upload(&path, copy);
            if request.uploads.len() == before {
                return Err(HttpError::bad_request(format!(
                    "`map` lists {path:?} for the file `{name}`, which the request does not have: write the path of a variable \
                     that is null in `operations`, such as \"variables.input.file\", with the index of an entry of a list as in \
                     \"variables.input.files.0\""
                )));
            }
        }
    }
    Ok(GraphqlRequest::Single(request))
}

/// The system has no space or no file handles left, which is not the client's fault.
fn cannot_store(error: io::Error) -> HttpError {
    tracing::error!(%error, "cannot store an uploaded file");
    HttpError::overloaded()
}

/// The parts of a body, read one after another.
struct Parts<'a> {
    multipart: Multipart<'static>,
    limits: &'a Limits,
    started: Instant,
    intake: Arc<Intake>,
    /// Bytes of all files so far.
    file_bytes: usize,
}

/// Counts the bytes of a body as they arrive.
#[derive(Default)]
struct Intake {
    received: AtomicU64,
    /// Whether a part is being read. multer keeps everything before a part in memory.
    is_in_part: AtomicBool,
    /// Bytes that have arrived since the last part.
    between_parts: AtomicUsize,
}

impl Intake {
    /// Counts a piece of the body.
    ///
    /// # Errors
    /// More bytes arrived between two parts than are allowed.
    fn count(&self, bytes: usize) -> Result<(), PayloadError> {
        self.received.fetch_add(bytes as u64, Relaxed);
        if !self.is_in_part.load(Relaxed) {
            self.between_parts.fetch_add(bytes, Relaxed);
        }
        if self.is_overrun() {
            Err(PayloadError::Overflow)
        } else {
            Ok(())
        }
    }

    fn is_overrun(&self) -> bool {
        self.between_parts.load(Relaxed) > MAX_BYTES_BETWEEN_PARTS
    }
}

impl<'a> Parts<'a> {
    fn new(payload: Payload, boundary: &str, limits: &'a Limits, max_bytes: usize) -> Self {
        // The payload is bound to its thread; multer needs a stream that is not.
        let (mut pieces, received) = mpsc::channel(PIECE_BACKLOG);
        let mut body = payload;
        actix_web::rt::spawn(async move {
            while let Some(piece) = body.next().await {
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
        });
        let sizes = SizeLimit::new()
            .whole_stream(max_bytes as u64)
            .for_field("operations", limits.body_bytes as u64)
            .for_field("map", limits.body_bytes as u64);
        let constraints = Constraints::new().size_limit(sizes);
        let intake = Arc::new(Intake::default());
        let counted = {
            let intake = Arc::clone(&intake);
            received.map(move |piece: Result<bytes::Bytes, PayloadError>| {
                let piece = piece?;
                intake.count(piece.len())?;
                Ok::<_, PayloadError>(piece)
            })
        };
        Self {
            multipart: Multipart::with_constraints(counted, boundary, constraints),
            limits,
            started: Instant::now(),
            intake,
            file_bytes: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>, HttpError> {
        self.intake.between_parts.store(0, Relaxed);
        self.intake.is_in_part.store(false, Relaxed);
        let next = timeout_at(self.deadline(), self.multipart.next_field()).await;
        let next = next.map_err(|_| too_slow())?;
        self.intake.is_in_part.store(true, Relaxed);
        next.map_err(|error| self.multipart_error(&error))
    }

    fn deadline(&self) -> Instant {
        deadline(self.started, self.intake.received.load(Relaxed))
    }

    async fn text(&self, part: &mut Field<'static>) -> Result<Vec<u8>, HttpError> {
        let mut text = Vec::new();
        while let Some(piece) = self.piece(part).await? {
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    /// Writes a part to an unnamed temporary file, which disappears when its last handle is closed.
    async fn file(&mut self, part: &mut Field<'static>) -> Result<std::fs::File, HttpError> {
        let mut file = File::from_std(tempfile::tempfile().map_err(cannot_store)?);
        let mut bytes = 0;
        while let Some(piece) = self.piece(part).await? {
            bytes += piece.len();
            self.file_bytes += piece.len();
            if bytes > self.limits.file_bytes {
                return Err(HttpError::too_large(format!(
                    "the file {:?} is larger than {} bytes, which is the limit: `scv serve --max-file-bytes` raises it",
                    part.file_name().unwrap_or_default(),
                    self.limits.file_bytes
                )));
            }
            if self.file_bytes > self.limits.upload_bytes {
                return Err(self.too_large());
            }
            file.write_all(&piece).await.map_err(cannot_store)?;
        }
        file.flush().await.map_err(cannot_store)?;
        file.seek(SeekFrom::Start(0)).await.map_err(cannot_store)?;
        Ok(file.into_std().await)
    }

    async fn piece(&self, part: &mut Field<'static>) -> Result<Option<bytes::Bytes>, HttpError> {
        let piece = timeout_at(self.deadline(), part.chunk()).await;
        piece
            .map_err(|_| too_slow())?
            .map_err(|error| self.multipart_error(&error))
    }

    fn too_large(&self) -> HttpError {
        HttpError::too_large(format!(
            "the files are larger than {} bytes, which is the limit for all files of a request: \
             `scv serve --max-upload-bytes` raises it",
            self.limits.upload_bytes
        ))
    }

    fn multipart_error(&self, error: &multer::Error) -> HttpError {
        match error {
            multer::Error::FieldSizeExceeded {
                field_name: Some(name), ..
            } if name == "operations" || name == "map" => HttpError::too_large(format!(
                "the part `{name}` is larger than {} bytes, which is the limit for parts other than files",
                self.limits.body_bytes
            )),
            multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => self.too_large(),
            multer::Error::StreamReadFailed(_) if self.intake.is_overrun() => HttpError::too_large(format!(
                "more than {MAX_BYTES_BETWEEN_PARTS} bytes belong neither to a file nor to `operations` or `map`"
            )),
            other => HttpError::bad_request(format!("the parts of the body cannot be read: {other}")),
        }
    }
}
