//! The search index, made anew while it is in use.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::client::text;
use crate::support::networks::{first_weights, small_cnn};
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

/// Names of the indexes over sketches, and whether each is in use.
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
        .pushed(&model, small_cnn(), first_weights(&small_cnn(), seed))
        .await;
}

#[tokio::test]
async fn an_index_is_made_anew_and_what_was_left_half_made_is_cleared_away() {
    let server = Server::start().await;
    push(&server, "a", 1).await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    let before = indexes(&mut database).await;
    assert_eq!(before.len(), 2);
    // What is left when the connection is lost in the middle.
    let partition: String =
        sqlx::query_scalar("select inhrelid::regclass::text from pg_inherits where inhparent = 'sketch'::regclass")
            .fetch_one(&mut database)
            .await
            .unwrap();
    for statement in [
        format!("create index half_made on {partition} using hnsw (cka_sketch halfvec_l2_ops)"),
        "update pg_index set indisvalid = false where indexrelid = 'half_made'::regclass".to_owned(),
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
    assert_eq!(indexes(&mut database).await, before, "the same two, both in use");
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
async fn an_index_is_made_by_one_at_a_time() {
    let server = Server::start().await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    sqlx::query("select pg_advisory_lock(hashtext('scv search index'))")
        .execute(&mut database)
        .await
        .unwrap();

    let (code, message) = server.api.error(REBUILD, json!({ "id": id })).await;

    assert_eq!(code, "CONFLICT");
    assert!(message.contains("being made already"), "{message}");
    database.close().await.unwrap();
    let (code, _) = server.api.error(REBUILD, json!({ "id": missing_probe_set() })).await;
    assert_eq!(code, "NOT_FOUND");
    server.stop().await.unwrap();
}

fn missing_probe_set() -> Value {
    use scv::graphql::id::GlobalId as _;
    json!(scv_domain::id::ProbeSetId(999).encode().0)
}
