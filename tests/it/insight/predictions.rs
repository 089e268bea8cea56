//! Predictions and other results for uploaded images.

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::json;

use crate::support::client::{first_error, text};
use crate::support::insight::{encode_image, fetch_picture, list, number, predict, push_digits, train_digits};
use crate::support::server::Server;

#[tokio::test]
async fn an_uploaded_image_is_converted_for_the_network_and_the_steps_are_reported() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = train_digits(api).await;
    let query = "query($id: ID!) { version(id: $id) { evaluation { confusionCells(first: 1) { nodes {
        predicted { index } exemplar { confidence picture { url width height } } } } } } }";
    let found = api.data(query, json!({ "id": version })).await;
    let cell = &found["version"]["evaluation"]["confusionCells"]["nodes"][0];
    let exemplar = fetch_picture(api, &cell["exemplar"]["picture"]).await.to_rgb8();

    // The exemplar itself. Its picture is enlarged, and shrinking it again blurs it a little.
    let response = predict(api, &version, &encode_image(&exemplar, ImageFormat::Png), None).await;
    let prediction = &response["data"]["predict"];
    assert_eq!(
        prediction["preprocessingSteps"],
        json!(["converted to greyscale", "resized from 112x112 to 8x8 pixels"]),
        "{response:#}"
    );
    let predicted = &prediction["predictions"][0];
    assert_eq!(predicted["class"], cell["predicted"]);
    let total: f64 = list(&prediction["predictions"])
        .iter()
        .map(|row| number(&row["probability"]))
        .sum();
    assert!((total - 1.0).abs() < 1e-9);

    // Dark on light, as on paper; the digits are light on dark.
    let mut paper = exemplar.clone();
    for pixel in paper.pixels_mut() {
        *pixel = Rgb(pixel.0.map(|level| 255 - level));
    }
    let response = predict(api, &version, &encode_image(&paper, ImageFormat::Png), None).await;
    let on_paper = &response["data"]["predict"];
    assert!(
        list(&on_paper["preprocessingSteps"])
            .iter()
            .any(|step| text(step).starts_with("inverted")),
        "{on_paper:#}"
    );
    assert_eq!(on_paper["predictions"], prediction["predictions"]);
    let response = predict(api, &version, &encode_image(&paper, ImageFormat::Png), Some(false)).await;
    assert!(
        !list(&response["data"]["predict"]["preprocessingSteps"])
            .iter()
            .any(|step| text(step).starts_with("inverted"))
    );

    let response = predict(api, &version, &encode_image(&exemplar, ImageFormat::Jpeg), None).await;
    assert_eq!(
        response["data"]["predict"]["predictions"][0]["class"],
        cell["predicted"]
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_transparent_image_is_placed_on_a_contrasting_background() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    let drawn = |ink: u8, around: [u8; 4]| {
        let stroke = image::Rgba([ink, ink, ink, 255]);
        let image = image::RgbaImage::from_fn(8, 8, |x, _| if x == 4 { stroke } else { image::Rgba(around) });
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    for (image, words) in [
        (drawn(255, [0; 4]), "filled with black where it was transparent"),
        (drawn(0, [0; 4]), "filled with white where it was transparent"),
        // Nearly opaque paper.
        (
            drawn(0, [255, 255, 255, 254]),
            "filled with white where it was transparent",
        ),
    ] {
        let response = predict(api, &version, &image, None).await["data"]["predict"].take();
        assert!(
            response["preprocessingSteps"].to_string().contains(words),
            "{response:#}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_uploaded_image_serves_several_fields() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    let query = "mutation($version: ID!, $image: Upload!) {
        predict(input: { versionId: $version, image: $image }) { predictions { class { index } } }
        attributeImage(input: { versionId: $version, image: $image }) { attribution { class { index } } } }";
    let image = encode_image(&RgbImage::new(8, 8), ImageFormat::Png);
    let variables = json!({ "version": version, "image": null });
    let response = api.upload(query, variables, &[("image", &image)]).await.unwrap();
    let data = &response["data"];
    assert!(
        data["attributeImage"]["attribution"]["class"].is_object(),
        "{response:#}"
    );
    assert_eq!(
        data["predict"]["predictions"][0]["class"],
        data["attributeImage"]["attribution"]["class"]
    );
    let input = json!({ "versionId": version, "image": null });
    let query = "mutation($input: PredictInput!) { predict(input: $input) { preprocessingSteps } }";
    let response = api
        .upload(query, json!({ "input": input }), &[("input.image", b"")])
        .await;
    assert_eq!(
        first_error(&response.unwrap()).0,
        "BAD_USER_INPUT",
        "an empty file is not an image"
    );
    server.stop().await.unwrap();
}

/// A small PNG file whose header claims another size.
fn claiming_size(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encode_image(&RgbImage::new(40, 40), ImageFormat::Png);
    // After the signature: length and name of the header, width and height, five other bytes, the checksum.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = bytes[12..29].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0xedb8_8320
            } else {
                sum >> 1
            }
        })
    });
    bytes[29..33].copy_from_slice(&(!checksum).to_be_bytes());
    bytes
}

#[tokio::test]
async fn files_that_are_not_images_and_images_that_are_too_large_are_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    let wide = RgbImage::new(4_097, 1);
    let mut cut = encode_image(&RgbImage::new(40, 40), ImageFormat::Png);
    cut.truncate(60);
    let mut cut_jpeg = encode_image(&RgbImage::new(200, 200), ImageFormat::Jpeg);
    cut_jpeg.truncate(cut_jpeg.len() - 40);
    for (bytes, words) in [
        (b"GIF89a\x01\x00\x01\x00".to_vec(), "neither PNG nor JPEG"),
        (b"no image at all".to_vec(), "neither PNG nor JPEG"),
        (encode_image(&wide, ImageFormat::Png), "more than 4096 pixels per side"),
        (cut, "is a PNG file that is cut off"),
        (cut_jpeg, "is cut off"),
        (claiming_size(30_000, 30_000), "more than 4096 pixels per side"),
        (vec![0; (20 << 20) + 1], "the limit is 20971520"),
    ] {
        let (code, message) = first_error(&predict(api, &version, &bytes, None).await);
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_uploaded_image_has_feature_maps_and_an_attribution() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, layers) = push_digits(api).await;
    let small = encode_image(&RgbImage::from_pixel(20, 10, Rgb([200, 10, 10])), ImageFormat::Png);
    let query = "mutation($input: ComputeFeatureMapsInput!) { computeFeatureMaps(input: $input) { featureMaps { channel image { preprocessingSteps } } } }";
    let input = json!({ "layerId": layers[0], "image": null, "first": 2 });
    let response = api
        .upload(query, json!({ "input": input }), &[("input.image", &small)])
        .await
        .unwrap();
    let maps = list(&response["data"]["computeFeatureMaps"]["featureMaps"]);
    assert_eq!(
        (maps.len(), list(&maps[0]["image"]["preprocessingSteps"]).len()),
        (2, 2),
        "{response:#}"
    );
    let query = "mutation($input: AttributeImageInput!) { attributeImage(input: $input) { attribution { score } } }";
    let input = json!({ "versionId": version, "image": null, "class": 1 });
    let response = api
        .upload(query, json!({ "input": input }), &[("input.image", &small)])
        .await
        .unwrap();
    assert!(
        response["data"]["attributeImage"]["attribution"]["score"].is_number(),
        "{response:#}"
    );
    server.stop().await.unwrap();
}
