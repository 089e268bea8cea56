//! Errors: what is wrong, where, and what to do; and the exit codes.

use serde_json::{Value, json};

use super::{ask, error, file, program, push_and_wait, scv, stderr, stdout, training};
use crate::support::networks::perceptron;
use crate::support::server::Server;

#[tokio::test]
async fn errors_name_the_fault_and_its_place() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let said = error(&server, 3, &["search", "nobody", "0"]).await;
    assert!(
        said.contains("there is no model \"nobody\": the server has no models yet"),
        "{said}"
    );

    let broken = file(
        folder.path(),
        "broken.json",
        "[\n  {\"kind\": \"ReLU\"},\n  {\"sort\": \"ReLU\"}\n]",
    );
    let said = error(&server, 1, &training("a", &broken, "1")).await;
    assert!(said.contains("broken.json") && said.contains("line 3 column"), "{said}");
    let said = error(&server, 1, &training("a", "/nowhere/blocks.json", "1")).await;
    assert!(said.contains("cannot read /nowhere/blocks.json"), "{said}");

    let faulty = json!([{ "kind": "Conv3d" }, { "kind": "Flatten" }, { "kind": "Linear", "parameters": {} }]);
    let faulty = file(folder.path(), "faulty.json", faulty.to_string());
    let said = error(&server, 1, &training("a", &faulty, "1")).await;
    assert!(said.contains("\n  block 0 (Conv3d): "), "{said}");
    assert!(said.contains("\n  block 2 (Linear): "), "{said}");

    let good = file(folder.path(), "good.json", perceptron().to_string());
    let elsewhere = ["train", "--model", "a", "--dataset", "moon", "--blocks", &good];
    let said = error(&server, 3, &elsewhere).await;
    assert!(said.contains("moon") && said.contains("[NOT_FOUND]"), "{said}");
    let said = error(&server, 3, &["search", "a"]).await;
    assert!(
        said.contains("there is no model"),
        "what was refused left nothing behind: {said}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_misspelt_version_is_reported_with_those_that_exist() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    let said = error(&server, 3, &["search", "a:7"]).await;
    assert!(
        said.contains("model \"a\" has no version 7: it has 1 version"),
        "{said}"
    );
    let said = error(&server, 3, &["search", "a:newest"]).await;
    assert!(said.contains("there is no model \"a:newest\""), "{said}");
    assert!(said.contains("a version number, latest or best"), "{said}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_server_is_named_with_what_to_do() {
    // Bound and closed again: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let output = scv(&["search", "a", "--server", &format!("127.0.0.1:{port}")]).await;
    assert_eq!(output.status.code(), Some(5));
    let said = stderr(&output);
    assert!(
        said.contains(&format!("cannot reach a server at http://127.0.0.1:{port}/")),
        "{said}"
    );
    assert!(said.contains("scv serve"), "{said}");
}

#[tokio::test]
async fn with_json_errors_are_json_too() {
    let server = Server::start().await;
    let parsed = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let said = parsed(&error(&server, 3, &["search", "nobody", "0", "--json"]).await);
    assert_eq!(said["error"]["code"], "NOT_FOUND");
    assert!(
        said["error"]["message"].as_str().unwrap().contains("nobody"),
        "{said:#}"
    );
    let usage = ask(&server, &["--json", "search"]).await;
    assert_eq!(usage.status.code(), Some(2));
    let said = parsed(&stderr(&usage));
    assert_eq!(said["error"]["code"], "USAGE");
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("MODEL") && !message.contains("Usage:"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_not_an_error() {
    let output = tokio::process::Command::new("sh")
        .args(["-c", "\"$0\" schema | head -n 1", super::SCV])
        .env("SCV_CONFIG", "/dev/null")
        .output()
        .await
        .unwrap();
    assert_eq!(stderr(&output), "");
    assert_eq!(stdout(&output).lines().count(), 1);
}

#[tokio::test]
async fn the_schema_in_the_repository_is_the_one_the_program_prints() {
    let output = scv(&["schema"]).await;
    let recorded = include_str!("../../../schema.graphql");
    assert!(
        stdout(&output) == recorded,
        "schema.graphql is out of date: write it again with `just schema`"
    );
}

#[tokio::test]
async fn completions_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = scv(&["completions", shell]).await;
        assert!(output.status.success() && stdout(&output).contains("scv"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let output = program(&["man", "--output-dir", pages.to_str().unwrap()])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let root = std::fs::read_to_string(pages.join("scv.1")).unwrap();
    assert!(
        root.contains("130") && root.contains("interrupted"),
        "exit codes: {root}"
    );
    assert!(pages.join("scv-model-list.1").exists() && pages.join("scv-serve.1").exists());
}
