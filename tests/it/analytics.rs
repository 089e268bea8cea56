//! The library as analysts read it in SQL.

mod queries;
mod role;

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::process::Command;

use crate::search::{COPIES, NOISE};
use crate::support::client::{Client, text};
use crate::support::networks::{constant_weights, first_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// The owner's connection to the database of a server.
async fn owner(server: &Server) -> PgConnection {
    PgConnection::connect(server.config.database_url.as_deref().unwrap())
        .await
        .unwrap()
}

/// The name of a role that no other test uses: roles belong to all databases of a server.
fn role_name(server: &Server) -> String {
    let options: PgConnectOptions = server.config.database_url.as_deref().unwrap().parse().unwrap();
    format!("Analyst of {}", options.get_database().unwrap())
}

/// What `scv analyst-role` says about the database of a server.
async fn analyst_role(server: &Server, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_scv"))
        .args(["--json", "analyst-role", "--name", &role_name(server)])
        .args(arguments)
        .env("DATABASE_URL", server.config.database_url.as_deref().unwrap())
        .env_remove("SCV_LOG")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A connection to the database of a server as a role.
async fn connect_as(server: &Server, role: &str) -> PgConnection {
    let options: PgConnectOptions = server.config.database_url.as_deref().unwrap().parse().unwrap();
    options.username(role).connect().await.unwrap()
}

/// An analyst's connection to the database of a server.
async fn analyst(server: &Server) -> PgConnection {
    analyst_role(server, &[]).await;
    connect_as(server, &role_name(server)).await
}

/// The rows of a query, each an object.
async fn rows(database: &mut PgConnection, query: &str) -> Vec<Value> {
    let query = query.trim().trim_end_matches(';');
    let query = format!("select to_jsonb(answer) from ({query}) as answer");
    match sqlx::query_scalar(AssertSqlSafe(query.as_str()))
        .fetch_all(database)
        .await
    {
        Ok(rows) => rows,
        Err(error) => panic!("{error} in {query}"),
    }
}

/// PostgreSQL's code for why a statement fails, and what it says.
async fn refusal(database: &mut PgConnection, statement: &str) -> (String, String) {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement)).execute(database).await;
    let error = outcome.expect_err(statement);
    let error = error.as_database_error().unwrap();
    (error.code().unwrap().into_owned(), error.message().to_owned())
}

/// The key and the global id of a layer of a model's first version.
async fn layer(database: &mut PgConnection, model: &str, name: &str) -> (i64, String) {
    sqlx::query_as(
        "select layer_id, global_id
           from analytics.layers
          where model_name = $1 and version_number = 1 and name = $2",
    )
    .bind(model)
    .bind(name)
    .fetch_one(database)
    .await
    .unwrap()
}

/// What the API finds most like a layer, as `nearest_layers` would say it.
async fn similar(api: &Client, layer: &str, arguments: Value) -> Vec<Value> {
    let query = "query($layer: ID!, $first: Int!, $measure: Measure!, $filter: SimilarityFilter, $probeSet: ID) {
        layer(id: $layer) { similar(first: $first, measure: $measure, filter: $filter, probeSet: $probeSet) {
          exact edges { rank cka debiasedCka node { id name kind version { number accuracy model { name } } } } } } }";
    let mut variables = json!({ "layer": layer, "first": 10, "measure": "DEBIASED_CKA" });
    for (name, value) in arguments.as_object().unwrap() {
        variables[name] = value.clone();
    }
    let answer = api.data(query, variables).await["layer"]["similar"].take();
    let edges = answer["edges"].as_array().unwrap().iter();
    edges
        .map(|edge| {
            let (node, version) = (&edge["node"], &edge["node"]["version"]);
            json!({
                "rank": edge["rank"], "global_id": node["id"], "layer_name": node["name"], "layer_kind": node["kind"],
                "version_number": version["number"], "model_name": version["model"]["name"],
                "accuracy": plain(&version["accuracy"]), "debiased_cka": plain(&edge["debiasedCka"]),
                "cka": plain(&edge["cka"]),
                "exact": answer["exact"],
            })
        })
        .collect()
}

/// A number as PostgreSQL writes it: 1 and not 1.0.
fn plain(number: &Value) -> Value {
    match number.as_f64() {
        Some(whole) if whole.fract() == 0.0 => json!(whole as i64),
        _ => number.clone(),
    }
}

/// What `nearest_layers` finds, with global ids in place of keys.
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

/// A model whose version is the small convolutional network with its first weights.
async fn add(api: &Client, name: &str, seed: u64) -> String {
    let model = api.model(name).await;
    api.pushed(&model, small_cnn(), first_weights(&small_cnn(), seed)).await;
    model
}

#[tokio::test]
async fn functions_give_the_scores_and_the_hits_of_the_api() {
    let server = Server::start().await;
    let api = &server.api;
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        add(api, name, seed).await;
    }
    let trained = api.model("trained").await;
    api.trained(&trained, small_cnn(), json!({ "epochs": 3, "seed": 4 }))
        .await;
    let gone = add(api, "gone", 5).await;
    let mut database = analyst(&server).await;
    let (of_gone, _) = layer(&mut database, "gone", "4").await;
    let delete = "mutation($input: DeleteModelInput!) { deleteModel(input: $input) { model { id } } }";
    api.data(delete, json!({ "input": { "id": gone } })).await;

    // More than 180 images: vectors of two parts.
    let create = "mutation($input: CreateProbeSetInput!) { createProbeSet(input: $input) {
                    probeSet { id } jobs { id } } }";
    let input = json!({ "dataset": "digits", "imageCount": 200, "seed": 3 });
    let payload = api.data(create, json!({ "input": input })).await["createProbeSet"].take();
    for job in payload["jobs"].as_array().unwrap() {
        api.succeed(&text(&job["id"])).await;
    }
    let large = rows(
        &mut database,
        "select probe_set_id, count(distinct part) as parts, sum(vector_dims(lead)) / count(distinct layer_id) as numbers
           from analytics.vectors
           join analytics.probe_sets using (probe_set_id)
          where image_count = 200
          group by probe_set_id",
    )
    .await;
    assert_eq!((&large[0]["parts"], &large[0]["numbers"]), (&json!(2), &json!(19_700)));
    let large = (large[0]["probe_set_id"].as_i64().unwrap(), &payload["probeSet"]["id"]);

    let (key, id) = layer(&mut database, "a", "4").await;
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
            format!("{key}, probe_set => {}", large.0),
            json!({ "probeSet": large.1 }),
        ),
        (
            format!("{key}, 100, 0, 'digits', 'CKA', {}", large.0),
            json!({ "first": 100, "measure": "CKA", "filter": { "minAccuracy": 0 }, "probeSet": large.1 }),
        ),
    ];
    for (arguments, question) in cases {
        let (found, expected) = (
            nearest(&mut database, &arguments).await,
            similar(api, &id, question.clone()).await,
        );
        assert_eq!(found, expected, "{arguments}");
        let first = question["first"].as_u64().unwrap_or(10) as usize;
        let admitted = if arguments.contains("0.5") { 7 } else { 21 };
        assert_eq!(found.len(), first.min(admitted), "{arguments}");
    }

    let probe_set = ["null".to_owned(), large.0.to_string()];
    for (probe_set, id_of_set) in probe_set.iter().zip([&Value::Null, large.1]) {
        let question = json!({ "first": 100, "probeSet": id_of_set, "filter": { "includeOwnModel": true } });
        for hit in similar(api, &id, question).await {
            let query = format!(
                "select analytics.cka({key}, layer_id, {probe_set}) as cka,
                        analytics.debiased_cka({key}, layer_id, {probe_set}) as debiased_cka,
                        analytics.cka(layer_id, {key}, {probe_set}) as other_way
                   from analytics.layers
                  where global_id = '{}'",
                text(&hit["global_id"])
            );
            let found = rows(&mut database, &query).await;
            let expected = json!({ "cka": hit["cka"], "debiased_cka": hit["debiased_cka"], "other_way": hit["cka"] });
            assert_eq!(found, [expected], "{hit:#}");
        }
    }
    let of_gone = format!("select analytics.cka({key}, {of_gone}) as of_deleted, analytics.cka({key}, 0) as of_none");
    let nothing = json!({ "of_deleted": null, "of_none": null });
    assert_eq!(rows(&mut database, &of_gone).await, [nothing]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_without_a_vector_is_like_nothing_and_what_cannot_be_asked_says_why() {
    let server = Server::start().await;
    let api = &server.api;
    let flat = constant_weights(&[("1.weight", &[10, 64], 0.0), ("1.bias", &[10], 1.0)]);
    let model = api.model("flat").await;
    api.pushed(&model, perceptron(), flat).await;
    let model = api.model("sound").await;
    api.pushed(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    api.import_numbers().await;
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

    let elsewhere = "select probe_set_id from analytics.probe_sets where dataset_name = 'numbers'";
    let elsewhere = rows(&mut database, elsewhere).await[0]["probe_set_id"]
        .as_i64()
        .unwrap();
    for (arguments, code, said) in [
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
        assert_eq!(refused, (code.to_owned(), said), "{arguments}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_library_is_searched_through_the_index() {
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
        "analyze sketch, layer_sketch",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
    let mut database = analyst(&server).await;
    let (key, id) = layer(&mut database, "target", "4").await;

    let scans = "select sum(idx_scan)::bigint from pg_stat_user_indexes
                  where indexrelname like 'sketch_%debiased_sketch_idx'";
    let before: i64 = sqlx::query_scalar(scans).fetch_one(&mut owner).await.unwrap();
    // Of so few layers the planner may read all: what counts is that it can do otherwise.
    sqlx::query("set enable_seqscan = off")
        .execute(&mut database)
        .await
        .unwrap();
    let found = nearest(&mut database, &key.to_string()).await;
    assert_eq!((found.len(), &found[0]["exact"]), (10, &json!(false)));
    assert_eq!(found, similar(api, &id, json!({})).await);
    // Sessions tell their counts when they have been idle for a moment, or end.
    database.close().await.unwrap();
    let mut after = before;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while after <= before {
        assert!(std::time::Instant::now() < end, "the index was not used");
        after = sqlx::query_scalar(scans).fetch_one(&mut owner).await.unwrap();
    }

    let mut database = analyst(&server).await;
    let deep = nearest(&mut database, &format!("{key}, 1001")).await;
    assert_eq!((deep.len(), &deep[0]["exact"]), (1001, &json!(true)));
    assert_eq!(
        found.iter().map(|hit| &hit["global_id"]).collect::<Vec<_>>(),
        deep[..10].iter().map(|hit| &hit["global_id"]).collect::<Vec<_>>(),
        "no hit is missing"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn everything_in_the_schema_is_described() {
    let server = Server::start().await;
    let undescribed = rows(
        &mut owner(&server).await,
        "select pg_class.oid::regclass::text as name
           from pg_class
          where relnamespace = 'analytics'::regnamespace and obj_description(oid, 'pg_class') is null
          union all
         select format('%s.%s', attrelid::regclass, attname)
           from pg_attribute
           join pg_class on pg_class.oid = attrelid
          where relnamespace = 'analytics'::regnamespace and attnum > 0 and col_description(attrelid, attnum) is null
          union all
         select oid::regprocedure::text
           from pg_proc
          where pronamespace = 'analytics'::regnamespace and obj_description(oid, 'pg_proc') is null",
    )
    .await;
    assert_eq!(undescribed, Vec::<Value>::new());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn private_models_are_hidden_from_analysts_and_from_the_errors_of_their_conditions() {
    let server = Server::start().await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let mut versions = Vec::new();
    for (name, visibility) in [("secret", "PRIVATE"), ("open", "PUBLIC")] {
        let input = json!({ "name": name, "visibility": visibility });
        let model = text(&owner.data(create, json!({ "input": input })).await["createModel"]["model"]["id"]);
        versions.push(
            owner
                .pushed(&model, perceptron(), first_weights(&perceptron(), 1))
                .await,
        );
    }
    let mut database = analyst(&server).await;
    for (view, count) in [
        ("models", 1),
        ("versions", 1),
        ("layers", 1),
        ("vectors", 1),
        ("evaluations", 1),
    ] {
        let found = rows(
            &mut database,
            &format!("select count(*) as count from analytics.{view}"),
        )
        .await;
        assert_eq!(found[0]["count"], count, "{view}");
    }
    let duplicate = rows(&mut database, "select duplicate_of from analytics.versions").await;
    assert_eq!(
        duplicate,
        [json!({ "duplicate_of": null })],
        "nor is it said whose duplicate it is"
    );
    let failing = "select 1 from analytics.models where (name || \'x\')::int = 0";
    let error = sqlx::query(failing)
        .fetch_all(&mut database)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("openx") && !error.contains("secret"), "{error}");
    server.stop().await.unwrap();
}
