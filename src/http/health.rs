//! Whether the server lives, whether it can answer, and what it does.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::asking::{Asking, refusal};
use scv_service::metrics::METRICS;
use scv_store::Store;

/// How long it is believed what the database has said: whoever asks more often does not keep it from its work.
const BELIEVED: Duration = Duration::from_secs(1);

/// Asks the database, on the runtime that its connections belong to.
#[derive(Clone)]
pub struct Readiness {
    store: Store,
    runtime: Handle,
    shutdown: CancellationToken,
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Readiness {
    /// The readiness of a store, asked on the runtime this is called on, until the server stops.
    pub fn here(store: Store, shutdown: CancellationToken) -> Self {
        Self {
            store,
            runtime: Handle::current(),
            shutdown,
            last: Arc::default(),
        }
    }

    /// Whether the database answers, or did a moment ago.
    async fn database_answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answers)) = *last
            && at.elapsed() < BELIEVED
        {
            return answers;
        }
        let store = self.store.clone();
        let outcome = self.runtime.spawn(async move { store.ping().await }).await;
        let answers = matches!(outcome, Ok(Ok(())));
        if !answers {
            tracing::warn!(?outcome, "not ready");
        }
        *last = Some((Instant::now(), answers));
        answers
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(alive))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// The process answers; nothing else is asked.
async fn alive() -> &'static str {
    "alive\n"
}

/// The database answers too, so requests make sense.
async fn ready(readiness: web::Data<Readiness>) -> HttpResponse {
    if readiness.shutdown.is_cancelled() {
        return HttpResponse::ServiceUnavailable().body("the server stops\n");
    }
    match readiness.database_answers().await {
        true => HttpResponse::Ok().body("ready\n"),
        false => HttpResponse::ServiceUnavailable().body("the database does not answer\n"),
    }
}

/// Counts and times, in Prometheus' text format; for whoever may ask at all.
async fn metrics(asking: web::Data<Asking>, request: HttpRequest) -> HttpResponse {
    let snapshot = asking
        .ask(&request, async move |library| library.snapshot().await)
        .await;
    let text = snapshot.map(|snapshot| METRICS.text(&snapshot));
    match text {
        Ok(Ok(text)) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Ok(Err(error)) => HttpResponse::InternalServerError().body(format!("{error}\n")),
        Err(error) => refusal(&error),
    }
}
