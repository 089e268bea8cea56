//! Looking into a network: feature maps, attributions, predictions of uploaded images, synthetic images.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::client::{Client, first_error, text};
use crate::support::networks::{constant_weights, perceptron, small_cnn};
use crate::support::server::Server;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A version trained on the digits, with the ids of its layers.
async fn trained(api: &Client) -> (String, Vec<String>) {
    let model = api.model("digits").await;
    let version = api
        .trained(&model, small_cnn(), json!({ "epochs": 3, "seed": 1 }))
        .await;
    let query = "query($id: ID!) { version(id: $id) { layers { nodes { id } } } }";
    let found = api.data(query, json!({ "id": version })).await;
    let layers = list(&found["version"]["layers"]["nodes"]);
    (version, layers.iter().map(|layer| text(&layer["id"])).collect())
}

async fn picture(api: &Client, picture: &Value) -> image::DynamicImage {
    let response = api.get(picture["url"].as_str().unwrap()).await;
    assert_eq!(response.status(), 200, "{picture:#}");
    let decoded = image::load_from_memory(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(
        json!([decoded.width(), decoded.height()]),
        json!([picture["width"], picture["height"]])
    );
    decoded
}

#[tokio::test]
async fn the_channels_of_a_layer_are_numbers_and_pictures() {
    let server = Server::start().await;
    let api = &server.api;
    let (_, layers) = trained(api).await;
    let query = "query($id: ID!, $channels: [Int!], $first: Int!, $image: Int!) { layer(id: $id) {
        featureMaps(image: $image, channels: $channels, first: $first) { channel height width mean values
          picture { url width height } overlay(colours: GREY) { url width height } image { picture { url width height } } } } }";
    let variables = json!({ "id": layers[0], "image": 3, "channels": null, "first": 3 });
    let found = api.data(query, variables).await;
    let maps = list(&found["layer"]["featureMaps"]);
    let means: Vec<f64> = maps.iter().map(|map| number(&map["mean"])).collect();
    assert_eq!(maps.len(), 3);
    assert!(
        means.is_sorted_by(|a, b| a >= b),
        "the most active come first: {means:?}"
    );
    for map in maps {
        assert_eq!(
            (&map["height"], &map["width"], list(&map["values"]).len()),
            (&json!(8), &json!(8), 8)
        );
        let shown = picture(api, &map["picture"]).await;
        let image = picture(api, &map["image"]["picture"]).await;
        let overlay = picture(api, &map["overlay"]).await;
        assert_eq!((shown.width(), overlay.width()), (image.width(), image.width()));
    }
    let chosen = json!({ "id": layers[0], "image": 3, "channels": [maps[1]["channel"]], "first": 3 });
    let chosen = api.data(query, chosen).await["layer"]["featureMaps"].take();
    assert_eq!(list(&chosen)[0]["values"], maps[1]["values"]);

    for (variables, code, words) in [
        (
            json!({ "image": 3, "channels": [8] }),
            "BAD_USER_INPUT",
            "has channels 0 to 7, and none of index 8",
        ),
        (
            json!({ "image": 3, "channels": [-1] }),
            "BAD_USER_INPUT",
            "`channels` must be 0 or more",
        ),
        (json!({ "image": 100_000, "channels": null }), "NOT_FOUND", "100000"),
        (
            json!({ "image": -1, "channels": null }),
            "BAD_USER_INPUT",
            "`image` must be 0 or more",
        ),
        (
            json!({ "image": 3, "channels": (0..65).collect::<Vec<_>>() }),
            "BAD_USER_INPUT",
            "64 can be had",
        ),
    ] {
        let mut variables = variables;
        variables["id"] = json!(layers[0]);
        variables["first"] = json!(8);
        let (found, message) = api.error(query, variables).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn each_channel_has_the_images_that_it_answers_to_most() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, layers) = trained(api).await;
    let maps = "query($id: ID!, $image: Int, $channels: [Int!]) { layer(id: $id) {
        featureMaps(image: $image, channels: $channels, first: 2) { channel values } } }";
    let (code, message) = api.error(maps, json!({ "id": layers[4] })).await;
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("run findExemplars first"), "{message}");

    let find = "mutation($input: FindExemplarsInput!) { findExemplars(input: $input) { job { id } } }";
    let started = api.data(find, json!({ "input": { "versionId": version } })).await;
    api.succeed(started["findExemplars"]["job"]["id"].as_str().unwrap())
        .await;
    let query = "query($id: ID!) { layer(id: $id) { channelExemplars(from: 3, first: 2) { channel images {
        index activation picture { url width height } } } } }";
    let found = api.data(query, json!({ "id": layers[4] })).await["layer"]["channelExemplars"].take();
    assert_eq!((list(&found).len(), &found[0]["channel"]), (2, &json!(3)));
    let images = list(&found[0]["images"]);
    let answers: Vec<f64> = images.iter().map(|image| number(&image["activation"])).collect();
    assert!(images.len() == 9 && answers.is_sorted_by(|a, b| a >= b), "{answers:?}");
    picture(api, &images[0]["picture"]).await;

    // What is kept is the greatest number of the map, and no other image of the split has a greater one.
    let greatest = async |image: &Value| {
        let found = api
            .data(maps, json!({ "id": layers[4], "image": image, "channels": [3] }))
            .await;
        let map = &found["layer"]["featureMaps"][0];
        list(&map["values"])
            .iter()
            .flat_map(list)
            .map(number)
            .fold(f64::MIN, f64::max)
    };
    for image in images {
        assert!(
            (greatest(&image["index"]).await - number(&image["activation"])).abs() < 1e-4,
            "{image:#}"
        );
    }
    for other in 0..40 {
        assert!(greatest(&json!(other)).await <= answers[0] + 1e-4, "image {other}");
    }
    let strongest = api.data(maps, json!({ "id": layers[4], "channels": [3] })).await;
    let of_first = api
        .data(
            maps,
            json!({ "id": layers[4], "image": images[0]["index"], "channels": [3] }),
        )
        .await;
    assert_eq!(strongest["layer"], of_first["layer"]);
    let usual = api.data(maps, json!({ "id": layers[4] })).await;
    assert_eq!(list(&usual["layer"]["featureMaps"]).len(), 2);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn pixels_are_weighed_for_the_likeliest_class_or_another_in_four_ways() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let query = "query($id: ID!, $class: Int, $settings: AttributionSettings) { version(id: $id) {
        attribution(image: 5, class: $class, settings: $settings) { method class { index name } score completenessError values
          picture { url width height } overlay { url width height } } } }";
    let weigh = async |settings: Value, class: Value| {
        let variables = json!({ "id": version, "class": class, "settings": settings });
        api.data(query, variables).await["version"]["attribution"].take()
    };
    let usual = weigh(Value::Null, Value::Null).await;
    assert_eq!(usual["method"], "INTEGRATED_GRADIENTS");
    assert!(
        number(&usual["completenessError"]) < 0.05 * number(&usual["score"]).abs(),
        "{usual:#}"
    );
    for method in ["INPUT_GRADIENT", "SMOOTH_GRAD", "INTEGRATED_GRADIENTS"] {
        let found = weigh(json!({ "method": method }), json!(2)).await;
        assert_eq!(
            (&found["method"], &found["class"]["index"]),
            (&json!(method), &json!(2))
        );
        let values = list(&found["values"]);
        assert_eq!(
            (values.len(), list(&values[0]).len(), list(&values[0][0]).len()),
            (1, 8, 8)
        );
        picture(api, &found["picture"]).await;
        picture(api, &found["overlay"]).await;
    }
    // The convolution behind the pooling.
    let cam = weigh(json!({ "method": "GRAD_CAM", "layer": 4 }), Value::Null).await;
    assert_eq!(list(&cam["values"][0]).len(), 4);
    assert_eq!(cam["class"], usual["class"]);

    for (settings, class, words) in [
        (json!(null), json!(10), "classes 0 to 9, and none of index 10"),
        (json!({ "method": "GRAD_CAM" }), json!(null), "give `layer`"),
        (
            json!({ "method": "GRAD_CAM", "layer": 6 }),
            json!(null),
            "without rows and columns",
        ),
        (
            json!({ "method": "SMOOTH_GRAD", "samples": 301 }),
            json!(null),
            "1 to 300 gradients",
        ),
        (
            json!({ "method": "SMOOTH_GRAD", "noise": 2 }),
            json!(null),
            "`noise` must be 0 to 1",
        ),
    ] {
        let variables = json!({ "id": version, "class": class, "settings": settings });
        let (code, message) = api.error(query, variables).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

const PREDICT: &str = "mutation($input: PredictInput!) { predict(input: $input) {
    predictions { class { index } probability } preparations shown { url width height } } }";

async fn predict(api: &Client, version: &str, file: &[u8], invert: Option<bool>) -> Value {
    let input = json!({ "versionId": version, "image": null, "invert": invert });
    let answer = api
        .upload(PREDICT, json!({ "input": input }), &[("input.image", file)])
        .await;
    answer.unwrap()
}

fn file(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn an_uploaded_image_is_made_to_what_the_network_reads_and_what_was_done_is_told() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let query = "query($id: ID!) { version(id: $id) { evaluation { confusionCells(first: 1) { nodes {
        predicted { index } exemplar { confidence picture { url width height } } } } } } }";
    let found = api.data(query, json!({ "id": version })).await;
    let cell = &found["version"]["evaluation"]["confusionCells"]["nodes"][0];
    let exemplar = picture(api, &cell["exemplar"]["picture"]).await.to_rgb8();

    // The exemplar itself, enlarged as it is, so that shrinking it blurs it a little.
    let answer = predict(api, &version, &file(&exemplar, ImageFormat::Png), None).await;
    let said = &answer["data"]["predict"];
    assert_eq!(
        said["preparations"],
        json!(["made grey", "resized from 112x112 to 8x8 pixels"]),
        "{answer:#}"
    );
    let likeliest = &said["predictions"][0];
    assert_eq!(likeliest["class"], cell["predicted"]);
    let total: f64 = list(&said["predictions"])
        .iter()
        .map(|row| number(&row["probability"]))
        .sum();
    assert!((total - 1.0).abs() < 1e-9);

    // Dark on light, as on paper: the digits are light on dark.
    let mut paper = exemplar.clone();
    for pixel in paper.pixels_mut() {
        *pixel = Rgb(pixel.0.map(|level| 255 - level));
    }
    let answer = predict(api, &version, &file(&paper, ImageFormat::Png), None).await;
    let on_paper = &answer["data"]["predict"];
    assert!(
        list(&on_paper["preparations"])
            .iter()
            .any(|step| text(step).starts_with("inverted")),
        "{on_paper:#}"
    );
    assert_eq!(on_paper["predictions"], said["predictions"]);
    let answer = predict(api, &version, &file(&paper, ImageFormat::Png), Some(false)).await;
    assert!(
        !list(&answer["data"]["predict"]["preparations"])
            .iter()
            .any(|step| text(step).starts_with("inverted"))
    );

    let answer = predict(api, &version, &file(&exemplar, ImageFormat::Jpeg), None).await;
    assert_eq!(answer["data"]["predict"]["predictions"][0]["class"], cell["predicted"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_image_or_too_large_a_one_is_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, layers) = trained(api).await;
    let wide = RgbImage::new(4_097, 1);
    let mut cut = file(&RgbImage::new(40, 40), ImageFormat::Png);
    cut.truncate(60);
    for (bytes, words) in [
        (b"GIF89a\x01\x00\x01\x00".to_vec(), "neither PNG nor JPEG"),
        (b"no image at all".to_vec(), "neither PNG nor JPEG"),
        (file(&wide, ImageFormat::Png), "cannot be read"),
        (cut, "cannot be read"),
        (vec![0; (20 << 20) + 1], "more than 20971520 bytes"),
    ] {
        let (code, message) = first_error(&predict(api, &version, &bytes, None).await);
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains(words), "{message}");
    }
    // Uploaded images can be looked at in every way.
    let small = file(&RgbImage::from_pixel(20, 10, Rgb([200, 10, 10])), ImageFormat::Png);
    let query = "mutation($input: MapImageInput!) { mapImage(input: $input) { featureMaps { channel image { preparations } } } }";
    let input = json!({ "layerId": layers[0], "image": null, "first": 2 });
    let answer = api
        .upload(query, json!({ "input": input }), &[("input.image", &small)])
        .await
        .unwrap();
    let maps = list(&answer["data"]["mapImage"]["featureMaps"]);
    assert_eq!(
        (maps.len(), list(&maps[0]["image"]["preparations"]).len()),
        (2, 2),
        "{answer:#}"
    );
    let query = "mutation($input: AttributeImageInput!) { attributeImage(input: $input) { attribution { score } } }";
    let input = json!({ "versionId": version, "image": null, "class": 1 });
    let answer = api
        .upload(query, json!({ "input": input }), &[("input.image", &small)])
        .await
        .unwrap();
    assert!(
        answer["data"]["attributeImage"]["attribution"]["score"].is_number(),
        "{answer:#}"
    );
    server.stop().await.unwrap();
}

const SYNTHESIZE: &str = "mutation($input: SynthesizeImageInput!) { synthesizeImage(input: $input) {
    synthesis { id activation picture { url } } job { id kind } } }";

const SYNTHESIS: &str = "query($id: ID!) { node(id: $id) { ... on Synthesis { activation course
    target { class layer channel row column } settings { steps seed parametrisation jitter }
    picture { url width height } exemplars { index activation picture { url width height } }
    version { id syntheses(first: 1) { totalCount nodes { id } } } job { status phase } } } }";

async fn synthesized(api: &Client, version: &str, target: Value, settings: Value) -> Value {
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
            "the list of classes has indices 0 to 9, and none of 10",
        ),
        (json!({ "layer": 99 }), json!({}), "none of 99"),
        (
            json!({ "layer": 0, "channel": 8 }),
            json!({}),
            "channels of layer 0 has indices 0 to 7, and none of 8",
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

#[tokio::test]
async fn a_network_whose_numbers_overflow_says_so_wherever_it_is_looked_into() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("huge").await;
    let weights = constant_weights(&[("1.weight", &[10, 64], 3e38), ("1.bias", &[10], 0.0)]);
    let version = api.pushed(&model, perceptron(), weights).await;
    let query = "query($id: ID!) { version(id: $id) { accuracy evaluation { loss } } }";
    let found = api.data(query, json!({ "id": version })).await;
    assert_eq!(found["version"], json!({ "accuracy": null, "evaluation": null }));

    let evaluate = "mutation($input: EvaluateVersionInput!) { evaluateVersion(input: $input) { job { id } } }";
    let started = api.data(evaluate, json!({ "input": { "versionId": version } })).await;
    let ended = api
        .finish(started["evaluateVersion"]["job"]["id"].as_str().unwrap())
        .await;
    assert_eq!(ended["failure"]["code"], "NOT_FINITE", "{ended:#}");

    let query = "query($id: ID!) { version(id: $id) { attribution(image: 0) { score } } }";
    let (code, message) = api.error(query, json!({ "id": version })).await;
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("NaN or infinite"), "{message}");
    let (_, message) = first_error(&predict(api, &version, &file(&RgbImage::new(8, 8), ImageFormat::Png), None).await);
    assert!(message.contains("NaN or infinite"), "{message}");

    let input = json!({ "versionId": version, "target": { "class": 1 } });
    let started = api.data(SYNTHESIZE, json!({ "input": input })).await;
    let ended = api
        .finish(started["synthesizeImage"]["job"]["id"].as_str().unwrap())
        .await;
    assert!(
        text(&ended["failure"]["message"]).contains("NaN or infinite"),
        "{ended:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_version_that_failed_cannot_be_looked_into() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("stopped").await;
    let job = api
        .train(&model, small_cnn(), json!({ "epochs": 400, "seed": 1 }))
        .await;
    let cancel = "mutation($input: CancelJobInput!) { cancelJob(input: $input) { job { id } } }";
    api.data(cancel, json!({ "input": { "id": job } })).await;
    let ended = api.finish(&job).await;
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
    ] {
        let (code, message) = api.error(query, variables).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains("has failed and cannot be run"), "{message}");
    }
    server.stop().await.unwrap();
}
