//! What the specification says about documents and variables.

use serde_json::{Value, json};

use super::{events, post};
use crate::support::client::Client;
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

async fn response(api: &Client, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables });
    let response = post(api, "application/json", &body).await;
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_variable_without_a_value_leaves_its_argument_to_the_default() {
    let server = Server::start().await;
    let api = &server.api;
    api.model("m").await;
    let query = "query($first: Int, $deleted: Boolean, $tags: [String!], $field: ModelOrderField) {
        models(first: $first, filter: { deleted: $deleted, tags: $tags }, orderBy: { field: $field }) { totalCount } }";
    let left_out = response(api, query, json!({})).await;
    assert_eq!(left_out, json!({ "data": { "models": { "totalCount": 1 } } }));
    let given = response(api, query, json!({ "deleted": true })).await;
    assert_eq!(given, json!({ "data": { "models": { "totalCount": 0 } } }));
    // Null is a value, and the argument allows none.
    for name in ["deleted", "tags", "field"] {
        let null = response(api, query, json!({ name: null })).await;
        assert_eq!(null.get("data"), Some(&Value::Null), "{name}: {null:#}");
        assert_eq!(null["errors"][0]["path"], json!(["models"]), "{name}: {null:#}");
        assert_eq!(
            null["errors"][0]["extensions"]["code"], "BAD_USER_INPUT",
            "{name}: {null:#}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn variables_are_coerced_to_their_types() {
    let server = Server::start().await;
    let api = &server.api;
    let id = api.model("m").await;
    for (types, query, variables, is_right) in [
        ("$a: Int", "models(first: $a) { totalCount }", json!({ "a": 1 }), true),
        (
            "$a: Int",
            "models(first: $a) { totalCount }",
            json!({ "a": "1" }),
            false,
        ),
        (
            "$a: Int",
            "models(first: $a) { totalCount }",
            json!({ "a": 1.5 }),
            false,
        ),
        (
            "$a: Int",
            "models(first: $a) { totalCount }",
            json!({ "a": true }),
            false,
        ),
        (
            "$a: Int",
            "models(first: $a) { totalCount }",
            json!({ "a": 3_000_000_000_u32 }),
            false,
        ),
        ("$a: Int!", "models(first: $a) { totalCount }", json!({}), false),
        (
            "$a: Int!",
            "models(first: $a) { totalCount }",
            json!({ "a": null }),
            false,
        ),
        (
            "$a: ModelFilter",
            "models(filter: $a) { totalCount }",
            json!({ "a": { "tags": "one" } }),
            true,
        ),
        (
            "$a: ModelFilter",
            "models(filter: $a) { totalCount }",
            json!({ "a": { "tags": [null] } }),
            false,
        ),
        (
            "$a: ModelFilter",
            "models(filter: $a) { totalCount }",
            json!({ "a": { "nope": 1 } }),
            false,
        ),
        (
            "$a: ModelFilter",
            "models(filter: $a) { totalCount }",
            json!({ "a": [] }),
            false,
        ),
        (
            "$a: ModelFilter",
            "models(filter: $a) { totalCount }",
            json!({ "a": { "minAccuracy": 1 } }),
            true,
        ),
        (
            "$a: ModelFilter",
            "models(filter: $a) { totalCount }",
            json!({ "a": { "minAccuracy": "1" } }),
            false,
        ),
        (
            "$a: ModelOrder",
            "models(orderBy: $a) { totalCount }",
            json!({ "a": { "field": "NAME" } }),
            true,
        ),
        (
            "$a: ModelOrder",
            "models(orderBy: $a) { totalCount }",
            json!({ "a": { "field": "name" } }),
            false,
        ),
        ("$a: ID!", "model(id: $a) { name }", json!({ "a": id }), true),
        ("$a: ID!", "model(id: $a) { name }", json!({ "a": 1.5 }), false),
        ("$a: ID!", "model(id: $a) { name }", json!({ "a": [] }), false),
    ] {
        let query = format!("query({types}) {{ {query} }}");
        let found = response(api, &query, variables.clone()).await;
        assert_eq!(found.get("errors").is_none(), is_right, "{query} {variables} {found:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_field_of_a_subscription_may_come_through_a_fragment_and_is_the_only_one() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
    let events = async |query: &str| events(api, &json!({ "query": query, "variables": { "id": job } })).await;
    let through_fragments = events(
        "subscription($id: ID!) { ... { ...a } } fragment a on Subscription { ...b } fragment b on Subscription { job(id: $id) { ...c } } \
         fragment c on Job { status }",
    )
    .await;
    assert!(through_fragments.contains("\"SUCCEEDED\""), "{through_fragments}");
    for refused in [
        "subscription($id: ID!) { a: job(id: $id) { status } b: job(id: $id) { status } }",
        "subscription($id: ID!) { ...f } fragment f on Subscription { a: job(id: $id) { status } b: job(id: $id) { status } }",
        "subscription($id: ID!) { job(id: $id) @include(if: true) { status } }",
    ] {
        let events = events(refused).await;
        assert!(
            events.starts_with("event: next\ndata: {\"errors\":["),
            "{refused}: {events}"
        );
        assert!(
            events.contains("BAD_USER_INPUT") && events.contains("locations"),
            "{refused}: {events}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_document_that_violates_the_specification_is_refused_where_it_does() {
    let server = Server::start().await;
    let query = "{\n  models(filter: { tags: [\"none\"], tags: [] }) { totalCount }\n}";
    let found = response(&server.api, query, json!({})).await;
    let expected = json!({ "errors": [{
        "message": "the input field `tags` is given twice: give it once",
        "locations": [{ "line": 2, "column": 36 }],
        "extensions": { "code": "BAD_USER_INPUT" },
    }] });
    assert_eq!(found, expected);
    server.stop().await.unwrap();
}
