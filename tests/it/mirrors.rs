//! Sketches in memory: a search that uses them finds what one through the database finds, after every change.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::caches::cache;
use crate::search::{fit_sketches, models};
use crate::support::client::{Client, text};
use crate::support::insight::layer_ids;
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// A server, and another one for the same library that keeps nothing in memory.
struct Pair {
    server: Server,
    plain: Server,
    /// Layers that are searched for.
    targets: Vec<String>,
}

const SEARCH: &str = "query($layer: ID!, $measure: Measure!, $first: Int!, $filter: SimilarityFilter) {
    layer(id: $layer) { similar(first: $first, measure: $measure, filter: $filter) {
        exact completeAbove totalCount pageInfo { hasNextPage } edges { rank cka debiasedCka node { id } } } } }";

impl Pair {
    async fn start() -> Self {
        let server = Server::with(|config| config.answer_cache_bytes = Some(0)).await;
        let plain = Server::with(|config| {
            config.database_url.clone_from(&server.config.database_url);
            config.data_dir.clone_from(&server.config.data_dir);
            config.answer_cache_bytes = Some(0);
            config.search_cache_bytes = Some(0);
            config.sketch_cache_bytes = Some(0);
            config.vector_cache_bytes = Some(0);
        })
        .await;
        Self {
            server,
            plain,
            targets: Vec::new(),
        }
    }

    fn api(&self) -> &Client {
        &self.server.api
    }

    /// Registers a model with one version, and returns both.
    async fn add(&mut self, input: Value, seed: u64) -> (String, String) {
        let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
        let model = self.api().data(create, json!({ "input": input })).await;
        let model = text(&model["createModel"]["model"]["id"]);
        let version = self
            .api()
            .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
            .await;
        let layers = layer_ids(self.api(), &version).await;
        self.targets.extend(layers.into_iter().take(2));
        (model, version)
    }

    async fn change(&self, mutation: &str, input: Value) {
        let document = format!(
            "mutation($input: {}Input!) {{ {mutation}(input: $input) {{ __typename }} }}",
            capitalised(mutation)
        );
        self.api().data(&document, json!({ "input": input })).await;
        self.assert_alike(mutation).await;
    }

    async fn assert_alike(&self, when: &str) {
        let filters = [
            json!(null),
            json!({ "tags": ["red"] }),
            json!({ "minAccuracy": 0.0 }),
            json!({ "layerKinds": ["conv2d"], "includeOwnModel": true }),
            json!({ "minScore": 0.5 }),
        ];
        for layer in &self.targets {
            for (filter, first) in filters.iter().zip([5, 100, 100, 3, 100]) {
                for measure in ["CKA", "DEBIASED_CKA"] {
                    let variables = json!({ "layer": layer, "measure": measure, "first": first, "filter": filter });
                    let found = self.server.api.execute(SEARCH, variables.clone()).await.unwrap();
                    let expected = self.plain.api.execute(SEARCH, variables.clone()).await.unwrap();
                    assert_eq!(found, expected, "after {when}: {variables}");
                }
            }
        }
    }

    async fn stop(self) {
        let used = cache(self.api(), "sketches").await;
        // A search may have had to wait too long for the mirror.
        assert!(
            used["hits"].as_f64().unwrap() > 5.0 * used["misses"].as_f64().unwrap(),
            "{used:#}"
        );
        assert!(used["bytes"].as_f64().unwrap() > 0.0, "{used:#}");
        let used = cache(&self.plain.api, "sketches").await;
        assert_eq!(used["hits"], 0.0, "{used:#}");
        self.plain.stop().await.unwrap();
        self.server.stop().await.unwrap();
    }
}

/// Registers a model with one version, and returns its layers.
async fn layers_of_one_version(api: &Client) -> Vec<String> {
    let model = api.model("a").await;
    let version = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    layer_ids(api, &version).await
}

fn capitalised(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_in_memory_finds_what_one_through_the_database_finds_after_each_change() {
    let mut pair = Pair::start().await;
    let (first, _) = pair.add(json!({ "name": "first", "tags": ["red"] }), 1).await;
    let (second, version) = pair.add(json!({ "name": "second" }), 2).await;
    // The layers of this one have the vectors of the first one's.
    pair.add(json!({ "name": "copy", "tags": ["red", "blue"] }), 1).await;
    pair.assert_alike("three versions").await;
    pair.change("updateModel", json!({ "id": second, "tags": ["red"] }))
        .await;
    pair.change("updateModel", json!({ "id": first, "visibility": "PRIVATE" }))
        .await;
    pair.change("deleteModel", json!({ "id": first })).await;
    pair.change("restoreModel", json!({ "id": first })).await;
    let evaluate = "mutation($input: EvaluateVersionInput!) { evaluateVersion(input: $input) { job { id } } }";
    let job = pair
        .api()
        .data(evaluate, json!({ "input": { "versionId": version } }))
        .await;
    pair.api()
        .wait_for_success(&text(&job["evaluateVersion"]["job"]["id"]))
        .await;
    pair.assert_alike("an evaluation").await;
    let model = pair.api().model("other").await;
    pair.api()
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 3))
        .await;
    pair.assert_alike("another architecture").await;
    fit_sketches(pair.api()).await;
    pair.assert_alike("other sketches").await;
    pair.targets.drain(2..4);
    pair.change("deleteVersion", json!({ "id": version })).await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_goes_on_through_the_database_repeats_and_drops_nothing() {
    let mut pair = Pair::start().await;
    for (name, seed) in [("a", 1), ("b", 2), ("c", 1), ("d", 1)] {
        pair.add(json!({ "name": name }), seed).await;
    }
    let page = "query($layer: ID!, $first: Int!, $after: String) { layer(id: $layer) {
        similar(first: $first, after: $after) { pageInfo { endCursor hasNextPage } edges { node { id } } } } }";
    let list = async |ways: [&Client; 2], first: usize| {
        let (mut found, mut after) = (Vec::new(), Value::Null);
        for api in ways.iter().cycle() {
            let variables = json!({ "layer": pair.targets[0], "first": first, "after": after });
            let mut data = api.data(page, variables).await;
            let similar = data["layer"]["similar"].take();
            found.extend(
                similar["edges"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|edge| text(&edge["node"]["id"])),
            );
            after = similar["pageInfo"]["endCursor"].clone();
            if similar["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        found
    };
    let (memory, database) = (&pair.server.api, &pair.plain.api);
    let whole = list([memory, memory], 100).await;
    assert!(whole.len() > 10, "{whole:?}");
    assert_eq!(list([memory, database], 2).await, whole);
    assert_eq!(list([database, memory], 3).await, whole);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_during_changes_find_every_model_that_was_there_when_they_began() {
    let mut pair = Pair::start().await;
    pair.add(json!({ "name": "first" }), 1).await;
    let api = pair.api().clone();
    let layer = pair.targets[0].clone();
    let search = "query($layer: ID!) { layer(id: $layer) { similar(first: 100) {
        edges { node { version { model { name } } } } } } }";
    let added = std::sync::atomic::AtomicUsize::new(0);
    let adding = async {
        for seed in 2..8 {
            let model = api.model(&format!("model {seed}")).await;
            api.push_and_wait(&model, perceptron(), initial_weights(&perceptron(), seed))
                .await;
            added.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let searching = async {
        let mut least = 0;
        while added.load(std::sync::atomic::Ordering::SeqCst) < 6 {
            let then = added.load(std::sync::atomic::Ordering::SeqCst);
            let data = api.data(search, json!({ "layer": layer })).await;
            let models = models(&data["layer"]["similar"]).len();
            assert!(models >= then && models >= least, "{models} models, {then} before");
            least = models;
        }
    };
    futures::join!(adding, searching);
    pair.assert_alike("all changes").await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_find_private_layers_neither_in_memory_nor_through_the_database() {
    let mut pair = Pair::start().await;
    let (public, _) = pair.add(json!({ "name": "public" }), 1).await;
    let owner = pair.server.api.as_account("owner", "WRITE").await;
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let input = json!({ "name": "private", "visibility": "PRIVATE" });
    let model = owner.data(create, json!({ "input": input })).await;
    let model = text(&model["createModel"]["model"]["id"]);
    owner
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 2))
        .await;
    let stranger = pair.server.api.as_account("stranger", "READ").await;
    let variables = json!({ "layer": pair.targets[0], "measure": "CKA", "first": 100 });
    let count = async |api: &Client| {
        let data = api.data(SEARCH, variables.clone()).await;
        let similar = &data["layer"]["similar"];
        let hits = similar["edges"].as_array().unwrap().len();
        assert_eq!(similar["totalCount"], hits, "{similar:#}");
        hits
    };
    let change = "mutation($input: UpdateModelInput!) { updateModel(input: $input) { model { name } } }";
    for visibility in ["PRIVATE", "PUBLIC", "PRIVATE"] {
        let input = json!({ "id": model, "visibility": visibility });
        owner.data(change, json!({ "input": input })).await;
        let (seen, all) = (count(&stranger).await, count(&owner).await);
        assert!(all > 0);
        assert_eq!(seen, if visibility == "PUBLIC" { all } else { 0 });
    }
    assert!(!public.is_empty());
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_set_that_does_not_fit_in_memory_is_searched_through_the_database() {
    let server = Server::with(|config| config.sketch_cache_bytes = Some(2_000)).await;
    let layers = layers_of_one_version(&server.api).await;
    let filter = json!({ "includeOwnModel": true });
    let variables = json!({ "layer": layers[0], "measure": "CKA", "first": 1, "filter": filter });
    let found = server.api.data(SEARCH, variables).await;
    assert_eq!(found["layer"]["similar"]["edges"][0]["node"]["id"], layers[0]);
    let used = cache(&server.api, "sketches").await;
    assert_eq!(used["bytes"], 0.0, "{used:#}");
    assert!(used["misses"].as_f64().unwrap() > 0.0, "{used:#}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_set_with_exactly_one_layer_finds_that_layer_and_no_other() {
    let mut pair = Pair::start().await;
    let model = pair.api().model("only").await;
    let version = pair
        .api()
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let layers = layer_ids(pair.api(), &version).await;
    assert_eq!(layers.len(), 1, "flattening is not a layer");
    pair.targets = layers;
    pair.assert_alike("one layer").await;
    fit_sketches(pair.api()).await;
    pair.assert_alike("a fit to one layer").await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_whose_transaction_was_open_while_the_sketches_were_read() {
    let mut pair = Pair::start().await;
    let (model, _) = pair.add(json!({ "name": "first" }), 1).await;
    pair.add(json!({ "name": "second" }), 2).await;
    pair.assert_alike("two versions").await;
    let url = pair.server.config.database_url.as_deref().unwrap();
    let mut database = PgConnection::connect(url).await.unwrap();
    let mut slow = database.begin().await.unwrap();
    slow.execute("update layer_sketch set tags = '{red}', changed = pg_current_xact_id() where model_id = 2")
        .await
        .unwrap();
    // Searches read what is there while the older transaction is open and a younger one has committed.
    pair.change("updateModel", json!({ "id": model, "description": "other" }))
        .await;
    slow.execute("update catalogue set generation = generation + 1")
        .await
        .unwrap();
    slow.commit().await.unwrap();
    pair.assert_alike("the open transaction").await;
    let variables = json!({ "layer": pair.targets[0], "measure": "CKA", "first": 100, "filter": { "tags": ["red"] } });
    let found = pair.api().data(SEARCH, variables).await;
    assert_eq!(found["layer"]["similar"]["totalCount"], 7);
    pair.stop().await;
}

/// Creates a second probe set, on which all layers are measured.
async fn other_probe_set(api: &Client) -> Value {
    let create =
        "mutation($input: CreateProbeSetInput!) { createProbeSet(input: $input) { probeSet { id } jobs { id } } }";
    let input = json!({ "dataset": "digits", "imageCount": 20 });
    let mut created = api.data(create, json!({ "input": input })).await["createProbeSet"].take();
    api.wait_for_success(&text(&created["jobs"][0]["id"])).await;
    created["probeSet"]["id"].take()
}

/// Searches on a probe set, and expects a proven list of all seven layers. Returns the hits.
async fn search_on(api: &Client, layer: &Value, probe_set: &Value) -> Value {
    let search = "query($layer: ID!, $on: ID) { layer(id: $layer) {
        similar(first: 100, probeSet: $on, filter: { includeOwnModel: true }) { exact edges { node { id } } } } }";
    let mut found = api.data(search, json!({ "layer": layer, "on": probe_set })).await;
    let similar = &mut found["layer"]["similar"];
    assert_eq!(
        (&similar["exact"], similar["edges"].as_array().unwrap().len()),
        (&json!(true), 7)
    );
    similar["edges"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn rounded_vectors_make_room_for_the_sketches_of_another_probe_set() {
    // The sketches of fourteen layers fit, and those of seven with the vectors of some.
    let server = Server::with(|config| config.sketch_cache_bytes = Some(20_000)).await;
    let layers = layers_of_one_version(&server.api).await;
    let other = other_probe_set(&server.api).await;
    for on in [&Value::Null, &other] {
        search_on(&server.api, &json!(layers[0]), on).await;
        // Seven layers without vectors take less.
        wait_for(&server.api, "sketches", "bytes", 12_500.0).await;
    }
    wait_for(&server.api, "sketches", "entries", 2.0).await;
    assert_sketches_in_memory(&server.api, 2.0).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_probe_sets_that_do_not_fit_together_one_is_searched_through_the_database() {
    // Seven layers fit, fourteen do not.
    let server = Server::with(|config| config.sketch_cache_bytes = Some(12_000)).await;
    let layers = layers_of_one_version(&server.api).await;
    let other = other_probe_set(&server.api).await;
    for _ in 0..3 {
        for on in [&Value::Null, &other] {
            let edges = search_on(&server.api, &json!(layers[0]), on).await;
            assert_eq!(edges[0]["node"]["id"], layers[0]);
        }
    }
    assert_sketches_in_memory(&server.api, 1.0).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_set_with_only_degenerate_layers_is_fitted_and_searched_and_finds_nothing() {
    let mut pair = Pair::start().await;
    let mut weights = initial_weights(&perceptron(), 1);
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    weights[8 + header..].fill(0);
    let model = pair.api().model("zeros").await;
    let version = pair.api().push_and_wait(&model, perceptron(), weights).await;
    pair.targets = layer_ids(pair.api(), &version).await;
    let search = "query($layer: ID!) { layer(id: $layer) { degenerate { reason } similar {
        exact completeAbove totalCount edges { rank } } } }";
    for when in ["before", "after"] {
        for layer in &pair.targets {
            let found = pair.api().data(search, json!({ "layer": layer })).await["layer"].take();
            assert_eq!(found["degenerate"], json!([{ "reason": "CONSTANT" }]), "{when}");
            assert_eq!(found["similar"]["edges"], json!([]), "{when}: {found:#}");
        }
        pair.assert_alike(when).await;
        fit_sketches(pair.api()).await;
    }
    pair.plain.stop().await.unwrap();
    pair.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vectors_of_all_layers_are_read_into_memory_after_the_sketches() {
    let mut pair = Pair::start().await;
    let (_, version) = pair.add(json!({ "name": "a" }), 1).await;
    pair.add(json!({ "name": "b" }), 2).await;
    let other = Server::with(|config| {
        config.database_url.clone_from(&pair.server.config.database_url);
        config.data_dir.clone_from(&pair.server.config.data_dir);
    })
    .await;
    // This search itself reads the vectors of one model only.
    let filter =
        json!({ "models": [model_of(&other.api, &version).await], "includeOwnModel": true, "minScore": 0.9999 });
    let variables = json!({ "layer": pair.targets[0], "measure": "CKA", "first": 1, "filter": filter });
    other.api.data(SEARCH, variables.clone()).await;
    wait_for(&other.api, "vectors", "entries", 14.0).await;
    pair.add(json!({ "name": "c" }), 3).await;
    other.api.data(SEARCH, variables).await;
    wait_for(&other.api, "vectors", "entries", 21.0).await;
    other.stop().await.unwrap();
    pair.plain.stop().await.unwrap();
    pair.server.stop().await.unwrap();
}

/// So many probe sets have sketches in memory, and they take no more than they may.
async fn assert_sketches_in_memory(api: &Client, probe_sets: f64) {
    let used = cache(api, "sketches").await;
    assert_eq!(used["entries"], probe_sets, "{used:#}");
    assert!(used["bytes"].as_f64() <= used["byteLimit"].as_f64(), "{used:#}");
}

/// Waits until a cache has so many entries, or so many bytes.
async fn wait_for(api: &Client, name: &str, field: &str, least: f64) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while cache(api, name).await[field].as_f64().unwrap() < least {
        assert!(std::time::Instant::now() < end, "{:#}", cache(api, name).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn model_of(api: &Client, version: &str) -> String {
    let query = "query($id: ID!) { version(id: $id) { model { id } } }";
    text(&api.data(query, json!({ "id": version })).await["version"]["model"]["id"])
}
