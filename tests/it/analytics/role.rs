//! `scv analyst-role`: what the role may do, and how it comes and goes.

use std::process::{Command, Output, Stdio};

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::{analyst, analyst_role, connect_as, owner, refusal, role_name, rows};
use crate::support::cluster::cache_dir;
use crate::support::process::{Place, Process};
use crate::support::server::Server;

/// PostgreSQL's codes.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const READ_ONLY: &str = "25006";

#[tokio::test]
async fn the_role_reads_the_schema_and_nothing_else_and_writes_nothing() {
    let server = Server::start().await;
    server.api.model("a").await;
    let mut database = analyst(&server).await;
    let settings = "select current_setting('default_transaction_read_only') as read_only,
                           current_setting('statement_timeout') as timeout";
    assert_eq!(
        rows(&mut database, settings).await,
        [json!({ "read_only": "on", "timeout": "5min" })]
    );
    assert_eq!(
        rows(&mut database, "select name from analytics.models").await,
        [json!({ "name": "a" })]
    );
    let (code, _) = refusal(&mut database, "create temporary table mine (number int)").await;
    assert_eq!(code, READ_ONLY);

    // What sessions can switch off is a guard against mistakes; the rights are what counts.
    sqlx::raw_sql("set default_transaction_read_only = off")
        .execute(&mut database)
        .await
        .unwrap();
    let tables = "select format('%I.%I', nspname, relname) as name
                    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
                   where nspname in ('public', 'graphile_worker') and relkind in ('r', 'p')";
    let tables = rows(&mut owner(&server).await, tables).await;
    assert!(tables.len() > 15, "{tables:?}");
    let mut forbidden: Vec<String> = Vec::new();
    for table in &tables {
        let table = table["name"].as_str().unwrap();
        forbidden.extend([format!("select from {table}"), format!("delete from {table}")]);
    }
    forbidden.extend(
        [
            "insert into analytics.models (name) values ('x')",
            "insert into public.model (name) values ('x')",
            "update analytics.models set name = 'x'",
            "delete from analytics.datasets",
            "truncate public.model",
            "create table analytics.mine (number int)",
            "create table public.mine (number int)",
            "create schema mine",
            "drop view analytics.models",
            "alter function analytics.cka set search_path = pg_temp",
            "select public.create_sketch_partition(999)",
            "copy analytics.models to '/tmp/models'",
        ]
        .map(str::to_owned),
    );
    for statement in forbidden {
        let (code, said) = refusal(&mut database, &statement).await;
        assert_eq!(code, INSUFFICIENT_PRIVILEGE, "{statement}: {said}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_of_the_callers_stands_in_for_what_a_function_reads() {
    let server = Server::start().await;
    let mut database = analyst(&server).await;
    sqlx::raw_sql("set default_transaction_read_only = off")
        .execute(&mut database)
        .await
        .unwrap();
    sqlx::raw_sql(
        "create temporary table layer_sketch (probe_set_id bigint, layer_id bigint, searchable boolean);
         create temporary table dataset (dataset_id bigint, name text);
         insert into dataset values (1, 'forged');
         set search_path = pg_temp, public",
    )
    .execute(&mut database)
    .await
    .unwrap();
    let model = server.api.model("a").await;
    let blocks = crate::support::networks::perceptron();
    let weights = crate::support::networks::first_weights(&blocks, 1);
    server.api.pushed(&model, blocks, weights).await;
    let forged = "select count(*) from analytics.layers
                   cross join lateral analytics.nearest_layers(layer_id, dataset => 'forged')";
    let (_, said) = refusal(&mut database, forged).await;
    assert_eq!(said, "there is no data set 'forged'");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_role_is_made_renewed_and_dropped_and_one_of_somebody_else_left_alone() {
    let server = Server::start().await;
    let (name, mut owner) = (role_name(&server), owner(&server).await);
    let stored = "select rolpassword from pg_authid where rolname = $1";
    let mut passwords = Vec::new();
    for _ in 0..2 {
        let answer = analyst_role(&server, &[]).await;
        assert_eq!(answer["role"], name);
        assert_eq!(answer["password"].as_str().unwrap().len(), 32);
        assert!(
            answer["connection"]
                .as_str()
                .unwrap()
                .contains(&format!("user='{name}'")),
            "{answer:#}"
        );
        let stored: String = sqlx::query_scalar(stored)
            .bind(&name)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        assert!(stored.starts_with("SCRAM-SHA-256$"), "{stored}");
        passwords.extend([answer["password"].as_str().unwrap().to_owned(), stored]);
    }
    assert!(passwords[0] != passwords[2] && passwords[1] != passwords[3]);

    // What comes later can be read too.
    sqlx::raw_sql("create view analytics.later as select 1 as number")
        .execute(&mut owner)
        .await
        .unwrap();
    let mut database = connect_as(&server, &name).await;
    assert_eq!(
        rows(&mut database, "select * from analytics.later").await,
        [json!({ "number": 1 })]
    );
    database.close().await.unwrap();

    let answer = analyst_role(&server, &["--revoke"]).await;
    assert_eq!(answer, json!({ "role": name }));
    let left = format!("select 1 from pg_roles where rolname = '{name}'");
    assert!(rows(&mut owner, &left).await.is_empty());
    let again = run(&server, &["--name", &name, "--revoke"], "");
    assert!(
        complaint(&again).contains(&format!("there is no role \"{name}\"")),
        "{again:?}"
    );

    let given = run(&server, &["--name", &name, "--password-stdin"], "it's \"secret\"\n");
    assert!(given.status.success(), "{given:?}");
    let said = String::from_utf8(given.stdout).unwrap();
    assert!(said.contains("Connect with") && !said.contains("secret"), "{said}");
    let empty = run(&server, &["--name", &name, "--password-stdin"], "\n");
    assert!(complaint(&empty).contains("holds no password"), "{empty:?}");
    analyst_role(&server, &["--revoke"]).await;

    let somebody = format!("{name} of somebody else");
    sqlx::raw_sql(AssertSqlSafe(format!("create role \"{somebody}\"")))
        .execute(&mut owner)
        .await
        .unwrap();
    for arguments in [&["--name", &somebody][..], &["--name", &somebody, "--revoke"]] {
        let refused = run(&server, arguments, "");
        assert!(
            complaint(&refused).contains("was not made by scv analyst-role"),
            "{refused:?}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_user_who_is_no_superuser_needs_the_right_to_make_roles_and_no_more() {
    let server = Server::start().await;
    let (name, mut superuser) = (role_name(&server), owner(&server).await);
    let user = format!("{name}, owner");
    let database = format!("{name}, database");
    for statement in [
        format!("create role \"{user}\" login"),
        format!("create database \"{database}\" owner \"{user}\""),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut superuser)
            .await
            .unwrap();
    }
    let options: PgConnectOptions = server.config.database_url.as_deref().unwrap().parse().unwrap();
    let options = options.database(&database);
    // pgvector is for superusers to bring in.
    let mut inside = options.connect().await.unwrap();
    sqlx::raw_sql("create extension vector")
        .execute(&mut inside)
        .await
        .unwrap();
    let url = options.username(&user).to_url_lossy().to_string();
    let on_it = |arguments: &[&str]| run_on(&url, &[&["--name", &name], arguments].concat(), "");
    let refused = on_it(&[]);
    assert!(complaint(&refused).contains("may make roles"), "{refused:?}");
    sqlx::raw_sql(AssertSqlSafe(format!("alter role \"{user}\" createrole")))
        .execute(&mut superuser)
        .await
        .unwrap();
    for arguments in [&[][..], &[], &["--revoke"]] {
        let done = on_it(arguments);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_embedded_database_is_reached_beside_a_server_and_without_one() {
    let place = Place::with_database().await;
    let without = embedded(&place, &[]);
    assert!(without.status.success(), "{without:?}");
    assert!(!place.postmaster_pid().exists(), "it is stopped again");

    let server = Process::start(&place).await;
    server.api.model("a").await;
    let beside = embedded(&place, &[]);
    assert!(beside.status.success(), "{beside:?}");
    let said = String::from_utf8(beside.stdout).unwrap();
    assert!(!said.contains("password"), "none is asked for: {said}");
    let command = said.lines().last().unwrap().trim();
    let query = "select name from models";
    let output = Command::new("sh")
        .args(["-c", &format!("{command} -X -A -t -c \"{query}\"")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n", "{command}: {output:?}");
    server.api.model("the server goes on").await;
}

/// `scv analyst-role` on the database of a server, with something on its standard input.
fn run(server: &Server, arguments: &[&str], input: &str) -> Output {
    run_on(server.config.database_url.as_deref().unwrap(), arguments, input)
}

fn run_on(url: &str, arguments: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_scv"))
        .arg("analyst-role")
        .args(arguments)
        .env("DATABASE_URL", url)
        .env_remove("SCV_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn embedded(place: &Place, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scv"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("SCV_DATA_DIR", place.data_dir())
        .env("SCV_CACHE_DIR", cache_dir())
        .arg("analyst-role")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
