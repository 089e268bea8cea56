//! Whether the server lives, whether it can answer, and what it does.

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::runtime::Handle;

use super::asking::{Asking, refusal};
use crate::metrics::METRICS;
use crate::store::Store;

/// Asks the database, on the runtime that its connections belong to.
#[derive(Clone)]
pub struct Readiness {
    store: Store,
    runtime: Handle,
}

impl Readiness {
    /// The readiness of a store, asked on the runtime this is called on.
    pub fn here(store: Store) -> Self {
        Self {
            store,
            runtime: Handle::current(),
        }
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
    let store = readiness.store.clone();
    let asked = readiness.runtime.spawn(async move { store.ping().await });
    match asked.await {
        Ok(Ok(())) => HttpResponse::Ok().body("ready\n"),
        outcome => {
            tracing::warn!(?outcome, "not ready");
            HttpResponse::ServiceUnavailable().body("the database does not answer\n")
        }
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
