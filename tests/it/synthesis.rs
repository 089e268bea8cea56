//! Synthetic images that maximise the activation of a class, layer, channel or neuron.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::insight::{
    SYNTHESIS, SYNTHESIZE, fetch_picture, list, number, push_digits, synthesize_and_wait, train_digits,
};
use crate::support::server::Server;

#[tokio::test]
async fn a_synthetic_image_has_a_larger_activation_than_any_image_of_the_data_set() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = train_digits(api).await;
    for (target, expected) in [
        (json!({ "class": 3 }), [json!(3), json!(null), json!(null)]),
        (json!({ "layer": 4, "channel": 2 }), [json!(null), json!(4), json!(2)]),
        (
            json!({ "layer": 4, "channel": 2, "row": 1, "column": 1 }),
            [json!(null), json!(4), json!(2)],
        ),
    ] {
        let settings = json!({ "steps": 120, "seed": 5, "jitter": 0, "scale": 0, "rotation": 0 });
        let found = synthesize_and_wait(api, &version, target, settings).await;
        let stored = &found["target"];
        assert_eq!(
            [&stored["class"], &stored["layer"], &stored["channel"]],
            expected.each_ref()
        );
        assert_eq!(
            (&found["settings"]["steps"], &found["settings"]["parametrisation"]),
            (&json!(120), &json!("FOURIER"))
        );
        assert_eq!(list(&found["activationHistory"]).len(), 120);
        let exemplars = list(&found["exemplars"]);
        let activations: Vec<f64> = exemplars
            .iter()
            .map(|exemplar| number(&exemplar["activation"]))
            .collect();
        assert!(
            exemplars.len() == 9 && activations.is_sorted_by(|a, b| a >= b),
            "{activations:?}"
        );
        assert!(
            number(&found["activation"]) > activations[0],
            "{} is not above {activations:?}",
            found["activation"]
        );
        let shown = fetch_picture(api, &found["picture"]).await;
        assert_eq!(
            shown.width(),
            fetch_picture(api, &exemplars[0]["picture"]).await.width()
        );
        assert!(found["version"]["syntheses"]["nodes"][0]["id"].is_string(), "{found:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn synthetic_images_are_listed_by_version_and_by_layer() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    for target in [
        json!({ "class": 3 }),
        json!({ "layer": 4, "channel": 2 }),
        json!({ "layer": 4, "channel": 2, "row": 1, "column": 1 }),
    ] {
        synthesize_and_wait(api, &version, target, json!({ "steps": 1 })).await;
    }
    let query = "query($id: ID!) { version(id: $id) { layers(first: 5) { nodes { index syntheses(first: 1) {
        totalCount pageInfo { hasNextPage } nodes { target { row } } } } } syntheses { totalCount } } }";
    let found = api.data(query, json!({ "id": version })).await["version"].take();
    let of_layer = |index: usize| &found["layers"]["nodes"][index]["syntheses"];
    let none = json!({ "totalCount": 0, "pageInfo": { "hasNextPage": false }, "nodes": [] });
    assert_eq!((of_layer(3), &found["syntheses"]["totalCount"]), (&none, &json!(3)));
    let latest = json!({ "totalCount": 2, "pageInfo": { "hasNextPage": true }, "nodes": [{ "target": { "row": 1 } }] });
    assert_eq!(of_layer(4), &latest);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_top_activating_images_of_all_classes_are_found_in_one_pass() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    synthesize_and_wait(api, &version, json!({ "class": 3 }), json!({ "steps": 1 })).await;
    let hits = async || {
        let info = api.data("{ serverInfo { caches { name hits } } }", json!({})).await;
        let mut caches = list(&info["serverInfo"]["caches"]).iter();
        number(&caches.find(|cache| cache["name"] == "exemplars").unwrap()["hits"])
    };
    let before = hits().await;
    synthesize_and_wait(api, &version, json!({ "class": 7 }), json!({ "steps": 1 })).await;
    assert_eq!(hits().await, before + 1.0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_synthetic_image_can_be_deleted_once_its_job_has_ended() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = train_digits(api).await;
    let delete = "mutation($input: DeleteSynthesisInput!) { deleteSynthesis(input: $input) {
        deletedSynthesisId version { id syntheses { totalCount } } } }";
    let endless = synthesize(api, &version, 4_096).await;
    let input = json!({ "input": { "id": endless["synthesis"]["id"] } });
    let (code, message) = api.error(delete, input.clone()).await;
    assert!(
        code == "BAD_USER_INPUT" && message.contains("cancel its job with cancelJob first"),
        "{message}"
    );
    let job = text(&endless["job"]["id"]);
    // Cancelled while it runs.
    api.wait_for_job(&job, |job| {
        job["phase"] == "SYNTHESIZING" && number(&job["progress"]) > 0.0
    })
    .await;
    api.cancel(&job).await;
    assert_eq!(api.wait_for_end(&job).await["status"], "CANCELLED");
    let deleted = api.data(delete, input.clone()).await["deleteSynthesis"].take();
    assert_eq!(deleted["deletedSynthesisId"], endless["synthesis"]["id"]);
    assert_eq!(deleted["version"]["syntheses"]["totalCount"], 0);
    assert_eq!(api.error(delete, input).await.0, "NOT_FOUND");
    server.stop().await.unwrap();
}

/// Requests an image of class 1.
async fn synthesize(api: &Client, version: &str, steps: usize) -> Value {
    let input = json!({ "versionId": version, "target": { "class": 1 }, "settings": { "steps": steps } });
    api.data(SYNTHESIZE, json!({ "input": input })).await["synthesizeImage"].take()
}

#[tokio::test]
async fn an_equal_request_returns_the_existing_image_unless_its_job_was_cancelled() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = train_digits(api).await;
    let of = |started: &Value| [&started["synthesis"]["id"], &started["job"]["id"]].map(text);
    let first = synthesize(api, &version, 2).await;
    assert_eq!(
        api.wait_for_end(&text(&first["job"]["id"])).await["status"],
        "SUCCEEDED"
    );
    let second = synthesize(api, &version, 2).await;
    assert_eq!(
        (of(&second), &second["job"]["status"]),
        (of(&first), &json!("SUCCEEDED"))
    );

    let cancelled = synthesize(api, &version, 4_096).await;
    assert_ne!(of(&cancelled), of(&first));
    api.cancel(&text(&cancelled["job"]["id"])).await;
    let new = synthesize(api, &version, 4_096).await;
    assert_ne!(of(&new), of(&cancelled));
    api.cancel(&text(&new["job"]["id"])).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_for_an_image_does_not_wait_for_the_end_of_a_job() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = train_digits(api).await;
    let started = synthesize(api, &version, 4_096).await;
    let job = text(&started["job"]["id"]);
    let query = "query($id: ID!, $job: ID!) {
        version(id: $id) { attribution(image: 0) { score } }
        node(id: $job) { ... on Job { status phase } } }";
    loop {
        let data = api.data(query, json!({ "id": version, "job": job })).await;
        assert!(data["version"]["attribution"]["score"].is_number(), "{data:#}");
        let node = &data["node"];
        assert!(
            ["QUEUED", "RUNNING"].contains(&text(&node["status"]).as_str()),
            "{node:#}"
        );
        // The response came while the job used the device.
        if node["phase"] == "SYNTHESIZING" {
            break;
        }
    }
    api.cancel(&job).await;
    assert_eq!(api.wait_for_end(&job).await["status"], "CANCELLED");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_targets_and_settings_are_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = train_digits(api).await;
    for (target, settings, words) in [
        (json!({ "class": 10 }), json!({}), "class 10 is out of range (0–9)"),
        (json!({ "layer": 99 }), json!({}), "layer 99 is out of range"),
        (
            json!({ "layer": 0, "channel": 8 }),
            json!({}),
            "channel 8 of layer 0 is out of range (0–7)",
        ),
        (json!({ "channel": 1 }), json!({}), "`target` must have either `class`"),
        (
            json!({ "class": 1, "layer": 1 }),
            json!({}),
            "`target` must have either `class`",
        ),
        (json!({ "class": -1 }), json!({}), "`target.class` must be 0 or more"),
        (
            json!({ "class": 1 }),
            json!({ "steps": 10_000 }),
            "`steps` must be 1 to 4096, got 10000",
        ),
        (
            json!({ "class": 1 }),
            json!({ "learningRate": 0 }),
            "`learningRate` must be",
        ),
    ] {
        let input = json!({ "versionId": version, "target": target, "settings": settings });
        let (code, message) = api.error(SYNTHESIZE, json!({ "input": input })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_job_leaves_no_picture() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    let started = synthesize(api, &version, 4_096).await;
    let job = text(&started["job"]["id"]);
    api.cancel(&job).await;
    assert_eq!(api.wait_for_end(&job).await["status"], "CANCELLED");
    let synthesis = api.data(SYNTHESIS, json!({ "id": started["synthesis"]["id"] })).await;
    assert_eq!(synthesis["node"]["picture"], Value::Null);
    server.stop().await.unwrap();
}
