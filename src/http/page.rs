//! The web page: its files are embedded in the program.
//!
//! `scripts/web` builds them from `web`. A program that was compiled without them says so in the page's place.

use std::borrow::Cow;

use actix_web::http::Method;
use actix_web::http::header::{self, ContentEncoding, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::RustEmbed;

use super::compression::accepted_encoding;
use super::get_or_head;

/// The files of the page.
#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Bundle;

/// The page itself.
const INDEX: &str = "index.html";

/// The documents that the page sends, by their hashes.
const DOCUMENTS: &str = "documents.json";

/// What stands in the page's place in a program without it.
const WITHOUT_BUNDLE: &str = include_str!("../../assets/without_page.html");

/// Scripts and requests only from this host, and no inline scripts. Elements are laid out with inline styles, and pictures may be
/// in `data:` and `blob:` addresses.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The name of a file changes with its content, so a browser may cache it for ever.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

const REVALIDATE: &str = "no-cache";

/// Adds the routes of the page's files and of its front. Its other addresses reach [`page`] as those that no route has.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/", get_or_head().to(page))
        .route("/icon.svg", get_or_head().to(icon))
        .route("/assets/page/{file}", get_or_head().to(file));
}

/// Whether a request is that of a browser for a page. The page's own addresses are known to it alone.
pub fn is_navigation(request: &HttpRequest) -> bool {
    let accepts = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    matches!(*request.method(), Method::GET | Method::HEAD) && accepts.is_some_and(|types| types.contains("text/html"))
}

/// The page, which shows what its address says.
pub async fn page(request: HttpRequest) -> HttpResponse {
    let index = front(Bundle::get(INDEX).map(|index| index.data));
    response(&request, INDEX, index, REVALIDATE)
}

/// What stands at the front: the page, if it is there.
fn front(index: Option<Cow<'static, [u8]>>) -> Cow<'static, [u8]> {
    index.unwrap_or(Cow::Borrowed(WITHOUT_BUNDLE.as_bytes()))
}

/// The documents that the page sends, by their hashes: a JSON object, if the page is there.
pub fn documents() -> Option<Cow<'static, [u8]>> {
    Bundle::get(DOCUMENTS).map(|file| file.data)
}

async fn icon(request: HttpRequest) -> HttpResponse {
    serve(&request, "icon.svg", REVALIDATE)
}

async fn file(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    serve(&request, &format!("assets/page/{name}"), IMMUTABLE)
}

fn serve(request: &HttpRequest, path: &str, cache_control: &'static str) -> HttpResponse {
    match Bundle::get(path) {
        Some(file) => response(request, path, file.data, cache_control),
        None => HttpResponse::NotFound().finish(),
    }
}

/// A file, as it was compressed when the page was built, if the client accepts that.
fn response(
    request: &HttpRequest,
    path: &str,
    content: Cow<'static, [u8]>,
    cache_control: &'static str,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, cache_control),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
    let accepts_brotli = accepted_encoding(request) == Some(ContentEncoding::Brotli);
    match Bundle::get(&format!("{path}.br")).filter(|_| accepts_brotli) {
        Some(compressed) => response
            .insert_header(ContentEncoding::Brotli)
            .body(compressed.data.into_owned()),
        None => response.body(content.into_owned()),
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::dev::ServiceResponse;
    use actix_web::http::StatusCode;
    use actix_web::middleware::from_fn;
    use actix_web::{App, test as server};

    use super::*;
    use crate::http::compression::compress;
    use crate::http::not_found::not_found;

    async fn get(
        path: &str,
        accept: &str,
        encoding: &str,
    ) -> ServiceResponse<impl actix_web::body::MessageBody + use<>> {
        let app = App::new()
            .wrap(from_fn(compress))
            .configure(configure)
            .default_service(web::to(not_found));
        let request = server::TestRequest::get()
            .uri(path)
            .insert_header((header::ACCEPT, accept))
            .insert_header((header::ACCEPT_ENCODING, encoding));
        server::call_service(&server::init_service(app).await, request.to_request()).await
    }

    async fn text(response: ServiceResponse<impl actix_web::body::MessageBody>) -> String {
        let body = server::read_body(response).await;
        String::from_utf8_lossy(&body).into_owned()
    }

    fn header_of<B>(response: &ServiceResponse<B>, name: header::HeaderName) -> String {
        let value = response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap_or("")).to_owned()
    }

    /// The scripts and style sheets that the page begins with. None in a program without the page.
    async fn references() -> Vec<String> {
        let index = text(get("/", "text/html", "identity").await).await;
        let attributes = ["href=\"", "src=\""];
        let parts = attributes.iter().flat_map(|attribute| index.split(attribute).skip(1));
        let references = parts.filter_map(|part| part.split('"').next());
        references
            .filter(|reference| reference.starts_with("/assets/"))
            .map(str::to_owned)
            .collect()
    }

    #[actix_web::test]
    async fn a_browser_gets_the_page_at_any_address_and_other_clients_the_list_of_paths() {
        let front = text(get("/", "text/html", "identity").await).await;
        assert!(front.contains("<title>SCV</title>"), "{front}");
        for path in ["/models/plain/versions/1", "/nothing"] {
            let response = get(path, "text/html,application/xhtml+xml", "identity").await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header_of(&response, header::CACHE_CONTROL), "no-cache");
            let policy = header_of(&response, header::CONTENT_SECURITY_POLICY);
            assert!(policy.contains("default-src 'self'") && !policy.contains("script-src"));
            assert_eq!(text(response).await, front, "{path}");
            assert_eq!(get(path, "*/*", "identity").await.status(), StatusCode::NOT_FOUND);
        }
    }

    #[actix_web::test]
    async fn files_are_immutable_and_come_compressed() {
        for reference in references().await {
            let plain = get(&reference, "*/*", "identity").await;
            assert_eq!(plain.status(), StatusCode::OK, "{reference}");
            assert!(
                header_of(&plain, header::CACHE_CONTROL).contains("immutable"),
                "{reference}"
            );
            let plain = server::read_body(plain).await;
            let compressed = get(&reference, "*/*", "gzip, br").await;
            // What fits into a packet would not gain.
            let is_small = plain.len() < 1_400;
            let encoding = header_of(&compressed, header::CONTENT_ENCODING);
            assert_eq!(encoding, if is_small { "" } else { "br" }, "{reference}");
            let compressed = server::read_body(compressed).await;
            assert!(is_small || compressed.len() < plain.len() / 2, "{reference}");
        }
        assert_eq!(
            get("/assets/page/none.js", "*/*", "br").await.status(),
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn a_program_without_the_page_says_how_to_build_it_and_leads_to_graphiql() {
        let front = front(None);
        let front = String::from_utf8_lossy(&front);
        assert!(
            front.contains("scripts/web") && front.contains("href=\"/graphiql\""),
            "{front}"
        );
    }
}
