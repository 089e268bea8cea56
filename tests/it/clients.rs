//! Published GraphQL clients and the audits of the specification against a whole server.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// The output of a client of `tests/clients`, which must succeed.
async fn run(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let result = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/clients");
        Command::new(script).args(arguments).output().unwrap()
    });
    let output = result.await.unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn every_audit_of_graphql_over_http_passes() {
    let server = Server::start().await;
    let output = run(&["audit", &format!("{}/graphql", server.api.url)]).await;
    assert_eq!(output.trim(), "61 of 61 audits passed");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_follows_the_rules_of_relay_and_describes_everything() {
    run(&["schema", concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_ws_watches_a_job_to_its_end() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.train(&model, small_cnn(), json!({ "epochs": 2 })).await;
    let output = run(&["socket", &format!("{}/graphql", api.url), &job]).await;
    let results: Value = serde_json::from_str(&output).unwrap();
    for watcher in ["first", "second"] {
        let last = results[watcher].as_array().unwrap().last().unwrap();
        assert_eq!(last["data"]["job"]["status"], "SUCCEEDED", "{results:#}");
    }
    assert!(
        results["once"][0]["data"]["serverInfo"]["version"].is_string(),
        "{results:#}"
    );
    assert!(results["refused"].to_string().contains("BAD_USER_INPUT"), "{results:#}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_sse_watches_a_job_to_its_end() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
    let output = run(&["events", &format!("{}/graphql", api.url), &job]).await;
    let results: Value = serde_json::from_str(&output).unwrap();
    let last = results["watched"].as_array().unwrap().last().unwrap();
    assert_eq!(last["data"]["job"]["status"], "SUCCEEDED", "{results:#}");
    assert!(
        results["once"][0]["data"]["serverInfo"]["version"].is_string(),
        "{results:#}"
    );
    assert!(results["refused"].to_string().contains("BAD_USER_INPUT"), "{results:#}");
    server.stop().await.unwrap();
}

/// The output of a script of `scripts` or `docs/examples` against a server; it must succeed.
async fn example(server: &Server, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("SCV_SERVER", &server.api.url)
        .env("SCV_TOKEN", server.api.token.as_deref().unwrap_or_default());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn apollo_client_pages_persists_documents_and_uploads() {
    let server = Server::start().await;
    let api = &server.api;
    let mut models = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        models.push(api.model(name).await);
    }
    let version = api
        .push_and_wait(&models[0], perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let output = run(&["apollo", &format!("{}/graphql", api.url), &version]).await;
    let results: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        results["read"],
        json!([2, 4, 5]),
        "each page is read together with the previous ones"
    );
    assert_eq!(
        results["names"],
        json!(["a", "b", "c", "d", "e"]),
        "the cache has merged the pages"
    );
    // The document is sent once, when the server does not know its hash yet.
    assert_eq!(
        results["sent"],
        json!([["GET", false], ["POST", true], ["GET", false], ["GET", false]])
    );
    assert_eq!(results["predictions"], 10);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_the_relay_compiler_can_be_executed() {
    let server = Server::start().await;
    server.api.model("m").await;
    let page = run(&["relay", concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")]).await;
    let data = server.api.data(&page, json!({ "count": 1 })).await;
    assert_eq!(data["models"]["edges"][0]["node"]["name"], "m", "{page}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn breaking_changes_of_the_schema_are_distinguished_from_others() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    let mut reduced = tempfile::NamedTempFile::new().unwrap();
    // Without the field `device` and its description.
    let (before, after) = include_str!("../../schema.graphql")
        .split_once("\tdevice: String!\n")
        .unwrap();
    let before = before.rsplitn(3, "\t\"\"\"\n").last().unwrap();
    let without = format!("{before}{after}");
    std::io::Write::write_all(&mut reduced, without.as_bytes()).unwrap();
    let reduced = reduced.path().to_str().unwrap();
    assert_eq!(
        run(&["changes", schema, schema]).await.trim(),
        "0 changes, 0 of them breaking"
    );
    assert!(run(&["changes", reduced, schema]).await.contains("0 of them breaking"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/clients");
    let output = Command::new(script)
        .args(["changes", schema, reduced])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("BREAKING"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_programs_of_the_documentation_work() {
    let open = Server::start().await;
    let token = open.api.as_account("ada", "ADMIN").await.token.unwrap();
    let (url, folder) = (open.config.database_url.clone(), open.config.data_dir.clone());
    let mut server = Server::with(|config| {
        config.database_url = url;
        // Either server may run a job.
        config.data_dir = folder;
        config.access = Some(scv::config::AccessChoice::Tokens);
    })
    .await;
    server.api = server.api.with_token(&token);
    let api = &server.api;
    for (name, seed) in [("one", 1), ("two", 2)] {
        let model = api.model(name).await;
        api.push_and_wait(&model, perceptron(), initial_weights(&perceptron(), seed))
            .await;
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let clients = format!("{root}/scripts/clients");
    let apollo = ["example", &format!("{root}/docs/examples/apollo.ts"), "one", "1"];
    let output = example(&server, &clients, &apollo).await;
    assert!(
        output.lines().count() > 0 && output.lines().all(|line| line.contains(" two ")),
        "{output}"
    );

    let output = example(
        &server,
        &format!("{root}/scripts/python-example"),
        &["search.py", "one", "1"],
    )
    .await;
    assert!(
        output.starts_with("1 ") && output.contains(" two ") && output.contains("p = "),
        "{output}"
    );
    assert!(output.trim_end().ends_with("SUCCEEDED"), "{output}");

    let image = image::RgbImage::from_fn(8, 8, |x, _| image::Rgb(if x == 4 { [255; 3] } else { [0; 3] }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.png");
    image.save(&path).unwrap();
    let script = format!("{root}/docs/examples/curl.sh");
    let output = example(&server, "sh", &[&script, "one", path.to_str().unwrap()]).await;
    assert!(
        output.contains("\"probability\":") && output.contains("SUCCEEDED"),
        "{output}"
    );
    assert!(output.contains("event: complete"), "{output}");
    server.stop().await.unwrap();
    open.stop().await.unwrap();
}
