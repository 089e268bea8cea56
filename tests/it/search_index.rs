//! Rebuilding the search index while it is used.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::client::text;
use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;

const REBUILD: &str = "mutation($id: ID!) { rebuildSearchIndex(input: { probeSetId: $id }) {
    probeSet { id } layerCount byteCount } }";

async fn probe_set(server: &Server) -> String {
    let data = server
        .api
        .data("{ dataset(name: \"digits\") { probeSets { id } } }", json!({}))
        .await;
    text(&data["dataset"]["probeSets"][0]["id"])
}

async fn connection(server: &Server) -> PgConnection {
    let url = server.config.database_url.as_deref().unwrap();
    PgConnection::connect(url).await.unwrap()
}

/// The names of the indexes of sketches, and whether each is valid.
async fn indexes(database: &mut PgConnection) -> Vec<(String, bool)> {
    sqlx::query_as(
        "select relname::text, indisvalid from pg_index join pg_class on pg_class.oid = indexrelid
           join pg_am on pg_am.oid = relam and amname = 'hnsw' join pg_inherits on inhrelid = indrelid order by relname",
    )
    .fetch_all(database)
    .await
    .unwrap()
}

async fn push(server: &Server, name: &str, seed: u64) {
    let model = server.api.model(name).await;
    server
        .api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await;
}

#[tokio::test]
async fn an_index_is_rebuilt_and_an_incomplete_one_is_removed() {
    let server = Server::start().await;
    push(&server, "a", 1).await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    let before = indexes(&mut database).await;
    assert_eq!(before.len(), 2);
    // The remainder of a rebuild that lost its connection.
    let partition: String =
        sqlx::query_scalar("select inhrelid::regclass::text from pg_inherits where inhparent = 'sketch'::regclass")
            .fetch_one(&mut database)
            .await
            .unwrap();
    for statement in [
        format!("create index incomplete on {partition} using hnsw (cka_sketch halfvec_l2_ops)"),
        "update pg_index set indisvalid = false where indexrelid = 'incomplete'::regclass".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut database)
            .await
            .unwrap();
    }

    let rebuilt = server.api.data(REBUILD, json!({ "id": id })).await["rebuildSearchIndex"].take();

    assert_eq!(
        (&rebuilt["probeSet"]["id"], &rebuilt["layerCount"]),
        (&json!(id), &json!(7))
    );
    assert!(rebuilt["byteCount"].as_i64().unwrap() > 0);
    assert_eq!(indexes(&mut database).await, before, "the same two indexes, both valid");
    push(&server, "b", 2).await;
    let query = "{ model(name: \"a\") { version(alias: \"latest\") { layers(first: 1) { nodes { similar { totalCount } } } } } }";
    let found = server.api.data(query, json!({})).await;
    assert_eq!(
        found["model"]["version"]["layers"]["nodes"][0]["similar"]["totalCount"],
        7
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_index_is_rebuilt_by_one_caller_at_a_time() {
    let server = Server::start().await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    sqlx::query("select pg_advisory_lock(hashtext('scv search index'))")
        .execute(&mut database)
        .await
        .unwrap();

    let (code, message) = server.api.error(REBUILD, json!({ "id": id })).await;

    assert_eq!(code, "CONFLICT");
    assert!(message.contains("being rebuilt already"), "{message}");
    database.close().await.unwrap();
    let (code, _) = server.api.error(REBUILD, json!({ "id": missing_probe_set() })).await;
    assert_eq!(code, "NOT_FOUND");
    server.stop().await.unwrap();
}

fn missing_probe_set() -> Value {
    use scv_api::id::GlobalId as _;
    json!(scv_domain::id::ProbeSetId(999).encode().0)
}
