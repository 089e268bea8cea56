//! Replacing the sketches of a probe set while they are used.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

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

/// The keys of all bases, and those of the partitions with their sketches.
async fn bases(database: &mut PgConnection) -> (Vec<i64>, Vec<i64>) {
    let keys = "select basis_id from sketch_basis order by basis_id";
    let partitions = "select substring(relname from '[0-9]+$')::bigint as key
                        from pg_class
                       where relkind = 'r'
                         and relname like 'layer_sketch_%'
                       order by key";
    (
        sqlx::query_scalar(keys).fetch_all(&mut *database).await.unwrap(),
        sqlx::query_scalar(partitions).fetch_all(database).await.unwrap(),
    )
}

async fn push(server: &Server, name: &str, seed: u64) {
    let model = server.api.model(name).await;
    server
        .api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await;
}

#[tokio::test]
async fn sketches_are_replaced_and_what_an_interrupted_replacement_left_is_removed() {
    let server = Server::start().await;
    push(&server, "a", 1).await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    // What a server leaves that was killed while it wrote sketches, and one that was killed before it dropped the old ones.
    for statement in [
        "insert into sketch_basis (probe_set_id, state, layer_count, debiased_directions, cka_directions, debiased_rest,
                                   cka_rest, debiased_rest_cosine, cka_rest_cosine)
              select probe_set_id, 'BUILDING', 0, '', '', 1, 1, 1, 1 from sketch_basis",
        "select create_sketch_partition(basis_id) from sketch_basis where state = 'BUILDING'",
        "select create_sketch_partition(999)",
    ] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    // Layers that are written meanwhile get sketches of both.
    push(&server, "between", 3).await;
    let sketches = "select count(*) from layer_sketch group by basis_id order by basis_id";
    let sketches: Vec<i64> = sqlx::query_scalar(sketches).fetch_all(&mut database).await.unwrap();
    assert_eq!(sketches, [14, 7]);

    let rebuilt = server.api.data(REBUILD, json!({ "id": id })).await["rebuildSearchIndex"].take();

    assert_eq!(
        (&rebuilt["probeSet"]["id"], &rebuilt["layerCount"]),
        (&json!(id), &json!(14))
    );
    assert!(rebuilt["byteCount"].as_i64().unwrap() > 0);
    let (keys, partitions) = bases(&mut database).await;
    assert_eq!((keys.len(), &partitions), (1, &keys));
    push(&server, "b", 2).await;
    let query = "{ model(name: \"a\") { version(alias: \"latest\") { layers(first: 1) { nodes { similar { totalCount } } } } } }";
    let found = server.api.data(query, json!({})).await;
    assert_eq!(
        found["model"]["version"]["layers"]["nodes"][0]["similar"]["totalCount"],
        14
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn sketches_are_replaced_by_one_caller_at_a_time() {
    let server = Server::start().await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    sqlx::query("select pg_advisory_lock(hashtext('scv sketch basis'))")
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
