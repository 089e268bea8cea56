//! Permanent deletion of versions.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::client::{Client, text};
use crate::support::insight::{find_exemplars, layer_ids, push_digits, synthesize_and_wait};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

const DELETE: &str = "mutation($id: ID!) { deleteVersion(input: { id: $id }) {
    deletedVersionId model { id versions { totalCount } } } }";

/// Tables with rows of versions.
const TABLES: [&str; 11] = [
    "channel_exemplars",
    "confident_mistake",
    "confusion_cell",
    "degenerate_layer",
    "evaluation",
    "job",
    "layer",
    "layer_sketch",
    "layer_vector",
    "synthesis",
    "version",
];

/// The number of rows of each table.
async fn row_counts(database: &mut PgConnection) -> [i64; TABLES.len()] {
    let mut counts = [0; TABLES.len()];
    for (count, table) in counts.iter_mut().zip(TABLES) {
        let query = format!("select count(*) from {table}");
        *count = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut *database)
            .await
            .unwrap();
    }
    counts
}

/// The number of hits of a layer.
async fn hits(api: &Client, layer: &str) -> Value {
    let query = "query($id: ID!) { layer(id: $id) { similar(first: 1) { totalCount } } }";
    api.data(query, json!({ "id": layer })).await["layer"]["similar"]["totalCount"].take()
}

#[tokio::test]
async fn a_deleted_version_is_gone_with_its_layers_hits_evaluations_images_and_jobs() {
    let server = Server::start().await;
    let api = &server.api;
    let url = server.config.database_url.as_deref().unwrap();
    let mut database = PgConnection::connect(url).await.unwrap();
    let (_, remaining_layers) = push_digits(api).await;
    let before = row_counts(&mut database).await;
    let model = api.model("deleted").await;
    let weights = initial_weights(&small_cnn(), 2);
    let (version, job) = api.try_push(&model, small_cnn(), weights).await.unwrap();
    api.wait_for_success(&job).await;
    find_exemplars(api, &version).await;
    let synthesis = synthesize_and_wait(api, &version, json!({ "class": 1 }), json!({ "steps": 1 })).await;
    let layers = layer_ids(api, &version).await;
    assert_eq!(hits(api, &remaining_layers[4]).await, 7);
    let evaluation = "query($id: ID!) { version(id: $id) { evaluation { imageCount } } }";
    let evaluation = api.data(evaluation, json!({ "id": version })).await;
    assert_eq!(evaluation["version"]["evaluation"]["imageCount"], 355);

    let deleted = api.data(DELETE, json!({ "id": version })).await["deleteVersion"].take();

    assert_eq!(
        deleted,
        json!({ "deletedVersionId": version, "model": { "id": model, "versions": { "totalCount": 0 } } })
    );
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let ids = json!([version, job, layers[0], synthesis["id"]]);
    let found = api.data(nodes, json!({ "ids": ids })).await;
    assert_eq!(found["nodes"], json!([null, null, null, null]));
    assert_eq!(hits(api, &remaining_layers[4]).await, 0);
    let jobs = "query($id: ID!) { jobs(filter: { versionId: $id }) { totalCount } }";
    let jobs = api.data(jobs, json!({ "id": version })).await;
    assert_eq!(jobs["jobs"]["totalCount"], 0);
    assert_eq!(row_counts(&mut database).await, before, "{TABLES:?}");
    let (code, message) = api.error(DELETE, json!({ "id": version })).await;
    assert_eq!(code, "NOT_FOUND", "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_number_of_a_deleted_version_is_not_used_again() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let push = async |seed: u64| {
        let weights = initial_weights(&perceptron(), seed);
        api.push_and_wait(&model, perceptron(), weights).await
    };
    push(1).await;
    let second = push(2).await;
    let deleted = api.data(DELETE, json!({ "id": second })).await;
    assert_eq!(deleted["deleteVersion"]["model"]["versions"]["totalCount"], 1);
    push(3).await;
    let query = "{ model(name: \"m\") { versions { nodes { number } } second: version(number: 2) { id }
                   latest: version(alias: \"latest\") { number } } }";
    let found = api.data(query, json!({})).await["model"].take();
    assert_eq!(found["versions"]["nodes"], json!([{ "number": 1 }, { "number": 3 }]));
    assert_eq!(
        (&found["second"], &found["latest"]["number"]),
        (&Value::Null, &json!(3))
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_version_with_a_queued_or_running_job_cannot_be_deleted() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let ready = api
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let running = api.endless_job().await;
    let started = api.wait_for_job(&running, |job| job["status"] == "RUNNING").await;
    let queued = api.train(&model, perceptron(), json!({ "epochs": 1 })).await;
    let waiting = api.wait_for_job(&queued, |_| true).await;
    let evaluate = "mutation($id: ID!) { evaluateVersion(input: { versionId: $id }) { job { id } } }";
    let evaluation = api.data(evaluate, json!({ "id": ready })).await;
    let evaluation = text(&evaluation["evaluateVersion"]["job"]["id"]);
    let versions = [text(&started["version"]["id"]), text(&waiting["version"]["id"]), ready];

    for version in &versions {
        let (code, message) = api.error(DELETE, json!({ "id": version })).await;
        assert_eq!(code, "CONFLICT", "{message}");
    }
    let exists = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let found = api.data(exists, json!({ "ids": versions })).await;
    let expected: Vec<_> = versions.iter().map(|id| json!({ "id": id })).collect();
    assert_eq!(found["nodes"], json!(expected));

    for job in [&queued, &evaluation, &running] {
        api.cancel(job).await;
        assert_eq!(api.wait_for_end(job).await["status"], "CANCELLED");
    }
    for version in &versions {
        let deleted = api.data(DELETE, json!({ "id": version })).await;
        assert_eq!(deleted["deleteVersion"]["deletedVersionId"], *version);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_version_is_no_longer_a_duplicate_after_its_original_is_deleted() {
    let server = Server::start().await;
    let api = &server.api;
    let mut versions = Vec::new();
    for name in ["original", "duplicate"] {
        let model = api.model(name).await;
        let weights = initial_weights(&perceptron(), 1);
        versions.push(api.push_and_wait(&model, perceptron(), weights).await);
    }
    let [original, duplicate] = &versions[..] else {
        panic!("{versions:?}")
    };
    let query = "query($id: ID!) { version(id: $id) { status duplicateOf { id } } }";
    let before = api.data(query, json!({ "id": duplicate })).await;
    assert_eq!(before["version"]["duplicateOf"]["id"], *original);

    api.data(DELETE, json!({ "id": original })).await;

    let after = api.data(query, json!({ "id": duplicate })).await;
    assert_eq!(after["version"], json!({ "status": "READY", "duplicateOf": null }));
    server.stop().await.unwrap();
}
