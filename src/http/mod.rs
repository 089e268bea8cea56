//! Routes of the web server.

mod asked;
mod asking;
mod body;
mod compression;
mod executing;
mod export;
mod form;
pub mod graphiql;
mod graphql;
mod health;
mod origin;
mod picture;
mod socket;

use std::io;
use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio_util::sync::CancellationToken;

use self::asking::Asking;
use self::executing::Executing;
use self::health::Readiness;
use self::origin::Origins;
use crate::config::Limits;
use crate::graphql::Schema;
use crate::service::Library;

/// Seconds that open requests are given when the server stops.
const SHUTDOWN_SECONDS: u64 = 5;

/// A web server on a listener; it runs once awaited, and does its work on the runtime this is called on. `shutdown` ends the
/// subscriptions, which would go on for hours.
///
/// # Errors
/// The listener cannot be used.
pub fn server(
    listener: TcpListener,
    schema: Schema,
    library: Library,
    (limits, origins): (Limits, Vec<String>),
    shutdown: CancellationToken,
) -> io::Result<Server> {
    let executing = web::Data::new(Executing::here(schema, limits, shutdown));
    let origins = web::Data::new(Origins(origins));
    let readiness = web::Data::new(Readiness::here(library.store().clone()));
    let asking = web::Data::new(Asking::here(library, &limits));
    let factory = move || {
        App::new()
            .app_data(executing.clone())
            .app_data(readiness.clone())
            .app_data(origins.clone())
            .app_data(asking.clone())
            .wrap(from_fn(compression::compress))
            .wrap(origins.cors())
            .configure(graphiql::configure)
            .configure(graphql::configure)
            .configure(export::configure)
            .configure(picture::configure)
            .configure(health::configure)
    };
    Ok(HttpServer::new(factory)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        // An answer of two segments would wait for the client's delayed acknowledgement of the first, 40 ms.
        .tcp_nodelay(true)
        .listen(listener)?
        .run())
}
