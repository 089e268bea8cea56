//! Differences between two versions.

use serde_json::{Value, json};

use crate::support::client::{CREATE_VERSION, Client, text};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

const DIFF: &str =
    "query($id: ID!, $with: ID!, $probeSet: ID) { version(id: $id) { diff(with: $with, probeSet: $probeSet) {
    sameCount changedCount addedCount removedCount notComparableReason probeSet { isDefault }
    entries { change cka debiasedCka layer { name } otherLayer { name } differences { name value otherValue } } } } }";

async fn diff(api: &Client, version: &str, other: &str) -> Value {
    let mut data = api.data(DIFF, json!({ "id": version, "with": other })).await;
    data["version"]["diff"].take()
}

/// The small network with more channels in the middle and an additional layer at the end.
fn larger_cnn() -> Value {
    let mut blocks = small_cnn();
    blocks[4]["parameters"]["out_channels"] = 24.into();
    let blocks = blocks.as_array_mut().unwrap();
    blocks.push(json!({ "kind": "ReLU" }));
    blocks.clone().into()
}

fn changes(diff: &Value) -> Vec<String> {
    let entries = diff["entries"].as_array().unwrap();
    entries.iter().map(|entry| text(&entry["change"])).collect()
}

fn counts(diff: &Value) -> [u64; 4] {
    ["sameCount", "changedCount", "addedCount", "removedCount"].map(|count| diff[count].as_u64().unwrap())
}

#[tokio::test]
async fn added_removed_and_changed_layers_are_reported_with_their_similarity() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("a").await;
    let one = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    let other = api
        .push_and_wait(&model, larger_cnn(), initial_weights(&larger_cnn(), 1))
        .await;

    let itself = diff(api, &one, &one).await;
    assert_eq!(counts(&itself), [7, 0, 0, 0]);
    for entry in itself["entries"].as_array().unwrap() {
        assert!((entry["cka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{entry:#}");
        assert!((entry["debiasedCka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{entry:#}");
    }

    let forward = diff(api, &one, &other).await;
    assert_eq!(
        changes(&forward),
        ["SAME", "SAME", "SAME", "SAME", "CHANGED", "CHANGED", "CHANGED", "ADDED"]
    );
    assert_eq!(counts(&forward), [4, 3, 1, 0]);
    assert_eq!(
        (&forward["notComparableReason"], &forward["probeSet"]["isDefault"]),
        (&Value::Null, &json!(true))
    );
    let entries = forward["entries"].as_array().unwrap();
    let conv = &entries[4];
    assert!(
        conv["cka"].as_f64().is_some_and(|cka| cka > 0.0 && cka < 1.0),
        "{conv:#}"
    );
    let parameter = json!({ "name": "out_channels", "value": 16, "otherValue": 24 });
    assert!(conv["differences"].as_array().unwrap().contains(&parameter), "{conv:#}");
    let added = &entries[7];
    assert_eq!((&added["layer"], &added["cka"]), (&Value::Null, &Value::Null));
    assert_eq!(added["otherLayer"]["name"], "8");

    let backward = diff(api, &other, &one).await;
    assert_eq!(counts(&backward), [4, 3, 0, 1]);
    assert_eq!(backward["entries"][7]["change"], "REMOVED");
    assert_eq!(backward["entries"][4]["debiasedCka"], conv["debiasedCka"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn versions_on_different_data_sets_are_aligned_but_not_compared() {
    let server = Server::start().await;
    let api = &server.api;
    let elsewhere = api.import_numbers().await;
    let model = api.model("a").await;
    let weights = initial_weights(&perceptron(), 1);
    let one = api.push_and_wait(&model, perceptron(), weights.clone()).await;
    let input = json!({ "modelId": model, "dataset": "numbers", "blocks": perceptron(), "weights": null });
    let response = api
        .upload(
            CREATE_VERSION,
            json!({ "input": input }),
            &[("input.weights", &weights)],
        )
        .await
        .unwrap();
    let created = &response["data"]["createVersion"];
    api.wait_for_success(&text(&created["job"]["id"])).await;
    let other = text(&created["version"]["id"]);

    let found = diff(api, &one, &other).await;
    assert_eq!(changes(&found), ["SAME"]);
    assert_eq!(
        (&found["entries"][0]["cka"], &found["probeSet"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        text(&found["notComparableReason"]).contains("different data sets"),
        "{found:#}"
    );

    let variables = json!({ "id": one, "with": one, "probeSet": elsewhere });
    let (code, message) = api.error(DIFF, variables).await;
    assert_eq!(
        (code.as_str(), message.contains("belongs to another data set")),
        ("BAD_USER_INPUT", true)
    );
    let (code, _) = api.error(DIFF, json!({ "id": one, "with": model })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    server.stop().await.unwrap();
}
