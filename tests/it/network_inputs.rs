//! Inputs of ONNX networks as other programs write them: what is assumed about them is told.

use prost::Message as _;
use scv_compute::onnx::proto::{AttributeProto, DataType, ModelProto, NodeProto, TensorProto};
use serde_json::{Value, json};

use crate::support::client::{Client, first_error};
use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;

const CREATE: &str = "mutation($input: CreateVersionInput!) { createVersion(input: $input) {
    version { id } preprocessing { channels height width mean std layout numberType notes } } }";

/// The ONNX file of a network for the digits.
async fn exported(api: &Client, model: &str) -> ModelProto {
    let version = api
        .push_and_wait(model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    let onnx = api.download(&format!("/versions/{version}/network.onnx")).await;
    ModelProto::decode(onnx.as_slice()).unwrap()
}

/// The same network for bytes, which it divides by 255.
fn for_bytes(mut file: ModelProto) -> ModelProto {
    let graph = file.graph.as_mut().unwrap();
    let input = graph.input[0].name.clone();
    for node in &mut graph.node {
        for name in node.input.iter_mut().filter(|name| **name == input) {
            *name = "scaled".to_owned();
        }
    }
    let tensor = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    tensor.elem_type = DataType::Uint8 as i32;
    let of = |operator: &str, inputs: &[&str], output: &str, attribute| NodeProto {
        op_type: operator.to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..NodeProto::default()
    };
    let to_float = AttributeProto {
        name: "to".to_owned(),
        i: DataType::Float as i64,
        r#type: 2,
        ..AttributeProto::default()
    };
    graph.node.splice(
        0..0,
        [
            of("Cast", &[&input], "floats", vec![to_float]),
            of("Div", &["floats", "full scale"], "scaled", Vec::new()),
        ],
    );
    graph.initializer.push(TensorProto {
        name: "full scale".to_owned(),
        data_type: DataType::Float as i32,
        float_data: vec![255.0],
        ..TensorProto::default()
    });
    file
}

async fn checked(api: &Client, input: &Value, file: &ModelProto) -> Value {
    let mut input = input.clone();
    input["onnx"] = Value::Null;
    let bytes = file.encode_to_vec();
    let files = [("input.onnx", bytes.as_slice())];
    api.upload(CREATE, json!({ "input": input }), &files).await.unwrap()
}

#[tokio::test]
async fn a_network_of_bytes_gets_them_without_normalisation() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let plain = exported(api, &model).await;
    let bytes = for_bytes(plain.clone());
    let input = json!({ "modelId": model, "dataset": "digits" });
    let checked_only = json!({ "modelId": model, "dataset": "digits", "dryRun": true });
    let payload = checked(api, &checked_only, &bytes).await["data"]["createVersion"].take();
    assert_eq!(payload["version"], Value::Null);
    insta::assert_json_snapshot!(payload["preprocessing"]);

    let accuracy = async |input: &Value, file: &ModelProto| {
        let file = file.encode_to_vec();
        let payload = api
            .create_version_and_wait(input.clone(), &[("input.onnx", &file)])
            .await;
        let query = "query($id: ID!) { version(id: $id) { accuracy preprocessing { notes } } }";
        let version = api.data(query, json!({ "id": payload["version"]["id"] })).await["version"].take();
        (version["accuracy"].clone(), version["preprocessing"]["notes"].clone())
    };
    let unscaled = json!({ "modelId": model, "dataset": "digits", "preprocessing": { "mean": [0], "std": [1] } });
    let (expected, none) = accuracy(&unscaled, &plain).await;
    let (found, notes) = accuracy(&input, &bytes).await;
    assert_eq!((found, none), (expected, json!([])));
    assert_eq!(notes, payload["preprocessing"]["notes"]);

    let (code, message) = first_error(&checked(api, &unscaled, &bytes).await);
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(
        message.contains("takes whole numbers") && message.contains("omit them"),
        "{message}"
    );
    let whole = json!({ "modelId": model, "dataset": "digits", "dryRun": true, "preprocessing": { "mean": [0], "std": [1], "scale": 1 } });
    let payload = checked(api, &whole, &bytes).await["data"]["createVersion"].take();
    assert_eq!(payload["preprocessing"]["notes"], json!([]));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_file_leaves_open_comes_from_its_convolution_and_the_data_set() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let mut open = exported(api, &model).await;
    let graph = open.graph.as_mut().unwrap();
    let tensor = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    for dim in &mut tensor.shape.as_mut().unwrap().dim {
        (dim.dim_value, dim.dim_param) = (None, Some("open".to_owned()));
    }
    let input = json!({ "modelId": model, "dataset": "digits", "dryRun": true });
    let payload = checked(api, &input, &open).await["data"]["createVersion"].take();
    insta::assert_json_snapshot!(payload["preprocessing"]["notes"]);

    // Its last layer takes this size only.
    let larger = json!({ "modelId": model, "dataset": "digits", "preprocessing": { "height": 9, "width": 40 } });
    let (code, message) = first_error(&checked(api, &larger, &open).await);
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(
        message.contains("not take images of 9x40 pixels, but of 8x8: set `height` and `width`"),
        "{message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn weights_of_blocks_may_have_a_normalisation_of_their_own() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let file = exported(api, &model).await;
    let preprocessing = json!({ "mean": [0.3], "std": [0.6] });
    let input = json!({ "modelId": model, "dataset": "digits", "preprocessing": preprocessing });
    let onnx = file.encode_to_vec();
    api.create_version_and_wait(input.clone(), &[("input.onnx", &onnx)])
        .await;

    let mut blocks = input.clone();
    blocks["blocks"] = small_cnn();
    let weights = initial_weights(&small_cnn(), 1);
    let files = [("input.weights", weights.as_slice())];
    let payload = api.create_version_and_wait(blocks.clone(), &files).await;
    let query = "query($id: ID!) { version(id: $id) { number duplicateOf { number } preprocessing { channels mean std notes } } }";
    let version = api.data(query, json!({ "id": payload["version"]["id"] })).await;
    // The same weights as at first, but other images: those of the ONNX file.
    let expected = json!({
        "number": 3,
        "duplicateOf": { "number": 2 },
        "preprocessing": { "channels": 1, "mean": [0.3], "std": [0.6], "notes": [] },
    });
    assert_eq!(version["version"], expected);

    blocks["preprocessing"] = json!({ "mean": [0.3, 0.3], "std": [0.6, 0.6] });
    let refused = api.create_version(blocks.clone(), &files).await;
    assert!(
        first_error(&refused)
            .1
            .contains("as many numbers, or one for all, got 2 and 2"),
        "{refused:#}"
    );
    blocks["preprocessing"] = json!({ "height": 9, "width": 9 });
    let refused = api.create_version(blocks, &files).await;
    assert!(first_error(&refused).1.contains("require `onnx`"), "{refused:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_network_that_divides_its_pixels_is_told_from_one_for_normalised_ones() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let mut file = for_bytes(exported(api, &model).await);
    let graph = file.graph.as_mut().unwrap();
    let tensor = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    tensor.elem_type = DataType::Float as i32;
    let notes = async |preprocessing: Value| {
        let input = json!({ "modelId": model, "dataset": "digits", "dryRun": true, "preprocessing": preprocessing });
        let response = checked(api, &input, &file).await;
        response["data"]["createVersion"]["preprocessing"]["notes"].to_string()
    };
    let advice = "it probably takes pixels from 0 to 255, so set `scale` to 1, `mean` to 0 and `std` to 1";
    assert!(notes(json!({})).await.contains(advice));
    assert!(notes(json!({ "mean": [0], "std": [1] })).await.contains(advice));
    assert_eq!(notes(json!({ "scale": 1, "mean": [0], "std": [1] })).await, "[]");
    server.stop().await.unwrap();
}
