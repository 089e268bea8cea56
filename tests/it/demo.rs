//! The demonstration: networks trained from different seeds have matching layers.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::client;
use crate::support::cluster;
use crate::support::server::Server;

#[tokio::test]
async fn most_layers_find_their_counterpart_in_a_network_trained_from_another_seed() {
    let server = Server::start().await;
    let blocks: Value = serde_json::from_str(include_str!("../../examples/wide.json")).unwrap();
    let mut networks = Vec::new();
    for seed in [11, 12] {
        let model = server.api.model(&format!("seed {seed}")).await;
        let settings = json!({ "epochs": 6, "batchSize": 32, "learningRate": 0.003, "seed": seed });
        networks.push((
            model.clone(),
            server.api.train_and_wait(&model, blocks.clone(), settings).await,
        ));
    }
    let query = "query($id: ID!, $other: ID!) { version(id: $id) { layers(first: 100) { nodes { name
                   similar(first: 1, filter: { models: [$other] }) { edges { debiasedCka node { name } } } } } } }";
    let variables = json!({ "id": networks[0].1, "other": networks[1].0 });
    let data = server.api.data(query, variables).await;
    let layers = data["version"]["layers"]["nodes"].as_array().unwrap();
    let found = layers
        .iter()
        .filter(|layer| layer["similar"]["edges"][0]["node"]["name"] == layer["name"])
        .count();
    let all = layers.len();
    assert_eq!(all, 9);
    assert!(
        2 * found > all,
        "only {found} of {all} layers have their counterpart as first hit: {layers:#?}"
    );
    server.stop().await.unwrap();
}

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

    let (second, mut serving) = demo_that_serves(&folder.path().join("data"));
    assert_eq!(second["trained"], 0);
    for part in ["networks", "search", "pairs"] {
        assert_eq!(first[part], second[part], "{part}");
    }

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
    let body = json!({ "query": parameter("query"), "variables": variables });
    let request = client::http().post(playground.join("/graphql").unwrap());
    let response: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    let edges = &response["data"]["layer"]["similar"]["edges"];
    assert_eq!(edges.as_array().unwrap().len(), 10, "{response:#}");

    kill(Pid::from_raw(serving.id() as i32), Signal::SIGINT).unwrap();
    assert!(serving.wait().unwrap().success());
}

/// The output of `scv demo --json`.
fn demo(data_dir: &Path) -> Value {
    let output = command(data_dir).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The output of `scv demo --json --serve`, and the program, which continues to serve.
fn demo_that_serves(data_dir: &Path) -> (Value, Child) {
    let mut child = command(data_dir).arg("--serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut document = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
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
