//! Equal settings and data give equal networks, and equal networks give equal vectors.

use std::fs;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::networks::small_cnn;
use crate::support::rows;
use crate::support::server::Server;

/// A network with dropout: its initial weights, the order of the images and the dropout are random.
fn blocks() -> Value {
    let Value::Array(mut blocks) = small_cnn() else {
        unreachable!("it is a list")
    };
    blocks.insert(3, json!({ "kind": "Dropout", "parameters": { "p": 0.2 } }));
    Value::Array(blocks)
}

async fn versions(server: &Server) -> Vec<Value> {
    let url = server.config.database_url.as_deref().unwrap();
    let mut connection = PgConnection::connect(url).await.unwrap();
    rows::versions(&mut connection).await
}

/// The measurements of a version: its layers with vectors and sketches, and its evaluation.
fn measured(version: &Value) -> [&Value; 2] {
    [&version["layers"], &version["evaluations"]]
}

#[tokio::test]
async fn trainings_with_equal_seeds_have_equal_weights_and_vectors_and_other_seeds_differ() {
    let server = Server::start().await;
    for (model, seed) in [("1", 5), ("2", 5), ("3", 6)] {
        let model = server.api.model(model).await;
        server
            .api
            .train_and_wait(&model, blocks(), json!({ "epochs": 2, "seed": seed }))
            .await;
    }
    let versions = versions(&server).await;
    let [one, again, other] = &versions[..] else {
        panic!("{} versions", versions.len())
    };
    assert_eq!(one["weights"], again["weights"]);
    assert_eq!(one["epochs"], again["epochs"]);
    assert_eq!(measured(one), measured(again));
    assert_ne!(one["weights"], other["weights"]);
    for (one, other) in one["layers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(other["layers"].as_array().unwrap())
    {
        assert_ne!(one["vectors"], other["vectors"], "{}", one["name"]);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn uploading_trained_weights_gives_the_same_vectors_as_the_training() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    server
        .api
        .train_and_wait(&model, blocks(), json!({ "epochs": 2, "seed": 5 }))
        .await;
    let key = versions(&server).await[0]["weights"].as_str().unwrap().to_owned();
    let weights = fs::read(server.config.data_dir.join("artifacts").join(key)).unwrap();
    server.api.push_and_wait(&model, blocks(), weights).await;

    let versions = versions(&server).await;
    let [trained, pushed] = &versions[..] else {
        panic!("{} versions", versions.len())
    };
    assert_eq!(trained["weights"], pushed["weights"], "equal bytes are stored once");
    assert_eq!(measured(trained), measured(pushed));
    server.stop().await.unwrap();
}
