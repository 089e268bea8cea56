//! Requests of pages of other sites.

use reqwest::Method;
use serde_json::{Value, json};

use super::request;
use crate::support::client::{self, first_error};
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

#[tokio::test]
async fn an_upload_without_a_preflight_header_is_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let input = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron(), "weights": null });
    let query = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { job { id } } }";
    let operations = json!({ "query": query, "variables": { "input": input } });
    let form = || {
        reqwest::multipart::Form::new()
            .text("operations", operations.to_string())
            .text("map", r#"{"0":["variables.input.weights"]}"#)
            .part(
                "0",
                reqwest::multipart::Part::bytes(initial_weights(&perceptron(), 1)).file_name("weights"),
            )
    };
    let forged = request(api, Method::POST).multipart(form()).send().await.unwrap();
    assert_eq!(forged.status(), 400);
    let (code, message) = first_error(&forged.json().await.unwrap());
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("add `GraphQL-Preflight: 1`"), "{message}");
    let count = "query($id: ID!) { model(id: $id) { versions { totalCount } } }";
    let left = api.data(count, json!({ "id": model })).await;
    assert_eq!(left["model"]["versions"]["totalCount"], 0);

    for name in ["graphql-preflight", "apollo-require-preflight", "x-requested-with"] {
        let sent = request(api, Method::POST).header(name, "yes").multipart(form());
        let response: Value = sent.send().await.unwrap().json().await.unwrap();
        assert!(response.get("errors").is_none(), "{name}: {response:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn only_pages_of_allowed_origins_open_sockets_and_read_responses() {
    let allowed_origin = "https://scv.example.com";
    let server = Server::with(|config| config.allowed_origins = vec![allowed_origin.to_owned()]).await;
    let own = server.api.url.clone();
    let query = format!("{own}/graphql?query=%7B__typename%7D");
    for (origin, status_of_socket, may_read) in [
        (own.as_str(), 101, false),
        (allowed_origin, 101, true),
        ("https://example.com", 403, false),
        ("null", 403, false),
    ] {
        let socket = client::http()
            .get(format!("{own}/graphql/ws"))
            .header("origin", origin)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "graphql-transport-ws");
        assert_eq!(socket.send().await.unwrap().status(), status_of_socket, "{origin}");
        let sent = request(&server.api, Method::POST)
            .header("origin", origin)
            .json(&json!({ "query": "{ serverInfo { version } }" }));
        let response = sent.send().await.unwrap();
        let allowed = response.headers().get("access-control-allow-origin");
        assert_eq!(allowed.is_some_and(|allowed| allowed == origin), may_read, "{origin}");
        // The preflight that a browser sends before requests that are not simple.
        let preflight = request(&server.api, Method::OPTIONS)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,graphql-preflight",
            );
        let response = preflight.send().await.unwrap();
        let allowed = response.headers().get("access-control-allow-headers");
        let allowed = allowed.map_or("", |allowed| allowed.to_str().unwrap()).to_lowercase();
        let is_allowed = ["authorization", "content-type", "graphql-preflight"]
            .iter()
            .all(|header| allowed.contains(header));
        assert_eq!(is_allowed, may_read, "{origin}: {allowed}");
        // A browser sends a GET request for an embedded resource without a preflight, so the server does not execute
        // one of a foreign page.
        let sent = client::http().get(&query).header("origin", origin);
        let status = sent.send().await.unwrap().status();
        assert_eq!(status == 200, status_of_socket == 101, "{origin}");
    }
    let embedded = client::http().get(&query).header("sec-fetch-site", "cross-site");
    let embedded = embedded.send().await.unwrap();
    assert_eq!(embedded.status(), 403);
    server.stop().await.unwrap();
}
