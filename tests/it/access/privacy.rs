//! Private models: a stranger finds nothing of them.

use std::collections::BTreeSet;

use serde_json::json;

use super::walk::Walk;
use super::{digits_probe_set, document, first_layer, mutations, private_model, response};
use crate::support::client::{Client, first_error, text};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

/// Occurs only in what belongs to a private model.
const MARK: &str = "secret-";

/// A library with two equal models of one account, a public one and a private one.
struct LibraryWithSecrets {
    server: Server,
    owner: Client,
    stranger: Client,
    public_version: String,
    public_layer: String,
    /// Global ids of everything that is private.
    secrets: Secrets,
}

struct Secrets {
    model: String,
    version: String,
    layer: String,
    job: String,
    synthesis: String,
    synthesis_job: String,
}

impl Secrets {
    fn ids(&self) -> [&str; 6] {
        [
            &self.model,
            &self.version,
            &self.layer,
            &self.job,
            &self.synthesis,
            &self.synthesis_job,
        ]
    }
}

impl LibraryWithSecrets {
    async fn create() -> Self {
        let server = Server::with(|config| {
            config.limits.complexity = usize::MAX / 2;
            config.limits.document_bytes = 16 << 20;
            config.limits.body_bytes = 32 << 20;
            config.limits.tokens = usize::MAX;
            config.limits.fields = usize::MAX;
            config.limits.depth = 60;
        })
        .await;
        let owner = server.api.as_account("owner", "WRITE").await;
        let stranger = server.api.as_account("stranger", "WRITE").await;
        let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
        let secret = json!({ "name": "secret-name", "description": "secret-description", "tags": ["secret-tag"],
                             "visibility": "PRIVATE" });
        let secret = owner.data(create, json!({ "input": secret })).await;
        let secret = text(&secret["createModel"]["model"]["id"]);
        let job = owner
            .train(&secret, small_cnn(), json!({ "epochs": 1, "seed": 3 }))
            .await;
        let version = text(&owner.wait_for_success(&job).await["version"]["id"]);
        let public = owner.model("public").await;
        let public_version = owner
            .train_and_wait(&public, small_cnn(), json!({ "epochs": 1, "seed": 3 }))
            .await;
        let synthesize = "mutation($input: SynthesizeImageInput!) {
            synthesizeImage(input: $input) { synthesis { id } job { id } } }";
        let input = json!({ "versionId": version, "target": { "class": 1 }, "settings": { "steps": 1 } });
        let started = owner.data(synthesize, json!({ "input": input })).await["synthesizeImage"].take();
        owner.wait_for_success(started["job"]["id"].as_str().unwrap()).await;
        // Without a named image, feature maps are those of the top-activating images.
        let find_exemplars = "mutation($id: ID!) { findExemplars(input: { versionId: $id }) { job { id } } }";
        for version in [&version, &public_version] {
            let started = owner.data(find_exemplars, json!({ "id": version })).await;
            owner
                .wait_for_success(started["findExemplars"]["job"]["id"].as_str().unwrap())
                .await;
        }
        Self {
            public_layer: first_layer(&owner, &public_version).await,
            secrets: Secrets {
                model: secret,
                layer: first_layer(&owner, &version).await,
                version,
                job,
                synthesis: text(&started["synthesis"]["id"]),
                synthesis_job: text(&started["job"]["id"]),
            },
            public_version,
            owner,
            stranger,
            server,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn walking_the_whole_schema_shows_a_stranger_nothing_private() {
    let library = LibraryWithSecrets::create().await;
    let ids = library.secrets.ids();
    let walk = Walk::of(
        &library.owner,
        &ids,
        &["secret-name", "public"],
        &library.public_version,
    )
    .await;
    let (mut found_by_owner, mut owner_errors) = (BTreeSet::new(), BTreeSet::new());
    for (field, query) in walk.queries() {
        // The owner first, so that everything that can be cached is cached.
        let seen = response(&library.owner, &query, json!({})).await;
        if seen["data"].to_string().contains(MARK) {
            found_by_owner.insert(field.clone());
        }
        let errors = seen["errors"].as_array().into_iter().flatten();
        owner_errors.extend(errors.map(|error| format!("{field}: {}", error["message"])));
        let seen = response(&library.stranger, &query, json!({})).await;
        let (data, errors) = (seen["data"].to_string(), seen["errors"].to_string());
        for mark in ids.iter().chain(&[MARK]) {
            assert!(!data.contains(mark), "{field} shows {mark}: {data}");
        }
        assert!(!errors.contains(MARK), "{field}: {errors}");
        assert!(!errors.contains("INTERNAL"), "{field}: {errors}");
    }
    assert_eq!(walk.missed(), Vec::<String>::new());
    for field in [
        "layer", "model", "models", "node", "nodes", "job", "jobs", "version", "versions",
    ] {
        assert!(
            found_by_owner.contains(field),
            "the owner must see it through {field}: {found_by_owner:?} {owner_errors:#?}"
        );
    }
    library.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn search_results_contain_only_what_the_caller_may_see() {
    let library = LibraryWithSecrets::create().await;
    let query =
        "query($id: ID!) { layer(id: $id) { similar(first: 20) { totalCount nodes { version { model { name } } } } } }";
    let versions = "query($id: ID!) { version(id: $id) { duplicateOf { id }
        similarVersions(first: 5) { totalCount nodes { model { name } } } } }";
    let (layer, version) = (
        json!({ "id": library.public_layer }),
        json!({ "id": library.public_version }),
    );
    for (api, may_see) in [
        (&library.owner, true),
        (&library.stranger, false),
        (&library.server.api, true),
    ] {
        let similar = api.data(query, layer.clone()).await["layer"]["similar"].take();
        assert_eq!(similar["totalCount"] != 0, may_see, "{similar:#}");
        assert_eq!(similar.to_string().contains(MARK), may_see, "{similar:#}");
        let similar = api.data(versions, version.clone()).await["version"].take();
        assert_eq!(similar["duplicateOf"].is_object(), may_see, "{similar:#}");
        assert_eq!(
            similar["similarVersions"].to_string().contains(MARK),
            may_see,
            "{similar:#}"
        );
    }
    let index = "{ dataset(name: \"digits\") { probeSets { searchIndex { layerCount } } } }";
    let count = async |api: &Client| {
        let data = api.data(index, json!({})).await;
        data["dataset"]["probeSets"][0]["searchIndex"]["layerCount"]
            .as_i64()
            .unwrap()
    };
    assert!(count(&library.stranger).await < count(&library.owner).await);
    // The next search finds a model that became public, and does not find one that became private again.
    let change = "mutation($input: UpdateModelInput!) { updateModel(input: $input) { model { visibility owner } } }";
    for visibility in ["PUBLIC", "PRIVATE"] {
        let input = json!({ "id": library.secrets.model, "visibility": visibility });
        let changed = library.owner.data(change, json!({ "input": input })).await;
        let expected = json!({ "visibility": visibility, "owner": "owner" });
        assert_eq!(changed["updateModel"]["model"], expected);
        let similar = library.stranger.data(query, layer.clone()).await;
        assert_eq!(
            similar.to_string().contains(MARK),
            visibility == "PUBLIC",
            "{similar:#}"
        );
    }
    library.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_model_without_an_owner_is_found_by_administrators_only() {
    let server = Server::start().await;
    let stranger = server.api.as_account("stranger", "WRITE").await;
    let [of_nobody, public] = [
        private_model(&server.api, "of nobody").await,
        stranger.model("public").await,
    ];
    let weights = |seed| initial_weights(&perceptron(), seed);
    server.api.push_and_wait(&of_nobody, perceptron(), weights(1)).await;
    let version = stranger.push_and_wait(&public, perceptron(), weights(2)).await;
    let layer = json!({ "id": first_layer(&stranger, &version).await });
    let query = "query($id: ID!) { layer(id: $id) { similar { totalCount nodes { version { model { name } } } } } }";
    // The administrator first, so that everything that can be cached is cached.
    for (api, may_see) in [(&server.api, true), (&stranger, false)] {
        let similar = api.data(query, layer.clone()).await["layer"]["similar"].take();
        assert_eq!(similar["totalCount"] != 0, may_see, "{similar:#}");
        assert_eq!(similar.to_string().contains("of nobody"), may_see, "{similar:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_pictures_and_subscriptions_of_private_models_are_not_found_by_strangers() {
    let library = LibraryWithSecrets::create().await;
    let Secrets { version, job, .. } = &library.secrets;
    let dataset = library
        .owner
        .data("{ dataset(name: \"digits\") { id } }", json!({}))
        .await;
    let dataset = text(&dataset["dataset"]["id"]);
    let paths = [
        format!("/cka/{version}/{}.svg", library.public_version),
        format!("/cka/{}/{version}.png", library.public_version),
        format!("/evaluations/{version}/{dataset}/confusion.svg"),
        format!("/trainings/{version}.svg"),
        format!("/versions/{version}/network.onnx"),
        format!("/versions/{version}/network.py"),
        format!("/versions/{version}/weights.safetensors"),
    ];
    for path in paths {
        assert_eq!(library.owner.get(&path).await.status(), 200, "{path}");
        let refused = library.stranger.get(&path).await;
        assert_eq!(refused.status(), 404, "{path}");
        assert!(!refused.text().await.unwrap().contains(MARK));
    }
    let watch = "subscription($id: ID!) { job(id: $id) { status } }";
    let mut watched = Subscription::start(&library.owner, watch, json!({ "id": job })).await;
    assert_eq!(watched.next().await.unwrap()["data"]["job"]["status"], "SUCCEEDED");
    let mut refused = Subscription::start(&library.stranger, watch, json!({ "id": job })).await;
    assert!(refused.next().await.unwrap().to_string().contains("NOT_FOUND"));
    let explain = "subscription($a: ID!, $b: ID!) { explanation(layerId: $a, otherLayerId: $b) { __typename } }";
    let layers = json!({ "a": library.public_layer, "b": library.secrets.layer });
    let mut refused = Subscription::start(&library.stranger, explain, layers).await;
    assert!(refused.next().await.unwrap().to_string().contains("NOT_FOUND"));
    library.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_on_private_objects_are_not_found_by_strangers() {
    let library = LibraryWithSecrets::create().await;
    let Secrets {
        model,
        version,
        layer,
        job,
        synthesis,
        ..
    } = &library.secrets;
    let image = [("input.image", &b"not an image"[..])];
    let uploads = [
        ("predict", json!({ "versionId": version, "image": null })),
        ("attributeImage", json!({ "versionId": version, "image": null })),
        ("computeFeatureMaps", json!({ "layerId": layer, "image": null })),
    ];
    for (mutation, input) in uploads {
        let refused = library
            .stranger
            .upload(&document(mutation), json!({ "input": input }), &image)
            .await
            .unwrap();
        assert_eq!(first_error(&refused).0, "NOT_FOUND", "{mutation}");
    }
    let probe_set = digits_probe_set(&library.owner).await;
    let without_private_objects = [
        "createModel",
        "createProbeSet",
        "createToken",
        "createVersion",
        "importDataset",
        "rebuildSearchIndex",
    ];
    for (mutation, input) in mutations(model, version, job, &probe_set, synthesis) {
        if !without_private_objects.contains(&mutation) {
            let (code, message) = library
                .stranger
                .error(&document(mutation), json!({ "input": input }))
                .await;
            assert_eq!(code, "NOT_FOUND", "{mutation}: {message}");
        }
    }
    library.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn comparisons_with_private_objects_are_not_found_by_strangers() {
    let library = LibraryWithSecrets::create().await;
    let Secrets { version, layer, .. } = &library.secrets;
    let (public, public_layer) = (&library.public_version, &library.public_layer);
    let explain = json!({ "input": { "layerId": public_layer, "otherLayerId": layer } });
    assert_eq!(
        library
            .stranger
            .error(&document("explainSimilarity"), explain.clone())
            .await
            .0,
        "NOT_FOUND"
    );
    let matrix = "query($a: ID!, $b: ID!) { ckaMatrix(a: $a, b: $b) { bestMatchAverage } }";
    let diff = "query($a: ID!, $b: ID!) { version(id: $a) { diff(with: $b) { sameCount } } }";
    let layers = "query($a: ID!, $b: ID!) { compareLayers(a: $a, b: $b) { debiasedCka } }";
    for (query, pair) in [
        (matrix, (public, version)),
        (matrix, (version, public)),
        (diff, (public, version)),
        (layers, (public_layer, layer)),
        (layers, (layer, public_layer)),
    ] {
        let pair = json!({ "a": pair.0, "b": pair.1 });
        assert_eq!(library.stranger.error(query, pair.clone()).await.0, "NOT_FOUND");
        library.owner.data(query, pair).await;
    }
    // The owner may request an explanation even with a token that may only read.
    let reader = library.server.api.as_account("owner", "READ").await;
    assert!(
        response(&reader, &document("explainSimilarity"), explain)
            .await
            .get("errors")
            .is_none()
    );
    library.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_probe_set_measures_private_versions_without_showing_their_jobs_to_a_stranger() {
    let server = Server::start().await;
    let (owner, stranger) = (
        server.api.as_account("owner", "WRITE").await,
        server.api.as_account("stranger", "WRITE").await,
    );
    let (secret, public) = (private_model(&owner, "secret").await, owner.model("public").await);
    let weights = || initial_weights(&perceptron(), 1);
    let hidden = owner.push_and_wait(&secret, perceptron(), weights()).await;
    let visible = owner.push_and_wait(&public, perceptron(), weights()).await;
    let create = "mutation { createProbeSet(input: { dataset: \"digits\", imageCount: 20, seed: 5 }) {
        probeSet { id } jobs { id version { id } } } }";
    let created = stranger.data(create, json!({})).await["createProbeSet"].take();
    let versions: Vec<_> = created["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| text(&job["version"]["id"]))
        .collect();
    assert_eq!(versions, [visible.as_str()]);
    let query = "query($id: ID!) { jobs(filter: { versionId: $id, kinds: [INGEST] }) { totalCount } }";
    for (api, count) in [(&owner, 2), (&stranger, 0)] {
        let jobs = api.data(query, json!({ "id": hidden })).await;
        assert_eq!(jobs["jobs"]["totalCount"], count, "one per probe set, for the owner");
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_private_model_are_listed_for_its_owner_and_administrators_only() {
    let server = Server::start().await;
    let (owner, stranger) = (
        server.api.as_account("owner", "WRITE").await,
        server.api.as_account("stranger", "WRITE").await,
    );
    let (secret, public) = (private_model(&owner, "secret").await, owner.model("public").await);
    let mut jobs = Vec::new();
    for model in [&secret, &public] {
        let job = owner.push(model, perceptron(), initial_weights(&perceptron(), 1)).await;
        owner.wait_for_success(&job).await;
        jobs.push(json!({ "id": job }));
    }
    let [hidden, visible] = &jobs[..] else {
        panic!("{jobs:?}")
    };
    let query = "query($id: ID!) { jobs { totalCount nodes { id } } job(id: $id) { id } }";
    for api in [&owner, &server.api] {
        let found = api.data(query, hidden.clone()).await;
        assert_eq!(found["jobs"], json!({ "totalCount": 2, "nodes": [visible, hidden] }));
        assert_eq!(found["job"], *hidden);
    }
    let found = stranger.data(query, hidden.clone()).await;
    assert_eq!(found["jobs"], json!({ "totalCount": 1, "nodes": [visible] }));
    assert!(found["job"].is_null(), "{found:#}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_of_jobs_has_those_of_private_models_for_their_owner_alone() {
    let server = Server::start().await;
    let (owner, stranger) = (
        server.api.as_account("owner", "WRITE").await,
        server.api.as_account("stranger", "WRITE").await,
    );
    let feed = "subscription { jobs { id status version { model { name } } } }";
    let mut of_owner = Subscription::start(&owner, feed, json!({})).await;
    let mut of_stranger = Subscription::start(&stranger, feed, json!({})).await;
    // Both have begun once they have seen a job, which may take several changes.
    let begin = owner.model("begin").await;
    for feed in [&mut of_owner, &mut of_stranger] {
        tokio::select! {
            event = feed.next() => assert_eq!(event.unwrap()["data"]["jobs"]["version"]["model"]["name"], "begin"),
            never = owner.keep_jobs_changing(&begin) => match never {},
        }
    }
    for (model, visibility) in [("secret", "PRIVATE"), ("public", "PUBLIC")] {
        let created = format!(
            "mutation {{ createModel(input: {{ name: \"{model}\", visibility: {visibility} }}) {{ model {{ id }} }} }}"
        );
        let model = text(&owner.data(&created, json!({})).await["createModel"]["model"]["id"]);
        let job = owner
            .push(&model, perceptron(), initial_weights(&perceptron(), 1))
            .await;
        owner.wait_for_success(&job).await;
    }
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for (feed, seen) in [&mut of_owner, &mut of_stranger].into_iter().zip(&mut seen) {
        loop {
            let job = feed.next().await.unwrap()["data"]["jobs"].take();
            let model = text(&job["version"]["model"]["name"]);
            seen.insert(model.clone());
            if model == "public" && job["status"] == "SUCCEEDED" {
                break;
            }
        }
    }
    assert!(seen[0].contains("secret") && !seen[1].contains("secret"), "{seen:?}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_original_does_not_hide_a_public_one() {
    let server = Server::start().await;
    let (owner, stranger) = (
        server.api.as_account("owner", "WRITE").await,
        server.api.as_account("stranger", "WRITE").await,
    );
    let secret = private_model(&owner, "secret").await;
    let weights = || initial_weights(&perceptron(), 1);
    let hidden = owner.push_and_wait(&secret, perceptron(), weights()).await;
    let (first, second) = (stranger.model("first").await, owner.model("second").await);
    let first = stranger.push_and_wait(&first, perceptron(), weights()).await;
    let second = owner.push_and_wait(&second, perceptron(), weights()).await;
    let original = async |client: &Client, version: &str| {
        let query = "query($id: ID!) { version(id: $id) { duplicateOf { id } } }";
        let found = client.data(query, json!({ "id": version })).await["version"]["duplicateOf"].take();
        found["id"].as_str().map(str::to_owned)
    };
    assert_eq!(
        original(&stranger, &first).await,
        None,
        "the private version is not named"
    );
    for client in [&owner, &stranger] {
        assert_eq!(original(client, &second).await.as_deref(), Some(&*first));
    }
    assert_eq!(original(&owner, &hidden).await, None);
    server.stop().await.unwrap();
}
