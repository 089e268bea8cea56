//! The audit log: who changed what.

use scv_domain::access::AuditRetention;
use scv_store::{Store, StoreSettings};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;

use super::{document, response};
use crate::support::client::{self, first_error};
use crate::support::server::Server;
use crate::support::socket::Subscription;

/// The entries of an account, with some fields.
async fn entries_of(server: &Server, account: &str, fields: &str) -> Vec<Value> {
    let log = format!("{{ auditLog {{ nodes {{ {fields} }} }} }}");
    let log = server.api.data(&log, json!({})).await["auditLog"]["nodes"].take();
    let entries = log.as_array().unwrap().iter();
    entries.filter(|entry| entry["account"] == account).cloned().collect()
}

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
    let of_reader = entries_of(&server, "reader", "account mutation input code").await;
    let expected =
        json!({ "account": "reader", "mutation": "createModel", "input": { "name": "m" }, "code": "FORBIDDEN" });
    assert_eq!(of_reader, [expected]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_mutations_all_fail_has_one_entry() {
    let server = Server::start().await;
    let reader = server.api.as_account("reader", "READ").await;
    let many: String = (0..32)
        .map(|index| format!("m{index}: createModel(input: {{ name: \"n{index}\" }}) {{ model {{ id }} }} "))
        .collect();
    // Only the first one is executed: it cannot be null, so its error is that of the whole response.
    assert_eq!(
        reader.error(&format!("mutation {{ {many} }}"), json!({})).await.0,
        "FORBIDDEN"
    );
    let of_reader = entries_of(&server, "reader", "account input code furtherFailures").await;
    assert_eq!(of_reader.len(), 1, "{of_reader:#?}");
    assert_eq!(
        (&of_reader[0]["input"], &of_reader[0]["code"]),
        (&json!({ "name": "n0" }), &json!("FORBIDDEN"))
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_change_without_its_entry() {
    let server = Server::start().await;
    server
        .execute("alter table audit_entry add constraint no_model check (mutation <> 'createModel')")
        .await;
    let create = "mutation { createModel(input: { name: \"m\" }) { model { id } } }";
    assert_eq!(server.api.error(create, json!({})).await.0, "INTERNAL");
    let found = server.api.data("{ model(name: \"m\") { id } }", json!({})).await;
    assert_eq!(found["model"], Value::Null);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_entries_are_removed_and_failures_do_not_displace_changes() {
    let server = Server::start().await;
    server
        .execute(
            "insert into audit_entry (at, mutation, input, code)
             select now() - make_interval(days => case when number <= 10 then 40 else 0 end), 'm' || number, '{}',
                    case when number % 10 > 0 then 'FORBIDDEN' end
               from generate_series(1, 100) as number",
        )
        .await;
    let options: PgConnectOptions = server.config.database_url.as_deref().unwrap().parse().unwrap();
    let store = Store::connect(options, StoreSettings::for_writing(1)).await.unwrap();
    let retention = AuditRetention { days: 30, entries: 5 };
    assert_eq!(store.trim_audit_log(retention).await.unwrap(), 90);
    let log = "{ auditLog(first: 100) { nodes { mutation code } } }";
    let log = server.api.data(log, json!({})).await["auditLog"]["nodes"].take();
    let names = |is_change: bool| -> Vec<&str> {
        let entries = log.as_array().unwrap().iter();
        entries
            .filter(|entry| entry["code"].is_null() == is_change)
            .map(|entry| entry["mutation"].as_str().unwrap())
            .collect()
    };
    assert_eq!(names(true), ["m100", "m90", "m80", "m70", "m60"]);
    assert_eq!(names(false), ["m99", "m98", "m97", "m96", "m95"]);
    assert_eq!(store.trim_audit_log(retention).await.unwrap(), 0);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_the_address_of_the_client_is_recorded() {
    for (proxy, expected) in [("127.0.0.0/8", "198.51.100.7"), ("10.0.0.0/8", "127.0.0.1")] {
        let server = Server::with(|config| config.trusted_proxies = vec![proxy.parse().unwrap()]).await;
        let create = "mutation { createModel(input: { name: \"m\" }) { model { id } } }";
        let request = client::http().post(format!("{}/graphql", server.api.url));
        let request = request.header("x-forwarded-for", "203.0.113.9, 198.51.100.7");
        let response = request.json(&json!({ "query": create })).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let log = server
            .api
            .data("{ auditLog(first: 1) { nodes { address } } }", json!({}))
            .await;
        assert_eq!(log["auditLog"]["nodes"][0]["address"], expected);
        server.stop().await.unwrap();
    }
}
