//! A name for each request, by which its lines in the log and its answer are found together.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing::instrument::Instrumented;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

/// The header that brings a name, or gives it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header that names the trace which a request belongs to.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Characters of a name that is brought.
const LONGEST: usize = 64;

/// Answers a request under its name: the one that it brings, so that it is the same in the log of whoever sent it, or a new one.
pub async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
    let id = given(&request).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let span = tracing::info_span!("http.request", request_id = %id, method = %request.method(), path = request.path());
    if request.headers().contains_key(TRACE_PARENT) {
        let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
        // Without a collector there is no trace to go on with.
        let _ = span.set_parent(parent);
    }
    let begun = Instant::now();
    let mut response = next.call(request).instrument(span.clone()).await?;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    span.in_scope(|| tracing::debug!(status, ?took, "answered"));
    Ok(response)
}

/// The headers of a request, for OpenTelemetry.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

fn given(request: &ServiceRequest) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    ((1..=LONGEST).contains(&id.len()) && is_plain).then(|| id.to_owned())
}

/// Work for a request on another runtime, whose log lines bear its name too.
pub fn in_span<F: Future>(work: F) -> Instrumented<F> {
    work.in_current_span()
}
