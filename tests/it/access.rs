//! Who may ask: tokens, what they allow, and what is private.

mod walk;

use std::collections::BTreeSet;

use scv::app::App;
use scv::config::{AccessChoice, Config};
use serde_json::{Value, json};

use crate::support::client::{Client, first_error, text};
use crate::support::look;
use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::server::{self, Server};
use crate::support::socket::Subscription;
use walk::Walk;

/// What is found nowhere but in what belongs to a private model.
const MARK: &str = "secret-";

/// A library of two models of one account that do the same, a public one and a private one.
struct Kept {
    server: Server,
    owner: Client,
    stranger: Client,
    open_version: String,
    open_layer: String,
    /// Global ids of all that is private.
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

impl Kept {
    async fn new() -> Self {
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
        let version = text(&owner.succeed(&job).await["version"]["id"]);
        let open = owner.model("open").await;
        let open_version = owner
            .trained(&open, small_cnn(), json!({ "epochs": 1, "seed": 3 }))
            .await;
        let synthesize = "mutation($input: SynthesizeImageInput!) {
            synthesizeImage(input: $input) { synthesis { id } job { id } } }";
        let input = json!({ "versionId": version, "target": { "class": 1 }, "settings": { "steps": 1 } });
        let made = owner.data(synthesize, json!({ "input": input })).await["synthesizeImage"].take();
        owner.succeed(made["job"]["id"].as_str().unwrap()).await;
        // Feature maps are of the images that channels answer to most, if none is named.
        let exemplify = "mutation($id: ID!) { findExemplars(input: { versionId: $id }) { job { id } } }";
        for version in [&version, &open_version] {
            let begun = owner.data(exemplify, json!({ "id": version })).await;
            owner
                .succeed(begun["findExemplars"]["job"]["id"].as_str().unwrap())
                .await;
        }
        Self {
            open_layer: first_layer(&owner, &open_version).await,
            secrets: Secrets {
                model: secret,
                layer: first_layer(&owner, &version).await,
                version,
                job,
                synthesis: text(&made["synthesis"]["id"]),
                synthesis_job: text(&made["job"]["id"]),
            },
            open_version,
            owner,
            stranger,
            server,
        }
    }
}

async fn first_layer(api: &Client, version: &str) -> String {
    let query = "query($id: ID!) { version(id: $id) { layers(first: 1) { nodes { id } } } }";
    text(&api.data(query, json!({ "id": version })).await["version"]["layers"]["nodes"][0]["id"])
}

/// The whole answer, whether it succeeded or not.
async fn answer(api: &Client, query: &str, variables: Value) -> Value {
    api.ask(query, variables).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_walks_the_whole_schema_finds_nothing_private() {
    let kept = Kept::new().await;
    let ids = kept.secrets.ids();
    let walk = Walk::of(&kept.owner, &ids, &["secret-name", "open"], &kept.open_version).await;
    let (mut found_by_owner, mut complaints) = (BTreeSet::new(), BTreeSet::new());
    for (field, query) in walk.queries() {
        // First whoever may see it, so that whatever is kept in a cache is kept.
        let seen = answer(&kept.owner, &query, json!({})).await;
        if seen["data"].to_string().contains(MARK) {
            found_by_owner.insert(field.clone());
        }
        let errors = seen["errors"].as_array().into_iter().flatten();
        complaints.extend(errors.map(|error| format!("{field}: {}", error["message"])));
        let seen = answer(&kept.stranger, &query, json!({})).await;
        let (data, errors) = (seen["data"].to_string(), seen["errors"].to_string());
        for mark in ids.iter().chain(&[MARK]) {
            assert!(!data.contains(mark), "{field} tells of {mark}: {data}");
        }
        assert!(!errors.contains(MARK), "{field}: {errors}");
        assert!(!errors.contains("INTERNAL"), "{field}: {errors}");
    }
    for field in ["layer", "model", "models", "node", "nodes", "job", "version"] {
        assert!(
            found_by_owner.contains(field),
            "the owner sees it through {field}: {found_by_owner:?} {complaints:#?}"
        );
    }
    kept.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_answers_each_viewer_with_what_they_see() {
    let kept = Kept::new().await;
    let query =
        "query($id: ID!) { layer(id: $id) { similar(first: 20) { totalCount nodes { version { model { name } } } } } }";
    let versions = "query($id: ID!) { version(id: $id) { duplicateOf { id }
        similarVersions(first: 5) { totalCount nodes { model { name } } } } }";
    let (layer, version) = (json!({ "id": kept.open_layer }), json!({ "id": kept.open_version }));
    for (api, sees) in [(&kept.owner, true), (&kept.stranger, false), (&kept.server.api, true)] {
        let similar = api.data(query, layer.clone()).await["layer"]["similar"].take();
        assert_eq!(similar["totalCount"] != 0, sees, "{similar:#}");
        assert_eq!(similar.to_string().contains(MARK), sees, "{similar:#}");
        let similar = api.data(versions, version.clone()).await["version"].take();
        assert_eq!(similar["duplicateOf"].is_object(), sees, "{similar:#}");
        assert_eq!(
            similar["similarVersions"].to_string().contains(MARK),
            sees,
            "{similar:#}"
        );
    }
    // What is made public is found by the very next question, and what is hidden again is not.
    let change = "mutation($input: UpdateModelInput!) { updateModel(input: $input) { model { visibility owner } } }";
    for visibility in ["PUBLIC", "PRIVATE"] {
        let input = json!({ "id": kept.secrets.model, "visibility": visibility });
        let changed = kept.owner.data(change, json!({ "input": input })).await;
        let expected = json!({ "visibility": visibility, "owner": "owner" });
        assert_eq!(changed["updateModel"]["model"], expected);
        let similar = kept.stranger.data(query, layer.clone()).await;
        assert_eq!(
            similar.to_string().contains(MARK),
            visibility == "PUBLIC",
            "{similar:#}"
        );
    }
    kept.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_pictures_and_subscriptions_are_as_private_as_what_they_show() {
    let kept = Kept::new().await;
    let Secrets { version, job, .. } = &kept.secrets;
    let dataset = kept.owner.data("{ dataset(name: \"digits\") { id } }", json!({})).await;
    let dataset = text(&dataset["dataset"]["id"]);
    let paths = [
        format!("/cka/{version}/{}.svg", kept.open_version),
        format!("/cka/{}/{version}.png", kept.open_version),
        format!("/evaluations/{version}/{dataset}/confusion.svg"),
        format!("/trainings/{version}.svg"),
        format!("/versions/{version}/network.onnx"),
        format!("/versions/{version}/network.py"),
        format!("/versions/{version}/weights.safetensors"),
    ];
    for path in paths {
        assert_eq!(kept.owner.get(&path).await.status(), 200, "{path}");
        let refused = kept.stranger.get(&path).await;
        assert_eq!(refused.status(), 404, "{path}");
        assert!(!refused.text().await.unwrap().contains(MARK));
    }
    let watch = "subscription($id: ID!) { job(id: $id) { status } }";
    let mut watched = Subscription::start(&kept.owner, watch, json!({ "id": job })).await;
    assert_eq!(watched.next().await.unwrap()["data"]["job"]["status"], "SUCCEEDED");
    let mut refused = Subscription::start(&kept.stranger, watch, json!({ "id": job })).await;
    assert!(refused.next().await.unwrap().to_string().contains("NOT_FOUND"));
    let explain = "subscription($a: ID!, $b: ID!) { explanation(layerId: $a, otherLayerId: $b) { __typename } }";
    let layers = json!({ "a": kept.open_layer, "b": kept.secrets.layer });
    let mut refused = Subscription::start(&kept.stranger, explain, layers).await;
    assert!(refused.next().await.unwrap().to_string().contains("NOT_FOUND"));
    kept.server.stop().await.unwrap();
}

/// Every mutation with an input that is fit for its reader, on a model with a version.
fn mutations(model: &str, version: &str, job: &str, probe_set: &str, synthesis: &str) -> Vec<(&'static str, Value)> {
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
        ("evaluateVersion", json!({ "versionId": version })),
        ("findExemplars", json!({ "versionId": version })),
        ("importDataset", json!({ "name": "numbers", "format": "DIGITS" })),
        ("rebuildSearchIndex", json!({ "probeSetId": probe_set })),
        ("restoreModel", json!({ "id": model })),
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

/// Mutations that change nothing of the library, so that whoever may read may have them; and the end of one's own token.
const READING: [&str; 6] = [
    "attributeImage",
    "explainSimilarity",
    "mapImage",
    "predict",
    "revokeToken",
    "similarToActivations",
];

fn document(mutation: &str) -> String {
    let input = format!("{}{}", mutation[..1].to_uppercase(), &mutation[1..]);
    format!("mutation($input: {input}Input!) {{ {mutation}(input: $input) {{ __typename }} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mutation_takes_the_scope_that_it_needs() {
    let server = Server::start().await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let (model, other) = (owner.model("theirs").await, server.api.model("nobodys").await);
    let job = owner.push(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    let version = text(&owner.succeed(&job).await["version"]["id"]);
    let probe_sets = "{ dataset(name: \"digits\") { probeSets { id } } }";
    let probe_set = text(&owner.data(probe_sets, json!({})).await["dataset"]["probeSets"][0]["id"]);
    let target = json!({ "class": 1 });
    let synthesis = text(&look::synthesized(&owner, &version, target, json!({ "steps": 1 })).await["id"]);
    let mutations = mutations(&model, &version, &job, &probe_set, &synthesis);

    let known = "{ __type(name: \"Mutation\") { fields { name } } }";
    let known = owner.data(known, json!({})).await["__type"]["fields"].take();
    let known: BTreeSet<_> = known
        .as_array()
        .unwrap()
        .iter()
        .map(|field| text(&field["name"]))
        .collect();
    let named = mutations.iter().map(|(name, _)| *name).chain(READING);
    assert_eq!(
        known,
        named.map(str::to_owned).collect(),
        "each mutation is in one of the two lists"
    );

    let reader = server.api.as_account("owner", "READ").await;
    for (mutation, input) in &mutations {
        let (code, message) = reader.error(&document(mutation), json!({ "input": input })).await;
        assert_eq!(code, "FORBIDDEN", "{mutation}: {message}");
    }
    // Another account's model may be looked into, and not be changed.
    let stranger = server.api.as_account("stranger", "WRITE").await;
    let changes = [
        "cancelJob",
        "createVersion",
        "deleteModel",
        "deleteSynthesis",
        "restoreModel",
        "trainVersion",
        "updateModel",
    ];
    let of_administrators = ["createToken", "rebuildSearchIndex"];
    for (mutation, input) in &mutations {
        let answer = answer(&stranger, &document(mutation), json!({ "input": input })).await;
        let forbidden =
            changes.contains(mutation) && *mutation != "createVersion" || of_administrators.contains(mutation);
        match forbidden {
            true => assert_eq!(first_error(&answer).0, "FORBIDDEN", "{mutation}"),
            // Its blocks have no weights, which is told first.
            false if *mutation == "createVersion" => assert_eq!(first_error(&answer).0, "BAD_USER_INPUT"),
            false => assert!(answer.get("errors").is_none(), "{mutation}: {answer:#}"),
        }
    }
    let files = [("input.weights", first_weights(&perceptron(), 1))];
    let files: Vec<_> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let input = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron() });
    let refused = stranger.create_version(input, &files).await;
    assert_eq!(first_error(&refused).0, "FORBIDDEN");
    // A model of nobody is everybody's who may write.
    let update = json!({ "input": { "id": other, "description": "changed" } });
    assert!(
        answer(&stranger, &document("updateModel"), update)
            .await
            .get("errors")
            .is_none()
    );
    server.stop().await.unwrap();
}

/// A second server on the database of another, which lets in whoever shows a token.
async fn strict(open: &Server) -> Server {
    let url = open.config.database_url.clone();
    Server::with(|config| {
        config.database_url = url;
        config.access = Some(AccessChoice::Tokens);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_tokens_answers_nobody_without_one() {
    let open = Server::start().await;
    let admin = open.api.as_account("admin", "ADMIN").await;
    let server = strict(&open).await;
    let info = json!({ "query": "{ viewer { account scope } }" });
    let status = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let challenge = response.headers().get("www-authenticate").is_some();
        assert_eq!(challenge, response.status() == 401);
        response.status().as_u16()
    };
    let http = reqwest::Client::new();
    let post = || http.post(format!("{}/graphql", server.api.url)).json(&info);
    assert_eq!(status(post()).await, 401);
    assert_eq!(
        first_error(&post().send().await.unwrap().json().await.unwrap()).0,
        "UNAUTHENTICATED"
    );
    for wrong in ["Bearer scv_0000", "Bearer", "Basic c2N2OnNjdg==", "bearer nonsense"] {
        assert_eq!(status(post().header("authorization", wrong)).await, 401, "{wrong}");
    }
    for path in [
        "/metrics",
        "/versions/VmVyc2lvbjox/network.onnx",
        "/trainings/VmVyc2lvbjox.svg",
    ] {
        assert_eq!(server.api.get(path).await.status(), 401, "{path}");
    }
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(server.api.get(path).await.status(), 200, "{path}");
    }
    let job = "subscription { job(id: \"Sm9iOjE\") { status } }";
    assert_eq!(
        Subscription::start(&server.api, job, json!({})).await.farewell().await,
        4403
    );

    let token = admin.token.clone().unwrap();
    let inside = server.api.with_token(&token);
    let viewer = inside.data("{ viewer { account scope } }", json!({})).await;
    assert_eq!(viewer["viewer"], json!({ "account": "admin", "scope": "ADMIN" }));
    assert_eq!(inside.get("/metrics").await.status(), 200);
    assert_eq!(
        status(post().header("authorization", format!("bearer {token}"))).await,
        200
    );
    server.stop().await.unwrap();
    open.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_lets_nobody_in() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let create = "mutation($input: CreateTokenInput!) { createToken(input: $input) {
        secret token { id account scope expiresAt revokedAt lastUsedAt } } }";
    let past = json!({ "input": { "account": "a", "expiresAt": "2020-01-01T00:00:00Z" } });
    let (code, message) = admin.error(create, past).await;
    assert_eq!((code.as_str(), message.contains("expiresAt")), ("BAD_USER_INPUT", true));
    let made = admin.data(create, json!({ "input": { "account": "a" } })).await["createToken"].take();
    let id = text(&made["token"]["id"]);
    assert_eq!(made["token"]["scope"], "READ");
    let user = server.api.with_token(made["secret"].as_str().unwrap());
    let own = user
        .data("{ tokens { totalCount nodes { id account lastUsedAt } } }", json!({}))
        .await["tokens"]
        .take();
    assert_eq!(
        (&own["totalCount"], &own["nodes"][0]["id"]),
        (&json!(1), &json!(id)),
        "{own:#}"
    );
    let all = admin
        .data("{ tokens { totalCount pageInfo { hasNextPage } } }", json!({}))
        .await;
    assert_eq!(all["tokens"]["totalCount"], 2);
    // Another's token is not there at all.
    let of_admin =
        admin.data("{ tokens(first: 1) { nodes { id } } }", json!({})).await["tokens"]["nodes"][0]["id"].take();
    let revoke = |id: &Value| json!({ "input": { "id": id } });
    let document = "mutation($input: RevokeTokenInput!) { revokeToken(input: $input) { token { revokedAt } } }";
    assert_eq!(user.error(document, revoke(&of_admin)).await.0, "NOT_FOUND");
    assert!(
        user.data("query($id: ID!) { node(id: $id) { id } }", json!({ "id": of_admin }))
            .await["node"]
            .is_null()
    );
    let ended = user.data(document, revoke(&json!(id))).await;
    assert!(ended["revokeToken"]["token"]["revokedAt"].is_string());
    assert_eq!(user.error("{ viewer { scope } }", json!({})).await.0, "UNAUTHENTICATED");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_is_written_down_with_who_did_it() {
    let server = Server::start().await;
    let (admin, writer) = (
        server.api.as_account("admin", "ADMIN").await,
        server.api.as_account("w", "WRITE").await,
    );
    writer.model("m").await;
    let twice = "mutation { a: createModel(input: { name: \"n\" }) { model { id } }
                            b: createModel(input: { name: \"n\" }) { model { id } } }";
    assert_eq!(first_error(&answer(&writer, twice, json!({})).await).0, "CONFLICT");
    let query = "{ auditLog(first: 3) { totalCount pageInfo { hasNextPage }
                   nodes { account address mutation input code tokenId at } } }";
    let log = admin.data(query, json!({})).await["auditLog"].take();
    let entry = |index: usize| {
        let entry = &log["nodes"][index];
        assert!(entry["tokenId"].is_string() && entry["at"].is_string());
        json!([
            entry["account"],
            entry["address"],
            entry["mutation"],
            entry["input"],
            entry["code"]
        ])
    };
    assert_eq!(
        entry(0),
        json!(["w", "127.0.0.1", "createModel", { "name": "n" }, "CONFLICT"])
    );
    assert_eq!(
        entry(1),
        json!(["w", "127.0.0.1", "createModel", { "name": "n" }, null])
    );
    assert_eq!(
        entry(2),
        json!(["w", "127.0.0.1", "createModel", { "name": "m" }, null])
    );
    // Two tokens were made before.
    assert_eq!(
        (&log["totalCount"], &log["pageInfo"]["hasNextPage"]),
        (&json!(5), &json!(true))
    );
    assert!(
        !admin.data(query, json!({})).await.to_string().contains("scv_"),
        "no secret is written down"
    );
    assert_eq!(writer.error(query, json!({})).await.0, "FORBIDDEN");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_written_down_on_whatever_way_they_come_and_when_they_are_forbidden() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let (reader, writer) = (
        server.api.as_account("r", "READ").await,
        server.api.as_account("w", "WRITE").await,
    );
    let create = |name: &str| format!("mutation {{ createModel(input: {{ name: \"{name}\" }}) {{ model {{ id }} }} }}");
    assert_eq!(reader.error(&create("forbidden"), json!({})).await.0, "FORBIDDEN");
    let mut line = Subscription::start(&writer, &create("over a socket"), json!({})).await;
    assert!(line.next().await.unwrap()["data"]["createModel"].is_object());
    let list = reqwest::Client::new()
        .post(format!("{}/graphql", server.api.url))
        .bearer_auth(writer.token.as_ref().unwrap())
        .json(&json!([{ "query": create("in a list") }, { "query": "{ __typename }" }]))
        .send();
    let list: Value = list.await.unwrap().json().await.unwrap();
    assert!(list[0]["data"]["createModel"].is_object(), "{list:#}");

    let query = "{ auditLog(first: 3) { nodes { account mutation input code } } }";
    let log = admin.data(query, json!({})).await["auditLog"]["nodes"].take();
    let entry = |account: &str, name: &str, code: Value| json!({ "account": account, "mutation": "createModel", "input": { "name": name }, "code": code });
    assert_eq!(
        log,
        json!([
            entry("w", "in a list", Value::Null),
            entry("w", "over a socket", Value::Null),
            entry("r", "forbidden", json!("FORBIDDEN")),
        ])
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_may_ask_with_files_and_have_things_explained() {
    let server = Server::start().await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let reader = server.api.as_account("reader", "READ").await;
    let model = owner.model("m").await;
    let version = owner
        .pushed(&model, perceptron(), first_weights(&perceptron(), 1))
        .await;
    let layer = first_layer(&owner, &version).await;
    let other = owner
        .pushed(&model, perceptron(), first_weights(&perceptron(), 2))
        .await;
    let explained = json!({ "layerId": layer, "otherLayerId": first_layer(&owner, &other).await });
    let done = answer(&reader, &document("explainSimilarity"), json!({ "input": explained })).await;
    assert!(done.get("errors").is_none(), "{done:#}");
    let image = look::file(&image::RgbImage::new(8, 8), image::ImageFormat::Png);
    for (mutation, input, variable) in [
        ("predict", json!({ "versionId": version }), "image"),
        ("attributeImage", json!({ "versionId": version }), "image"),
        ("mapImage", json!({ "layerId": layer }), "image"),
        ("similarToActivations", json!({ "dataset": "digits" }), "activations"),
    ] {
        let mut input = input;
        input[variable] = Value::Null;
        let files = [(format!("input.{variable}"), image.as_slice())];
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let done = reader
            .upload(&document(mutation), json!({ "input": input }), &files)
            .await
            .unwrap();
        match mutation {
            // That it is no file of activations is told to whoever may ask.
            "similarToActivations" => assert_eq!(first_error(&done).0, "BAD_USER_INPUT", "{done:#}"),
            _ => assert!(done.get("errors").is_none(), "{mutation}: {done:#}"),
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_on_the_network_is_let_in_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..server::config(folder.path()).await
    };
    let refused = format!("{:#}", App::build(&config).await.err().unwrap());
    assert!(
        refused.contains("scv token create") && refused.contains("--access open"),
        "{refused}"
    );
    let open = Config {
        access: Some(AccessChoice::Open),
        ..config
    };
    assert!(App::build(&open).await.is_ok());
    // With a token it is let be, and asks for it.
    let anybody = Server::with(|config| config.database_url.clone_from(&open.database_url)).await;
    anybody.api.as_account("admin", "ADMIN").await;
    anybody.stop().await.unwrap();
    let elsewhere = Config { access: None, ..open };
    assert!(App::build(&elsewhere).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_is_told_when_to_come_again() {
    let server = Server::with(|config| config.limits.rate = 5).await;
    let ask = || {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.api.url));
        request.json(&json!({ "query": "{ __typename }" })).send()
    };
    for _ in 0..5 {
        assert_eq!(ask().await.unwrap().status(), 200);
    }
    let refused = ask().await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    let (code, message) = first_error(&refused.json().await.unwrap());
    assert_eq!(
        (code.as_str(), message.contains("try again in")),
        ("OVERLOADED", true),
        "{message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_keeps_nobody_else_from_asking() {
    let server = Server::with(|config| config.limits.rate = 8).await;
    let [ada, bob] = [
        server.api.as_account("ada", "READ").await,
        server.api.as_account("bob", "READ").await,
    ];
    let status = async |client: &Client| {
        let mut request = reqwest::Client::new().post(format!("{}/graphql", client.url));
        if let Some(token) = &client.token {
            request = request.bearer_auth(token);
        }
        let request = request.json(&json!({ "query": "{ __typename }" }));
        request.send().await.unwrap().status().as_u16()
    };
    for client in [&ada, &bob] {
        assert_eq!(status(client).await, 200);
    }
    // Of the same address, without a token.
    while status(&server.api).await != 429 {}
    for _ in 0..7 {
        assert_eq!(status(&ada).await, 200, "whose token is known is let in");
    }
    assert_eq!(status(&ada).await, 429, "as often as they may");
    assert_eq!(status(&bob).await, 200);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_executed_is_not_written_down() {
    let server = Server::start().await;
    let reader = server.api.as_account("reader", "READ").await;
    let many: serde_json::Map<String, Value> = (0..1_000).map(|index| (format!("k{index}"), json!(index))).collect();
    for (document, variables) in [
        (
            "mutation($i: CreateModelInput!) { createModel(input: $i) { clientMutationId } }",
            json!({ "i": many }),
        ),
        ("mutation { nothing(input: { name: \"x\" }) { id } }", json!({})),
    ] {
        let (code, _) = reader.error(document, variables).await;
        assert_eq!(code, "BAD_USER_INPUT");
    }
    let (code, _) = reader
        .error(
            &document("createModel"),
            json!({ "input": { "name": "m", "tags": ["t"] } }),
        )
        .await;
    assert_eq!(code, "FORBIDDEN");
    let log = "{ auditLog { nodes { account { name } mutation input code } } }";
    let log = log.replace("account { name }", "account");
    let log = server.api.data(&log, json!({})).await["auditLog"]["nodes"].take();
    let of_reader: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["account"] == "reader")
        .collect();
    let expected =
        json!({ "account": "reader", "mutation": "createModel", "input": { "name": "m" }, "code": "FORBIDDEN" });
    assert_eq!(of_reader, [&expected]);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_original_does_not_hide_a_public_one() {
    let server = Server::start().await;
    let (owner, stranger) = (
        server.api.as_account("owner", "WRITE").await,
        server.api.as_account("stranger", "WRITE").await,
    );
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let secret = owner
        .data(
            create,
            json!({ "input": { "name": "secret", "visibility": "PRIVATE" } }),
        )
        .await;
    let secret = text(&secret["createModel"]["model"]["id"]);
    let weights = || first_weights(&perceptron(), 1);
    let hidden = owner.pushed(&secret, perceptron(), weights()).await;
    let (first, second) = (stranger.model("first").await, owner.model("second").await);
    let first = stranger.pushed(&first, perceptron(), weights()).await;
    let second = owner.pushed(&second, perceptron(), weights()).await;
    let original = async |client: &Client, version: &str| {
        let query = "query($id: ID!) { version(id: $id) { duplicateOf { id } } }";
        let found = client.data(query, json!({ "id": version })).await["version"]["duplicateOf"].take();
        found["id"].as_str().map(str::to_owned)
    };
    assert_eq!(
        original(&stranger, &first).await,
        None,
        "the private one is not spoken of"
    );
    for client in [&owner, &stranger] {
        assert_eq!(original(client, &second).await.as_deref(), Some(&*first));
    }
    assert_eq!(original(&owner, &hidden).await, None);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_cannot_be_guessed_without_end() {
    let open = Server::start().await;
    open.api.as_account("somebody", "READ").await;
    let url = open.config.database_url.clone();
    let server = Server::with(|config| {
        config.database_url = url;
        config.access = Some(AccessChoice::Tokens);
        config.limits.rate = 5;
    })
    .await;
    let mut seen = Vec::new();
    for guess in 0..6 {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.api.url));
        let request = request
            .bearer_auth(format!("scv_{guess}"))
            .json(&json!({ "query": "{ __typename }" }));
        seen.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [401, 401, 401, 401, 401, 429]);
    server.stop().await.unwrap();
    open.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_is_not_there_for_a_strangers_questions_and_changes() {
    let kept = Kept::new().await;
    let Secrets {
        model,
        version,
        layer,
        job,
        synthesis,
        ..
    } = &kept.secrets;
    let (open, open_layer) = (&kept.open_version, &kept.open_layer);
    let image = [("input.image", &b"no image"[..])];
    let uploads = [
        ("predict", json!({ "versionId": version, "image": null })),
        ("attributeImage", json!({ "versionId": version, "image": null })),
        ("mapImage", json!({ "layerId": layer, "image": null })),
    ];
    for (mutation, input) in uploads {
        let answer = kept
            .stranger
            .upload(&document(mutation), json!({ "input": input }), &image)
            .await
            .unwrap();
        assert_eq!(first_error(&answer).0, "NOT_FOUND", "{mutation}");
    }
    let probe_sets = kept
        .owner
        .data("{ dataset(name: \"digits\") { probeSets { id } } }", json!({}))
        .await;
    let probe_set = text(&probe_sets["dataset"]["probeSets"][0]["id"]);
    let of_others = [
        "createModel",
        "createProbeSet",
        "createToken",
        "createVersion",
        "importDataset",
        "rebuildSearchIndex",
    ];
    for (mutation, input) in mutations(model, version, job, &probe_set, synthesis) {
        if !of_others.contains(&mutation) {
            let (code, message) = kept
                .stranger
                .error(&document(mutation), json!({ "input": input }))
                .await;
            assert_eq!(code, "NOT_FOUND", "{mutation}: {message}");
        }
    }
    let explain = json!({ "input": { "layerId": open_layer, "otherLayerId": layer } });
    assert_eq!(
        kept.stranger
            .error(&document("explainSimilarity"), explain.clone())
            .await
            .0,
        "NOT_FOUND"
    );
    let matrix = "query($a: ID!, $b: ID!) { ckaMatrix(a: $a, b: $b) { bestMatchAverage } }";
    let diff = "query($a: ID!, $b: ID!) { version(id: $a) { diff(with: $b) { sameCount } } }";
    for (query, pair) in [
        (matrix, (open, version)),
        (matrix, (version, open)),
        (diff, (open, version)),
    ] {
        let pair = json!({ "a": pair.0, "b": pair.1 });
        assert_eq!(kept.stranger.error(query, pair.clone()).await.0, "NOT_FOUND");
        kept.owner.data(query, pair).await;
    }
    // Whoever may only read what is theirs may have it explained.
    let reader = kept.server.api.as_account("owner", "READ").await;
    assert!(
        answer(&reader, &document("explainSimilarity"), explain)
            .await
            .get("errors")
            .is_none()
    );
    // Private versions are measured on a new probe set too, and the stranger who drew it is not told.
    let draw = "mutation { createProbeSet(input: { dataset: \"digits\", imageCount: 20, seed: 5 }) {
        jobs { id version { id } } } }";
    let jobs = kept.stranger.data(draw, json!({})).await["createProbeSet"]["jobs"].take();
    let versions: Vec<_> = jobs
        .as_array()
        .unwrap()
        .iter()
        .map(|job| text(&job["version"]["id"]))
        .collect();
    assert_eq!(versions, [open.as_str()]);
    kept.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_ends_what_it_could_do_over_an_open_line() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let (reader, writer) = (
        server.api.as_account("a", "READ").await,
        server.api.as_account("a", "WRITE").await,
    );
    let mut line = Subscription::start(&writer, "{ viewer { account } }", json!({})).await;
    assert_eq!(line.next().await.unwrap()["data"]["viewer"]["account"], "a");
    assert!(line.next().await.is_none());
    let tokens = "{ tokens { nodes { id scope } } }";
    let tokens = writer.data(tokens, json!({})).await["tokens"]["nodes"].take();
    let of = |scope: &str| {
        let mut all = tokens.as_array().unwrap().iter();
        text(&all.find(|token| token["scope"] == scope).unwrap()["id"])
    };
    let revoke = |id: &str| json!({ "input": { "id": id } });
    // A token that allows more is not ended by one that allows less.
    let (code, _) = reader.error(&document("revokeToken"), revoke(&of("WRITE"))).await;
    assert_eq!(code, "FORBIDDEN");
    admin.data(&document("revokeToken"), revoke(&of("WRITE"))).await;
    line.ask("mutation { createModel(input: { name: \"late\" }) { model { id } } }")
        .await;
    assert!(line.next().await.unwrap().to_string().contains("UNAUTHENTICATED"));
    assert!(admin.data("{ model(name: \"late\") { id } }", json!({})).await["model"].is_null());
    assert!(
        reader
            .data(&document("revokeToken"), revoke(&of("READ")))
            .await
            .is_object()
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_of_one_machine_is_not_asked_under_the_name_of_another() {
    let server = Server::with(|config| config.allowed_origins = vec!["http://scv.example.com:8000".to_owned()]).await;
    let status = async |host: &str| {
        let request = reqwest::Client::new()
            .post(format!("{}/graphql", server.api.url))
            .header("host", host);
        let request = request.json(&json!({ "query": "{ __typename }" }));
        request.send().await.unwrap().status().as_u16()
    };
    for (host, expected) in [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost", 200),
        ("scv.example.com:8000", 200),
        ("example.com:8000", 403),
        ("evil.example.com", 403),
        ("localhost.evil.example.com:8000", 403),
    ] {
        assert_eq!(status(host).await, expected, "{host}");
    }
    server.stop().await.unwrap();
}
