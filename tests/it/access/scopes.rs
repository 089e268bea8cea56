//! Scopes: which mutations a token allows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{READ_MUTATIONS, building_mutations, digits_probe_set, document, first_layer, mutations, response};
use crate::support::client::{first_error, text};
use crate::support::insight;
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

/// A model of an account, and the mutations on it.
struct OwnedModel {
    server: Server,
    model: String,
    mutations: Vec<(&'static str, Value)>,
}

impl OwnedModel {
    async fn create() -> Self {
        let server = Server::start().await;
        let owner = server.api.as_account("owner", "WRITE").await;
        let model = owner.model("theirs").await;
        let job = owner
            .push(&model, perceptron(), initial_weights(&perceptron(), 1))
            .await;
        let version = text(&owner.wait_for_success(&job).await["version"]["id"]);
        let probe_set = digits_probe_set(&owner).await;
        let target = json!({ "class": 1 });
        let synthesis = insight::synthesize_and_wait(&owner, &version, target, json!({ "steps": 1 })).await;
        let mutations = mutations(&model, &version, &job, &probe_set, &text(&synthesis["id"]));
        Self {
            server,
            model,
            mutations,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_is_in_one_of_the_lists() {
    let server = Server::start().await;
    let query = "{ __type(name: \"Mutation\") { fields { name } } }";
    let known = server.api.data(query, json!({})).await["__type"]["fields"].take();
    let known: BTreeSet<_> = known
        .as_array()
        .unwrap()
        .iter()
        .map(|field| text(&field["name"]))
        .collect();
    let listed = mutations("", "", "", "", "");
    let building = building_mutations();
    let listed = listed.iter().map(|(name, _)| *name).chain(READ_MUTATIONS);
    let listed = listed.chain(building.iter().map(|(name, ..)| *name));
    assert_eq!(known, listed.map(str::to_owned).collect());
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_token_cannot_change_anything() {
    let OwnedModel { server, mutations, .. } = OwnedModel::create().await;
    let reader = server.api.as_account("owner", "READ").await;
    for (mutation, input) in &mutations {
        let (code, message) = reader.error(&document(mutation), json!({ "input": input })).await;
        assert_eq!(code, "FORBIDDEN", "{mutation}: {message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_token_can_use_models_of_other_accounts_but_not_change_them() {
    let OwnedModel {
        server,
        model,
        mutations,
    } = OwnedModel::create().await;
    let stranger = server.api.as_account("stranger", "WRITE").await;
    let changes = [
        "cancelJob",
        "deleteModel",
        "deleteSynthesis",
        "deleteVersion",
        "restoreModel",
        "retryJob",
        "trainVersion",
        "updateModel",
    ];
    let for_administrators = ["createToken", "rebuildSearchIndex"];
    for (mutation, input) in &mutations {
        let response = response(&stranger, &document(mutation), json!({ "input": input })).await;
        if changes.contains(mutation) || for_administrators.contains(mutation) {
            assert_eq!(first_error(&response).0, "FORBIDDEN", "{mutation}");
        } else if *mutation == "createVersion" {
            // Its input has no weights, which is checked first.
            assert_eq!(first_error(&response).0, "BAD_USER_INPUT");
        } else {
            assert!(response.get("errors").is_none(), "{mutation}: {response:#}");
        }
    }
    let weights = initial_weights(&perceptron(), 1);
    let input = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron() });
    let refused = stranger.create_version(input, &[("input.weights", &weights)]).await;
    assert_eq!(first_error(&refused).0, "FORBIDDEN");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_token_can_change_a_model_without_an_owner() {
    let server = Server::start().await;
    let model = server.api.model("nobodys").await;
    let writer = server.api.as_account("writer", "WRITE").await;
    let input = json!({ "id": model, "description": "changed" });
    let changed = response(&writer, &document("updateModel"), json!({ "input": input })).await;
    assert!(changed.get("errors").is_none(), "{changed:#}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_token_may_upload_files_and_request_explanations() {
    let server = Server::start().await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let reader = server.api.as_account("reader", "READ").await;
    let model = owner.model("m").await;
    let version = owner
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let layer = first_layer(&owner, &version).await;
    let other = owner
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 2))
        .await;
    let pair = json!({ "layerId": layer, "otherLayerId": first_layer(&owner, &other).await });
    let explained = response(&reader, &document("explainSimilarity"), json!({ "input": pair })).await;
    assert!(explained.get("errors").is_none(), "{explained:#}");
    let image = insight::encode_image(&image::RgbImage::new(8, 8), image::ImageFormat::Png);
    for (mutation, input, variable) in [
        ("predict", json!({ "versionId": version }), "image"),
        ("attributeImage", json!({ "versionId": version }), "image"),
        ("computeFeatureMaps", json!({ "layerId": layer }), "image"),
        ("similarToActivations", json!({ "dataset": "digits" }), "activations"),
    ] {
        let mut input = input;
        input[variable] = Value::Null;
        let files = [(format!("input.{variable}"), image.as_slice())];
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let response = reader
            .upload(&document(mutation), json!({ "input": input }), &files)
            .await
            .unwrap();
        if mutation == "similarToActivations" {
            // The request is allowed, but an image is not a file of activations.
            assert_eq!(first_error(&response).0, "BAD_USER_INPUT", "{response:#}");
        } else {
            assert!(response.get("errors").is_none(), "{mutation}: {response:#}");
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_build_networks_may_upload_files_of_networks_and_weights() {
    let server = Server::start().await;
    let (reader, writer) = (
        server.api.as_account("reader", "READ").await,
        server.api.as_account("writer", "WRITE").await,
    );
    for (mutation, mut input, field) in building_mutations() {
        input[field] = Value::Null;
        let field = format!("input.{field}");
        let files = [(field.as_str(), b"neither a network nor weights".as_slice())];
        let (document, variables) = (document(mutation), json!({ "input": input }));
        let refused = reader.upload(&document, variables.clone(), &files).await.unwrap();
        assert_eq!(first_error(&refused).0, "FORBIDDEN", "{mutation}: {refused:#}");
        // The request is allowed, but the file is not one.
        let read = writer.upload(&document, variables, &files).await.unwrap();
        assert_eq!(first_error(&read).0, "BAD_USER_INPUT", "{mutation}: {read:#}");
    }
    server.stop().await.unwrap();
}
