//! Looking into a network.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::client::{Client, text};
use super::networks::small_cnn;

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A version trained on the digits, with the ids of its layers.
pub async fn trained(api: &Client) -> (String, Vec<String>) {
    let model = api.model("digits").await;
    let version = api
        .trained(&model, small_cnn(), json!({ "epochs": 3, "seed": 1 }))
        .await;
    let query = "query($id: ID!) { version(id: $id) { layers { nodes { id } } } }";
    let found = api.data(query, json!({ "id": version })).await;
    let layers = list(&found["version"]["layers"]["nodes"]);
    (version, layers.iter().map(|layer| text(&layer["id"])).collect())
}

pub async fn picture(api: &Client, picture: &Value) -> image::DynamicImage {
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

pub async fn predict(api: &Client, version: &str, file: &[u8], invert: Option<bool>) -> Value {
    let input = json!({ "versionId": version, "image": null, "invert": invert });
    let answer = api
        .upload(PREDICT, json!({ "input": input }), &[("input.image", file)])
        .await;
    answer.unwrap()
}

pub fn file(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
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

pub async fn synthesized(api: &Client, version: &str, target: Value, settings: Value) -> Value {
    let input = json!({ "versionId": version, "target": target, "settings": settings });
    let started = api.data(SYNTHESIZE, json!({ "input": input })).await["synthesizeImage"].take();
    assert_eq!(
        started["synthesis"]["picture"],
        Value::Null,
        "not before the job has ended"
    );
    api.succeed(started["job"]["id"].as_str().unwrap()).await;
    api.data(SYNTHESIS, json!({ "id": started["synthesis"]["id"] })).await["node"].take()
}
