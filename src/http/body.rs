//! How long the body of a request may be.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures::Stream;

/// Most bytes of a request without files: a block list of the longest kind takes a tenth of it.
const MAX_DOCUMENT_BYTES: usize = 2 << 20;

/// How long bodies may be.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Of a request with files, all of them together.
    pub upload: usize,
}

impl BodyLimits {
    /// The limit for a request.
    pub fn of(&self, request: &HttpRequest) -> usize {
        match has_files(request) {
            // The files come wrapped in lines of their own, beside the document.
            true => self.upload.saturating_add(MAX_DOCUMENT_BYTES),
            false => MAX_DOCUMENT_BYTES,
        }
    }

    /// What to say of a request that is longer.
    pub fn excess(&self, request: &HttpRequest) -> String {
        match has_files(request) {
            true => format!(
                "the files are larger than {} bytes, which is the limit for all files of a request together: \
                 `scv serve --max-upload-bytes` raises it",
                self.upload
            ),
            false => format!(
                "the request is larger than {MAX_DOCUMENT_BYTES} bytes, which is the limit for one without files"
            ),
        }
    }
}

fn has_files(request: &HttpRequest) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("multipart/"))
}

/// A body that ends with an error once it is longer than a limit.
pub struct Counted {
    payload: Payload,
    left: usize,
    overflow: Overflow,
}

/// Whether a body was too long.
#[derive(Debug, Clone, Default)]
pub struct Overflow(Arc<AtomicBool>);

impl Overflow {
    /// Whether it was.
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counted {
    /// A body of at most `limit` bytes.
    pub fn new(payload: Payload, limit: usize) -> Self {
        Self {
            payload,
            left: limit,
            overflow: Overflow::default(),
        }
    }

    /// To be asked when reading has failed.
    pub fn overflow(&self) -> Overflow {
        self.overflow.clone()
    }
}

impl Stream for Counted {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.payload).poll_next(context);
        let Poll::Ready(Some(Ok(bytes))) = &next else {
            return next;
        };
        match self.left.checked_sub(bytes.len()) {
            Some(left) => self.left = left,
            None => {
                self.overflow.0.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(PayloadError::Overflow)));
            }
        }
        next
    }
}
