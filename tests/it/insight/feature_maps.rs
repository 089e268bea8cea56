//! Feature maps, and the top-activating images of channels.

use serde_json::{Value, json};

use crate::support::insight::{fetch_picture, find_exemplars, list, number, push_digits, train_digits};
use crate::support::server::Server;

const FEATURE_MAPS: &str = "query($id: ID!, $channels: [Int!], $first: Int!, $image: Int!) { layer(id: $id) {
    featureMaps(image: $image, channels: $channels, first: $first) { channel height width mean values
      picture { url width height } overlay(colours: GREY) { url width height } image { picture { url width height } } } } }";

const TWO_FEATURE_MAPS: &str = "query($id: ID!, $image: Int, $channels: [Int!]) { layer(id: $id) {
    featureMaps(image: $image, channels: $channels, first: 2) { channel values } } }";

const EXEMPLARS: &str = "query($id: ID!, $channels: [Int!], $first: Int, $after: String) { layer(id: $id) {
    channelExemplars(channels: $channels, first: $first, after: $after) { totalCount pageInfo { endCursor hasNextPage }
      nodes { channel images { index activation picture { url width height } } } } } }";

#[tokio::test]
async fn the_feature_maps_of_a_layer_are_numbers_and_pictures_in_order_of_activation() {
    let server = Server::start().await;
    let api = &server.api;
    let (_, layers) = train_digits(api).await;
    let variables = json!({ "id": layers[0], "image": 3, "channels": null, "first": 3 });
    let found = api.data(FEATURE_MAPS, variables).await;
    let maps = list(&found["layer"]["featureMaps"]);
    let means: Vec<f64> = maps.iter().map(|map| number(&map["mean"])).collect();
    assert_eq!(maps.len(), 3);
    assert!(means.is_sorted_by(|a, b| a >= b), "largest mean first: {means:?}");
    for map in maps {
        assert_eq!(
            (&map["height"], &map["width"], list(&map["values"]).len()),
            (&json!(8), &json!(8), 8)
        );
        let shown = fetch_picture(api, &map["picture"]).await;
        let image = fetch_picture(api, &map["image"]["picture"]).await;
        let overlay = fetch_picture(api, &map["overlay"]).await;
        assert_eq!((shown.width(), overlay.width()), (image.width(), image.width()));
    }
    let chosen = json!({ "id": layers[0], "image": 3, "channels": [maps[1]["channel"]], "first": 3 });
    let chosen = api.data(FEATURE_MAPS, chosen).await["layer"]["featureMaps"].take();
    assert_eq!(list(&chosen)[0]["values"], maps[1]["values"]);

    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_images_and_channels_of_feature_maps_are_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let (_, layers) = push_digits(api).await;
    for (variables, code, words) in [
        (
            json!({ "image": 3, "channels": [8] }),
            "BAD_USER_INPUT",
            "channel 8 of layer 0 is out of range (0–7)",
        ),
        (
            json!({ "image": 3, "channels": [-1] }),
            "BAD_USER_INPUT",
            "`channels` must be 0 or more",
        ),
        (
            json!({ "image": 100_000, "channels": null }),
            "NOT_FOUND",
            "there is no image 100000: the test split of digits has images 0 to 354",
        ),
        (
            json!({ "image": -1, "channels": null }),
            "BAD_USER_INPUT",
            "`image` must be 0 or more",
        ),
        (
            json!({ "image": 3, "channels": (0..65).collect::<Vec<_>>() }),
            "BAD_USER_INPUT",
            "channels requested; the limit is 64",
        ),
    ] {
        let mut variables = variables;
        variables["id"] = json!(layers[0]);
        variables["first"] = json!(8);
        let (found, message) = api.error(FEATURE_MAPS, variables).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_top_activating_images_of_channels_are_paged_by_channel_and_ordered_by_activation() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, layers) = train_digits(api).await;
    find_exemplars(api, &version).await;
    let page = async |mut variables: Value| {
        variables["id"] = json!(layers[4]);
        api.data(EXEMPLARS, variables).await["layer"]["channelExemplars"].take()
    };
    let first = page(json!({ "first": 3 })).await;
    assert_eq!((&first["totalCount"], list(&first["nodes"]).len()), (&json!(16), 3));
    let next = page(json!({ "first": 2, "after": first["pageInfo"]["endCursor"] })).await;
    let found = &next["nodes"];
    assert_eq!((list(found).len(), &found[0]["channel"]), (2, &json!(3)));
    let chosen = page(json!({ "channels": [4, 3] })).await;
    assert_eq!((&chosen["nodes"][1], &chosen["totalCount"]), (&found[0], &json!(2)));
    let images = list(&found[0]["images"]);
    let activations: Vec<f64> = images.iter().map(|image| number(&image["activation"])).collect();
    assert!(
        images.len() == 9 && activations.is_sorted_by(|a, b| a >= b),
        "{activations:?}"
    );
    fetch_picture(api, &images[0]["picture"]).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn feature_maps_require_exemplars_or_an_image_and_valid_channels() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, layers) = push_digits(api).await;
    let (code, message) = api.error(TWO_FEATURE_MAPS, json!({ "id": layers[4] })).await;
    assert_eq!(code, "BAD_USER_INPUT", "{message}");
    assert!(message.contains("run findExemplars first"), "{message}");
    find_exemplars(api, &version).await;
    for (channels, words) in [
        (json!([16]), "channel 16 of layer 4 is out of range (0–15)"),
        (json!([-1]), "0 or more"),
    ] {
        let (code, message) = api
            .error(EXEMPLARS, json!({ "id": layers[4], "channels": channels }))
            .await;
        assert!(code == "BAD_USER_INPUT" && message.contains(words), "{code}: {message}");
    }
    let beyond = json!({ "id": layers[4], "channels": [16] });
    let (code, message) = api.error(TWO_FEATURE_MAPS, beyond).await;
    assert!(
        code == "BAD_USER_INPUT" && message.contains("channel 16 of layer 4 is out of range (0–15)"),
        "{code}: {message}"
    );
    let split = "query($id: ID!) { layer(id: $id) { featureMaps(split: TRAIN) { channel } } }";
    let (code, message) = api.error(split, json!({ "id": layers[4] })).await;
    assert!(
        code == "BAD_USER_INPUT" && message.contains("`split` requires `image`"),
        "{code}: {message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn top_activating_images_have_the_largest_feature_maps_and_are_the_default_image() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, layers) = train_digits(api).await;
    find_exemplars(api, &version).await;
    let variables = json!({ "id": layers[4], "channels": [3] });
    let found = api.data(EXEMPLARS, variables).await["layer"]["channelExemplars"]["nodes"][0].take();
    let images = list(&found["images"]);
    // The activation is the maximum of the feature map, and no other image has a larger one.
    let maximum = async |image: &Value| {
        let found = api
            .data(
                TWO_FEATURE_MAPS,
                json!({ "id": layers[4], "image": image, "channels": [3] }),
            )
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
            (maximum(&image["index"]).await - number(&image["activation"])).abs() < 1e-4,
            "{image:#}"
        );
    }
    for other in 0..40 {
        assert!(
            maximum(&json!(other)).await <= number(&images[0]["activation"]) + 1e-4,
            "image {other}"
        );
    }
    let of_top_image = api
        .data(TWO_FEATURE_MAPS, json!({ "id": layers[4], "channels": [3] }))
        .await;
    let of_first = api
        .data(
            TWO_FEATURE_MAPS,
            json!({ "id": layers[4], "image": images[0]["index"], "channels": [3] }),
        )
        .await;
    assert_eq!(of_top_image["layer"], of_first["layer"]);
    let all_channels = api.data(TWO_FEATURE_MAPS, json!({ "id": layers[4] })).await;
    assert_eq!(list(&all_channels["layer"]["featureMaps"]).len(), 2);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_request_may_have_more_feature_maps_than_the_queue_of_the_device_holds() {
    let server = Server::start().await;
    let api = &server.api;
    let (version, _) = push_digits(api).await;
    let fields: String = (0..8)
        .map(|image| format!("image{image}: featureMaps(image: {image}, first: 1) {{ channel }} "))
        .collect();
    let query = format!("query($id: ID!) {{ version(id: $id) {{ layers(first: 5) {{ nodes {{ {fields} }} }} }} }}");
    let found = api.data(&query, json!({ "id": version })).await;
    for layer in list(&found["version"]["layers"]["nodes"]) {
        let images = layer.as_object().unwrap();
        assert_eq!(images.len(), 8);
        assert!(images.values().all(|maps| list(maps).len() == 1), "{layer:#}");
    }
    server.stop().await.unwrap();
}
