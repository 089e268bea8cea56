//! The search for similar layers.

use std::collections::HashSet;

use scv::config::Config;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::client::{Client, text};
use crate::support::networks::{constant_weights, initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// A model with tags and one version: the small convolutional network with the initial weights of a seed.
async fn add(api: &Client, name: &str, tags: &[&str], seed: u64) -> String {
    let query = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let data = api
        .data(query, json!({ "input": { "name": name, "tags": tags } }))
        .await;
    let model = text(&data["createModel"]["model"]["id"]);
    api.push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await;
    model
}

/// The layer with a name in the latest version of a model.
async fn layer(api: &Client, model: &str, name: &str) -> String {
    let query = "query($id: ID!) { model(id: $id) { version(alias: \"latest\") { layers { nodes { id name } } } } }";
    let data = api.data(query, json!({ "id": model })).await;
    let layers = data["model"]["version"]["layers"]["nodes"].as_array().unwrap();
    text(&layers.iter().find(|layer| layer["name"] == name).unwrap()["id"])
}

/// The result of a search for the most similar layers to one.
async fn similar(api: &Client, layer: &str, arguments: Value) -> Value {
    api.data(SIMILAR, variables(layer, arguments)).await["layer"]["similar"].take()
}

/// The code and message of a search that must be refused.
async fn refusal(api: &Client, layer: &str, arguments: Value) -> (String, String) {
    api.error(SIMILAR, variables(layer, arguments)).await
}

const SIMILAR: &str = "query($layer: ID!, $first: Int!, $after: String, $measure: Measure!, $filter: SimilarityFilter,
                              $exact: Boolean!, $probeSet: ID) {
    layer(id: $layer) {
      similar(first: $first, after: $after, measure: $measure, filter: $filter, exact: $exact, probeSet: $probeSet) {
        exact completeAbove totalCount pageInfo { hasNextPage endCursor }
        edges { rank cka debiasedCka node { id name kind version { number accuracy model { name } } } } } } }";

fn variables(layer: &str, arguments: Value) -> Value {
    let mut variables = json!({ "layer": layer, "first": 100, "measure": "DEBIASED_CKA", "exact": false });
    for (name, value) in arguments.as_object().unwrap() {
        variables[name] = value.clone();
    }
    variables
}

fn edges(result: &Value) -> &[Value] {
    result["edges"].as_array().unwrap()
}

/// The names of the models in a result, sorted and without duplicates.
pub fn models(result: &Value) -> Vec<String> {
    let mut names: Vec<_> = edges(result)
        .iter()
        .map(|edge| text(&edge["node"]["version"]["model"]["name"]))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[tokio::test]
async fn the_first_hit_of_a_layer_is_the_layer_itself_if_its_own_model_is_included() {
    let server = Server::start().await;
    let model = server.api.model("a").await;
    let version = server
        .api
        .train_and_wait(&model, small_cnn(), json!({ "epochs": 2, "seed": 1 }))
        .await;
    let query = "query($id: ID!) { version(id: $id) { layers(first: 100) { nodes { id name
                   similar(first: 1, filter: { includeOwnModel: true }) { edges { cka debiasedCka node { id } } } } } } }";
    let data = server.api.data(query, json!({ "id": version })).await;
    let layers = data["version"]["layers"]["nodes"].as_array().unwrap();
    assert_eq!(layers.len(), 7);
    for layer in layers {
        let best = &layer["similar"]["edges"][0];
        assert_eq!(best["node"]["id"], layer["id"], "{layer:#}");
        assert!((best["cka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{best:#}");
        assert!((best["debiasedCka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{best:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_filter_admits_exactly_the_layers_that_match_it() {
    let server = Server::start().await;
    let api = &server.api;
    let target = add(api, "target", &["x"], 1).await;
    let other = add(api, "other", &["x", "y"], 2).await;
    let good = api.model("good").await;
    api.train_and_wait(&good, small_cnn(), json!({ "epochs": 3, "seed": 3 }))
        .await;
    // A second version of the target's model, which is excluded like the first.
    api.push_and_wait(&target, small_cnn(), initial_weights(&small_cnn(), 4))
        .await;
    api.import_numbers().await;
    let conv = layer(api, &target, "4").await;

    let cases = [
        (json!({}), vec!["good", "other"]),
        (json!({ "includeOwnModel": true }), vec!["good", "other", "target"]),
        (json!({ "models": [other] }), vec!["other"]),
        (json!({ "models": [target], "includeOwnModel": true }), vec!["target"]),
        (json!({ "excludeModels": [other] }), vec!["good"]),
        (json!({ "tags": ["y"] }), vec!["other"]),
        (
            json!({ "tags": ["x"], "includeOwnModel": true }),
            vec!["other", "target"],
        ),
        (json!({ "tags": ["x", "y"], "includeOwnModel": true }), vec!["other"]),
        (json!({ "tags": ["z"] }), vec![]),
        (json!({ "minAccuracy": 0.5 }), vec!["good"]),
        (
            json!({ "betterThanTarget": true, "excludeModels": [other] }),
            vec!["good"],
        ),
        (json!({ "datasets": ["digits"] }), vec!["good", "other"]),
        (json!({ "datasets": ["numbers"] }), vec![]),
        (json!({ "layerKinds": ["Conv2d"] }), vec!["good", "other"]),
        (json!({ "layerKinds": ["Softmax"] }), vec![]),
        (json!({ "minScore": 1.0 }), vec![]),
        (
            json!({ "minAccuracy": 0.5, "layerKinds": ["Linear"], "models": [good, other] }),
            vec!["good"],
        ),
    ];
    for (filter, expected) in cases {
        let result = similar(api, &conv, json!({ "filter": filter })).await;
        assert_eq!(models(&result), expected, "{filter}");
        assert_eq!(result["exact"], true, "all of so few layers are compared");
        if filter.get("minScore").is_none() {
            assert_eq!(result["totalCount"], edges(&result).len(), "{filter}");
        }
    }
    // Filters that contradict each other would find nothing without a word.
    for filter in [
        json!({ "models": [target] }),
        json!({ "models": [target, other], "excludeModels": [other] }),
    ] {
        let query =
            "query($id: ID!, $filter: SimilarityFilter) { layer(id: $id) { similar(filter: $filter) { exact } } }";
        let (code, message) = api.error(query, json!({ "id": conv, "filter": filter })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(
            message.starts_with("every model of `filter.models` is left out"),
            "{message}"
        );
    }
    let result = similar(api, &conv, json!({ "filter": { "layerKinds": ["Conv2d", "Linear"] } })).await;
    assert_eq!(edges(&result).len(), 6);
    assert!(edges(&result).iter().all(|edge| edge["node"]["kind"] != "ReLU"));
    let result = similar(api, &conv, json!({ "filter": { "minScore": 0.5 } })).await;
    assert!(
        edges(&result)
            .iter()
            .all(|edge| edge["debiasedCka"].as_f64().unwrap() >= 0.5)
    );
    assert_eq!(result["totalCount"], 14, "the filter on scores comes after the count");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_filters_are_refused() {
    let server = Server::start().await;
    let api = &server.api;
    api.import_numbers().await;
    let target = add(api, "target", &[], 1).await;
    let conv = layer(api, &target, "4").await;
    let mut refusals = Vec::new();
    for filter in [
        json!({ "minAccuracy": 1.5 }),
        json!({ "minScore": -2.0 }),
        json!({ "datasets": ["moon"] }),
        json!({ "tags": vec!["x"; 101] }),
        json!({ "models": ["target"] }),
    ] {
        refusals.push(refusal(api, &conv, json!({ "filter": filter })).await);
    }
    insta::assert_json_snapshot!(refusals);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn paging_through_equal_scores_repeats_and_drops_nothing_in_either_measure() {
    let server = Server::start().await;
    let api = &server.api;
    let target = add(api, "target", &[], 1).await;
    // The same network three times, and the target itself once: scores are equal.
    for (name, seed) in [("a", 2), ("b", 2), ("c", 2), ("d", 1)] {
        add(api, name, &[], seed).await;
    }
    let conv = layer(api, &target, "0").await;
    for (measure, score) in [("DEBIASED_CKA", "debiasedCka"), ("CKA", "cka")] {
        let whole = similar(api, &conv, json!({ "measure": measure })).await;
        let (mut paged, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = similar(api, &conv, json!({ "measure": measure, "first": 3, "after": after })).await;
            paged.extend_from_slice(edges(&page));
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(paged, edges(&whole), "{measure}");
        assert_eq!(paged.len(), 28, "{measure}");
        assert!((paged[0][score].as_f64().unwrap() - 1.0).abs() < 1e-5);
        assert_eq!(paged[0]["node"]["version"]["model"]["name"], "d");
        for (pair, rank) in paged.windows(2).zip(1..) {
            assert!(
                pair[0][score].as_f64() >= pair[1][score].as_f64(),
                "{measure}: {pair:#?}"
            );
            assert_eq!(pair[0]["rank"], rank);
        }
    }
    let (code, message) = refusal(api, &conv, json!({ "first": 100_000 })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("must be 0 to 100, got 100000"), "{message}");
    let (code, _) = refusal(api, &conv, json!({ "after": "nonsense" })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    let of_cka = similar(api, &conv, json!({ "measure": "CKA", "first": 3 })).await["pageInfo"]["endCursor"].take();
    let (code, message) = refusal(api, &conv, json!({ "after": of_cka })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("of a search with another measure"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn new_changed_deleted_and_restored_models_are_seen_by_the_next_search() {
    let server = Server::start().await;
    let api = &server.api;
    let target = add(api, "target", &[], 1).await;
    let conv = layer(api, &target, "0").await;
    let tagged = || similar(api, &conv, json!({ "filter": { "tags": ["x"] } }));
    let all = || similar(api, &conv, json!({}));
    assert_eq!(models(&all().await), Vec::<String>::new());
    let other = add(api, "other", &[], 2).await;
    assert_eq!(models(&all().await), ["other"]);
    assert_eq!(models(&tagged().await), Vec::<String>::new());
    let change = |mutation: &str, input: Value| {
        let kind = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let query = format!("mutation($input: {kind}!) {{ {mutation}(input: $input) {{ model {{ id }} }} }}");
        async move { api.data(&query, json!({ "input": input })).await }
    };
    change("updateModel", json!({ "id": other, "tags": ["x"] })).await;
    assert_eq!(models(&tagged().await), ["other"]);
    change("deleteModel", json!({ "id": other })).await;
    assert_eq!(models(&all().await), Vec::<String>::new());
    change("restoreModel", json!({ "id": other })).await;
    assert_eq!(models(&all().await), ["other"]);
    api.push_and_wait(&other, small_cnn(), initial_weights(&small_cnn(), 3))
        .await;
    let numbers: Vec<_> = edges(&all().await)
        .iter()
        .map(|edge| edge["node"]["version"]["number"].clone())
        .collect();
    assert!(
        numbers.contains(&json!(1)) && numbers.contains(&json!(2)),
        "{numbers:?}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_with_constant_output_is_marked_as_degenerate_and_not_compared() {
    let server = Server::start().await;
    let api = &server.api;
    let weights = constant_weights(&[("1.weight", &[10, 64], 0.0), ("1.bias", &[10], 1.0)]);
    let model = api.model("flat").await;
    api.push_and_wait(&model, perceptron(), weights).await;
    let other = api.model("other").await;
    api.push_and_wait(&other, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let flat = layer(api, &model, "1").await;
    let query = "query($id: ID!) { layer(id: $id) { degenerate { reason message probeSet { isDefault } } } }";
    let data = api.data(query, json!({ "id": flat })).await;
    assert_eq!(data["layer"]["degenerate"][0]["reason"], "CONSTANT");
    assert_eq!(data["layer"]["degenerate"][0]["probeSet"]["isDefault"], true);
    let result = similar(api, &flat, json!({})).await;
    assert_eq!(
        (&result["totalCount"], edges(&result).len()),
        (&json!(0), 0),
        "it has no hits"
    );
    let sound = layer(api, &other, "1").await;
    assert_eq!(models(&similar(api, &sound, json!({})).await), Vec::<String>::new());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_probe_set_and_one_of_another_data_set_are_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let elsewhere = api.import_numbers().await;
    let target = add(api, "target", &[], 1).await;
    let conv = layer(api, &target, "0").await;
    let (code, message) = refusal(api, &conv, json!({ "probeSet": elsewhere })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("belongs to another data set"), "{message}");
    // The id of a probe set that does not exist: base64 of "ProbeSet:999".
    let (code, _) = refusal(api, &conv, json!({ "probeSet": "UHJvYmVTZXQ6OTk5" })).await;
    assert_eq!(code, "NOT_FOUND");
    server.stop().await.unwrap();
}

/// Adds copies of all layers of the library, each as its own model with the tag `copy` or, for one of them, `rare`.
pub const COPIES: &str = "
    do $$
    declare
        new_model bigint;
        new_version bigint;
    begin
        for copy in 1..300 loop
            insert into model (name, tags)
                 values ('copy ' || copy, array[case copy when 150 then 'rare' else 'copy' end])
              returning model_id into new_model;
            insert into version (model_id, number, status, format, dataset_id, parameter_count, multiply_accumulates)
                 select new_model, 1, 'READY', 'BLOCKS', dataset_id, parameter_count, multiply_accumulates
                   from version
                  order by version_id
                  limit 1
              returning version_id into new_version;
            insert into layer (version_id, index, name, kind, parameters, input_shape, output_shape, parameter_count,
                               multiply_accumulates)
                 select new_version, index, name, kind, parameters, input_shape, output_shape, parameter_count,
                        multiply_accumulates
                   from layer
                  where version_id = (select min(version_id) from layer);
            insert into layer_vector (probe_set_id, layer_id, part, lead, tail, lead_norm)
                 select probe_set_id, theirs.layer_id, part, lead, tail, lead_norm
                   from layer_vector
                   join layer as mine using (layer_id)
                   join layer as theirs on theirs.version_id = new_version and theirs.index = mine.index
                  where mine.version_id = (select min(version_id) from layer);
            insert into layer_sketch
                 select basis_id, theirs.layer_id, new_model, new_version, dataset_id, sketch_id, debiased_cell, cka_cell,
                        searchable, debiased_sketch, cka_sketch, layer_kind,
                        (select tags from model where model_id = new_model), private_to, accuracy, pg_current_xact_id()
                   from layer_sketch
                   join layer as mine using (layer_id)
                   join layer as theirs on theirs.version_id = new_version and theirs.index = mine.index
                  where mine.version_id = (select min(version_id) from layer);
            insert into long_sketch
                 select basis_id, theirs.layer_id, debiased_sketch, cka_sketch
                   from long_sketch
                   join layer as mine using (layer_id)
                   join layer as theirs on theirs.version_id = new_version and theirs.index = mine.index
                  where mine.version_id = (select min(version_id) from layer);
        end loop;
    end $$";

/// Adds a small multiple of another layer's vector to the vector of each copy, a different one for each.
pub const NOISE: [&str; 2] = [
    "with mixed as (
          select mine.layer_id, part, mine.lead_norm,
                 mine.lead + other.lead * array_fill(0.0005 * mine.layer_id, array[vector_dims(other.lead)])::vector as lead
            from layer_vector as mine
            join layer_vector as other using (part)
           where other.layer_id = (select min(layer_id) from layer_vector)
             and mine.layer_id > (select max(layer_id) from layer where version_id = (select min(version_id) from layer))
     ), scaled as (
          select layer_id, max(lead_norm) / sqrt(sum(vector_norm(lead) ^ 2)) as scale from mixed group by layer_id
     )
     update layer_vector
        set lead = mixed.lead * array_fill(scale, array[vector_dims(mixed.lead)])::vector
       from mixed
       join scaled using (layer_id)
      where layer_vector.layer_id = mixed.layer_id
        and layer_vector.part = mixed.part",
    // Sketches of a basis without directions are all alike, but these layers share a vector with none now.
    "update layer_sketch
        set sketch_id = encode(substring(sha256(numbers) for 16), 'hex')::uuid
       from (select layer_id, string_agg(substring(vector_send(lead) from 5), '' order by part)
                                  || string_agg(substring(vector_send(tail) from 5), '' order by part) as numbers
               from layer_vector
              group by layer_id) as stored
      where stored.layer_id = layer_sketch.layer_id
        and layer_sketch.layer_id > (select max(layer_id) from layer where version_id = (select min(version_id) from layer))",
];

/// Bytes of sketches in memory: searches go through memory, or through the database.
const BOTH_WAYS: [u64; 2] = [1 << 30, 0];

/// A library with 300 copies of the layers of its only model, and a layer of that model.
async fn large_library(sketch_cache_bytes: u64) -> (Server, PgConnection, String) {
    large_library_with(|config| config.sketch_cache_bytes = Some(sketch_cache_bytes)).await
}

async fn large_library_with(configure: impl FnOnce(&mut Config)) -> (Server, PgConnection, String) {
    let server = Server::with(configure).await;
    let target = add(&server.api, "target", &[], 1).await;
    let conv = layer(&server.api, &target, "4").await;
    let mut database = PgConnection::connect(server.config.database_url.as_deref().unwrap())
        .await
        .unwrap();
    sqlx::query(AssertSqlSafe(COPIES)).execute(&mut database).await.unwrap();
    publish(&mut database).await;
    (server, database, conv)
}

/// Makes changes of the tables visible to searches.
async fn publish(database: &mut PgConnection) {
    for statement in [
        "update layer_sketch set changed = pg_current_xact_id()",
        "update catalogue set generation = generation + 1",
        "analyze layer_sketch",
    ] {
        sqlx::query(statement).execute(&mut *database).await.unwrap();
    }
}

#[tokio::test]
async fn paging_through_the_ties_of_a_large_library_repeats_and_drops_nothing() {
    for sketch_cache_bytes in BOTH_WAYS {
        let (server, _database, conv) = large_library(sketch_cache_bytes).await;
        let api = &server.api;
        // The 300 copies of the layer have equal scores: paging returns each of them once, however it was found.
        let (mut seen, mut after) = (HashSet::new(), Value::Null);
        for _ in 0..4 {
            let page = similar(api, &conv, json!({ "first": 75, "after": after })).await;
            for edge in edges(&page) {
                assert_eq!(
                    edge["node"]["name"], "4",
                    "the copies of the layer have the highest scores: {edge:#}"
                );
                assert!(seen.insert(text(&edge["node"]["id"])), "{edge:#}");
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(seen.len(), 300);
        server.stop().await.unwrap();
    }
}

/// Fits the sketches of the digits' probe set to the layers that it has now.
pub async fn fit_sketches(api: &Client) {
    let data = api
        .data("{ dataset(name: \"digits\") { probeSets { id } } }", json!({}))
        .await;
    api.rebuild_search_index(&text(&data["dataset"]["probeSets"][0]["id"]))
        .await;
}

#[tokio::test]
async fn a_result_is_proven_even_if_every_vector_has_to_be_read() {
    let (server, mut database, conv) = large_library_with(|config| {
        config.vector_cache_bytes = Some(0);
        // Room for the sketches of all layers, and for next to no rounded vectors.
        config.sketch_cache_bytes = Some(2_800_000);
    })
    .await;
    for noise in NOISE {
        sqlx::query(noise).execute(&mut database).await.unwrap();
    }
    publish(&mut database).await;
    // Nothing is fitted, so no bound rules a layer out. The first search comes before the sketches are in memory.
    for first in 10..13 {
        let found = similar(&server.api, &conv, json!({ "first": first })).await;
        assert_eq!((&found["exact"], &found["totalCount"]), (&json!(true), &json!(2100)));
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_library_is_searched_by_fitted_sketches_and_no_hit_is_missing() {
    for sketch_cache_bytes in BOTH_WAYS {
        let (server, mut database, conv) = large_library(sketch_cache_bytes).await;
        let api = &server.api;
        // Different noise for each copy: no two scores are equal.
        for noise in NOISE {
            sqlx::query(noise).execute(&mut database).await.unwrap();
        }
        publish(&mut database).await;
        let unfitted = similar(api, &conv, json!({ "first": 10 })).await;
        assert_eq!(
            (&unfitted["exact"], &unfitted["totalCount"]),
            (&json!(true), &json!(2100))
        );

        fit_sketches(api).await;

        let fitted = similar(api, &conv, json!({ "first": 10 })).await;
        assert_eq!(
            edges(&fitted),
            edges(&unfitted),
            "the directions do not change the hits"
        );
        let last = edges(&fitted)[9]["debiasedCka"].as_f64();
        assert_eq!(
            (&fitted["exact"], fitted["completeAbove"].as_f64()),
            (&json!(true), last)
        );
        let demanded = similar(api, &conv, json!({ "first": 10, "exact": true })).await;
        assert_eq!(edges(&demanded), edges(&fitted));

        let rare = similar(api, &conv, json!({ "filter": { "tags": ["rare"] } })).await;
        assert_eq!((&rare["exact"], edges(&rare).len()), (&json!(true), 7), "{rare:#}");
        assert_eq!(rare["completeAbove"], -1.0, "the list is whole");
        // None of them is among the nearest candidates.
        let far = json!({ "layerKinds": ["Conv2d", "Linear", "BatchNorm2d", "MaxPool2d", "ReLU"], "tags": ["copy"] });
        let far = similar(api, &conv, json!({ "filter": far, "first": 100 })).await;
        assert_eq!((&far["exact"], edges(&far).len()), (&json!(true), 100));
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_search_of_a_library_too_large_to_prove_every_hit_says_how_far_it_is_complete() {
    let (server, mut database, conv) = large_library(0).await;
    let api = &server.api;
    for noise in NOISE {
        sqlx::query(noise).execute(&mut database).await.unwrap();
    }
    publish(&mut database).await;
    fit_sketches(api).await;
    // No search has read the basis yet: it is believed to be one of a million layers.
    sqlx::query("update sketch_basis set layer_count = 1000000")
        .execute(&mut database)
        .await
        .unwrap();

    let truth = similar(api, &conv, json!({ "first": 10, "exact": true })).await;
    let found = similar(api, &conv, json!({ "first": 10 })).await;

    assert_eq!(truth["exact"], true);
    let complete_above = found["completeAbove"].as_f64().unwrap_or(1.0);
    for (rank, hit) in edges(&truth).iter().enumerate() {
        if hit["debiasedCka"].as_f64().unwrap() > complete_above {
            assert_eq!(&edges(&found)[rank], hit);
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_hit_has_the_significance_of_its_score() {
    let server = Server::start().await;
    let api = &server.api;
    let model = add(api, "a", &[], 1).await;
    add(api, "b", &[], 2).await;
    let target = layer(api, &model, "0").await;
    let query = "query($layer: ID!, $permutations: Int! = 1000) { layer(id: $layer) {
        similar(first: 10, filter: { includeOwnModel: true }) { totalCount edges { node { id }
          significance(permutations: $permutations) {
            pValue correctedPValue layersSearched permutationPValue momentPValue permutations } } } } }";
    let result = api.data(query, json!({ "layer": target })).await["layer"]["similar"].take();
    let itself = &edges(&result)[0];
    assert_eq!(itself["node"]["id"], target);
    assert_eq!(itself["significance"]["permutationPValue"], 1.0 / 1001.0);
    assert!(itself["significance"]["pValue"].as_f64().unwrap() < 1e-20, "{itself:#}");
    assert!(edges(&result).len() > 5, "{result:#}");
    for edge in edges(&result) {
        let found = |field: &str| edge["significance"][field].as_f64().unwrap();
        assert!(found("pValue") > 0.0 && found("pValue") <= 1.0, "{edge:#}");
        assert_eq!(edge["significance"]["layersSearched"], result["totalCount"]);
        let corrected = (found("pValue") * found("layersSearched")).min(1.0);
        assert_eq!(found("correctedPValue"), corrected, "{edge:#}");
    }
    for permutations in [-1, 98, 100_001] {
        let refused = api
            .error(query, json!({ "layer": target, "permutations": permutations }))
            .await;
        assert_eq!(refused.0, "BAD_USER_INPUT");
        assert!(refused.1.contains("`permutations` must be at"), "{}", refused.1);
    }
    server.stop().await.unwrap();
}
