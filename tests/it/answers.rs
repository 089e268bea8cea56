//! Kept answers: they equal what a computation would give now, for the same caller, in the form that the client accepts.

use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use scv::graphql::volatile::{VOLATILE_FIELDS, VOLATILE_TYPES};
use serde_json::{Value, json};

use crate::access::walk::Walk;
use crate::access::{digits_probe_set, document, first_layer, mutations};
use crate::caches::cache;
use crate::support::client::{Client, text};
use crate::support::insight;
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

/// A page of models: enough text to be compressed.
const MODELS: &str = "{ models(first: 100) { totalCount nodes { id name description tags visibility createdAt
    versions(first: 5) { nodes { id number status createdAt } } } } }";

/// Fields of `{field}` of the statistics of kept answers, as a whole number.
async fn answers(api: &Client, field: &str) -> u64 {
    cache(api, "answers").await[field].as_f64().unwrap() as u64
}

async fn names(api: &Client) -> Vec<String> {
    let data = api.data("{ models(first: 100) { nodes { name } } }", json!({})).await;
    let nodes = data["models"]["nodes"].as_array().unwrap();
    let mut names: Vec<_> = nodes.iter().map(|node| text(&node["name"])).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_answer_is_kept_until_the_catalogue_changes() {
    let server = Server::start().await;
    let api = &server.api;
    api.model("a").await;
    assert_eq!(names(api).await, ["a"]);
    let before = answers(api, "hits").await;
    assert_eq!(names(api).await, ["a"]);
    assert_eq!(answers(api, "hits").await, before + 1);
    api.model("b").await;
    assert_eq!(names(api).await, ["a", "b"]);
    assert_eq!(
        answers(api, "hits").await,
        before + 1,
        "the answer was not true any more"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_change_on_one_server_is_seen_by_the_next_request_to_another() {
    let one = Server::start().await;
    let other = Server::with(|config| {
        config.database_url.clone_from(&one.config.database_url);
        config.data_dir.clone_from(&one.config.data_dir);
    })
    .await;
    let mut expected = Vec::new();
    for round in 0..20 {
        let name = format!("model {round:02}");
        one.api.model(&name).await;
        expected.push(name);
        assert_eq!(names(&other.api).await, expected);
        assert_eq!(names(&other.api).await, expected, "kept");
    }
    assert!(answers(&other.api, "hits").await >= 20);
    other.stop().await.unwrap();
    one.stop().await.unwrap();
}

#[tokio::test]
async fn what_shows_more_than_the_catalogue_is_never_kept() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("a").await;
    let job = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
    let version = text(&api.wait_for_success(&job).await["version"]["id"]);
    let before = answers(api, "entries").await;
    for query in [
        "{ serverInfo { caches { hits } } }".to_owned(),
        "{ jobs(first: 1) { totalCount } }".to_owned(),
        "{ tokens(first: 1) { totalCount } }".to_owned(),
        "{ auditLog(first: 1) { totalCount } }".to_owned(),
        "{ viewer { scope } }".to_owned(),
        format!("{{ version(id: {version:?}) {{ number }} job(id: {job:?}) {{ status }} }}"),
        "{ models(first: 1) { nodes { name } } serverInfo { version } }".to_owned(),
        "{ model(name: \"missing\") { name } nonsense }".to_owned(),
        format!("{{ version(id: {model:?}) {{ number }} }}"),
    ] {
        api.execute(&query, json!({})).await.unwrap();
        assert_eq!(answers(api, "entries").await, before, "{query}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_kept_answer_is_for_callers_with_the_same_rights() {
    let server = Server::start().await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let stranger = server.api.as_account("stranger", "READ").await;
    let model = owner.model("theirs").await;
    let change = "mutation($input: UpdateModelInput!) { updateModel(input: $input) { model { name } } }";
    for (visibility, seen) in [("PRIVATE", 0), ("PUBLIC", 1), ("PRIVATE", 0), ("PUBLIC", 1)] {
        owner
            .data(change, json!({ "input": { "id": model, "visibility": visibility } }))
            .await;
        for kept in [false, true] {
            assert_eq!(names(&stranger).await.len(), seen, "{visibility}, {kept}");
            assert_eq!(names(&owner).await, ["theirs"], "{visibility}, {kept}");
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_kept_answer_has_the_form_that_the_client_accepts() {
    let server = Server::start().await;
    for number in 0..30 {
        server.api.model(&format!("model {number}")).await;
    }
    let ask = async |accept: &str, encoding: &str| {
        let request = reqwest::Client::new()
            .post(format!("{}/graphql", server.api.url))
            .header(ACCEPT, accept)
            .header(ACCEPT_ENCODING, encoding)
            .json(&json!({ "query": MODELS }));
        let response = request.send().await.unwrap();
        let header = |name| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let headers = [header(CONTENT_TYPE), header(CONTENT_ENCODING), header(VARY)];
        (headers, response.bytes().await.unwrap())
    };
    let json = "application/json";
    for (accept, encoding) in [
        (json, "identity"),
        (json, "gzip"),
        (json, "br"),
        ("application/graphql-response+json", "gzip"),
    ] {
        let (headers, body) = ask(accept, encoding).await;
        assert!(headers[0].as_ref().unwrap().starts_with(accept), "{headers:?}");
        assert_eq!(headers[1].as_deref(), Some(encoding).filter(|name| *name != "identity"));
        assert!(headers[2].as_ref().unwrap().contains("accept-encoding"), "{headers:?}");
        let before = answers(&server.api, "hits").await;
        assert_eq!(ask(accept, encoding).await, (headers, body));
        assert_eq!(answers(&server.api, "hits").await, before + 1, "{accept} {encoding}");
    }
    let (_, plain) = ask(json, "identity").await;
    let got = server.api.get(&format!("/graphql?query={}", urlencoded(MODELS))).await;
    assert_eq!(got.headers()["cache-control"], "private, no-cache");
    assert_eq!(got.bytes().await.unwrap(), plain);
    let again = server.api.get(&format!("/graphql?query={}", urlencoded(MODELS))).await;
    assert_eq!(
        again.headers()["cache-control"],
        "private, no-cache",
        "also of a kept answer"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_with_the_text_of_an_address_is_not_given_its_kept_answer() {
    let server = Server::start().await;
    let text = format!("query={}", urlencoded("{models(first:1){totalCount}}"));
    assert_eq!(server.api.get(&format!("/graphql?{text}")).await.status(), 200);
    let client = reqwest::Client::new();
    let request = client.post(format!("{}/graphql", server.api.url));
    let request = request.header(CONTENT_TYPE, "application/json").body(text);
    assert_eq!(request.send().await.unwrap().status(), 400);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_kept_answer_of_an_administrator_is_not_for_a_reader_of_the_same_account() {
    let server = Server::start().await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let input = json!({ "input": { "name": "theirs", "visibility": "PRIVATE" } });
    owner
        .data(
            "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }",
            input,
        )
        .await;
    let administrator = server.api.as_account("other", "ADMIN").await;
    let reader = server.api.as_account("other", "READ").await;
    for _ in 0..2 {
        assert_eq!(names(&administrator).await, ["theirs"]);
        assert!(names(&reader).await.is_empty());
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_mutation_is_executed_each_time_it_is_sent() {
    let server = Server::start().await;
    let create = "mutation { createModel(input: { name: \"a\" }) { model { name } } }";
    server.api.data(create, json!({})).await;
    let (code, _) = server.api.error(create, json!({})).await;
    assert_eq!(code, "CONFLICT");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_names_its_document_has_it_cached_even_if_its_answer_could_be_kept() {
    let server = Server::start().await;
    let document = "{ models(first: 1) { totalCount } }";
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(document));
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let send = async |body: Value| -> Value {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.api.url));
        request.json(&body).send().await.unwrap().json().await.unwrap()
    };
    let before = answers(&server.api, "entries").await;
    let both = json!({ "query": document, "extensions": extensions });
    let expected = json!({ "data": { "models": { "totalCount": 0 } } });
    assert_eq!(send(both.clone()).await, expected);
    assert_eq!(send(both).await, expected);
    assert_eq!(answers(&server.api, "entries").await, before);
    let named = json!({ "extensions": extensions });
    assert_eq!(send(named.clone()).await, expected);
    assert_eq!(send(named).await, expected);
    assert_eq!(
        answers(&server.api, "entries").await,
        before + 1,
        "its own answer is kept"
    );
    server.stop().await.unwrap();
}

fn urlencoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn answers_are_computed_where_none_can_be_kept() {
    let server = Server::with(|config| config.answer_cache_bytes = Some(0)).await;
    server.api.model("a").await;
    assert_eq!(names(&server.api).await, ["a"]);
    assert_eq!(names(&server.api).await, ["a"]);
    assert_eq!(answers(&server.api, "entries").await, 0);
    server.stop().await.unwrap();
}

/// Waits for the jobs that have not finished. Returns whether there were any.
async fn wait_for_all_jobs(api: &Client) -> bool {
    let all = "{ jobs(first: 100) { nodes { id finishedAt } } }";
    let jobs = api.data(all, json!({})).await["jobs"]["nodes"].take();
    let unfinished: Vec<_> = jobs
        .as_array()
        .unwrap()
        .iter()
        .filter(|job| job["finishedAt"].is_null())
        .collect();
    for job in &unfinished {
        api.wait_for_end(&text(&job["id"])).await;
    }
    !unfinished.is_empty()
}

/// Waits until no search index is being rebuilt.
async fn wait_for_rebuild(api: &Client) {
    let all = "{ datasets { probeSets { searchIndex { rebuilding } } } }";
    while api.data(all, json!({})).await.to_string().contains("true") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn generation(api: &Client) -> Value {
    let data = api.data("{ serverInfo { catalogueGeneration } }", json!({})).await;
    data["serverInfo"]["catalogueGeneration"].clone()
}

/// Compares the answer to a query that may be kept with one that is computed now.
async fn assert_true(api: &Client, query: &str, when: &str) {
    // Jobs may change the catalogue between the two.
    loop {
        let before = generation(api).await;
        let kept = api.execute(query, json!({})).await.unwrap();
        let computed = format!("{query} # not asked before: {when}, generation {before}");
        let computed = api.execute(&computed, json!({})).await.unwrap();
        if generation(api).await == before {
            assert_eq!(kept["data"], computed["data"], "{when}: {query}");
            return;
        }
    }
}

/// What takes too long to compute after each mutation. It follows from what other fields show.
const SLOW_TYPES: [&str; 4] = ["Attribution", "CkaMatrix", "FeatureMap", "Significance"];

/// Each mutation once, those that remove something last.
const ORDER: [&str; 17] = [
    "createModel",
    "createVersion",
    "createToken",
    "evaluateVersion",
    "findExemplars",
    "synthesizeImage",
    "createProbeSet",
    "importDataset",
    "rebuildSearchIndex",
    "trainVersion",
    "updateModel",
    "cancelJob",
    "retryJob",
    "deleteSynthesis",
    "deleteModel",
    "restoreModel",
    "deleteVersion",
];

#[tokio::test(flavor = "multi_thread")]
async fn after_each_mutation_a_kept_answer_is_what_a_computation_gives() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("a").await;
    let job = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
    let version = text(&api.wait_for_success(&job).await["version"]["id"]);
    insight::find_exemplars(api, &version).await;
    let layer = first_layer(api, &version).await;
    let probe_set = digits_probe_set(api).await;
    let synthesis = insight::synthesize_and_wait(api, &version, json!({ "class": 1 }), json!({ "steps": 1 })).await;
    let synthesis = text(&synthesis["id"]);
    let ids = [model.as_str(), &version, &layer, &probe_set, &synthesis];
    let passed = [VOLATILE_TYPES.as_slice(), SLOW_TYPES.as_slice()].concat();
    let walk = Walk::of(api, &ids, &["a"], &version)
        .await
        .without(&passed, &VOLATILE_FIELDS);
    // `node` and `nodes` reach what `model`, `version`, `layer` and `probeSet` do.
    let mut queries = walk.queries();
    queries.retain(|(field, query)| !field.starts_with("node") || query.contains("... on Synthesis"));
    let inputs = mutations(&model, &version, &job, &probe_set, &synthesis);
    assert_eq!(inputs.len(), ORDER.len());

    for (_, query) in &queries {
        api.execute(query, json!({})).await.unwrap();
    }
    for mutation in ORDER {
        let (_, input) = inputs.iter().find(|(name, _)| *name == mutation).unwrap();
        api.execute(&document(mutation), json!({ "input": input }))
            .await
            .unwrap();
        // What the mutation itself has changed, and then what its job has.
        let compare = async || {
            for (_, query) in &queries {
                assert_true(api, query, mutation).await;
            }
        };
        compare().await;
        while wait_for_all_jobs(api).await {
            compare().await;
        }
        if mutation == "rebuildSearchIndex" {
            wait_for_rebuild(api).await;
            compare().await;
        }
    }
    let before = answers(api, "hits").await;
    let mut lasting = 0;
    for (_, query) in &queries {
        let response: Value = api.execute(query, json!({})).await.unwrap();
        lasting += u64::from(response["errors"].is_null());
    }
    assert!(lasting > 5, "{lasting} of {}", queries.len());
    assert_eq!(answers(api, "hits").await, before + lasting, "all of them are kept");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn many_requests_at_once_get_what_was_true_when_they_asked() {
    let server = Server::with(|config| config.limits.client_requests = 50).await;
    let api = &server.api;
    names(api).await;
    for round in 1..=5 {
        api.model(&format!("model {round}")).await;
        let all = futures::future::join_all((0..50).map(|_| names(api))).await;
        assert!(all.iter().all(|found| found.len() == round));
        tokio::time::timeout(Duration::from_secs(10), names(api)).await.unwrap();
    }
    server.stop().await.unwrap();
}
