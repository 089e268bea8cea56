//! Health, readiness and metrics of the server.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gateway::LibraryGateway;
use scv_service::metrics::METRICS;
use scv_store::Store;

/// How long the result of a database check is reused, so that frequent checks do not put load on the database.
const READINESS_TTL: Duration = Duration::from_secs(1);

/// Checks the database on the runtime that its connections belong to.
#[derive(Clone)]
pub struct Readiness {
    store: Store,
    runtime: Handle,
    shutdown: CancellationToken,
    last_check: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Readiness {
    /// The readiness of a store, which is checked on the current runtime. It ends with `shutdown`.
    pub fn new(store: Store, shutdown: CancellationToken) -> Self {
        Self {
            store,
            runtime: Handle::current(),
            shutdown,
            last_check: Arc::default(),
        }
    }

    /// Whether the database responds, or did so within [`READINESS_TTL`].
    async fn is_database_ready(&self) -> bool {
        let mut last_check = self.last_check.lock().await;
        if let Some((at, is_ready)) = *last_check
            && at.elapsed() < READINESS_TTL
        {
            return is_ready;
        }
        let store = self.store.clone();
        let outcome = self.runtime.spawn(async move { store.ping().await }).await;
        let is_ready = matches!(outcome, Ok(Ok(())));
        if !is_ready {
            tracing::warn!(?outcome, "the database does not respond");
        }
        *last_check = Some((Instant::now(), is_ready));
        is_ready
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(alive))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// The process responds. Nothing else is checked.
async fn alive() -> &'static str {
    "alive\n"
}

/// The database responds too, so the server can handle requests.
async fn ready(readiness: web::Data<Readiness>) -> HttpResponse {
    if readiness.shutdown.is_cancelled() {
        return HttpResponse::ServiceUnavailable().body("the server is shutting down\n");
    }
    if readiness.is_database_ready().await {
        HttpResponse::Ok().body("ready\n")
    } else {
        HttpResponse::ServiceUnavailable().body("the database does not respond\n")
    }
}

/// Counters and timings in Prometheus' text format, for any caller with access to the server.
async fn metrics(gateway: web::Data<LibraryGateway>, request: HttpRequest) -> HttpResponse {
    let snapshot = gateway
        .run(&request, async move |library| library.snapshot().await)
        .await;
    let text = snapshot.map(|snapshot| METRICS.text(&snapshot));
    match text {
        Ok(Ok(text)) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Ok(Err(error)) => HttpResponse::InternalServerError().body(format!("{error}\n")),
        Err(error) => error.to_text_response(),
    }
}
