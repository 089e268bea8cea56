//! The library as analysts read it in SQL.

mod functions;
mod queries;
mod role;

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::process::Command;

use crate::support::client::{Client, text};
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

/// A connection to the database of a server as its owner.
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

/// The output of `scv analyst-role` for the database of a server.
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

/// A connection to the database of a server as an analyst.
async fn analyst(server: &Server) -> PgConnection {
    analyst_role(server, &[]).await;
    connect_as(server, &role_name(server)).await
}

/// The rows of a query, each as an object.
async fn rows(database: &mut PgConnection, query: &str) -> Vec<Value> {
    let query = query.trim().trim_end_matches(';');
    let query = format!("select to_jsonb(result) from ({query}) as result");
    match sqlx::query_scalar(AssertSqlSafe(query.as_str()))
        .fetch_all(database)
        .await
    {
        Ok(rows) => rows,
        Err(error) => panic!("{error} in {query}"),
    }
}

/// PostgreSQL's code and message for a statement that must fail.
async fn refusal(database: &mut PgConnection, statement: &str) -> (String, String) {
    let result = sqlx::raw_sql(AssertSqlSafe(statement)).execute(database).await;
    let error = result.expect_err(statement);
    let error = error.as_database_error().unwrap();
    (error.code().unwrap().into_owned(), error.message().to_owned())
}

/// The key and the global id of a layer of the first version of a model.
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

/// The most similar layers by the API, in the form of `nearest_layers`.
async fn similar(api: &Client, layer: &str, arguments: Value) -> Vec<Value> {
    let query = "query($layer: ID!, $first: Int!, $measure: Measure!, $filter: SimilarityFilter, $probeSet: ID) {
        layer(id: $layer) { similar(first: $first, measure: $measure, filter: $filter, probeSet: $probeSet) {
          exact edges { rank cka debiasedCka node { id name kind version { number accuracy model { name } } } } } } }";
    let mut variables = json!({ "layer": layer, "first": 10, "measure": "DEBIASED_CKA" });
    for (name, value) in arguments.as_object().unwrap() {
        variables[name] = value.clone();
    }
    let response = api.data(query, variables).await["layer"]["similar"].take();
    let edges = response["edges"].as_array().unwrap().iter();
    edges
        .map(|edge| {
            let (node, version) = (&edge["node"], &edge["node"]["version"]);
            json!({
                "rank": edge["rank"], "global_id": node["id"], "layer_name": node["name"], "layer_kind": node["kind"],
                "version_number": version["number"], "model_name": version["model"]["name"],
                "accuracy": plain(&version["accuracy"]), "debiased_cka": plain(&edge["debiasedCka"]),
                "cka": plain(&edge["cka"]),
                "exact": response["exact"],
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
async fn private_models_are_hidden_from_analysts_even_in_the_errors_of_their_queries() {
    let server = Server::start().await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let mut versions = Vec::new();
    for (name, visibility) in [("secret", "PRIVATE"), ("open", "PUBLIC")] {
        let input = json!({ "name": name, "visibility": visibility });
        let model = text(&owner.data(create, json!({ "input": input })).await["createModel"]["model"]["id"]);
        versions.push(
            owner
                .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
                .await,
        );
    }
    let mut database = analyst(&server).await;
    for (view, count) in [
        ("models", 1),
        ("versions", 1),
        ("layers", 1),
        ("vectors", 3),
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
        "the private original is not named"
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

/// How far a score of PostgreSQL, which multiplies in single precision, may be from one of the API.
const SCORE_TOLERANCE: f64 = 1e-6;

/// Checks that two values are equal, except for the rounding of scores.
fn assert_agree(found: &Value, expected: &Value, context: &str) {
    match (found, expected) {
        (Value::Array(all), Value::Array(others)) if all.len() == others.len() => {
            all.iter()
                .zip(others)
                .for_each(|(one, other)| assert_agree(one, other, context));
        }
        (Value::Object(fields), Value::Object(others)) if fields.len() == others.len() => {
            fields
                .iter()
                .for_each(|(name, one)| assert_agree(one, &others[name], context));
        }
        (Value::Number(one), Value::Number(other)) => {
            let difference = one.as_f64().unwrap() - other.as_f64().unwrap();
            assert!(difference.abs() <= SCORE_TOLERANCE, "{context}: {one} is not {other}");
        }
        _ => assert_eq!(found, expected, "{context}"),
    }
}
