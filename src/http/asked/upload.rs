//! Requests with files, after the multipart request specification. Files go to temporary ones on the disk as they come.

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

use super::{Asked, Refusal, deadline, of_text};
use crate::config::Limits;
use scv_service::ServiceError;

/// Room beside the files and the document for the lines that they come wrapped in.
const WRAPPING_BYTES: usize = 1 << 20;

/// Pieces of a body that may wait to be read.
const PIECES: usize = 4;

/// Bytes that may come before a file or a text: the lines that say what it is, and whatever is in parts that nobody asked for.
const MAX_BYTES_BETWEEN_PARTS: usize = 1 << 20;

/// Reads the parts `operations` and `map`, and the files that the latter tells of.
///
/// # Errors
/// Too many bytes or files, a part that is missing or not what it has to be, or a body that is too slow.
pub(super) async fn of_upload(payload: Payload, boundary: &str, limits: &Limits) -> Result<Asked, Refusal> {
    let whole = limits
        .upload_bytes
        .saturating_add(limits.body_bytes)
        .saturating_add(WRAPPING_BYTES);
    let mut parts = Parts::new(payload, boundary, limits, whole);
    let (mut operations, mut map) = (None, None);
    let mut files: HashMap<String, UploadValue> = HashMap::new();
    while let Some(mut part) = parts.next().await? {
        match (
            part.name().map(str::to_owned).as_deref(),
            part.file_name().map(str::to_owned),
        ) {
            (Some("operations"), _) => operations = Some(parts.text(&mut part).await?),
            (Some("map"), _) => map = Some(parts.text(&mut part).await?),
            (Some(name), Some(filename)) => {
                if files.len() >= limits.files {
                    return Err(Refusal::too_large(format!(
                        "more than {} files come, which is the limit: `scv serve --max-files` raises it",
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
    let missing = |part: &str| Refusal::bad(format!("the part `{part}` is missing"));
    let operations = operations.ok_or_else(|| missing("operations"))?;
    let map = map.ok_or_else(|| missing("map"))?;
    let map: HashMap<String, Vec<String>> = serde_json::from_slice(&map)
        .map_err(|error| Refusal::bad(format!("`map` must name the variables of each file: {error}")))?;
    let Asked::One(mut request) = of_text(&operations, limits)? else {
        return Err(Refusal::bad("files come with one request and not with a list of them"));
    };
    if map.values().map(Vec::len).sum::<usize>() > limits.files {
        return Err(Refusal::bad(format!(
            "`map` names more than {} places, which is the limit",
            limits.files
        )));
    }
    for (name, places) in map {
        let file = files
            .get(&name)
            .ok_or_else(|| Refusal::bad(format!("`map` tells of a file `{name}` that does not come")))?;
        for place in places {
            let copy = file.try_clone().map_err(no_room)?;
            request.set_upload(&place, copy);
        }
    }
    Ok(Asked::One(request))
}

/// The system has no room for a file, nor a handle: it is no fault of the client's.
fn no_room(error: io::Error) -> Refusal {
    tracing::error!(%error, "an upload cannot be kept");
    Refusal::of(ServiceError::Overloaded)
}

/// The parts of a body, one after the other.
struct Parts<'a> {
    multipart: Multipart<'static>,
    limits: &'a Limits,
    begun: Instant,
    intake: Arc<Intake>,
    /// Of all files so far.
    file_bytes: usize,
}

/// What comes of a body.
#[derive(Default)]
struct Intake {
    received: AtomicU64,
    /// Whether it is that of a part; what comes before is kept in memory, whatever it is.
    is_of_part: AtomicBool,
    /// Bytes that have come since the last part.
    between: AtomicUsize,
}

impl Intake {
    /// A piece has come.
    ///
    /// # Errors
    /// It is more than may come between two parts.
    fn count(&self, bytes: usize) -> Result<(), PayloadError> {
        self.received.fetch_add(bytes as u64, Relaxed);
        if !self.is_of_part.load(Relaxed) {
            self.between.fetch_add(bytes, Relaxed);
        }
        match self.is_overrun() {
            true => Err(PayloadError::Overflow),
            false => Ok(()),
        }
    }

    fn is_overrun(&self) -> bool {
        self.between.load(Relaxed) > MAX_BYTES_BETWEEN_PARTS
    }
}

impl<'a> Parts<'a> {
    fn new(payload: Payload, boundary: &str, limits: &'a Limits, whole: usize) -> Self {
        // The payload stays with its thread; what reads it may not.
        let (mut pieces, received) = mpsc::channel(PIECES);
        let mut body = payload;
        actix_web::rt::spawn(async move {
            while let Some(piece) = body.next().await {
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
        });
        let sizes = SizeLimit::new()
            .whole_stream(whole as u64)
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
            begun: Instant::now(),
            intake,
            file_bytes: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>, Refusal> {
        self.intake.between.store(0, Relaxed);
        self.intake.is_of_part.store(false, Relaxed);
        let next = timeout_at(self.deadline(), self.multipart.next_field()).await;
        let next = next.map_err(|_| Refusal::too_slow())?;
        self.intake.is_of_part.store(true, Relaxed);
        next.map_err(|error| self.refusal(&error))
    }

    fn deadline(&self) -> Instant {
        deadline(self.begun, self.intake.received.load(Relaxed))
    }

    async fn text(&self, part: &mut Field<'static>) -> Result<Vec<u8>, Refusal> {
        let mut text = Vec::new();
        while let Some(piece) = self.piece(part).await? {
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    /// A temporary file without a name: it is gone when nobody has it open.
    async fn file(&mut self, part: &mut Field<'static>) -> Result<std::fs::File, Refusal> {
        let mut file = File::from_std(tempfile::tempfile().map_err(no_room)?);
        let mut bytes = 0;
        while let Some(piece) = self.piece(part).await? {
            bytes += piece.len();
            self.file_bytes += piece.len();
            if bytes > self.limits.file_bytes {
                return Err(Refusal::too_large(format!(
                    "a file is larger than {} bytes, which is the limit: `scv serve --max-file-bytes` raises it",
                    self.limits.file_bytes
                )));
            }
            if self.file_bytes > self.limits.upload_bytes {
                return Err(self.too_large());
            }
            file.write_all(&piece).await.map_err(no_room)?;
        }
        file.flush().await.map_err(no_room)?;
        file.seek(SeekFrom::Start(0)).await.map_err(no_room)?;
        Ok(file.into_std().await)
    }

    async fn piece(&self, part: &mut Field<'static>) -> Result<Option<bytes::Bytes>, Refusal> {
        let piece = timeout_at(self.deadline(), part.chunk()).await;
        piece
            .map_err(|_| Refusal::too_slow())?
            .map_err(|error| self.refusal(&error))
    }

    fn too_large(&self) -> Refusal {
        Refusal::too_large(format!(
            "the files are larger than {} bytes, which is the limit for all files of a request together: \
             `scv serve --max-upload-bytes` raises it",
            self.limits.upload_bytes
        ))
    }

    fn refusal(&self, error: &multer::Error) -> Refusal {
        match error {
            multer::Error::FieldSizeExceeded {
                field_name: Some(name), ..
            } if name == "operations" || name == "map" => Refusal::too_large(format!(
                "the part `{name}` is larger than {} bytes, which is the limit for what is no file",
                self.limits.body_bytes
            )),
            multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => self.too_large(),
            multer::Error::StreamReadFailed(_) if self.intake.is_overrun() => Refusal::too_large(format!(
                "more than {MAX_BYTES_BETWEEN_PARTS} bytes come that belong neither to a file nor to `operations` or `map`"
            )),
            other => Refusal::bad(format!("the parts of the body cannot be read: {other}")),
        }
    }
}
