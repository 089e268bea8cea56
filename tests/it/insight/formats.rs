//! Networks in ONNX are examined like networks in blocks.

use image::{ImageFormat, Rgb, RgbImage};
use prost::Message as _;
use scv_compute::onnx::proto::{ModelProto, ValueInfoProto};
use serde_json::{Value, json};

use crate::support::client::{first_error, text};
use crate::support::insight::{
    SYNTHESIZE, encode_image, find_exemplars, list, number, predict, synthesize_and_wait, train_digits,
};
use crate::support::server::Server;

#[tokio::test]
async fn an_onnx_network_gives_the_same_results_as_the_blocks_that_it_was_exported_from() {
    let server = Server::start().await;
    let api = &server.api;
    let (blocks, layers) = train_digits(api).await;
    let onnx = api.download(&format!("/versions/{blocks}/network.onnx")).await;
    let model = api.model("onnx").await;
    let input = json!({ "modelId": model, "dataset": "digits" });
    let imported = api.create_version_and_wait(input, &[("input.onnx", &onnx)]).await;
    let imported = text(&imported["version"]["id"]);
    let query = "query($id: ID!) { version(id: $id) { layers { nodes { id name } } } }";
    let of_onnx = api.data(query, json!({ "id": imported })).await["version"]["layers"]["nodes"].take();

    let query = "query($id: ID!) { version(id: $id) { attribution(image: 5, class: 2) { values }
        evaluation { accuracy topFiveAccuracy confusionMatrix mistakes(first: 3) { nodes { image { index } } } } } }";
    let mut both = Vec::new();
    for version in [&blocks, &imported] {
        both.push(api.data(query, json!({ "id": version })).await["version"].take());
    }
    assert_eq!(both[0]["evaluation"], both[1]["evaluation"]);
    assert_near(&both[0]["attribution"]["values"], &both[1]["attribution"]["values"]);

    let query = "query($id: ID!) { layer(id: $id) { featureMaps(image: 5, channels: [0, 3]) { values }
        channelExemplars(first: 3) { nodes { images { index } } } } }";
    // The second convolution.
    assert_eq!(of_onnx[4]["name"], "4");
    let mut both = Vec::new();
    for (version, layer) in [(&blocks, &layers[4]), (&imported, &text(&of_onnx[4]["id"]))] {
        find_exemplars(api, version).await;
        both.push(api.data(query, json!({ "id": layer })).await["layer"].take());
    }
    assert_eq!(both[0]["channelExemplars"], both[1]["channelExemplars"]);
    for (a, b) in list(&both[0]["featureMaps"]).iter().zip(list(&both[1]["featureMaps"])) {
        assert_near(&a["values"], &b["values"]);
    }

    let settings = json!({ "steps": 20, "seed": 4 });
    let mut activations = Vec::new();
    for version in [&blocks, &imported] {
        let target = json!({ "layer": 4, "channel": 1 });
        activations.push(number(
            &synthesize_and_wait(api, version, target, settings.clone()).await["activation"],
        ));
    }
    assert!(
        (activations[0] - activations[1]).abs() < 1e-2 * activations[0].abs(),
        "{activations:?}"
    );
    server.stop().await.unwrap();
}

/// Compares nested lists of numbers that may differ by rounding only.
fn assert_near(a: &Value, b: &Value) {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert_near(a, b));
        }
        _ => assert!((number(a) - number(b)).abs() < 1e-4, "{a} is not {b}"),
    }
}

#[tokio::test]
async fn a_network_with_several_outputs_is_run_to_the_chosen_output() {
    let server = Server::start().await;
    let api = &server.api;
    let (blocks, _) = train_digits(api).await;
    let onnx = api.download(&format!("/versions/{blocks}/network.onnx")).await;
    let mut network = ModelProto::decode(onnx.as_slice()).unwrap();
    let graph = network.graph.as_mut().unwrap();
    let scores = graph.output[0].name.clone();
    let inner = graph.node[0].output[0].clone();
    graph.output.push(ValueInfoProto {
        name: inner.clone(),
        ..graph.output[0].clone()
    });
    let onnx = network.encode_to_vec();
    let model = api.model("several").await;
    let import = async |output: &str| {
        let input = json!({ "modelId": model, "dataset": "digits", "output": output });
        text(&api.create_version_and_wait(input, &[("input.onnx", &onnx)]).await["version"]["id"])
    };
    let image = encode_image(&RgbImage::from_pixel(8, 8, Rgb([90; 3])), ImageFormat::Png);

    let classes = import(&scores).await;
    let of_blocks = predict(api, &blocks, &image, None).await["data"]["predict"].take();
    let response = predict(api, &classes, &image, None).await["data"]["predict"].take();
    assert_eq!(
        response["predictions"][0]["class"],
        of_blocks["predictions"][0]["class"]
    );

    // An output that is not classes predicts none, but its layers can still be examined.
    let others = import(&inner).await;
    let query = "query($id: ID!) { version(id: $id) { accuracy evaluation { loss } layers { nodes { id } } } }";
    let found = api.data(query, json!({ "id": others })).await["version"].take();
    assert_eq!((&found["accuracy"], &found["evaluation"]), (&Value::Null, &Value::Null));
    let (code, message) = first_error(&predict(api, &others, &image, None).await);
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(
        message.contains("is not one number for each of the 10 classes"),
        "{message}"
    );
    let evaluate = "mutation($id: ID!) { evaluateVersion(input: { versionId: $id }) { job { id } } }";
    let (code, message) = api.error(evaluate, json!({ "id": others })).await;
    assert_eq!(code, "BAD_USER_INPUT", "no job is queued that has to fail");
    assert!(message.contains("so it cannot be evaluated"), "{message}");
    let input = json!({ "versionId": others, "target": { "class": 1 } });
    let (code, message) = api.error(SYNTHESIZE, json!({ "input": input })).await;
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("output has shape [8, 8, 8]"), "{message}");
    let maps = "query($id: ID!) { layer(id: $id) { featureMaps(image: 0, first: 2) { channel } } }";
    let maps = api.data(maps, json!({ "id": found["layers"]["nodes"][0]["id"] })).await;
    assert_eq!(list(&maps["layer"]["featureMaps"]).len(), 2);
    let target = json!({ "layer": 0, "channel": 1 });
    let synthesis = synthesize_and_wait(api, &others, target, json!({ "steps": 5 })).await;
    assert!(synthesis["activation"].is_number(), "{synthesis:#}");
    server.stop().await.unwrap();
}
