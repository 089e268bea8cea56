//! Whether the server lives, and whether it can answer.

use actix_web::{HttpResponse, web};
use tokio::runtime::Handle;

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

/// `/healthz` and `/readyz`.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(alive))
        .route("/readyz", web::get().to(ready));
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
