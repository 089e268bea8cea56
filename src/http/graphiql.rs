//! GraphiQL at `/graphiql`: a page for trying queries, embedded in the program, without files from other hosts.
//!
//! `assets/graphiql/README.md` says where the files come from.

use std::sync::LazyLock;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, web};
use sha2::{Digest, Sha256};

use super::get_or_head;

/// The query in the editor when the address does not bring one.
pub const DEFAULT_QUERY: &str = include_str!("../../assets/graphiql/default_query.graphql");

/// Version of GraphiQL, which is part of the address of its files.
const VERSION: &str = "3.9.0";

/// Scripts and requests only from this host, and no inline scripts. Inline styles are allowed because GraphiQL's editor
/// lays itself out with them, and images and fonts in `data:` addresses because its style sheet contains them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// The address of a file changes with its content, so a browser may cache it for ever.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $content_type:literal) => {
        Asset {
            name: $name,
            content_type: $content_type,
            content: include_bytes!(concat!("../../assets/graphiql/", $name)),
        }
    };
}

static ASSETS: [Asset; 7] = [
    asset!("graphiql.min.css", "text/css; charset=utf-8"),
    asset!("graphiql.min.js", "text/javascript; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    asset!("page.css", "text/css; charset=utf-8"),
    asset!("page.js", "text/javascript; charset=utf-8"),
    asset!("react-dom.production.min.js", "text/javascript; charset=utf-8"),
    asset!("react.production.min.js", "text/javascript; charset=utf-8"),
];

/// The folder of the files in addresses, such as `assets/graphiql-3.9.0-1f2e3d4c`. It contains the start of the hash of
/// all files in addition to the version, because some files are our own and change within a version.
static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in &ASSETS {
        hash.update(asset.content);
    }
    format!("assets/graphiql-{VERSION}-{}", hex::encode(&hash.finalize()[..4]))
});

static PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("../../assets/graphiql/index.html")
        .replace("{{assets}}", &FOLDER)
        .replace("{{default_query}}", &escape(DEFAULT_QUERY))
});

/// Adds the routes of the page and of its files.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/graphiql", get_or_head().to(page))
        .route(&format!("/{}/{{file}}", *FOLDER), get_or_head().to(file));
}

async fn page() -> HttpResponse {
    response("text/html; charset=utf-8", "no-cache").body(PAGE.as_str())
}

async fn file(name: web::Path<String>) -> HttpResponse {
    match ASSETS.iter().find(|asset| asset.name == name.as_str()) {
        Some(asset) => response(asset.content_type, IMMUTABLE).body(asset.content),
        None => HttpResponse::NotFound().finish(),
    }
}

fn response(content_type: &'static str, cache_control: &'static str) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, cache_control),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use actix_web::dev::ServiceResponse;
    use actix_web::http::StatusCode;
    use actix_web::middleware::from_fn;
    use actix_web::{App, test as server};

    use super::*;
    use crate::http::compression::compress;

    async fn get(path: &str, accept_encoding: &str) -> ServiceResponse<impl actix_web::body::MessageBody + use<>> {
        let app = server::init_service(App::new().wrap(from_fn(compress)).configure(configure)).await;
        let request = server::TestRequest::get()
            .uri(path)
            .insert_header((header::ACCEPT_ENCODING, accept_encoding));
        server::call_service(&app, request.to_request()).await
    }

    fn header_of<B>(response: &ServiceResponse<B>, name: header::HeaderName) -> &str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or(""))
    }

    /// The values of `href` and `src` in the page.
    fn references() -> Vec<String> {
        let attributes = ["href=\"", "src=\""];
        let parts = attributes.iter().flat_map(|attribute| PAGE.split(attribute).skip(1));
        parts
            .filter_map(|part| part.split('"').next())
            .map(str::to_owned)
            .collect()
    }

    #[actix_web::test]
    async fn the_page_is_at_its_address() {
        let response = get("/graphiql?query=%7B%20serverInfo%20%7D", "identity").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header_of(&response, header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(header_of(&response, header::CACHE_CONTROL), "no-cache");
        let policy = header_of(&response, header::CONTENT_SECURITY_POLICY).to_owned();
        assert!(policy.contains("default-src 'self'") && !policy.contains("script-src"));
        let body = server::read_body(response).await;
        assert!(String::from_utf8_lossy(&body).contains("query SimilarLayers"));
    }

    #[actix_web::test]
    async fn every_file_the_page_refers_to_exists_with_its_type_and_is_immutable() {
        let references = references();
        assert_eq!(references.len(), ASSETS.len(), "{references:?}");
        for reference in references {
            let response = get(&format!("/{reference}"), "identity").await;
            assert_eq!(response.status(), StatusCode::OK, "{reference}");
            let content_type = match reference.rsplit('.').next() {
                Some("js") => "text/javascript; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                _ => "image/svg+xml",
            };
            assert_eq!(header_of(&response, header::CONTENT_TYPE), content_type, "{reference}");
            assert_eq!(header_of(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert!(header_of(&response, header::CACHE_CONTROL).contains("immutable"));
        }
    }

    #[actix_web::test]
    async fn files_are_compressed_for_clients_that_accept_it() {
        let response = get(&format!("/{}/graphiql.min.js", *FOLDER), "gzip").await;
        assert_eq!(header_of(&response, header::CONTENT_ENCODING), "gzip");
        assert!(server::read_body(response).await.len() < 978_000 / 2);
    }

    #[actix_web::test]
    async fn other_files_are_not_found() {
        for path in ["LICENSES.txt", "..%2findex.html", ""] {
            let response = get(&format!("/{}/{path}", *FOLDER), "identity").await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn the_page_refers_to_no_other_host_and_has_no_inline_script() {
        let ours = [PAGE.as_str(), include_str!("../../assets/graphiql/page.js")];
        for text in ours {
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"));
        }
        assert!(
            PAGE.split("<script")
                .skip(1)
                .all(|script| script.starts_with(" src=") && script.contains("></script>"))
        );
    }

    #[test]
    fn the_style_sheet_loads_nothing() {
        let css = include_str!("../../assets/graphiql/graphiql.min.css");
        assert!(!css.contains("@import"));
        assert!(css.split("url(").skip(1).all(|address| address.starts_with("data:")));
    }

    #[test]
    fn the_readme_has_the_hashes_of_all_files_from_packages() {
        let readme = include_str!("../../assets/graphiql/README.md");
        for asset in &ASSETS {
            let hash = hex::encode(Sha256::digest(asset.content));
            let taken = asset.name.contains(".min.");
            assert_eq!(readme.contains(&hash), taken, "{}: {hash}", asset.name);
        }
        assert!(readme.contains(&format!("`graphiql` {VERSION}")));
    }
}
