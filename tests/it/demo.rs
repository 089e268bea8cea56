//! The demonstration: networks trained from different seeds have matching layers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::support::client::Client;
use crate::support::cluster;

#[tokio::test]
async fn the_demonstration_needs_no_settings_and_trains_only_once() {
    // The name is short because the path of a socket inside must be short. The database's user needs access to the
    // folder.
    let folder = tempfile::Builder::new().prefix("scv-demo-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();

    let first = demo(&folder.path().join("data"));
    assert_eq!(first["trained"], 9);
    for network in first["networks"].as_array().unwrap() {
        let (accuracy, epochs) = (network["version"]["accuracy"].as_f64().unwrap(), &network["epochs"]);
        assert!(accuracy > if *epochs == 1 { 0.5 } else { 0.9 }, "{network:#}");
    }
    assert_eq!(first["search"]["hits"].as_array().unwrap().len(), 10);
    let wide = &first["pairs"][1];
    let all = wide["layers"].as_array().unwrap().len() as u64;
    assert!(2 * wide["counterparts"].as_u64().unwrap() > all, "{wide:#}");

    let (second, mut serving) = demo_that_serves(&folder.path().join("data")).await;
    assert_eq!(second["trained"], 0);
    for part in ["networks", "search", "pairs"] {
        assert_eq!(first[part], second[part], "{part}");
    }

    let page = reqwest::get(second["page"].as_str().unwrap()).await.unwrap();
    assert!(page.text().await.unwrap().contains("<title>SCV</title>"));
    let playground: reqwest::Url = second["playground"].as_str().unwrap().parse().unwrap();
    let parameter = |name| {
        playground
            .query_pairs()
            .find(|pair| pair.0 == name)
            .unwrap()
            .1
            .into_owned()
    };
    let variables: Value = serde_json::from_str(&parameter("variables")).unwrap();
    let api = Client::new(playground.origin().ascii_serialization());
    let response = api.data(&parameter("query"), variables).await;
    let edges = &response["layer"]["similar"]["edges"];
    assert_eq!(edges.as_array().unwrap().len(), 10, "{response:#}");

    let (found, all) = counterparts(&api, "wide-1", "wide-2").await;
    assert_eq!(all, 9);
    assert!(
        2 * found > all,
        "only {found} of {all} layers have their counterpart as first hit"
    );

    kill(Pid::from_raw(serving.id().unwrap() as i32), Signal::SIGINT).unwrap();
    assert!(serving.wait().await.unwrap().success());
}

/// How many layers of a model have the layer of the same name as their most similar layer in another model, and how many
/// layers there are.
async fn counterparts(api: &Client, model: &str, other: &str) -> (usize, usize) {
    let query = "query($name: String!) { model(name: $name) { id } }";
    let other = api.data(query, json!({ "name": other })).await["model"]["id"].take();
    let query = "query($name: String!, $other: ID!) { model(name: $name) { version(alias: \"latest\") {
                   layers(first: 100) { nodes { name
                     similar(first: 1, filter: { models: [$other] }) { edges { debiasedCka node { name } } } } } } } }";
    let found = api.data(query, json!({ "name": model, "other": other })).await;
    let layers = found["model"]["version"]["layers"]["nodes"].as_array().unwrap();
    let counterparts = layers
        .iter()
        .filter(|layer| layer["similar"]["edges"][0]["node"]["name"] == layer["name"]);
    (counterparts.count(), layers.len())
}

/// The output of `scv demo --json`.
fn demo(data_dir: &Path) -> Value {
    let output = command(data_dir).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The output of `scv demo --json --serve`, and the program, which serves until the test is over.
async fn demo_that_serves(data_dir: &Path) -> (Value, Child) {
    let mut command = tokio::process::Command::from(command(data_dir));
    command.arg("--serve").stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut document = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        document.push_str(&line);
        if line == "}" {
            break;
        }
    }
    (serde_json::from_str(&document).unwrap(), child)
}

fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scv"));
    command
        .args([
            "demo",
            "--json",
            "--device",
            "cpu",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data_dir)
        .env("SCV_CACHE_DIR", cluster::cache_dir())
        .env_remove("DATABASE_URL")
        .env_remove("SCV_LOG");
    command
}
