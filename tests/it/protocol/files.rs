//! Uploaded and downloaded files.

use reqwest::Method;
use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{header, request};
use crate::support::client::{self, first_error};
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

#[tokio::test]
async fn the_number_of_files_per_request_is_limited() {
    let server = Server::with(|config| config.limits.files = 1).await;
    let send = async |parts: usize, map: &str| {
        let mut form = reqwest::multipart::Form::new()
            .text("operations", r#"{"query":"{ serverInfo { version } }"}"#)
            .text("map", map.to_owned());
        for part in 0..parts {
            let file = reqwest::multipart::Part::bytes(vec![0; 10]).file_name("file");
            form = form.part(part.to_string(), file);
        }
        let request = request(&server.api, Method::POST).header("graphql-preflight", "1");
        let response = request.multipart(form).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(send(1, "{}").await.0, 200);
    let (status, response) = send(2, "{}").await;
    let (code, message) = first_error(&response);
    assert_eq!((status, code.as_str()), (413, "PAYLOAD_TOO_LARGE"), "{message}");
    assert!(message.contains("more than 1 files"), "{message}");
    for (map, words) in [
        (
            r#"{"0":["variables.a","variables.b"]}"#,
            "lists 2 variables; the limit is 1",
        ),
        (r#"{"7":["variables.a"]}"#, "a file `7`, which is missing"),
        (
            r#"{"0":["variables.a"]}"#,
            "`map` lists \"variables.a\" for the file `0`",
        ),
        (r#"{"0":["a"]}"#, "write the path of a variable"),
        ("[]", "`map` must name the variables"),
    ] {
        let (status, response) = send(1, map).await;
        assert_eq!(status, 400);
        assert!(first_error(&response).1.contains(words), "{response:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn files_of_a_request_that_is_refused_anyway_are_not_read() {
    let server = Server::with(|config| config.limits.upload_bytes = 1_000).await;
    let reader = server.api.as_account("reader", "READ").await;
    let large = vec![0; 2_000];
    let input = json!({ "input": { "modelId": "TW9kZWw6MQ", "dataset": "digits", "weights": null } });
    let create = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { job { id } } }";
    let invalid = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { nothing } }";
    for (api, document, expected) in [
        (&server.api, create, "PAYLOAD_TOO_LARGE"),
        (&reader, create, "FORBIDDEN"),
        (&server.api, invalid, "BAD_USER_INPUT"),
    ] {
        let response = api
            .upload(document, input.clone(), &[("input.weights", &large)])
            .await
            .unwrap();
        assert_eq!(first_error(&response).0, expected, "{response:#}");
    }
    let log = "{ auditLog(first: 1) { nodes { account mutation code } } }";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let expected = json!([{ "account": "reader", "mutation": "createVersion", "code": "FORBIDDEN" }]);
    while server.api.data(log, json!({})).await["auditLog"]["nodes"] != expected {
        assert!(std::time::Instant::now() < end, "the refusal is not recorded");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn responses_say_how_long_they_may_be_cached() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let version = api
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    for (path, expected) in [
        ("/graphql?query=%7B__typename%7D".to_owned(), "private, no-cache"),
        (format!("/cka/{version}/{version}.svg"), "private, max-age=3600"),
        (
            format!("/versions/{version}/weights.safetensors"),
            "private, max-age=31536000, immutable",
        ),
    ] {
        let response = api.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, CACHE_CONTROL), expected, "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
    // A file is sent in chunks, but its length is known.
    let path = format!("{}/versions/{version}/weights.safetensors", api.url);
    let head = client::http().head(&path).send().await.unwrap();
    let length: usize = header(&head, CONTENT_LENGTH).parse().unwrap();
    assert_eq!(reqwest::get(&path).await.unwrap().bytes().await.unwrap().len(), length);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_head_request_for_a_plot_has_its_headers_and_no_body() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let version = api.train_and_wait(&model, perceptron(), json!({ "epochs": 1 })).await;
    let address = format!("{}/trainings/{version}.svg", api.url);
    let head = client::http().head(address).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, CONTENT_TYPE)),
        (200, "image/svg+xml")
    );
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    server.stop().await.unwrap();
}
