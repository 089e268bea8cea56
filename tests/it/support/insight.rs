//! Requests for the insides of a network: predictions, pictures and synthetic images.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::client::{Client, text};
use super::networks::{initial_weights, small_cnn};

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Trains a version on the digits; returns its id and the ids of its layers.
pub async fn train_digits(api: &Client) -> (String, Vec<String>) {
    let model = api.model("digits").await;
    let version = api
        .train_and_wait(&model, small_cnn(), json!({ "epochs": 3, "seed": 1 }))
        .await;
    let layers = layer_ids(api, &version).await;
    (version, layers)
}

/// Registers a network for the digits with its initial weights; returns its id and the ids of its layers.
pub async fn push_digits(api: &Client) -> (String, Vec<String>) {
    let model = api.model("digits").await;
    let version = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    let layers = layer_ids(api, &version).await;
    (version, layers)
}

/// The ids of the layers of a version.
pub async fn layer_ids(api: &Client, version: &str) -> Vec<String> {
    let query = "query($id: ID!) { version(id: $id) { layers { nodes { id } } } }";
    let found = api.data(query, json!({ "id": version })).await;
    let layers = list(&found["version"]["layers"]["nodes"]);
    layers.iter().map(|layer| text(&layer["id"])).collect()
}

/// Finds the top-activating images of all channels of a version.
pub async fn find_exemplars(api: &Client, version: &str) {
    let find = "mutation($input: FindExemplarsInput!) { findExemplars(input: $input) { job { id } } }";
    let started = api.data(find, json!({ "input": { "versionId": version } })).await;
    api.wait_for_success(started["findExemplars"]["job"]["id"].as_str().unwrap())
        .await;
}

/// Downloads a picture and checks its declared size.
pub async fn fetch_picture(api: &Client, picture: &Value) -> image::DynamicImage {
    let response = api.get(picture["url"].as_str().unwrap()).await;
    assert_eq!(response.status(), 200, "{picture:#}");
    let decoded = image::load_from_memory(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(
        json!([decoded.width(), decoded.height()]),
        json!([picture["width"], picture["height"]])
    );
    decoded
}

pub const PREDICT: &str = "mutation($input: PredictInput!) { predict(input: $input) {
    predictions { class { index } probability } preprocessingSteps preparedImage { url width height } } }";

/// The response to a prediction for an uploaded file.
pub async fn predict(api: &Client, version: &str, file: &[u8], invert: Option<bool>) -> Value {
    let input = json!({ "versionId": version, "image": null, "invert": invert });
    let response = api
        .upload(PREDICT, json!({ "input": input }), &[("input.image", file)])
        .await;
    response.unwrap()
}

/// An image as the bytes of a file.
pub fn encode_image(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub const SYNTHESIZE: &str = "mutation($input: SynthesizeImageInput!) { synthesizeImage(input: $input) {
    synthesis { id activation picture { url } } job { id kind status } } }";

pub const SYNTHESIS: &str = "query($id: ID!) { node(id: $id) { ... on Synthesis { id activation activationHistory
    target { class layer channel row column } settings { steps seed parametrisation jitter }
    picture { url width height } exemplars { index activation picture { url width height } }
    version { id syntheses(first: 1) { totalCount nodes { id } } } job { status phase } } } }";

/// Creates a synthetic image and returns it once its job has succeeded.
pub async fn synthesize_and_wait(api: &Client, version: &str, target: Value, settings: Value) -> Value {
    let input = json!({ "versionId": version, "target": target, "settings": settings });
    let started = api.data(SYNTHESIZE, json!({ "input": input })).await["synthesizeImage"].take();
    assert_eq!(
        started["synthesis"]["picture"],
        Value::Null,
        "there is no picture before the job has ended"
    );
    api.wait_for_success(started["job"]["id"].as_str().unwrap()).await;
    api.data(SYNTHESIS, json!({ "id": started["synthesis"]["id"] })).await["node"].take()
}
