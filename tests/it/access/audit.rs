//! The audit log: who changed what.

use serde_json::{Value, json};

use super::{document, response};
use crate::support::client::{self, first_error};
use crate::support::server::Server;
use crate::support::socket::Subscription;

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_records_each_mutation_with_its_caller_and_outcome() {
    let server = Server::start().await;
    let (admin, writer) = (
        server.api.as_account("admin", "ADMIN").await,
        server.api.as_account("w", "WRITE").await,
    );
    writer.model("m").await;
    let twice = "mutation { a: createModel(input: { name: \"n\" }) { model { id } }
                            b: createModel(input: { name: \"n\" }) { model { id } } }";
    assert_eq!(first_error(&response(&writer, twice, json!({})).await).0, "CONFLICT");
    let query = "{ auditLog(first: 3) { totalCount pageInfo { hasNextPage }
                   nodes { account address mutation input code tokenId at } } }";
    let log = admin.data(query, json!({})).await["auditLog"].take();
    let entry = |index: usize| {
        let entry = &log["nodes"][index];
        assert!(entry["tokenId"].is_string() && entry["at"].is_string());
        json!([
            entry["account"],
            entry["address"],
            entry["mutation"],
            entry["input"],
            entry["code"]
        ])
    };
    assert_eq!(
        entry(0),
        json!(["w", "127.0.0.1", "createModel", { "name": "n" }, "CONFLICT"])
    );
    assert_eq!(
        entry(1),
        json!(["w", "127.0.0.1", "createModel", { "name": "n" }, null])
    );
    assert_eq!(
        entry(2),
        json!(["w", "127.0.0.1", "createModel", { "name": "m" }, null])
    );
    // Two tokens were created before.
    assert_eq!(
        (&log["totalCount"], &log["pageInfo"]["hasNextPage"]),
        (&json!(5), &json!(true))
    );
    assert!(
        !admin.data(query, json!({})).await.to_string().contains("scv_"),
        "secrets are not recorded"
    );
    assert_eq!(writer.error(query, json!({})).await.0, "FORBIDDEN");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_mutations_and_those_over_sockets_and_in_batches_are_recorded() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let (reader, writer) = (
        server.api.as_account("r", "READ").await,
        server.api.as_account("w", "WRITE").await,
    );
    let create = |name: &str| format!("mutation {{ createModel(input: {{ name: \"{name}\" }}) {{ model {{ id }} }} }}");
    assert_eq!(reader.error(&create("forbidden"), json!({})).await.0, "FORBIDDEN");
    let mut socket = Subscription::start(&writer, &create("over a socket"), json!({})).await;
    assert!(socket.next().await.unwrap()["data"]["createModel"].is_object());
    let batch = client::http()
        .post(format!("{}/graphql", server.api.url))
        .bearer_auth(writer.token.as_ref().unwrap())
        .json(&json!([{ "query": create("in a batch") }, { "query": "{ __typename }" }]))
        .send();
    let batch: Value = batch.await.unwrap().json().await.unwrap();
    assert!(batch[0]["data"]["createModel"].is_object(), "{batch:#}");

    let query = "{ auditLog(first: 3) { nodes { account mutation input code } } }";
    let log = admin.data(query, json!({})).await["auditLog"]["nodes"].take();
    let entry = |account: &str, name: &str, code: Value| json!({ "account": account, "mutation": "createModel", "input": { "name": name }, "code": code });
    assert_eq!(
        log,
        json!([
            entry("w", "in a batch", Value::Null),
            entry("w", "over a socket", Value::Null),
            entry("r", "forbidden", json!("FORBIDDEN")),
        ])
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_never_executed_are_not_recorded() {
    let server = Server::start().await;
    let reader = server.api.as_account("reader", "READ").await;
    let many: serde_json::Map<String, Value> = (0..1_000).map(|index| (format!("k{index}"), json!(index))).collect();
    for (document, variables) in [
        (
            "mutation($i: CreateModelInput!) { createModel(input: $i) { clientMutationId } }",
            json!({ "i": many }),
        ),
        ("mutation { nothing(input: { name: \"x\" }) { id } }", json!({})),
    ] {
        let (code, _) = reader.error(document, variables).await;
        assert_eq!(code, "BAD_USER_INPUT");
    }
    let (code, _) = reader
        .error(
            &document("createModel"),
            json!({ "input": { "name": "m", "tags": ["t"] } }),
        )
        .await;
    assert_eq!(code, "FORBIDDEN");
    let log = "{ auditLog { nodes { account mutation input code } } }";
    let log = server.api.data(log, json!({})).await["auditLog"]["nodes"].take();
    let of_reader: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["account"] == "reader")
        .collect();
    let expected =
        json!({ "account": "reader", "mutation": "createModel", "input": { "name": "m" }, "code": "FORBIDDEN" });
    assert_eq!(of_reader, [&expected]);
    server.stop().await.unwrap();
}
