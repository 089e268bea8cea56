//! The clients that other people use, and the audits of the specification, against a whole server.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// What a client of `tests/clients` prints, once it has ended well.
async fn run(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/clients");
        Command::new(script).args(arguments).output().unwrap()
    });
    let output = ran.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn every_audit_of_graphql_over_http_passes() {
    let server = Server::start().await;
    let said = run(&["audit", &format!("{}/graphql", server.api.url)]).await;
    assert_eq!(said.trim(), "61 of 61 audits passed");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_keeps_the_rules_of_relay_and_describes_everything() {
    run(&["schema", concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_ws_watches_a_job_to_its_end() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.train(&model, small_cnn(), json!({ "epochs": 2 })).await;
    let said = run(&["socket", &format!("{}/graphql", api.url), &job]).await;
    let seen: Value = serde_json::from_str(&said).unwrap();
    for watcher in ["first", "second"] {
        let last = seen[watcher].as_array().unwrap().last().unwrap();
        assert_eq!(last["data"]["job"]["status"], "SUCCEEDED", "{seen:#}");
    }
    assert!(seen["once"][0]["data"]["serverInfo"]["version"].is_string(), "{seen:#}");
    assert!(seen["refused"].to_string().contains("BAD_USER_INPUT"), "{seen:#}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_sse_watches_a_job_to_its_end() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.push(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    let said = run(&["events", &format!("{}/graphql", api.url), &job]).await;
    let seen: Value = serde_json::from_str(&said).unwrap();
    let last = seen["watched"].as_array().unwrap().last().unwrap();
    assert_eq!(last["data"]["job"]["status"], "SUCCEEDED", "{seen:#}");
    assert!(seen["once"][0]["data"]["serverInfo"]["version"].is_string(), "{seen:#}");
    assert!(seen["refused"].to_string().contains("BAD_USER_INPUT"), "{seen:#}");
    server.stop().await.unwrap();
}
