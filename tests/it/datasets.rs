//! Data sets and probe sets: imported completely, or refused with the location of the error.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::client::{Client, IMPORT_DATASET, first_error, text};
use crate::support::idx;
use crate::support::networks::{constant_weights, initial_weights, perceptron};
use crate::support::server::Server;

/// The four files of a data set of two classes; equal arguments give equal files.
fn files(side: u32, first_label: u8) -> [Vec<u8>; 4] {
    [
        idx::images(120, side),
        idx::labels(120, 2, first_label),
        idx::images(30, side),
        idx::labels(30, 2, first_label),
    ]
}

fn gzipped(file: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(file).unwrap();
    encoder.finish().unwrap()
}

/// A data set with its splits and probe sets.
async fn describe(api: &Client, name: &str) -> Value {
    let query = "query($name: String!) { dataset(name: $name) { name channels height width classNames mean std
                   splits { split imageCount }
                   probeSets { split imageCount isDefault contentHash imageIndices } } }";
    api.data(query, json!({ "name": name })).await["dataset"].take()
}

#[tokio::test]
async fn the_digits_exist_after_the_first_start() {
    let server = Server::start().await;
    let digits = describe(&server.api, "digits").await;
    insta::assert_json_snapshot!(digits, { ".probeSets[].imageIndices" => "[100 indices]" });
    let indices = digits["probeSets"][0]["imageIndices"].as_array().unwrap();
    assert_eq!(indices.len(), 100);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_images_of_a_split_are_listed_by_class() {
    let server = Server::start().await;
    let api = &server.api;
    let query = "query($split: Split!, $class: Int, $after: String) { dataset(name: \"digits\") {
                   images(split: $split, class: $class, first: 100, after: $after) { totalCount
                     pageInfo { hasNextPage endCursor } nodes { index split class { index name } picture { url } } } } }";
    let mut variables = json!({ "split": "TRAIN", "class": 3 });
    let first = api.data(query, variables.clone()).await["dataset"]["images"].take();
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    variables["after"] = first["pageInfo"]["endCursor"].clone();
    let second = api.data(query, variables).await["dataset"]["images"].take();
    let threes = [
        first["nodes"].as_array().unwrap().clone(),
        second["nodes"].as_array().unwrap().clone(),
    ]
    .concat();
    assert_eq!(json!(threes.len()), first["totalCount"]);
    let indices: Vec<_> = threes.iter().map(|image| image["index"].as_u64().unwrap()).collect();
    assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
    for image in &threes {
        assert_eq!(image["class"], json!({ "index": 3, "name": "3" }));
        assert_eq!(image["split"], "TRAIN");
    }
    let all = api.data(query, json!({ "split": "TEST" })).await["dataset"]["images"]["totalCount"].take();
    assert_eq!(all, 355);

    let one = "query($index: Int!) { dataset(name: \"digits\") { image(split: TRAIN, index: $index) { index class { name } picture { url } } } }";
    let image = api.data(one, json!({ "index": indices[5] })).await["dataset"]["image"].take();
    assert_eq!(image["picture"], threes[5]["picture"]);
    assert_eq!(image["class"]["name"], "3");
    let beyond = api.data(one, json!({ "index": 1_000_000 })).await;
    assert_eq!(beyond["dataset"]["image"], Value::Null);
    let (code, message) = api.error(query, json!({ "split": "TEST", "class": 10 })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert_eq!(message, "class 10 of data set digits is out of range (0–9)");
    assert_eq!(api.error(one, json!({ "index": -1 })).await.0, "BAD_USER_INPUT");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn raw_and_gzipped_files_make_the_same_data_set_and_the_same_probe_set() {
    let server = Server::start().await;
    let api = &server.api;
    let raw = files(8, 0);
    for (name, files) in [("raw", &raw), ("gzipped", &raw.each_ref().map(|file| gzipped(file)))] {
        api.import_and_wait(json!({ "name": name }), files).await;
    }
    let (raw, mut gzipped) = (describe(api, "raw").await, describe(api, "gzipped").await);
    gzipped["name"] = json!("raw");
    assert_eq!(raw, gzipped);
    assert_eq!(raw["classNames"], json!(["0", "1"]));
    assert_eq!(
        raw["splits"],
        json!([{ "split": "TRAIN", "imageCount": 120 }, { "split": "TEST", "imageCount": 30 }])
    );
    assert_eq!(raw["probeSets"][0]["imageCount"], 100);
    assert_eq!(
        raw["probeSets"][0]["split"], "TRAIN",
        "probe images are not from the test split"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_name_of_a_published_data_set_provides_its_defaults() {
    let server = Server::start().await;
    let api = &server.api;
    // Only two of the letters occur.
    let input = json!({ "name": "emnist", "allowEmptyClasses": true });
    api.import_and_wait(input, &files(28, 1)).await;
    let emnist = describe(api, "emnist").await;
    assert_eq!(emnist["classNames"][25], "Z");
    assert_eq!((&emnist["mean"], &emnist["std"]), (&json!([0.1751]), &json!([0.3332])));

    let own = json!({ "name": "mnist", "classNames": ["even", "odd"], "mean": [0.5], "std": [0.25] });
    api.import_and_wait(own, &files(28, 0)).await;
    let mnist = describe(api, "mnist").await;
    assert_eq!(
        mnist["classNames"],
        json!(["even", "odd"]),
        "values of the input have precedence"
    );
    assert_eq!((&mnist["mean"], &mnist["std"]), (&json!([0.5]), &json!([0.25])));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn plain_mistakes_are_told_at_once_with_their_location() {
    let server = Server::start().await;
    let api = &server.api;
    let good = files(8, 0);
    let changed = |index: usize, change: fn(&mut Vec<u8>)| {
        let mut files = good.clone();
        change(&mut files[index]);
        files
    };
    let named = json!({ "name": "new" });
    let bad = [
        (named.clone(), changed(1, |file| file.truncate(5))),
        (named.clone(), changed(2, |file| file[2] = 9)),
        (named.clone(), changed(0, |file| file[..4].copy_from_slice(b"\x89PNG"))),
        (
            named.clone(),
            [good[1].clone(), good[0].clone(), good[2].clone(), good[3].clone()],
        ),
        (json!({ "name": "new", "classNames": ["a", "a"] }), good.clone()),
        (json!({ "name": "new", "mean": [0.5] }), good.clone()),
        (json!({ "name": "new", "mean": [0.5], "std": [0.0] }), good.clone()),
        (json!({ "name": "Not A Name" }), good.clone()),
        (json!({ "name": "digits" }), good.clone()),
    ];
    let mut refusals = Vec::new();
    for (input, files) in bad {
        refusals.push(first_error(&api.import(input, &files).await));
    }
    let input = json!({ "name": "new", "trainImages": null, "trainLabels": null, "testImages": null });
    let three: Vec<_> = [
        ("input.trainImages", 0),
        ("input.trainLabels", 1),
        ("input.testImages", 2),
    ]
    .map(|(field, index)| (field, good[index].as_slice()))
    .to_vec();
    refusals.push(first_error(
        &api.upload(IMPORT_DATASET, json!({ "input": input }), &three)
            .await
            .unwrap(),
    ));
    insta::assert_json_snapshot!(refusals);

    let data = api.data("{ datasets { name } }", json!({})).await;
    assert_eq!(data["datasets"], json!([{ "name": "digits" }]));
    let jobs = api.data("{ jobs { totalCount } }", json!({})).await;
    assert_eq!(jobs["jobs"]["totalCount"], 0, "nothing was queued");
    server.stop().await.unwrap();
}

const CREATE_PROBE_SET: &str = "mutation($input: CreateProbeSetInput!) { createProbeSet(input: $input) {
    probeSet { id imageCount split isDefault imageIndices contentHash } jobs { id } } }";

#[tokio::test]
async fn existing_versions_are_measured_on_a_new_probe_set() {
    let server = Server::start().await;
    let api = &server.api;
    let blocks = perceptron();
    let mut versions = Vec::new();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let model = api.model(name).await;
        versions.push(
            api.push_and_wait(&model, blocks.clone(), initial_weights(&blocks, seed))
                .await,
        );
    }
    let mut hashes = Vec::new();
    for count in [4, 1000] {
        let input = json!({ "dataset": "digits", "imageCount": count, "seed": 3 });
        let payload = api.data(CREATE_PROBE_SET, json!({ "input": input })).await["createProbeSet"].take();
        let probe_set = &payload["probeSet"];
        assert_eq!(
            (&probe_set["imageCount"], &probe_set["isDefault"]),
            (&json!(count), &json!(false))
        );
        let jobs = payload["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 2, "one per version");
        for job in jobs {
            api.wait_for_success(job["id"].as_str().unwrap()).await;
        }
        let query = "query($id: ID!, $on: ID!) { version(id: $id) { layers { nodes { name
                       similar(probeSet: $on) { exact edges { cka debiasedCka node { name } } } } } } }";
        let data = api
            .data(query, json!({ "id": versions[0], "on": probe_set["id"] }))
            .await;
        for layer in data["version"]["layers"]["nodes"].as_array().unwrap() {
            let edges = layer["similar"]["edges"].as_array().unwrap();
            assert!(!edges.is_empty(), "{layer:#}");
            for edge in edges {
                let (cka, debiased) = (edge["cka"].as_f64().unwrap(), edge["debiasedCka"].as_f64().unwrap());
                assert!(
                    (0.0..=1.0).contains(&cka) && (-1.0..=1.0).contains(&debiased),
                    "{edge:#}"
                );
            }
        }
        hashes.push(text(&probe_set["contentHash"]));
    }
    let again = json!({ "dataset": "digits", "imageCount": 4, "seed": 3 });
    let payload = api.data(CREATE_PROBE_SET, json!({ "input": again })).await["createProbeSet"].take();
    assert_eq!(
        payload["probeSet"]["contentHash"], hashes[0],
        "the same images are the same probe set"
    );
    assert_eq!(payload["jobs"], json!([]), "and every version was measured on it");
    let listed = describe(api, "digits").await;
    let listed: Vec<_> = listed["probeSets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| text(&set["contentHash"]))
        .collect();
    assert_eq!(listed[1..], hashes, "after the default probe set");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_version_is_measured_on_every_probe_set() {
    let server = Server::start().await;
    let api = &server.api;
    let input = json!({ "dataset": "digits", "imageCount": 20 });
    let payload = api.data(CREATE_PROBE_SET, json!({ "input": input })).await["createProbeSet"].take();
    assert_eq!(payload["jobs"], json!([]));
    let blocks = perceptron();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let model = api.model(name).await;
        api.push_and_wait(&model, blocks.clone(), initial_weights(&blocks, seed))
            .await;
    }
    let query = "query($on: ID!) { model(name: \"a\") { version(number: 1) { layers { nodes {
                   similar(probeSet: $on) { totalCount } } } } } }";
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        // A separate job measures it after the version has become READY on the default probe set.
        let response = api
            .execute(query, json!({ "on": payload["probeSet"]["id"] }))
            .await
            .unwrap();
        let layer = &response["data"]["model"]["version"]["layers"]["nodes"][0];
        if layer["similar"]["totalCount"] == 1 {
            break;
        }
        assert!(Instant::now() < end, "the version is not measured: {response:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_sizes_and_data_sets_of_probe_sets_are_refused() {
    let server = Server::start().await;
    server.api.import_and_wait(json!({ "name": "few" }), &files(8, 0)).await;
    let mut refusals = Vec::new();
    for (dataset, count) in [
        ("digits", 3),
        ("digits", 1001),
        ("digits", -1),
        ("few", 121),
        ("moon", 10),
    ] {
        let input = json!({ "dataset": dataset, "imageCount": count });
        refusals.push(server.api.error(CREATE_PROBE_SET, json!({ "input": input })).await);
    }
    insta::assert_json_snapshot!(refusals);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn labels_that_start_at_one_are_evaluated_as_classes_that_start_at_zero() {
    let server = Server::start().await;
    let api = &server.api;
    let files = [
        idx::images(120, 28),
        idx::labels(120, 26, 1),
        idx::images(30, 28),
        idx::labels(30, 26, 1),
    ];
    api.import_and_wait(json!({ "name": "emnist" }), &files).await;
    let model = api.model("m").await;
    let blocks =
        json!([{ "kind": "Flatten" }, { "kind": "Linear", "parameters": { "out_features": 26, "bias": false } }]);
    let weights = constant_weights(&[("1.weight", &[26, 784], 0.0)]);
    let input = json!({ "modelId": model, "dataset": "emnist", "blocks": blocks });
    let created = api.create_version_and_wait(input, &[("input.weights", &weights)]).await;
    let query = "query($id: ID!) { version(id: $id) { evaluation { accuracy confusionMatrix
        confusionCells(first: 1) { nodes { actual { name } predicted { index name } imageCount } }
        mistakes(first: 1) { nodes { actual { name } } } } } }";
    let found = api.data(query, json!({ "id": created["version"]["id"] })).await["version"]["evaluation"].take();
    // Of 30 images, the first and the 27th have label 1. Of equal scores, the first class is predicted.
    let first = json!({ "actual": { "name": "A" }, "predicted": { "index": 0, "name": "A" }, "imageCount": 2 });
    assert_eq!(found["confusionCells"]["nodes"][0], first);
    assert!((found["accuracy"].as_f64().unwrap() - 2.0 / 30.0).abs() < 1e-12);
    let rows = found["confusionMatrix"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[25][0], &rows[25][25]), (26, &json!(1), &json!(0)));
    assert_eq!(found["mistakes"]["nodes"][0]["actual"]["name"], "B");
    server.stop().await.unwrap();
}
