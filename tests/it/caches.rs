//! Cached results: never older than the data, even if another server changed it, and computed once.

use serde_json::{Value, json};

use crate::search::models;
use crate::support::client::{Client, text};
use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;

const SEARCH: &str = "query($layer: ID!) { layer(id: $layer) { similar(first: 100) {
    totalCount edges { node { version { model { name tags } } } } } } }";

async fn add(api: &Client, name: &str, seed: u64) -> (String, String) {
    let model = api.model(name).await;
    let version = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await;
    (model, version)
}

async fn first_layer(api: &Client, version: &str) -> String {
    let query = "query($id: ID!) { version(id: $id) { layers(first: 1) { nodes { id } } } }";
    text(&api.data(query, json!({ "id": version })).await["version"]["layers"]["nodes"][0]["id"])
}

/// The models among the hits of a search.
async fn found(api: &Client, layer: &str) -> Vec<String> {
    let data = api.data(SEARCH, json!({ "layer": layer })).await;
    models(&data["layer"]["similar"])
}

/// The statistics of a cache.
pub async fn cache(api: &Client, name: &str) -> Value {
    let data = api
        .data(
            "{ serverInfo { caches { name bytes byteLimit entries hits misses } } }",
            json!({}),
        )
        .await;
    let caches = data["serverInfo"]["caches"].as_array().unwrap();
    caches.iter().find(|cache| cache["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn a_write_on_one_server_is_seen_by_the_next_search_on_another() {
    // The results of searches are cached, and not the answers that they are in.
    let one = Server::with(|config| config.answer_cache_bytes = Some(0)).await;
    let other = Server::with(|config| {
        config.answer_cache_bytes = Some(0);
        config.database_url.clone_from(&one.config.database_url);
        // Artifacts are shared by all servers of a database.
        config.data_dir.clone_from(&one.config.data_dir);
    })
    .await;
    let (_, target) = add(&one.api, "target", 1).await;
    let layer = first_layer(&one.api, &target).await;
    let (model, _) = add(&one.api, "a", 2).await;

    // Both cache the result. Each write on one server is followed immediately by a search on the other.
    let mut expected = vec!["a".to_owned()];
    for round in 0..8 {
        assert_eq!(found(&other.api, &layer).await, expected, "before round {round}");
        assert_eq!(
            found(&other.api, &layer).await,
            expected,
            "from the cache in round {round}"
        );
        let mutation;
        (mutation, expected) = if round % 2 == 0 {
            ("deleteModel", vec![])
        } else {
            ("restoreModel", vec!["a".to_owned()])
        };
        let query = format!("mutation($id: ID!) {{ {mutation}(input: {{ id: $id }}) {{ model {{ id }} }} }}");
        one.api.data(&query, json!({ "id": model })).await;
        assert_eq!(found(&other.api, &layer).await, expected, "after round {round}");
    }
    add(&one.api, "b", 3).await;
    assert_eq!(
        found(&other.api, &layer).await,
        ["a", "b"],
        "after a version has become READY"
    );
    assert!(cache(&other.api, "searches").await["hits"].as_f64().unwrap() >= 8.0);
    other.stop().await.unwrap();
    one.stop().await.unwrap();
}

#[tokio::test]
async fn equal_concurrent_requests_are_computed_once() {
    let server = Server::start().await;
    let (_, target) = add(&server.api, "target", 1).await;
    add(&server.api, "a", 2).await;
    let layer = first_layer(&server.api, &target).await;
    let before = cache(&server.api, "searches").await;

    let all = futures::future::join_all((0..20).map(|_| found(&server.api, &layer))).await;

    assert!(all.iter().all(|names| *names == ["a"]));
    let after = cache(&server.api, "searches").await;
    let increase = |field: &str| after[field].as_f64().unwrap() - before[field].as_f64().unwrap();
    assert_eq!((increase("misses"), increase("hits")), (1.0, 19.0));
    assert!(after["bytes"].as_f64().unwrap() > 0.0 && after["bytes"].as_f64() <= after["byteLimit"].as_f64());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn searches_work_with_caches_of_size_zero() {
    let server = Server::with(|config| {
        config.search_cache_bytes = Some(0);
        config.network_cache_bytes = Some(0);
        config.probe_cache_bytes = Some(0);
    })
    .await;
    let (_, target) = add(&server.api, "target", 1).await;
    add(&server.api, "a", 2).await;
    let layer = first_layer(&server.api, &target).await;

    assert_eq!(found(&server.api, &layer).await, ["a"]);
    assert_eq!(found(&server.api, &layer).await, ["a"]);
    for name in ["searches", "networks", "probes"] {
        assert_eq!(cache(&server.api, name).await["entries"], 0.0, "{name}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_images_of_a_probe_set_are_loaded_once() {
    let server = Server::start().await;
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        add(&server.api, name, seed).await;
    }

    let probes = cache(&server.api, "probes").await;

    assert_eq!(
        (&probes["misses"], &probes["hits"], &probes["entries"]),
        (&json!(1.0), &json!(2.0), &json!(1.0))
    );
    assert_eq!(probes["bytes"], 6_400.0, "100 images of 8 by 8 pixels");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_layers_of_a_version_are_kept_once_they_are_there() {
    let server = Server::with(|config| config.answer_cache_bytes = Some(0)).await;
    let api = &server.api;
    let layers = async |version: &str| {
        let query =
            "query($id: ID!, $last: Int!) { version(id: $id) { status layers(last: $last) { nodes { name } } } }";
        let variables = json!({ "id": version, "last": 2 });
        let version = api.data(query, variables).await["version"].take();
        (
            text(&version["status"]),
            version["layers"]["nodes"].as_array().unwrap().len(),
        )
    };
    // The worker has something else to do first.
    let before = api.endless_job().await;
    let model = api.model("m").await;
    let (version, job) = api
        .try_push(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await
        .unwrap();
    assert_eq!(layers(&version).await, ("QUEUED".to_owned(), 0));
    api.cancel(&before).await;
    api.wait_for_success(&job).await;
    assert_eq!(layers(&version).await, ("READY".to_owned(), 2));
    let hits = cache(api, "layer pages").await["hits"].as_f64().unwrap();
    assert_eq!(layers(&version).await, ("READY".to_owned(), 2));
    assert_eq!(cache(api, "layer pages").await["hits"], hits + 1.0);
    server.stop().await.unwrap();
}
