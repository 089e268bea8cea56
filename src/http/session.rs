//! Sessions: a cookie that stands for a token, for browsers. Pictures, downloads and WebSockets of a page come with cookies and
//! without other headers.
//!
//! `POST /session` with a token begins one, `DELETE /session` ends it. Pages of other sites can neither begin, end nor use one: a
//! session counts only in requests of this server's own pages, and where something may change, only with a header that other pages
//! cannot send.

use std::net::IpAddr;

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::error::HttpError;
use super::gateway::LibraryGateway;
use super::origin::{is_of_own_page, text};
use super::request::has_preflight_header;
use scv_domain::access::Secret;
use scv_service::SESSION_LIFETIME;

/// The name of the cookie where the page came over TLS. Browsers accept the prefix from this host alone.
const SECURE_NAME: &str = "__Host-scv";

/// The route of sessions.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/session")
            .route(web::post().to(begin))
            .route(web::delete().to(end))
            .default_service(web::to(other_method)),
    );
}

/// The secret of the session that a request belongs to, if it has one.
///
/// # Errors
/// The request may come from a page of another site.
pub fn session_of(request: &HttpRequest) -> Result<Option<Secret>, HttpError> {
    let Some(cookie) = session_cookie(request).filter(|cookie| !cookie.value().is_empty()) else {
        return Ok(None);
    };
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_of_own_page(request) && (only_reads || has_preflight_header(request)) {
        return Ok(Some(cookie.value().to_owned().into()));
    }
    Err(HttpError::foreign_session())
}

async fn begin(gateway: web::Data<LibraryGateway>, request: HttpRequest) -> HttpResponse {
    if !is_of_own_page(&request) {
        return HttpError::foreign_session().to_text_response();
    }
    let begun = gateway
        .run(&request, async move |library| library.begin_session().await)
        .await;
    match begun {
        Ok(secret) => HttpResponse::NoContent()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .cookie(cookie(&request, secret.reveal(), SESSION_LIFETIME.as_secs()))
            .finish(),
        Err(error) => error.to_text_response(),
    }
}

/// Ends a session. The cookie is taken back also if the session has ended before.
async fn end(gateway: web::Data<LibraryGateway>, request: HttpRequest) -> HttpResponse {
    let ended = gateway
        .run(&request, async move |library| library.end_session().await)
        .await;
    let mut response = match ended {
        // What the browser has kept of private pictures and files goes too.
        Ok(()) => HttpResponse::NoContent()
            .insert_header(("clear-site-data", "\"cache\""))
            .finish(),
        Err(error) => error.to_text_response(),
    };
    if is_of_own_page(&request) {
        // Cookies are well-formed.
        let _ = response.add_cookie(&cookie(&request, "", 0));
    }
    response
}

async fn other_method() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((header::ALLOW, "POST, DELETE"))
        .finish()
}

/// The cookie of a session. That for TLS counts only from pages that came over TLS, and the other one not over TLS, where somebody else
/// could have set it: browsers send `Sec-Fetch-Site` only over TLS, and to their own machine.
fn session_cookie(request: &HttpRequest) -> Option<Cookie<'static>> {
    let secure = request.cookie(SECURE_NAME);
    let is_tls_page = text(request, "origin").is_none_or(|origin| origin.starts_with("https://"));
    let may_be_plain = text(request, "sec-fetch-site").is_none() || is_own_machine(request);
    let plain = || request.cookie(&plain_name(request)).filter(|_| may_be_plain);
    secure.filter(|_| is_tls_page).or_else(plain)
}

/// Whether the browser asks its own machine, by the name of the host.
fn is_own_machine(request: &HttpRequest) -> bool {
    let host = text(request, "host").unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, _)| name)
        .trim_matches(['[', ']']);
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn cookie(request: &HttpRequest, secret: &str, seconds: u64) -> Cookie<'static> {
    // The server itself speaks HTTP, but the page may have come through a proxy with TLS. The browser knows.
    let is_secure = text(request, "origin").is_some_and(|origin| origin.starts_with("https://"));
    let name = if is_secure {
        SECURE_NAME.to_owned()
    } else {
        plain_name(request)
    };
    Cookie::build(name, secret.to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure)
        .max_age(time::Duration::seconds(seconds as i64))
        .finish()
}

/// The name of the cookie without TLS. It has the port, because browsers send the cookies of a host to all its ports.
fn plain_name(request: &HttpRequest) -> String {
    let host = text(request, "host");
    let port = host
        .and_then(|host| host.rsplit_once(':'))
        .map_or("80", |(_, port)| port);
    format!("scv-{port}")
}
