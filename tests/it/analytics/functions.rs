//! The functions of the schema return what the API returns.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{analyst, assert_agree, layer, owner, refusal, rows, similar};
use crate::search::{COPIES, NOISE, fit_sketches};
use crate::support::client::{Client, text};
use crate::support::networks::{constant_weights, initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// The result of `nearest_layers`, with global ids in place of keys.
async fn nearest(database: &mut PgConnection, arguments: &str) -> Vec<Value> {
    let query = format!(
        "select rank, global_id, layer_name, layer_kind, near.version_number, near.model_name, near.accuracy,
                debiased_cka, cka, exact
           from analytics.nearest_layers({arguments}) as near
           join analytics.layers using (layer_id)
          order by rank"
    );
    rows(database, &query).await
}

/// Hits without their ranks, by layer: scores that differ by rounding may change places.
fn by_layer(hits: &[Value]) -> Value {
    let mut hits = hits.to_vec();
    for hit in &mut hits {
        hit.as_object_mut().unwrap().remove("rank");
    }
    hits.sort_by_key(|hit| text(&hit["global_id"]));
    json!(hits)
}

/// A model with one version: the small convolutional network with its initial weights.
async fn add(api: &Client, name: &str, seed: u64) -> String {
    let model = api.model(name).await;
    api.push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await;
    model
}

/// A library with layers to search for, a deleted layer and two probe sets.
struct ScoredLibrary {
    server: Server,
    database: PgConnection,
    /// The key and the global id of a layer to search with.
    target: (i64, String),
    /// The key of a layer of a deleted model.
    deleted: i64,
    /// The key and the global id of a large probe set.
    large_probe_set: (i64, String),
}

impl ScoredLibrary {
    async fn create() -> Self {
        let server = Server::start().await;
        let api = &server.api;
        for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
            add(api, name, seed).await;
        }
        let trained = api.model("trained").await;
        api.train_and_wait(&trained, small_cnn(), json!({ "epochs": 3, "seed": 4 }))
            .await;
        let gone = add(api, "gone", 5).await;
        let mut database = analyst(&server).await;
        let (deleted, _) = layer(&mut database, "gone", "4").await;
        let delete = "mutation($input: DeleteModelInput!) { deleteModel(input: $input) { model { id } } }";
        api.data(delete, json!({ "input": { "id": gone } })).await;

        // Vectors of twelve parts, two of them with numbers of the tail.
        let create = "mutation($input: CreateProbeSetInput!) { createProbeSet(input: $input) {
                        probeSet { id } jobs { id } } }";
        let input = json!({ "dataset": "digits", "imageCount": 240, "seed": 3 });
        let payload = api.data(create, json!({ "input": input })).await["createProbeSet"].take();
        for job in payload["jobs"].as_array().unwrap() {
            api.wait_for_success(&text(&job["id"])).await;
        }
        let large = rows(
            &mut database,
            "select probe_set_id, count(distinct part) as parts, sum(vector_dims(lead)) / count(distinct layer_id) as numbers
               from analytics.vectors
               join analytics.probe_sets using (probe_set_id)
              where image_count = 240
              group by probe_set_id",
        )
        .await;
        assert_eq!((&large[0]["parts"], &large[0]["numbers"]), (&json!(17), &json!(28_440)));
        let large_key = large[0]["probe_set_id"].as_i64().unwrap();

        let target = layer(&mut database, "a", "4").await;
        Self {
            server,
            database,
            target,
            deleted,
            large_probe_set: (large_key, text(&payload["probeSet"]["id"])),
        }
    }
}

#[tokio::test]
async fn nearest_layers_returns_the_hits_of_the_api() {
    let ScoredLibrary {
        server,
        mut database,
        target: (key, id),
        large_probe_set: (large_key, large_id),
        ..
    } = ScoredLibrary::create().await;
    let cases = [
        (format!("{key}"), json!({})),
        (format!("{key}, k => 3"), json!({ "first": 3 })),
        (
            format!("{key}, 100, measure => 'CKA'"),
            json!({ "first": 100, "measure": "CKA" }),
        ),
        (
            format!("{key}, min_accuracy => 0.5"),
            json!({ "filter": { "minAccuracy": 0.5 } }),
        ),
        (
            format!("{key}, dataset => 'digits'"),
            json!({ "filter": { "datasets": ["digits"] } }),
        ),
        (
            format!("{key}, probe_set => {}", large_key),
            json!({ "probeSet": large_id }),
        ),
        (
            format!("{key}, 100, 0, 'digits', 'CKA', {}", large_key),
            json!({ "first": 100, "measure": "CKA", "filter": { "minAccuracy": 0 }, "probeSet": large_id }),
        ),
    ];
    for (arguments, variables) in cases {
        let (found, expected) = (
            nearest(&mut database, &arguments).await,
            similar(&server.api, &id, variables.clone()).await,
        );
        let scores = |hits: &[Value]| -> Value {
            hits.iter()
                .map(|hit| json!([hit["cka"], hit["debiased_cka"]]))
                .collect()
        };
        assert_agree(&scores(&found), &scores(&expected), &arguments);
        assert_agree(&by_layer(&found), &by_layer(&expected), &arguments);
        let first = variables["first"].as_u64().unwrap_or(10) as usize;
        let admitted = if arguments.contains("0.5") { 7 } else { 21 };
        assert_eq!(found.len(), first.min(admitted), "{arguments}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_cka_functions_return_the_scores_of_the_api() {
    let ScoredLibrary {
        server,
        mut database,
        target: (key, id),
        deleted,
        large_probe_set: (large_key, large_id),
    } = ScoredLibrary::create().await;
    let probe_sets = [
        ("null".to_owned(), Value::Null),
        (large_key.to_string(), json!(large_id)),
    ];
    for (probe_set, probe_set_id) in probe_sets {
        let variables = json!({ "first": 100, "probeSet": probe_set_id, "filter": { "includeOwnModel": true } });
        for hit in similar(&server.api, &id, variables).await {
            let query = format!(
                "select analytics.cka({key}, layer_id, {probe_set}) as cka,
                        analytics.debiased_cka({key}, layer_id, {probe_set}) as debiased_cka,
                        analytics.cka(layer_id, {key}, {probe_set}) as reversed
                   from analytics.layers
                  where global_id = '{}'",
                text(&hit["global_id"])
            );
            let found = rows(&mut database, &query).await;
            let expected = json!({ "cka": hit["cka"], "debiased_cka": hit["debiased_cka"], "reversed": hit["cka"] });
            assert_agree(&json!(found), &json!([expected]), &hit.to_string());
        }
    }
    let without_score =
        format!("select analytics.cka({key}, {deleted}) as of_deleted, analytics.cka({key}, 0) as of_missing");
    let nothing = json!({ "of_deleted": null, "of_missing": null });
    assert_eq!(rows(&mut database, &without_score).await, [nothing]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_without_a_vector_has_no_hits_and_no_scores() {
    let server = Server::start().await;
    let api = &server.api;
    let flat = constant_weights(&[("1.weight", &[10, 64], 0.0), ("1.bias", &[10], 1.0)]);
    let model = api.model("flat").await;
    api.push_and_wait(&model, perceptron(), flat).await;
    let model = api.model("sound").await;
    api.push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let mut database = analyst(&server).await;
    let (flat, _) = layer(&mut database, "flat", "1").await;
    let (sound, _) = layer(&mut database, "sound", "1").await;

    let degenerate = rows(
        &mut database,
        "select layer_id, reason from analytics.degenerate_layers",
    )
    .await;
    assert_eq!(degenerate, [json!({ "layer_id": flat, "reason": "CONSTANT" })]);
    assert_eq!(nearest(&mut database, &flat.to_string()).await, Vec::<Value>::new());
    assert_eq!(nearest(&mut database, &sound.to_string()).await, Vec::<Value>::new());
    let scores = format!("select analytics.cka({sound}, {flat}), analytics.debiased_cka({flat}, {sound})");
    assert_eq!(
        rows(&mut database, &scores).await,
        [json!({ "cka": null, "debiased_cka": null })]
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_arguments_of_nearest_layers_are_refused_with_a_reason() {
    let server = Server::start().await;
    let model = server.api.model("sound").await;
    server
        .api
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    server.api.import_numbers().await;
    let mut database = analyst(&server).await;
    let (sound, _) = layer(&mut database, "sound", "1").await;
    let elsewhere = "select probe_set_id from analytics.probe_sets where dataset_name = 'numbers'";
    let elsewhere = rows(&mut database, elsewhere).await[0]["probe_set_id"]
        .as_i64()
        .unwrap();
    for (arguments, code, message) in [
        ("999".to_owned(), "P0002", "there is no layer 999".to_owned()),
        ("null".to_owned(), "P0002", "there is no layer null".to_owned()),
        (
            format!("{sound}, -1"),
            "22023",
            "k must be 0 or more, got -1".to_owned(),
        ),
        (
            format!("{sound}, 10, 1.5"),
            "22023",
            "min_accuracy must be 0 to 1, got 1.5".to_owned(),
        ),
        (
            format!("{sound}, dataset => 'moon'"),
            "P0002",
            "there is no data set 'moon'".to_owned(),
        ),
        (
            format!("{sound}, measure => 'cosine'"),
            "22023",
            "measure must be DEBIASED_CKA or CKA, got cosine".to_owned(),
        ),
        (
            format!("{sound}, probe_set => {elsewhere}"),
            "P0002",
            format!("the data set of layer {sound} has no probe set {elsewhere}"),
        ),
    ] {
        let refused = refusal(
            &mut database,
            &format!("select * from analytics.nearest_layers({arguments})"),
        )
        .await;
        assert_eq!(refused, (code.to_owned(), message), "{arguments}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_library_is_searched_by_fitted_sketches() {
    let server = Server::start().await;
    let api = &server.api;
    add(api, "target", 1).await;
    let mut owner = owner(&server).await;
    sqlx::query(AssertSqlSafe(COPIES)).execute(&mut owner).await.unwrap();
    for noise in NOISE {
        sqlx::query(noise).execute(&mut owner).await.unwrap();
    }
    for statement in [
        "update catalogue set generation = generation + 1",
        "analyze layer_sketch",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
    let mut database = analyst(&server).await;
    let (key, _) = layer(&mut database, "target", "4").await;
    let unfitted = nearest(&mut database, &key.to_string()).await;

    fit_sketches(api).await;
    // Large enough for the cells to be looked at.
    sqlx::query("update sketch_basis set layer_count = 1000000")
        .execute(&mut owner)
        .await
        .unwrap();

    let found = nearest(&mut database, &key.to_string()).await;
    assert_eq!((found.len(), &found[0]["exact"]), (10, &json!(true)));
    assert_eq!(found, unfitted);
    let deep = nearest(&mut database, &format!("{key}, 1001")).await;
    assert_eq!((deep.len(), &deep[0]["exact"]), (1001, &json!(true)));
    assert_eq!(
        found.iter().map(|hit| &hit["global_id"]).collect::<Vec<_>>(),
        deep[..10].iter().map(|hit| &hit["global_id"]).collect::<Vec<_>>(),
        "no hit is missing"
    );
    server.stop().await.unwrap();
}
