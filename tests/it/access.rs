//! Access: tokens, what they allow, and what is private.

mod audit;
mod network;
mod privacy;
mod rate_limits;
mod scopes;
mod sessions;
mod tokens;
pub mod walk;

use serde_json::{Value, json};

use crate::support::client::{Client, text};

/// The first layer of a version.
pub async fn first_layer(api: &Client, version: &str) -> String {
    let query = "query($id: ID!) { version(id: $id) { layers(first: 1) { nodes { id } } } }";
    text(&api.data(query, json!({ "id": version })).await["version"]["layers"]["nodes"][0]["id"])
}

/// Creates a private model and returns its id.
async fn private_model(api: &Client, name: &str) -> String {
    let query = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let input = json!({ "name": name, "visibility": "PRIVATE" });
    let created = api.data(query, json!({ "input": input })).await;
    text(&created["createModel"]["model"]["id"])
}

/// The default probe set of the digits.
pub async fn digits_probe_set(api: &Client) -> String {
    let query = "{ dataset(name: \"digits\") { probeSets { id } } }";
    text(&api.data(query, json!({})).await["dataset"]["probeSets"][0]["id"])
}

/// The whole response, with data or errors.
async fn response(api: &Client, query: &str, variables: Value) -> Value {
    api.execute(query, variables).await.unwrap()
}

/// Every mutation that changes the library, with a valid input.
pub fn mutations(
    model: &str,
    version: &str,
    job: &str,
    probe_set: &str,
    synthesis: &str,
) -> Vec<(&'static str, Value)> {
    let blocks = json!([{ "kind": "Flatten" }]);
    vec![
        ("cancelJob", json!({ "id": job })),
        ("createModel", json!({ "name": "another" })),
        ("createProbeSet", json!({ "dataset": "digits", "seed": 77 })),
        ("createToken", json!({ "account": "another" })),
        (
            "createVersion",
            json!({ "modelId": model, "dataset": "digits", "blocks": blocks }),
        ),
        ("deleteModel", json!({ "id": model })),
        ("deleteSynthesis", json!({ "id": synthesis })),
        ("deleteVersion", json!({ "id": version })),
        ("evaluateVersion", json!({ "versionId": version })),
        ("findExemplars", json!({ "versionId": version })),
        ("importDataset", json!({ "name": "numbers", "format": "DIGITS" })),
        ("rebuildSearchIndex", json!({ "probeSetId": probe_set })),
        ("restoreModel", json!({ "id": model })),
        ("retryJob", json!({ "id": job })),
        (
            "synthesizeImage",
            json!({ "versionId": version, "target": { "class": 1 } }),
        ),
        (
            "trainVersion",
            json!({ "modelId": model, "dataset": "digits", "blocks": blocks }),
        ),
        ("updateModel", json!({ "id": model, "description": "changed" })),
    ]
}

/// Mutations that a token with the scope READ may execute: those that do not change the library, and the revocation of
/// its own account's tokens.
const READ_MUTATIONS: [&str; 6] = [
    "attributeImage",
    "explainSimilarity",
    "computeFeatureMaps",
    "predict",
    "revokeToken",
    "similarToActivations",
];

/// Mutations with files that change nothing either, but are for those who build networks, with an input and its field for the file.
pub fn building_mutations() -> [(&'static str, Value, &'static str); 2] {
    let blocks = json!([{ "kind": "Flatten" }]);
    [
        (
            "mapWeights",
            json!({ "dataset": "digits", "blocks": blocks }),
            "weights",
        ),
        ("readBlocks", json!({ "dataset": "digits" }), "file"),
    ]
}

/// A document with one mutation.
pub fn document(mutation: &str) -> String {
    let input = format!("{}{}", mutation[..1].to_uppercase(), &mutation[1..]);
    format!("mutation($input: {input}Input!) {{ {mutation}(input: $input) {{ __typename }} }}")
}
