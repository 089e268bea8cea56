//! Routes of the web server.

mod asked;
mod asking;
mod body;
mod caller;
mod compression;
pub mod documents;
mod executing;
mod export;
mod form;
pub mod graphiql;
mod graphql;
mod health;
mod origin;
mod picture;
mod request_id;
mod share;
mod socket;

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpServer, Route, guard, web};
use tokio_util::sync::CancellationToken;

use self::asking::Asking;
use self::caller::Callers;
use self::documents::Documents;
use self::executing::Executing;
use self::health::Readiness;
use self::origin::Origins;
use crate::config::Limits;
use crate::graphql::Schema;
use scv_service::Library;

/// Seconds that open requests are given when the server stops.
const SHUTDOWN_SECONDS: u64 = 5;

/// How long a connection without a request stays open. A client, or a proxy, that sends one on it in the moment it is closed
/// sees its request fail, so it has to be the one who gives it up; load balancers commonly do after 60 seconds.
const IDLE_CONNECTION: Duration = Duration::from_secs(75);

/// How a web server answers.
#[derive(Debug)]
pub struct Settings {
    /// How much may be asked for.
    pub limits: Limits,
    /// Origins of pages, beside its own, that may ask.
    pub origins: Vec<String>,
    /// Whether whoever shows no token may ask, and do everything.
    pub is_open: bool,
    /// Whether it is open only because nobody but its own machine reaches it.
    pub is_local: bool,
    /// Documents that requests name.
    pub documents: Documents,
}

/// A web server on a listener; it runs once awaited, and does its work on the runtime this is called on. `shutdown` ends the
/// subscriptions, which would go on for hours.
///
/// # Errors
/// The listener cannot be used.
pub fn server(
    listener: TcpListener,
    schema: Schema,
    library: Library,
    settings: Settings,
    shutdown: CancellationToken,
) -> io::Result<Server> {
    let Settings {
        limits,
        origins,
        is_open,
        is_local,
        documents,
    } = settings;
    let readiness = web::Data::new(Readiness::here(library.store().clone(), shutdown.clone()));
    let hosts = is_local.then(|| origins.clone());
    let callers = Callers::here(library, &limits, is_open, hosts);
    let asking = web::Data::new(Asking::new(callers.clone(), &limits));
    let executing = web::Data::new(Executing::new(schema, callers, documents, limits, shutdown));
    let origins = web::Data::new(Origins(origins));
    let factory = move || {
        App::new()
            .app_data(executing.clone())
            .app_data(readiness.clone())
            .app_data(origins.clone())
            .app_data(asking.clone())
            .wrap(from_fn(compression::compress))
            // What is sent as text is not taken for a page.
            .wrap(DefaultHeaders::new().add((header::X_CONTENT_TYPE_OPTIONS, "nosniff")))
            .wrap(origins.cors())
            .wrap(from_fn(request_id::identify))
            .configure(graphiql::configure)
            .configure(graphql::configure)
            .configure(export::configure)
            .configure(picture::configure)
            .configure(health::configure)
    };
    Ok(HttpServer::new(factory)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .keep_alive(IDLE_CONNECTION)
        // An answer of two segments would wait for the client's delayed acknowledgement of the first, 40 ms.
        .tcp_nodelay(true)
        .listen(listener)?
        .run())
}

/// A route for those who get something, or only ask about it.
fn get_or_head() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}
