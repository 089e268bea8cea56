//! Server-sent events.

use serde_json::{Value, json};

use super::{events, post};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

#[tokio::test]
async fn subscriptions_and_queries_may_be_received_as_events() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
    let events = async |query: &str| events(api, &json!({ "query": query, "variables": { "id": job } })).await;
    let watched = events("subscription($id: ID!) { job(id: $id) { status } }").await;
    let updates: Vec<Value> = watched
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    assert_eq!(
        updates.last().unwrap()["data"]["job"]["status"],
        "SUCCEEDED",
        "{watched}"
    );
    assert!(watched.ends_with("event: complete\ndata:\n\n"), "{watched}");
    let once = events("query { models { totalCount } }").await;
    assert_eq!(
        once,
        "event: next\ndata: {\"data\":{\"models\":{\"totalCount\":1}}}\n\nevent: complete\ndata:\n\n"
    );
    let refused = events("subscription { nothing }").await;
    assert!(refused.starts_with("event: next\ndata: {\"errors\":[") && refused.ends_with("event: complete\ndata:\n\n"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_ends_because_the_server_shuts_down_is_not_complete() {
    let server = Server::start().await;
    let api = server.api.clone();
    let model = api.model("m").await;
    let job = api.train(&model, small_cnn(), json!({ "epochs": 400 })).await;
    let query = "subscription($id: ID!) { job(id: $id) { status } }";
    let mut response = post(
        &api,
        "text/event-stream",
        &json!({ "query": query, "variables": { "id": job } }),
    )
    .await;
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: next\n"));
    let stopping = tokio::spawn(server.stop());
    let mut rest = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        rest.extend_from_slice(&chunk);
    }
    let rest = String::from_utf8(rest).unwrap();
    assert!(!rest.contains("event: complete"), "{rest}");
    stopping.await.unwrap().unwrap();
}
