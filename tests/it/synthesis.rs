//! Synthetic images that parts of a network answer to most.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::look::{SYNTHESIS, SYNTHESIZE, list, number, picture, synthesized, trained};
use crate::support::server::Server;

#[tokio::test]
async fn a_synthetic_image_is_answered_to_more_than_any_of_the_data_set() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    for (target, answered) in [
        (json!({ "class": 3 }), [json!(3), json!(null), json!(null)]),
        (json!({ "layer": 4, "channel": 2 }), [json!(null), json!(4), json!(2)]),
        (
            json!({ "layer": 4, "channel": 2, "row": 1, "column": 1 }),
            [json!(null), json!(4), json!(2)],
        ),
    ] {
        let settings = json!({ "steps": 120, "seed": 5, "jitter": 0, "scale": 0, "rotation": 0 });
        let found = synthesized(api, &version, target, settings).await;
        let said = &found["target"];
        assert_eq!([&said["class"], &said["layer"], &said["channel"]], answered.each_ref());
        assert_eq!(
            (&found["settings"]["steps"], &found["settings"]["parametrisation"]),
            (&json!(120), &json!("FOURIER"))
        );
        assert_eq!(list(&found["course"]).len(), 120);
        let exemplars = list(&found["exemplars"]);
        let answers: Vec<f64> = exemplars
            .iter()
            .map(|exemplar| number(&exemplar["activation"]))
            .collect();
        assert!(
            exemplars.len() == 9 && answers.is_sorted_by(|a, b| a >= b),
            "{answers:?}"
        );
        assert!(
            number(&found["activation"]) > answers[0],
            "{} is not above {answers:?}",
            found["activation"]
        );
        let shown = picture(api, &found["picture"]).await;
        assert_eq!(shown.width(), picture(api, &exemplars[0]["picture"]).await.width());
        assert!(found["version"]["syntheses"]["nodes"][0]["id"].is_string(), "{found:#}");
    }
    let query = "query($id: ID!) { version(id: $id) { layers(first: 5) { nodes { index syntheses(first: 1) {
        totalCount pageInfo { hasNextPage } nodes { target { row } } } } } syntheses { totalCount } } }";
    let found = api.data(query, json!({ "id": version })).await["version"].take();
    let of_layer = |index: usize| &found["layers"]["nodes"][index]["syntheses"];
    let none = json!({ "totalCount": 0, "pageInfo": { "hasNextPage": false }, "nodes": [] });
    assert_eq!((of_layer(3), &found["syntheses"]["totalCount"]), (&none, &json!(3)));
    let latest = json!({ "totalCount": 2, "pageInfo": { "hasNextPage": true }, "nodes": [{ "target": { "row": 1 } }] });
    assert_eq!(of_layer(4), &latest);
    // One pass over the images has told the strongest ones of all classes.
    let hits = async || {
        let info = api.data("{ serverInfo { caches { name hits } } }", json!({})).await;
        let mut caches = list(&info["serverInfo"]["caches"]).iter();
        number(&caches.find(|cache| cache["name"] == "exemplars").unwrap()["hits"])
    };
    let before = hits().await;
    synthesized(api, &version, json!({ "class": 7 }), json!({ "steps": 1 })).await;
    assert_eq!(hits().await, before + 1.0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_synthetic_image_can_be_deleted_once_its_search_has_ended() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let delete = "mutation($input: DeleteSynthesisInput!) { deleteSynthesis(input: $input) {
        deletedSynthesisId version { id syntheses { totalCount } } } }";
    let endless = sought(api, &version, 4_096).await;
    let input = json!({ "input": { "id": endless["synthesis"]["id"] } });
    let (code, message) = api.error(delete, input.clone()).await;
    assert!(
        code == "BAD_USER_INPUT" && message.contains("stop its job with cancelJob first"),
        "{message}"
    );
    let job = text(&endless["job"]["id"]);
    // Stopped in the middle of it.
    api.job_once(&job, |job| {
        job["phase"] == "SYNTHESIZING" && number(&job["progress"]) > 0.0
    })
    .await;
    api.cancel(&job).await;
    assert_eq!(api.finish(&job).await["status"], "CANCELLED");
    let deleted = api.data(delete, input.clone()).await["deleteSynthesis"].take();
    assert_eq!(deleted["deletedSynthesisId"], endless["synthesis"]["id"]);
    assert_eq!(deleted["version"]["syntheses"]["totalCount"], 0);
    assert_eq!(api.error(delete, input).await.0, "NOT_FOUND");
    server.stop().await.unwrap();
}

/// Asks for an image of class 1.
async fn sought(api: &Client, version: &str, steps: usize) -> Value {
    let input = json!({ "versionId": version, "target": { "class": 1 }, "settings": { "steps": steps } });
    api.data(SYNTHESIZE, json!({ "input": input })).await["synthesizeImage"].take()
}

#[tokio::test]
async fn the_same_search_is_made_once_unless_it_was_stopped() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let of = |started: &Value| [&started["synthesis"]["id"], &started["job"]["id"]].map(text);
    let first = sought(api, &version, 2).await;
    assert_eq!(api.finish(&text(&first["job"]["id"])).await["status"], "SUCCEEDED");
    let second = sought(api, &version, 2).await;
    assert_eq!(
        (of(&second), &second["job"]["status"]),
        (of(&first), &json!("SUCCEEDED"))
    );

    let stopped = sought(api, &version, 4_096).await;
    assert_ne!(of(&stopped), of(&first));
    api.cancel(&text(&stopped["job"]["id"])).await;
    let anew = sought(api, &version, 4_096).await;
    assert_ne!(of(&anew), of(&stopped));
    api.cancel(&text(&anew["job"]["id"])).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_asks_about_an_image_does_not_wait_for_the_end_of_a_job() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let started = sought(api, &version, 4_096).await;
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
        // Answered while the device was at it.
        if node["phase"] == "SYNTHESIZING" {
            break;
        }
    }
    api.cancel(&job).await;
    assert_eq!(api.finish(&job).await["status"], "CANCELLED");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_search_that_cannot_be_made_is_refused_and_a_running_one_can_be_stopped() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    for (target, settings, words) in [
        (
            json!({ "class": 10 }),
            json!({}),
            "the network has classes 0 to 9, and none of index 10",
        ),
        (json!({ "layer": 99 }), json!({}), "none of index 99"),
        (
            json!({ "layer": 0, "channel": 8 }),
            json!({}),
            "layer 0 has channels 0 to 7, and none of index 8",
        ),
        (json!({ "channel": 1 }), json!({}), "`target` names `class` alone"),
        (
            json!({ "class": 1, "layer": 1 }),
            json!({}),
            "`target` names `class` alone",
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
    let started = sought(api, &version, 4_096).await;
    let job = text(&started["job"]["id"]);
    api.cancel(&job).await;
    assert_eq!(api.finish(&job).await["status"], "CANCELLED");
    let left = api.data(SYNTHESIS, json!({ "id": started["synthesis"]["id"] })).await;
    assert_eq!(left["node"]["picture"], Value::Null);
    server.stop().await.unwrap();
}
