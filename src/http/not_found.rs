//! The response to a path that the server does not have.

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse};

use super::page::{is_navigation, page};

/// The paths of the server. Pictures and downloads are left out: their addresses come from the API.
const PATHS: &str = "\
  /          the web page
  /graphiql  GraphiQL, a page for trying queries
  /graphql   the GraphQL API
  /healthz   whether the server needs no restart
  /readyz    whether it can handle requests and jobs
  /metrics   metrics for Prometheus
";

/// Lists the paths that exist. For a browser it is the page, which knows more of them.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    if is_navigation(&request) {
        return page(request).await;
    }
    HttpResponse::NotFound()
        .content_type(ContentType::plaintext())
        .body(format!(
            "this server has nothing at {}. It has:\n{PATHS}",
            request.path()
        ))
}

#[cfg(test)]
mod tests {
    use actix_web::http::{StatusCode, header};
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, web};

    use super::*;

    #[actix_web::test]
    async fn an_unknown_path_is_answered_with_the_paths_that_exist() {
        let app = init_service(App::new().default_service(web::to(not_found))).await;
        let response = call_service(&app, TestRequest::get().uri("/nope").to_request()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let content_type = response.headers().get(header::CONTENT_TYPE);
        assert!(content_type.is_some_and(|found| found == "text/plain; charset=utf-8"));
        let body = read_body(response).await;
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.starts_with("this server has nothing at /nope. It has:\n"),
            "{text}"
        );
        for path in ["/graphiql", "/graphql", "/healthz", "/readyz", "/metrics"] {
            assert!(text.contains(path), "{path}: {text}");
        }
    }
}
