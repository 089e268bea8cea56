//! `scv analyst-role`: the privileges of the role, and how it is created and dropped.

use std::process::{Command, Output, Stdio};

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::{analyst, analyst_role, owner, refusal, role_name, rows};
use crate::support::cluster::cache_dir;
use crate::support::process::{Installation, Process};
use crate::support::server::Server;

// PostgreSQL's error codes.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const READ_ONLY: &str = "25006";

#[tokio::test]
async fn the_role_can_only_read_the_schema() {
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

    // A session can switch read-only mode off, which only prevents mistakes; its privileges still forbid writing.
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
        let (code, message) = refusal(&mut database, &statement).await;
        assert_eq!(code, INSUFFICIENT_PRIVILEGE, "{statement}: {message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn tables_of_the_caller_do_not_replace_those_that_a_function_reads() {
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
    let weights = crate::support::networks::initial_weights(&blocks, 1);
    server.api.push_and_wait(&model, blocks, weights).await;
    let forged = "select count(*) from analytics.layers
                   cross join lateral analytics.nearest_layers(layer_id, dataset => 'forged')";
    let (_, message) = refusal(&mut database, forged).await;
    assert_eq!(message, "there is no data set 'forged'");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn creating_the_role_again_gives_it_a_new_password() {
    let server = Server::start().await;
    let (name, mut owner) = (role_name(&server), owner(&server).await);
    let stored = "select rolpassword from pg_authid where rolname = $1";
    let mut passwords = Vec::new();
    for _ in 0..2 {
        let response = analyst_role(&server, &[]).await;
        assert_eq!(response["role"], name);
        assert_eq!(response["password"].as_str().unwrap().len(), 32);
        assert!(
            response["connection"]
                .as_str()
                .unwrap()
                .contains(&format!("user='{name}'")),
            "{response:#}"
        );
        let stored: String = sqlx::query_scalar(stored)
            .bind(&name)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        assert!(stored.starts_with("SCRAM-SHA-256$"), "{stored}");
        passwords.extend([response["password"].as_str().unwrap().to_owned(), stored]);
    }
    assert!(passwords[0] != passwords[2] && passwords[1] != passwords[3]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_role_is_not_made_where_it_could_replace_what_functions_use() {
    let server = Server::start().await;
    let name = role_name(&server);
    sqlx::raw_sql("grant create on schema public to public")
        .execute(&mut owner(&server).await)
        .await
        .unwrap();
    let refused = run(&server, &["--name", &name], "");
    assert!(
        failure(&refused).contains("revoke create on schema public from public"),
        "{refused:?}"
    );
    let made = format!("select 1 from pg_roles where rolname = '{name}'");
    assert!(rows(&mut owner(&server).await, &made).await.is_empty());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_role_can_read_views_that_are_created_later() {
    let server = Server::start().await;
    let mut database = analyst(&server).await;
    sqlx::raw_sql("create view analytics.later as select 1 as number")
        .execute(&mut owner(&server).await)
        .await
        .unwrap();
    assert_eq!(
        rows(&mut database, "select * from analytics.later").await,
        [json!({ "number": 1 })]
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn revoking_drops_the_role() {
    let server = Server::start().await;
    let (name, mut owner) = (role_name(&server), owner(&server).await);
    analyst_role(&server, &[]).await;
    let response = analyst_role(&server, &["--revoke"]).await;
    assert_eq!(response, json!({ "role": name }));
    let remaining = format!("select 1 from pg_roles where rolname = '{name}'");
    assert!(rows(&mut owner, &remaining).await.is_empty());
    let again = run(&server, &["--name", &name, "--revoke"], "");
    assert!(
        failure(&again).contains(&format!("there is no role \"{name}\"")),
        "{again:?}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_password_of_the_role_may_be_read_from_standard_input() {
    let server = Server::start().await;
    let name = role_name(&server);
    let given = run(&server, &["--name", &name, "--password-stdin"], "it's \"secret\"\n");
    assert!(given.status.success(), "{given:?}");
    let output = String::from_utf8(given.stdout).unwrap();
    assert!(
        output.contains("Connect with") && !output.contains("secret"),
        "{output}"
    );
    let empty = run(&server, &["--name", &name, "--password-stdin"], "\n");
    assert!(failure(&empty).contains("contains no password"), "{empty:?}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_role_that_the_program_did_not_create_is_left_alone() {
    let server = Server::start().await;
    let (name, mut owner) = (role_name(&server), owner(&server).await);
    let other = format!("{name} of somebody else");
    sqlx::raw_sql(AssertSqlSafe(format!("create role \"{other}\"")))
        .execute(&mut owner)
        .await
        .unwrap();
    for arguments in [&["--name", &other][..], &["--name", &other, "--revoke"]] {
        let refused = run(&server, arguments, "");
        assert!(
            failure(&refused).contains("was not made by scv analyst-role"),
            "{refused:?}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_user_without_superuser_rights_needs_only_the_right_to_create_roles() {
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
    // Only superusers can create the extension pgvector.
    let mut inside = options.connect().await.unwrap();
    sqlx::raw_sql("create extension vector")
        .execute(&mut inside)
        .await
        .unwrap();
    let url = options.username(&user).to_url_lossy().to_string();
    let run_as_user = |arguments: &[&str]| run_on(&url, &[&["--name", &name], arguments].concat(), "");
    let refused = run_as_user(&[]);
    assert!(failure(&refused).contains("right to create roles"), "{refused:?}");
    sqlx::raw_sql(AssertSqlSafe(format!("alter role \"{user}\" createrole")))
        .execute(&mut superuser)
        .await
        .unwrap();
    for arguments in [&[][..], &[], &["--revoke"]] {
        let done = run_as_user(arguments);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_command_works_on_an_embedded_database_with_and_without_a_running_server() {
    let installation = Installation::with_database().await;
    let without_server = embedded(&installation, &[]);
    assert!(without_server.status.success(), "{without_server:?}");
    assert!(!installation.postmaster_pid().exists(), "the database is stopped again");

    let server = Process::start(&installation).await;
    server.api.model("a").await;
    let with_server = embedded(&installation, &[]);
    assert!(with_server.status.success(), "{with_server:?}");
    let output = String::from_utf8(with_server.stdout).unwrap();
    assert!(!output.contains("password"), "no password is required: {output}");
    let command = output.lines().last().unwrap().trim();
    let query = "select name from models";
    let output = Command::new("sh")
        .args(["-c", &format!("{command} -X -A -t -c \"{query}\"")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n", "{command}: {output:?}");
    server.api.model("still running").await;
}

/// Runs `scv analyst-role` on the database of a server, with a text as standard input.
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

fn embedded(installation: &Installation, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scv"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("SCV_DATA_DIR", installation.data_dir())
        .env("SCV_CACHE_DIR", cache_dir())
        .arg("analyst-role")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The standard error of a command that must fail.
fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
