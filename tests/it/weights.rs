//! Weights of other programs for blocks: how they are matched, what is kept of it, and what is refused.

use serde_json::{Value, json};

use crate::support::client::{first_error, text};
use crate::support::idx;
use crate::support::networks::{constant_weights, perceptron};
use crate::support::server::Server;

const MAP_WEIGHTS: &str = "mutation($input: MapWeightsInput!) { mapWeights(input: $input) {
    mapping { by pairs { key from shape } ignored } dicts
    misfits { reason key neededShape from shape message } } }";

/// The network whose state dicts are in `tests/golden/pytorch`.
fn golden_blocks() -> Value {
    json!([
        { "kind": "Conv2d", "parameters": { "out_channels": 2, "kernel_size": 3 } },
        { "kind": "BatchNorm2d" },
        { "kind": "ReLU" },
        { "kind": "Conv2d", "parameters": { "out_channels": 3, "kernel_size": 3, "bias": false } },
        { "kind": "AdaptiveAvgPool2d", "parameters": { "output_size": 1 } },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 4 } },
    ])
}

/// A state dict of `tests/golden/pytorch`.
fn state_dict(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pytorch");
    std::fs::read(format!("{folder}/{name}.pth")).unwrap()
}

/// A server with a data set of four classes; returns a model and the input that registers a version of it.
async fn server_for_state_dicts() -> (Server, String, Value) {
    let server = Server::start().await;
    let api = &server.api;
    let files = [
        idx::images(120, 8),
        idx::labels(120, 4, 0),
        idx::images(40, 8),
        idx::labels(40, 4, 0),
    ];
    api.import_and_wait(json!({ "name": "four" }), &files).await;
    let model = api.model("m").await;
    let input = json!({ "modelId": model, "dataset": "four", "blocks": golden_blocks() });
    (server, model, input)
}

#[tokio::test]
async fn a_dry_run_shows_how_a_state_dict_is_matched_and_stores_nothing() {
    let (server, model, mut input) = server_for_state_dicts().await;
    let api = &server.api;
    input["dryRun"] = json!(true);
    let response = api
        .create_version(input, &[("input.weights", &state_dict("named_legacy"))])
        .await;
    insta::assert_json_snapshot!(response["data"]["createVersion"]);
    let query = "query($id: ID!) { model(id: $id) { versions { totalCount } } }";
    let data = api.data(query, json!({ "id": model })).await;
    assert_eq!(data["model"]["versions"]["totalCount"], 0, "a dry run stores nothing");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn weights_are_mapped_to_blocks_that_are_not_registered() {
    let (server, _, input) = server_for_state_dicts().await;
    let api = &server.api;
    let map = async |blocks: &Value, weights: &[u8]| {
        let input = json!({ "dataset": input["dataset"], "blocks": blocks, "weights": null });
        let files = [("input.weights", weights)];
        api.upload(MAP_WEIGHTS, json!({ "input": input }), &files)
            .await
            .unwrap()
    };
    let weights = state_dict("named_zip");
    let payload = map(&golden_blocks(), &weights).await["data"]["mapWeights"].take();
    let created = api
        .create_version_and_wait(input.clone(), &[("input.weights", &weights)])
        .await;
    assert_eq!(
        payload,
        json!({ "mapping": created["mapping"], "misfits": [], "dicts": [""] })
    );

    let path = format!("/versions/{}/weights.safetensors", text(&created["version"]["id"]));
    let same_keys = map(&golden_blocks(), &api.download(&path).await).await["data"]["mapWeights"].take();
    assert_eq!(same_keys["mapping"]["by"], "KEY");
    assert_eq!(same_keys["mapping"]["pairs"][0]["from"], "0.weight");

    let mut other = golden_blocks();
    other[3]["parameters"]["out_channels"] = json!(5);
    other[6]["parameters"]["bias"] = json!(false);
    let payload = map(&other, &weights).await["data"]["mapWeights"].take();
    insta::assert_json_snapshot!(payload);

    for (name, file) in [
        ("hostile", state_dict("hostile_zip")),
        ("text", b"not weights".to_vec()),
    ] {
        let (code, _) = first_error(&map(&golden_blocks(), &file).await);
        assert_eq!(code, "BAD_USER_INPUT", "{name}");
    }
    let invalid = map(&json!([{ "kind": "Relu" }]), &weights).await;
    assert_eq!(first_error(&invalid).0, "BAD_USER_INPUT");
    assert_eq!(invalid["errors"][0]["extensions"]["details"][0]["path"], "0");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn weights_that_hold_no_finite_numbers_are_misfits_too() {
    let server = Server::start().await;
    let weights = constant_weights(&[("1.weight", &[10, 64], f32::NAN), ("1.bias", &[10], 0.0)]);
    let input = json!({ "dataset": "digits", "blocks": perceptron(), "weights": null });
    let files = [("input.weights", weights.as_slice())];
    let response = server
        .api
        .upload(MAP_WEIGHTS, json!({ "input": input }), &files)
        .await
        .unwrap();
    let [misfit] = response["data"]["mapWeights"]["misfits"].as_array().unwrap().as_slice() else {
        panic!("{response:#}")
    };
    assert_eq!(
        (&misfit["reason"], &misfit["key"]),
        (&json!("NOT_FINITE"), &json!("1.weight"))
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn state_dicts_are_matched_by_key_or_by_shape() {
    let (server, _, input) = server_for_state_dicts().await;
    let api = &server.api;
    let named = api
        .create_version_and_wait(input.clone(), &[("input.weights", &state_dict("named_zip"))])
        .await;
    assert_eq!(named["mapping"]["by"], "SHAPE");
    let plain = api
        .create_version_and_wait(input, &[("input.weights", &state_dict("plain_legacy"))])
        .await;
    assert_eq!(plain["mapping"]["by"], "KEY");
    let weights = |version: &Value| format!("/versions/{}/weights.safetensors", text(&version["version"]["id"]));
    let (named, plain) = (
        api.download(&weights(&named)).await,
        api.download(&weights(&plain)).await,
    );
    assert_eq!(named, plain, "the same weights under other keys");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn hostile_and_unsuitable_state_dicts_are_refused() {
    let (server, _, input) = server_for_state_dicts().await;
    let api = &server.api;
    for (name, words) in [
        ("hostile_zip", "system"),
        ("hostile_legacy", "system"),
        ("script", "TorchScript"),
    ] {
        let response = api
            .create_version(input.clone(), &[("input.weights", &state_dict(name))])
            .await;
        let (code, message) = first_error(&response);
        assert_eq!(code, "BAD_USER_INPUT", "{name}");
        assert!(message.contains(words), "{name}: {message}");
    }
    let mut other = input;
    other["blocks"] = json!([{ "kind": "Flatten" }, { "kind": "Linear", "parameters": { "out_features": 4 } }]);
    let response = api
        .create_version(other, &[("input.weights", &state_dict("plain_zip"))])
        .await;
    assert_eq!(first_error(&response).0, "BAD_USER_INPUT", "{response:#}");
    assert!(
        response["errors"][0]["extensions"]["details"].as_array().unwrap().len() > 1,
        "{response:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_version_keeps_where_its_weights_come_from_and_one_of_several_dicts_can_be_chosen() {
    let (server, _, input) = server_for_state_dicts().await;
    let api = &server.api;
    let mut input = input;
    input["modelId"] = Value::Null;
    input["newModel"] = json!({ "name": "with weights", "tags": ["new"] });
    let created = api
        .create_version_and_wait(input.clone(), &[("input.weights", &state_dict("training_zip"))])
        .await;
    let query =
        "query($id: ID!) { version(id: $id) { model { name tags } weightMapping { by dict otherDicts prefix ignored
                   pairs { key from computedFrom shape by } } } }";
    let kept = api.data(query, json!({ "id": created["version"]["id"] })).await["version"].take();
    insta::assert_json_snapshot!(kept);

    // The name is taken now, and nothing is written for a request that is refused.
    let again = api
        .create_version(input.clone(), &[("input.weights", &state_dict("training_zip"))])
        .await;
    assert_eq!(first_error(&again).0, "CONFLICT", "{again:#}");
    input["newModel"]["name"] = json!("other");
    input["weightsKey"] = json!("nothing");
    let unknown = api
        .create_version(input.clone(), &[("input.weights", &state_dict("training_zip"))])
        .await;
    let (code, message) = first_error(&unknown);
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("\"state_dict\""), "{message}");
    let models = api.data("{ models { totalCount } }", json!({})).await;
    assert_eq!(
        models["models"]["totalCount"], 2,
        "the model of the tests and the new one"
    );
    input["modelId"] = json!("both");
    let both = api
        .create_version(input, &[("input.weights", &state_dict("training_zip"))])
        .await;
    assert!(
        first_error(&both).1.contains("as `modelId` or as `newModel`"),
        "{both:#}"
    );
    server.stop().await.unwrap();
}
