//! The web page, in a real browser against a whole server.

use std::process::{Command, Stdio};

use scv::config::AccessChoice;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::client::text;
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// Runs the scripts of `tests/browser`.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/browser");

/// Runs a script of `tests/browser`, which must succeed.
async fn browse(arguments: &[&str]) {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let result = tokio::task::spawn_blocking(move || Command::new(SCRIPT).args(arguments).output().unwrap());
    let output = result.await.unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A server with two trained networks, of which the second one has two versions.
async fn server_with_networks() -> Server {
    let server = Server::start().await;
    let api = &server.api;
    let plain = include_str!("../../examples/plain.json");
    let wide = include_str!("../../examples/wide.json");
    for (name, blocks, epochs) in [("plain", plain, vec![3]), ("wide", wide, vec![3, 1])] {
        let blocks: Value = serde_json::from_str(blocks).unwrap();
        let model = api.model(name).await;
        for epochs in epochs {
            api.train_and_wait(&model, blocks.clone(), json!({ "epochs": epochs }))
                .await;
        }
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_opens_by_its_address_and_everybody_can_use_it() {
    let server = server_with_networks().await;
    browse(&["screens", &server.api.url]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_walks_from_the_front_to_a_pair_of_layers_by_clicks_and_by_keys() {
    let server = server_with_networks().await;
    browse(&["walk", &server.api.url]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_draws_a_digit_and_sees_what_two_networks_make_of_it() {
    let server = server_with_networks().await;
    browse(&["try", &server.api.url]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_with_a_file_of_activations_and_sees_what_computes_the_same() {
    let server = server_with_networks().await;
    browse(&["ask", &server.api.url]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_builds_breaks_mends_and_trains_a_network_by_mouse_and_by_keyboard() {
    let server = server_with_networks().await;
    let plain = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plain.json");
    browse(&["build", &server.api.url, plain]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_takes_networks_and_weights_out_and_brings_them_in_again() {
    let server = server_with_networks().await;
    browse(&["files", &server.api.url]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_imports_a_data_set_and_sees_what_is_wrong_with_another() {
    let server = Server::start().await;
    browse(&["import", &server.api.url]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_followed_again_without_a_reload() {
    let data_dir = tempfile::tempdir().unwrap();
    let first = Server::with(|config| config.data_dir = data_dir.path().to_owned()).await;
    let model = first.api.model("plain").await;
    first
        .api
        .train_and_wait(&model, small_cnn(), json!({ "epochs": 1 }))
        .await;
    let address = first.api.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut script = tokio::process::Command::new(SCRIPT)
        .args(["restart", &first.api.url])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("watching"));

    let database_url = first.config.database_url.clone();
    first.stop().await.unwrap();
    let second = Server::with(|config| {
        config.listen = address;
        config.data_dir = data_dir.path().to_owned();
        config.database_url = database_url;
    })
    .await;
    let model = second.api.model("late").await;
    second
        .api
        .train_and_wait(&model, small_cnn(), json!({ "epochs": 1 }))
        .await;
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("seen"));
    assert!(script.wait().await.unwrap().success());
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_read_page_by_page_also_after_a_page_that_fails() {
    let server = Server::start().await;
    for number in 0..101 {
        server.api.model(&format!("model {number}")).await;
    }
    let model = server.api.model("of many versions").await;
    let weights = initial_weights(&perceptron(), 1);
    let mut last = String::new();
    for _ in 0..101 {
        last = server.api.push(&model, perceptron(), weights.clone()).await;
    }
    server.api.wait_for_success(&last).await;
    browse(&["pages", &server.api.url]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_as_text_whatever_they_contain() {
    let server = Server::start().await;
    server.api.model("plain").await;
    let name = "<b>bold</b> \"quoted\" 'model' \u{202E}right to left\u{202C} 🦀 &amp;";
    server.api.model(name).await;
    browse(&["text", &server.api.url, name]).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signs_in_with_a_token_and_sees_what_it_allows() {
    let open = Server::start().await;
    let owner = open.api.as_account("owner", "WRITE").await;
    let other = open.api.as_account("other", "READ").await;
    owner.model("public").await;
    let create = "mutation { createModel(input: { name: \"secret\", visibility: PRIVATE }) { model { id } } }";
    let model = text(&owner.data(create, json!({})).await["createModel"]["model"]["id"]);
    owner.train_and_wait(&model, small_cnn(), json!({ "epochs": 2 })).await;
    let server = Server::with(|config| {
        config.database_url.clone_from(&open.config.database_url);
        config.data_dir.clone_from(&open.config.data_dir);
        config.access = Some(AccessChoice::Tokens);
    })
    .await;
    let tokens = [owner.token.unwrap(), other.token.unwrap()];
    browse(&["session", &server.api.url, &tokens[0], &tokens[1]]).await;
    server.stop().await.unwrap();
    open.stop().await.unwrap();
}
