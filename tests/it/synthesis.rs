//! Synthetic images that parts of a network answer to most.

use serde_json::{Value, json};

use crate::support::client::text;
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
    let input = json!({ "versionId": version, "target": { "class": 1 }, "settings": { "steps": 4_096 } });
    let started = api.data(SYNTHESIZE, json!({ "input": input })).await["synthesizeImage"].take();
    let job = text(&started["job"]["id"]);
    let cancel = "mutation($input: CancelJobInput!) { cancelJob(input: $input) { job { id } } }";
    api.data(cancel, json!({ "input": { "id": job } })).await;
    assert_eq!(api.finish(&job).await["status"], "CANCELLED");
    let left = api.data(SYNTHESIS, json!({ "id": started["synthesis"]["id"] })).await;
    assert_eq!(left["node"]["picture"], Value::Null);
    server.stop().await.unwrap();
}
