//! Looking into a network: feature maps, attributions, predictions of uploaded images.

use image::{ImageFormat, Rgb, RgbImage};
use prost::Message as _;
use scv_compute::onnx::proto::{ModelProto, ValueInfoProto};
use serde_json::{Value, json};

use crate::support::client::{first_error, text};
use crate::support::look::{SYNTHESIZE, file, list, number, picture, predict, synthesized, trained};
use crate::support::networks::{constant_weights, perceptron};
use crate::support::server::Server;

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
        (
            json!({ "image": 100_000, "channels": null }),
            "NOT_FOUND",
            "there is no image 100000: those of the test split of digits are 0 to 354",
        ),
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
    let query = "query($id: ID!, $channels: [Int!], $first: Int, $after: String) { layer(id: $id) {
        channelExemplars(channels: $channels, first: $first, after: $after) { totalCount pageInfo { endCursor hasNextPage }
          nodes { channel images { index activation picture { url width height } } } } } }";
    let page = async |mut variables: Value| {
        variables["id"] = json!(layers[4]);
        api.data(query, variables).await["layer"]["channelExemplars"].take()
    };
    let first = page(json!({ "first": 3 })).await;
    assert_eq!((&first["totalCount"], list(&first["nodes"]).len()), (&json!(16), 3));
    let next = page(json!({ "first": 2, "after": first["pageInfo"]["endCursor"] })).await;
    let found = &next["nodes"];
    assert_eq!((list(found).len(), &found[0]["channel"]), (2, &json!(3)));
    let chosen = page(json!({ "channels": [4, 3] })).await;
    assert_eq!((&chosen["nodes"][1], &chosen["totalCount"]), (&found[0], &json!(2)));
    for (channels, words) in [
        (json!([16]), "has channels 0 to 15, and none of index 16"),
        (json!([-1]), "0 or more"),
    ] {
        let (code, message) = api.error(query, json!({ "id": layers[4], "channels": channels })).await;
        assert!(code == "BAD_USER_INPUT" && message.contains(words), "{code}: {message}");
    }
    let beyond = json!({ "id": layers[4], "channels": [16] });
    let (code, message) = api.error(maps, beyond).await;
    assert!(
        code == "BAD_USER_INPUT" && message.contains("has channels 0 to 15, and none of index 16"),
        "{code}: {message}"
    );
    let split = "query($id: ID!) { layer(id: $id) { featureMaps(split: TRAIN) { channel } } }";
    let (code, message) = api.error(split, json!({ "id": layers[4] })).await;
    assert!(
        code == "BAD_USER_INPUT" && message.contains("name an image"),
        "{code}: {message}"
    );
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
        (json!({ "method": "GRAD_CAM" }), json!(null), "give `settings.layer`"),
        (
            json!({ "method": "GRAD_CAM", "layer": 99 }),
            json!(null),
            "none of index 99",
        ),
        (
            json!({ "method": "SMOOTH_GRAD", "layer": 4 }),
            json!(null),
            "`settings.layer` is for GRAD_CAM",
        ),
        (
            json!({ "method": "INTEGRATED_GRADIENTS", "steps": 0 }),
            json!(null),
            "`settings.steps` must be 1 to 300, got 0",
        ),
        (
            json!({ "method": "GRAD_CAM", "layer": 6 }),
            json!(null),
            "without rows and columns",
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
        let (code, message) = api.error(query, variables).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_request_looks_at_more_layers_than_may_wait_for_the_device() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let looks: String = (0..8)
        .map(|look| format!("look{look}: featureMaps(image: {look}, first: 1) {{ channel }} "))
        .collect();
    let query = format!("query($id: ID!) {{ version(id: $id) {{ layers(first: 5) {{ nodes {{ {looks} }} }} }} }}");
    let found = api.data(&query, json!({ "id": version })).await;
    for layer in list(&found["version"]["layers"]["nodes"]) {
        let looks = layer.as_object().unwrap();
        assert_eq!(looks.len(), 8);
        assert!(looks.values().all(|maps| list(maps).len() == 1), "{layer:#}");
    }
    server.stop().await.unwrap();
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

/// A small PNG file whose header tells of so many pixels.
fn telling_of(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = file(&RgbImage::new(40, 40), ImageFormat::Png);
    // Behind the signature: length and name of the header, its two lengths, five other bytes, its checksum.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = bytes[12..29].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| match sum & 1 {
            1 => (sum >> 1) ^ 0xedb8_8320,
            _ => sum >> 1,
        })
    });
    bytes[29..33].copy_from_slice(&(!checksum).to_be_bytes());
    bytes
}

#[tokio::test]
async fn a_transparent_image_is_put_where_it_can_be_seen() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let drawn = |ink: u8, around: [u8; 4]| {
        let stroke = image::Rgba([ink, ink, ink, 255]);
        let image = image::RgbaImage::from_fn(8, 8, |x, _| if x == 4 { stroke } else { image::Rgba(around) });
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    for (image, words) in [
        (drawn(255, [0; 4]), "put on black where it was transparent"),
        (drawn(0, [0; 4]), "put on white where it was transparent"),
        // Nearly opaque paper.
        (drawn(0, [255, 255, 255, 254]), "put on white where it was transparent"),
    ] {
        let answer = predict(api, &version, &image, None).await["data"]["predict"].take();
        assert!(answer["preparations"].to_string().contains(words), "{answer:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_uploaded_image_serves_several_fields() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = trained(api).await;
    let query = "mutation($version: ID!, $image: Upload!) {
        predict(input: { versionId: $version, image: $image }) { predictions { class { index } } }
        attributeImage(input: { versionId: $version, image: $image }) { attribution { class { index } } } }";
    let image = file(&RgbImage::new(8, 8), ImageFormat::Png);
    let variables = json!({ "version": version, "image": null });
    let answer = api.upload(query, variables, &[("image", &image)]).await.unwrap();
    let data = &answer["data"];
    assert!(data["attributeImage"]["attribution"]["class"].is_object(), "{answer:#}");
    assert_eq!(
        data["predict"]["predictions"][0]["class"],
        data["attributeImage"]["attribution"]["class"]
    );
    let input = json!({ "versionId": version, "image": null });
    let query = "mutation($input: PredictInput!) { predict(input: $input) { preparations } }";
    let answer = api
        .upload(query, json!({ "input": input }), &[("input.image", b"")])
        .await;
    assert_eq!(
        first_error(&answer.unwrap()).0,
        "BAD_USER_INPUT",
        "an empty file is no image"
    );
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
    let mut cut_jpeg = file(&RgbImage::new(200, 200), ImageFormat::Jpeg);
    cut_jpeg.truncate(cut_jpeg.len() - 40);
    for (bytes, words) in [
        (b"GIF89a\x01\x00\x01\x00".to_vec(), "neither PNG nor JPEG"),
        (b"no image at all".to_vec(), "neither PNG nor JPEG"),
        (file(&wide, ImageFormat::Png), "more than 4096 pixels a side"),
        (cut, "is broken"),
        (cut_jpeg, "is cut off"),
        (telling_of(30_000, 30_000), "more than 4096 pixels a side"),
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
    let job = api.endless_job().await;
    api.cancel(&job).await;
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
        (
            "mutation($input: EvaluateVersionInput!) { evaluateVersion(input: $input) { job { id } } }",
            json!({ "input": { "versionId": version } }),
        ),
    ] {
        let (code, message) = api.error(query, variables).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains("has failed and cannot be run"), "{message}");
    }
    let image = file(&RgbImage::new(8, 8), ImageFormat::Png);
    let (code, message) = first_error(&predict(api, &version, &image, None).await);
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("has failed and cannot be run"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_network_that_came_as_onnx_is_looked_into_like_the_blocks_that_it_was() {
    let server = Server::start().await;
    let api = &server.api;
    let (blocks, layers) = trained(api).await;
    let onnx = api.download(&format!("/versions/{blocks}/network.onnx")).await;
    let model = api.model("onnx").await;
    let input = json!({ "modelId": model, "dataset": "digits" });
    let imported = api.created_version(input, &[("input.onnx", &onnx)]).await;
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

    let find = "mutation($input: FindExemplarsInput!) { findExemplars(input: $input) { job { id } } }";
    let query = "query($id: ID!) { layer(id: $id) { featureMaps(image: 5, channels: [0, 3]) { values }
        channelExemplars(first: 3) { nodes { images { index } } } } }";
    // The second convolution.
    assert_eq!(of_onnx[4]["name"], "4");
    let mut both = Vec::new();
    for (version, layer) in [(&blocks, &layers[4]), (&imported, &text(&of_onnx[4]["id"]))] {
        let started = api.data(find, json!({ "input": { "versionId": version } })).await;
        api.succeed(started["findExemplars"]["job"]["id"].as_str().unwrap())
            .await;
        both.push(api.data(query, json!({ "id": layer })).await["layer"].take());
    }
    assert_eq!(both[0]["channelExemplars"], both[1]["channelExemplars"]);
    for (a, b) in list(&both[0]["featureMaps"]).iter().zip(list(&both[1]["featureMaps"])) {
        assert_near(&a["values"], &b["values"]);
    }

    let settings = json!({ "steps": 20, "seed": 4 });
    let mut answers = Vec::new();
    for version in [&blocks, &imported] {
        let target = json!({ "layer": 4, "channel": 1 });
        answers.push(number(
            &synthesized(api, version, target, settings.clone()).await["activation"],
        ));
    }
    assert!((answers[0] - answers[1]).abs() < 1e-2 * answers[0].abs(), "{answers:?}");
    server.stop().await.unwrap();
}

/// Lists of lists of numbers that differ by rounding alone.
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
async fn a_network_of_several_outputs_is_looked_into_by_the_one_that_is_chosen() {
    let server = Server::start().await;
    let api = &server.api;
    let (blocks, _) = trained(api).await;
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
    let take = async |output: &str| {
        let input = json!({ "modelId": model, "dataset": "digits", "output": output });
        text(&api.created_version(input, &[("input.onnx", &onnx)]).await["version"]["id"])
    };
    let image = file(&RgbImage::from_pixel(8, 8, Rgb([90; 3])), ImageFormat::Png);

    let classes = take(&scores).await;
    let of_blocks = predict(api, &blocks, &image, None).await["data"]["predict"].take();
    let answer = predict(api, &classes, &image, None).await["data"]["predict"].take();
    assert_eq!(answer["predictions"][0]["class"], of_blocks["predictions"][0]["class"]);

    // What answers with no classes predicts none, and its layers can be looked into all the same.
    let others = take(&inner).await;
    let query = "query($id: ID!) { version(id: $id) { accuracy evaluation { loss } layers { nodes { id } } } }";
    let found = api.data(query, json!({ "id": others })).await["version"].take();
    assert_eq!((&found["accuracy"], &found["evaluation"]), (&Value::Null, &Value::Null));
    let (code, message) = first_error(&predict(api, &others, &image, None).await);
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("does not answer with the 10 classes"), "{message}");
    let input = json!({ "versionId": others, "target": { "class": 1 } });
    let (code, message) = api.error(SYNTHESIZE, json!({ "input": input })).await;
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("numbers of shape [8, 8, 8]"), "{message}");
    let maps = "query($id: ID!) { layer(id: $id) { featureMaps(image: 0, first: 2) { channel } } }";
    let maps = api.data(maps, json!({ "id": found["layers"]["nodes"][0]["id"] })).await;
    assert_eq!(list(&maps["layer"]["featureMaps"]).len(), 2);
    let target = json!({ "layer": 0, "channel": 1 });
    let sought = synthesized(api, &others, target, json!({ "steps": 5 })).await;
    assert!(sought["activation"].is_number(), "{sought:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn pictures_of_queries_are_deleted_when_they_take_too_much_room() {
    let server = Server::with(|config| config.picture_bytes = 0).await;
    let api = &server.api;
    let (version, layers) = trained(api).await;
    let settings = json!({ "steps": 1 });
    let sought = synthesized(api, &version, json!({ "class": 1 }), settings).await;
    let query = "query($id: ID!) { layer(id: $id) { featureMaps(image: 5, first: 1) { picture { url } } } }";
    let found = api.data(query, json!({ "id": layers[0] })).await;
    let url = text(&found["layer"]["featureMaps"][0]["picture"]["url"]);
    // As old as a picture has to be.
    let folder = server.config.data_dir.join("artifacts/pictures");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.unwrap().path())
            .unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    // Whatever is drawn next makes room.
    let other = "query($id: ID!) { layer(id: $id) { featureMaps(image: 6, first: 1) { picture { url } } } }";
    let fresh = api.data(other, json!({ "id": layers[0] })).await;
    let fresh = text(&fresh["layer"]["featureMaps"][0]["picture"]["url"]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while api.get(&url).await.status() == 200 {
        assert!(std::time::Instant::now() < end, "the picture stays");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let gone = api.get(&url).await;
    assert_eq!(gone.status(), 404);
    assert!(gone.text().await.unwrap().contains("ask again for what it shows"));
    assert_eq!(api.get(&fresh).await.status(), 200, "it is young");
    assert_eq!(
        api.get(sought["picture"]["url"].as_str().unwrap()).await.status(),
        200,
        "a synthetic image stays"
    );
    let again = api.data(query, json!({ "id": layers[0] })).await;
    assert_eq!(again["layer"], found["layer"]);
    assert_eq!(api.get(&url).await.status(), 200);
    server.stop().await.unwrap();
}
