//! Networks that cannot be examined.

use image::{ImageFormat, RgbImage};
use serde_json::json;

use crate::support::client::{first_error, text};
use crate::support::insight::{SYNTHESIZE, encode_image, predict};
use crate::support::networks::{constant_weights, perceptron};
use crate::support::server::Server;

#[tokio::test]
async fn a_network_whose_activations_overflow_is_refused_with_that_reason() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("huge").await;
    let weights = constant_weights(&[("1.weight", &[10, 64], 3e38), ("1.bias", &[10], 0.0)]);
    let version = api.push_and_wait(&model, perceptron(), weights).await;
    let query = "query($id: ID!) { version(id: $id) { accuracy evaluation { loss } } }";
    let found = api.data(query, json!({ "id": version })).await;
    assert_eq!(found["version"], json!({ "accuracy": null, "evaluation": null }));

    let evaluate = "mutation($input: EvaluateVersionInput!) { evaluateVersion(input: $input) { job { id } } }";
    let started = api.data(evaluate, json!({ "input": { "versionId": version } })).await;
    let ended = api
        .wait_for_end(started["evaluateVersion"]["job"]["id"].as_str().unwrap())
        .await;
    assert_eq!(ended["failure"]["code"], "NOT_FINITE", "{ended:#}");

    let query = "query($id: ID!) { version(id: $id) { attribution(image: 0) { score } } }";
    let (code, message) = api.error(query, json!({ "id": version })).await;
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("NaN or infinite"), "{message}");
    let (_, message) = first_error(
        &predict(
            api,
            &version,
            &encode_image(&RgbImage::new(8, 8), ImageFormat::Png),
            None,
        )
        .await,
    );
    assert!(message.contains("NaN or infinite"), "{message}");

    let input = json!({ "versionId": version, "target": { "class": 1 } });
    let started = api.data(SYNTHESIZE, json!({ "input": input })).await;
    let ended = api
        .wait_for_end(started["synthesizeImage"]["job"]["id"].as_str().unwrap())
        .await;
    assert!(
        text(&ended["failure"]["message"]).contains("NaN or infinite"),
        "{ended:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_failed_version_cannot_be_run() {
    let server = Server::start().await;
    let api = &server.api;
    let job = api.endless_job().await;
    api.cancel(&job).await;
    let ended = api.wait_for_end(&job).await;
    let version = text(&ended["version"]["id"]);
    for (query, variables) in [
        (
            SYNTHESIZE,
            json!({ "input": { "versionId": version, "target": { "class": 1 } } }),
        ),
        (
            "mutation($input: FindExemplarsInput!) { findExemplars(input: $input) { job { id } } }",
            json!({ "input": { "versionId": version } }),
        ),
        (
            "query($id: ID!) { version(id: $id) { attribution(image: 0) { score } } }",
            json!({ "id": version }),
        ),
        (
            "mutation($input: EvaluateVersionInput!) { evaluateVersion(input: $input) { job { id } } }",
            json!({ "input": { "versionId": version } }),
        ),
    ] {
        let (code, message) = api.error(query, variables).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains("has failed and cannot be run"), "{message}");
    }
    let image = encode_image(&RgbImage::new(8, 8), ImageFormat::Png);
    let (code, message) = first_error(&predict(api, &version, &image, None).await);
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("has failed and cannot be run"), "{message}");
    server.stop().await.unwrap();
}
