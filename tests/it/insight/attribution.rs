//! Pixel attributions.

use serde_json::{Value, json};

use crate::support::insight::{fetch_picture, list, number, push_digits, train_digits};
use crate::support::server::Server;

const ATTRIBUTION: &str = "query($id: ID!, $class: Int, $settings: AttributionSettings) { version(id: $id) {
    attribution(image: 5, class: $class, settings: $settings) { method class { index name } score completenessError values
      picture { url width height } overlay { url width height } } } }";

#[tokio::test]
async fn four_methods_attribute_the_predicted_or_a_given_class_to_pixels() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = train_digits(api).await;
    let attribute = async |settings: Value, class: Value| {
        let variables = json!({ "id": version, "class": class, "settings": settings });
        api.data(ATTRIBUTION, variables).await["version"]["attribution"].take()
    };
    let default = attribute(Value::Null, Value::Null).await;
    assert_eq!(default["method"], "INTEGRATED_GRADIENTS");
    assert!(
        number(&default["completenessError"]) < 0.05 * number(&default["score"]).abs(),
        "{default:#}"
    );
    for method in ["INPUT_GRADIENT", "SMOOTH_GRAD", "INTEGRATED_GRADIENTS"] {
        let found = attribute(json!({ "method": method }), json!(2)).await;
        assert_eq!(
            (&found["method"], &found["class"]["index"]),
            (&json!(method), &json!(2))
        );
        let values = list(&found["values"]);
        assert_eq!(
            (values.len(), list(&values[0]).len(), list(&values[0][0]).len()),
            (1, 8, 8)
        );
        fetch_picture(api, &found["picture"]).await;
        fetch_picture(api, &found["overlay"]).await;
    }
    // The convolution after the pooling.
    let cam = attribute(json!({ "method": "GRAD_CAM", "layer": 4 }), Value::Null).await;
    assert_eq!(list(&cam["values"][0]).len(), 4);
    assert_eq!(cam["class"], default["class"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_attribution_settings_are_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    for (settings, class, words) in [
        (json!(null), json!(10), "class 10 is out of range (0–9)"),
        (
            json!({ "method": "GRAD_CAM" }),
            json!(null),
            "GRAD_CAM requires `settings.layer`",
        ),
        (
            json!({ "method": "GRAD_CAM", "layer": 99 }),
            json!(null),
            "layer 99 is out of range",
        ),
        (
            json!({ "method": "SMOOTH_GRAD", "layer": 4 }),
            json!(null),
            "`settings.layer` applies only to GRAD_CAM",
        ),
        (
            json!({ "method": "INPUT_GRADIENT", "steps": 50 }),
            json!(null),
            "`settings.steps` applies only to INTEGRATED_GRADIENTS",
        ),
        (
            json!({ "noise": 0.1 }),
            json!(null),
            "`settings.noise` applies only to SMOOTH_GRAD",
        ),
        (
            json!({ "method": "INTEGRATED_GRADIENTS", "steps": 0 }),
            json!(null),
            "`settings.steps` must be 1 to 300, got 0",
        ),
        (
            json!({ "method": "GRAD_CAM", "layer": 6 }),
            json!(null),
            "needs a layer with rows and columns",
        ),
        (
            json!({ "method": "SMOOTH_GRAD", "samples": 301 }),
            json!(null),
            "`settings.samples` must be 1 to 300, got 301",
        ),
        (
            json!({ "method": "SMOOTH_GRAD", "noise": 2 }),
            json!(null),
            "`settings.noise` must be 0 to 1",
        ),
    ] {
        let variables = json!({ "id": version, "class": class, "settings": settings });
        let (code, message) = api.error(ATTRIBUTION, variables).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}
