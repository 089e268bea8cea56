//! The clients that other people use, and the audits of the specification, against a whole server.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// What a client of `tests/clients` prints, once it has ended well.
async fn run(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/clients");
        Command::new(script).args(arguments).output().unwrap()
    });
    let output = ran.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn every_audit_of_graphql_over_http_passes() {
    let server = Server::start().await;
    let said = run(&["audit", &format!("{}/graphql", server.api.url)]).await;
    assert_eq!(said.trim(), "61 of 61 audits passed");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_keeps_the_rules_of_relay_and_describes_everything() {
    run(&["schema", concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_ws_watches_a_job_to_its_end() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.train(&model, small_cnn(), json!({ "epochs": 2 })).await;
    let said = run(&["socket", &format!("{}/graphql", api.url), &job]).await;
    let seen: Value = serde_json::from_str(&said).unwrap();
    for watcher in ["first", "second"] {
        let last = seen[watcher].as_array().unwrap().last().unwrap();
        assert_eq!(last["data"]["job"]["status"], "SUCCEEDED", "{seen:#}");
    }
    assert!(seen["once"][0]["data"]["serverInfo"]["version"].is_string(), "{seen:#}");
    assert!(seen["refused"].to_string().contains("BAD_USER_INPUT"), "{seen:#}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_sse_watches_a_job_to_its_end() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.push(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    let said = run(&["events", &format!("{}/graphql", api.url), &job]).await;
    let seen: Value = serde_json::from_str(&said).unwrap();
    let last = seen["watched"].as_array().unwrap().last().unwrap();
    assert_eq!(last["data"]["job"]["status"], "SUCCEEDED", "{seen:#}");
    assert!(seen["once"][0]["data"]["serverInfo"]["version"].is_string(), "{seen:#}");
    assert!(seen["refused"].to_string().contains("BAD_USER_INPUT"), "{seen:#}");
    server.stop().await.unwrap();
}

/// A script of `scripts` or of `docs/examples` that must end well, against a server; what it prints.
async fn example(server: &Server, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("SCV_SERVER", &server.api.url)
        .env("SCV_TOKEN", server.api.token.as_deref().unwrap_or_default());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn apollo_client_pages_names_its_documents_and_uploads() {
    let server = Server::start().await;
    let api = &server.api;
    let mut models = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        models.push(api.model(name).await);
    }
    let version = api
        .pushed(&models[0], perceptron(), first_weights(&perceptron(), 1))
        .await;
    let said = run(&["apollo", &format!("{}/graphql", api.url), &version]).await;
    let seen: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(seen["read"], json!([2, 4, 5]), "each page is read with those before it");
    assert_eq!(
        seen["names"],
        json!(["a", "b", "c", "d", "e"]),
        "the cache has put the pages together"
    );
    // The document goes along once, when the server does not know its hash yet.
    assert_eq!(
        seen["sent"],
        json!([["GET", false], ["POST", true], ["GET", false], ["GET", false]])
    );
    assert_eq!(seen["predictions"], 10);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compiler_of_relay_makes_queries_that_the_server_answers() {
    let server = Server::start().await;
    server.api.model("m").await;
    let page = run(&["relay", concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")]).await;
    let data = server.api.data(&page, json!({ "count": 1 })).await;
    assert_eq!(data["models"]["edges"][0]["node"]["name"], "m", "{page}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_breaks_clients_is_told_from_one_that_does_not() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    let mut poorer = tempfile::NamedTempFile::new().unwrap();
    let without = include_str!("../../schema.graphql").replacen(
        "\t\"\"\"\n\tWhat networks run on.\n\t\"\"\"\n\tdevice: String!\n",
        "",
        1,
    );
    std::io::Write::write_all(&mut poorer, without.as_bytes()).unwrap();
    let poorer = poorer.path().to_str().unwrap();
    assert_eq!(
        run(&["changes", schema, schema]).await.trim(),
        "0 changes, 0 of them breaking"
    );
    assert!(run(&["changes", poorer, schema]).await.contains("0 of them breaking"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/clients");
    let output = Command::new(script).args(["changes", schema, poorer]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("BREAKING"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_documentation_do_what_they_say() {
    let open = Server::start().await;
    let token = open.api.as_account("ada", "ADMIN").await.token.unwrap();
    let (url, folder) = (open.config.database_url.clone(), open.config.data_dir.clone());
    let mut server = Server::with(|config| {
        config.database_url = url;
        // Either of the two may take a job.
        config.data_dir = folder;
        config.access = Some(scv::config::AccessChoice::Tokens);
    })
    .await;
    server.api = server.api.with_token(&token);
    let api = &server.api;
    for (name, seed) in [("one", 1), ("two", 2)] {
        let model = api.model(name).await;
        api.pushed(&model, perceptron(), first_weights(&perceptron(), seed))
            .await;
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let clients = format!("{root}/scripts/clients");
    let apollo = ["example", &format!("{root}/docs/examples/apollo.ts"), "one", "1"];
    let said = example(&server, &clients, &apollo).await;
    assert!(
        said.lines().count() > 0 && said.lines().all(|line| line.contains(" two ")),
        "{said}"
    );

    let said = example(
        &server,
        &format!("{root}/scripts/python-example"),
        &["search.py", "one", "1"],
    )
    .await;
    assert!(
        said.starts_with("1 ") && said.contains(" two ") && said.contains("p = "),
        "{said}"
    );
    assert!(said.trim_end().ends_with("SUCCEEDED"), "{said}");

    let image = image::RgbImage::from_fn(8, 8, |x, _| image::Rgb(if x == 4 { [255; 3] } else { [0; 3] }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.png");
    image.save(&path).unwrap();
    let script = format!("{root}/docs/examples/curl.sh");
    let said = example(&server, "sh", &[&script, "one", path.to_str().unwrap()]).await;
    assert!(
        said.contains("\"probability\":") && said.contains("SUCCEEDED"),
        "{said}"
    );
    assert!(said.contains("event: complete"), "{said}");
    server.stop().await.unwrap();
    open.stop().await.unwrap();
}
