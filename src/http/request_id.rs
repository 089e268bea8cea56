//! Gives each request an id, which its log lines and its response share.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing::instrument::Instrumented;
use uuid::Uuid;

use crate::telemetry;

/// The header of the id, in requests and responses.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that a request may bring.
const MAX_ID_LENGTH: usize = 64;

/// Handles a request under its id: the one it brings, which also appears in the client's log, or a new one.
pub async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
    let id = valid_id(&request).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let span = tracing::info_span!("http.request", request_id = %id, method = %request.method(), path = request.path());
    telemetry::adopt_parent(&span, request.headers());
    let started = Instant::now();
    let mut response = next.call(request).instrument(span.clone()).await?;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let (status, took) = (response.status().as_u16(), started.elapsed());
    span.in_scope(|| tracing::debug!(status, ?took, "responded"));
    Ok(response)
}

fn valid_id(request: &ServiceRequest) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    ((1..=MAX_ID_LENGTH).contains(&id.len()) && is_plain).then(|| id.to_owned())
}

/// Keeps the current span, and so the id of the request, for work that moves to another runtime.
pub fn in_span<F: Future>(work: F) -> Instrumented<F> {
    work.in_current_span()
}
