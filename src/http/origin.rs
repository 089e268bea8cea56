//! Decides which pages may send requests: those of this server and those of allowed origins.

use actix_cors::Cors;
use actix_web::HttpRequest;
use actix_web::http::header;

/// How long a browser may cache the response to a preflight request.
const PREFLIGHT_MAX_AGE_SECONDS: usize = 3_600;

/// The allowed origins, in addition to the server's own.
#[derive(Debug, Clone)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Whether a request comes from no page, from a page of this server, or from a page of an allowed origin. When a
    /// page merely embeds a response, for example as an image, the browser does not send the page's origin, but it does
    /// say whether the site is another one.
    pub fn allows(&self, request: &HttpRequest) -> bool {
        let origin = text(request, "origin");
        is_of_own_page(request) || origin.is_some_and(|origin| self.0.iter().any(|allowed| allowed == origin))
    }

    /// The names of their hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let hosts = self.0.iter().filter_map(|origin| origin.split_once("://"));
        hosts.map(|(_, host)| host_without_port(host))
    }

    /// The CORS headers for browsers that send requests for pages of other origins.
    pub fn cors(&self) -> Cors {
        let cors = Cors::default()
            .allowed_methods(["GET", "POST"])
            .allow_any_header()
            .expose_headers(["retry-after", "x-request-id"])
            .max_age(PREFLIGHT_MAX_AGE_SECONDS);
        self.0.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
    }
}

/// Whether a request comes from no page, or from a page of this server.
pub fn is_of_own_page(request: &HttpRequest) -> bool {
    match text(request, "origin") {
        Some(origin) => origin.split_once("://").map(|(_, host)| host) == text(request, "host"),
        None => {
            let is_foreign = matches!(text(request, "sec-fetch-site"), Some("cross-site" | "same-site"));
            !is_foreign && !request.headers().contains_key(header::ORIGIN)
        }
    }
}

/// Whether a browser shows the response as a whole window, as after a click on a link in another site.
pub fn is_opened_by_user(request: &HttpRequest) -> bool {
    text(request, "sec-fetch-dest") == Some("document") && text(request, "origin").is_none()
}

/// The name or address in a `Host` header.
pub fn host_without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons within an IPv6 address.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// A header as text.
pub fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn pages_of_this_server_and_of_allowed_origins_may_send_requests() {
        let origins = Origins(vec!["https://scv.example.com".to_owned()]);
        let allows = |origin: Option<&str>| {
            let request = TestRequest::get().insert_header((header::HOST, "127.0.0.1:8000"));
            let request = match origin {
                Some(origin) => request.insert_header((header::ORIGIN, origin)),
                None => request,
            };
            origins.allows(&request.to_http_request())
        };
        let embedded = |site: &str| {
            let request = TestRequest::get().insert_header(("sec-fetch-site", site));
            origins.allows(&request.to_http_request())
        };
        assert!(embedded("same-origin") && embedded("none") && !embedded("cross-site") && !embedded("same-site"));
        assert!(allows(None) && allows(Some("http://127.0.0.1:8000")) && allows(Some("https://scv.example.com")));
        assert!(
            !allows(Some("https://example.com")) && !allows(Some("http://127.0.0.1:9000")) && !allows(Some("null"))
        );
    }
}
