//! Which pages may ask: those of this server, and those of origins that are named.

use actix_cors::Cors;
use actix_web::HttpRequest;
use actix_web::http::header;

/// How long a browser may remember what it was told, in seconds.
const REMEMBERED: usize = 3_600;

/// Origins that are named.
#[derive(Debug, Clone)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Whether a request comes from no page, from one of this server, or from one of a named origin. A browser does not name
    /// the origin of a page that merely shows what it asks for, as a picture, but tells that it is another one.
    pub fn admit(&self, request: &HttpRequest) -> bool {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let Some(origin) = text("origin") else {
            let is_foreign = matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"));
            return !is_foreign && !request.headers().contains_key(header::ORIGIN);
        };
        let is_own = origin.split_once("://").map(|(_, host)| host) == text("host");
        is_own || self.0.iter().any(|named| named == origin)
    }

    /// What browsers are told that ask on behalf of pages of other origins.
    pub fn cors(&self) -> Cors {
        let cors = Cors::default()
            .allowed_methods(["GET", "POST"])
            .allow_any_header()
            .expose_headers(["retry-after", "x-request-id"])
            .max_age(REMEMBERED);
        self.0.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn pages_of_this_server_and_of_named_origins_may_ask() {
        let origins = Origins(vec!["https://scv.example.com".to_owned()]);
        let admits = |origin: Option<&str>| {
            let request = TestRequest::get().insert_header((header::HOST, "127.0.0.1:8000"));
            let request = match origin {
                Some(origin) => request.insert_header((header::ORIGIN, origin)),
                None => request,
            };
            origins.admit(&request.to_http_request())
        };
        let shown = |site: &str| {
            let request = TestRequest::get().insert_header(("sec-fetch-site", site));
            origins.admit(&request.to_http_request())
        };
        assert!(shown("same-origin") && shown("none") && !shown("cross-site") && !shown("same-site"));
        assert!(admits(None) && admits(Some("http://127.0.0.1:8000")) && admits(Some("https://scv.example.com")));
        assert!(
            !admits(Some("https://example.com")) && !admits(Some("http://127.0.0.1:9000")) && !admits(Some("null"))
        );
    }
}
