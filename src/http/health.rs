//! Health, readiness and metrics of the server.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gateway::LibraryGateway;
use scv_service::Health;
use scv_service::metrics::METRICS;

/// How long the result of a check is reused, so that frequent checks put no load on the server.
const READINESS_TTL: Duration = Duration::from_secs(1);

/// When the server was checked, and the faults that were found.
type Check = (Instant, Vec<&'static str>);

/// Checks the parts of the server on the runtime that they belong to.
#[derive(Clone)]
pub struct Readiness {
    health: Health,
    runtime: Handle,
    shutdown: CancellationToken,
    last_check: Arc<Mutex<Option<Check>>>,
}

impl Readiness {
    /// The readiness of a server, which is checked on the current runtime. It ends with `shutdown`.
    pub fn new(health: Health, shutdown: CancellationToken) -> Self {
        Self {
            health,
            runtime: Handle::current(),
            shutdown,
            last_check: Arc::default(),
        }
    }

    /// What keeps the server from handling requests or jobs, or did within [`READINESS_TTL`].
    async fn faults(&self) -> Vec<&'static str> {
        // A check takes less than a second, so a request that waits for the check of another one does not wait longer.
        let mut last_check = self.last_check.lock().await;
        if let Some((at, faults)) = &*last_check
            && at.elapsed() < READINESS_TTL
        {
            return faults.clone();
        }
        let health = self.health.clone();
        let check = self.runtime.spawn(async move { health.faults().await });
        let faults = check.await.unwrap_or_else(|_| vec!["the server is shutting down"]);
        *last_check = Some((Instant::now(), faults.clone()));
        faults
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(alive))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// The process responds, and no restart is needed.
async fn alive(readiness: web::Data<Readiness>) -> HttpResponse {
    if readiness.shutdown.is_cancelled() {
        return HttpResponse::Ok().body("alive\n");
    }
    response("alive", &readiness.health.lasting_faults())
}

/// The server can handle requests and jobs.
async fn ready(readiness: web::Data<Readiness>) -> HttpResponse {
    if readiness.shutdown.is_cancelled() {
        return HttpResponse::ServiceUnavailable().body("the server is shutting down\n");
    }
    response("ready", &readiness.faults().await)
}

/// Success, or all faults, one a line.
fn response(success: &str, faults: &[&str]) -> HttpResponse {
    if faults.is_empty() {
        return HttpResponse::Ok().body(format!("{success}\n"));
    }
    HttpResponse::ServiceUnavailable().body(format!("{}\n", faults.join("\n")))
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
