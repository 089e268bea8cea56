//! The web server: it reads requests, applies quotas and writes responses.

mod body;
mod caller;
mod client_address;
mod client_quota;
mod compression;
pub mod documents;
mod error;
mod executor;
mod export;
mod gateway;
pub mod graphiql;
mod graphql;
mod health;
mod not_found;
mod origin;
pub mod page;
mod picture;
mod request;
mod request_id;
mod request_permits;
mod response_format;
mod session;
mod socket;

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpServer, Route, guard, web};
use tokio_util::sync::CancellationToken;

use self::caller::Callers;
use self::client_address::TrustedProxies;
use self::documents::Documents;
use self::executor::Executor;
use self::gateway::LibraryGateway;
use self::health::Readiness;
use self::origin::Origins;
use self::request_permits::RequestPermits;
use crate::config::Network;
use crate::graphql::execute::Rules;
use scv_api::Schema;
use scv_service::{Health, Library};

/// How long open requests may take to finish when the server stops.
const SHUTDOWN_SECONDS: u64 = 5;

/// How long an idle connection stays open. If the server closed it just as a client or proxy sends a request, that
/// request would fail. So the other side has to close first; load balancers commonly do so after 60 seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The settings of a web server.
#[derive(Debug)]
pub struct Settings {
    /// What requests must keep to.
    pub rules: Rules,
    /// Origins, besides its own, whose pages may send requests.
    pub origins: Vec<String>,
    /// Whether callers without a token may do everything.
    pub is_open: bool,
    /// Host names, besides those of origins, that requests to an open server may use.
    pub hosts: Vec<String>,
    /// Documents that requests can name instead of sending them.
    pub documents: Documents,
    /// Proxies whose word on the client's address is believed.
    pub proxies: Vec<Network>,
    /// Connections to the database for requests.
    pub connections: u32,
    /// The health of all parts of the server.
    pub health: Health,
}

/// A web server on a listener. It runs once it is awaited, and executes requests on the current runtime. `shutdown`
/// ends the subscriptions, which could otherwise last for hours.
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
        rules,
        origins,
        is_open,
        hosts,
        documents,
        proxies,
        connections,
        health,
    } = settings;
    let readiness = web::Data::new(Readiness::new(health, shutdown.clone()));
    let origins = Origins(origins);
    let hosts = is_open.then(|| origins.hosts().map(str::to_owned).chain(hosts).collect());
    let callers = Callers::new(library, &rules.limits, hosts, TrustedProxies(proxies.into()));
    let limits = rules.limits;
    let permits = RequestPermits::new(limits.concurrent_requests, limits.client_requests, connections);
    let gateway = web::Data::new(LibraryGateway {
        callers: callers.clone(),
        origins: origins.clone(),
        timeout: Duration::from_secs(limits.timeout_seconds),
        anonymous_permits: permits.separate(limits.concurrent_requests),
        permits: permits.clone(),
    });
    let executor = web::Data::new(Executor::new(schema, callers, (documents, rules), permits, shutdown));
    let origins = web::Data::new(origins);
    let factory = move || {
        App::new()
            .app_data(executor.clone())
            .app_data(readiness.clone())
            .app_data(origins.clone())
            .app_data(gateway.clone())
            .wrap(from_fn(compression::compress))
            // Browsers must not interpret a text response as a page.
            .wrap(DefaultHeaders::new().add((header::X_CONTENT_TYPE_OPTIONS, "nosniff")))
            .wrap(origins.cors())
            .wrap(from_fn(request_id::identify))
            .configure(page::configure)
            .configure(graphiql::configure)
            .configure(graphql::configure)
            .configure(session::configure)
            .configure(export::configure)
            .configure(picture::configure)
            .configure(health::configure)
            .default_service(web::to(not_found::not_found))
    };
    Ok(HttpServer::new(factory)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .keep_alive(IDLE_TIMEOUT)
        // A client that closes its side has left: its requests are cancelled.
        .h1_allow_half_closed(false)
        // Otherwise the second segment of a response would wait 40 ms for the client's delayed acknowledgement of the
        // first.
        .tcp_nodelay(true)
        .listen(listener)?
        .run())
}

/// A route for GET and HEAD.
fn get_or_head() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}
