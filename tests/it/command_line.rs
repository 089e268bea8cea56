//! The program as a user at a terminal runs it: the real binary against a real server.

mod catalogue;
mod errors;
mod images;
mod jobs;
mod network_files;
mod networks;
mod settings;
mod tokens;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;

const SCV: &str = env!("CARGO_BIN_EXE_scv");

/// The program with arguments, and with no settings of the environment or of a file.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(SCV);
    command.args(arguments).env("SCV_CONFIG", "/dev/null");
    for variable in ["SCV_SERVER", "SCV_TOKEN", "SCV_TOKEN_FILE", "SCV_LOG", "DATABASE_URL"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the program.
async fn scv(arguments: &[&str]) -> Output {
    program(arguments).output().await.unwrap()
}

/// Runs a command against a server.
async fn ask(server: &Server, arguments: &[&str]) -> Output {
    scv(&[arguments, &["--server", &server.api.url]].concat()).await
}

/// The standard output of a command that must succeed.
async fn text(server: &Server, arguments: &[&str]) -> String {
    let output = ask(server, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// The JSON document that a command prints; it must print nothing else.
async fn document(server: &Server, arguments: &[&str]) -> Value {
    let output = ask(server, &[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The standard error of a command that must fail with an exit code and print nothing else.
async fn error(server: &Server, code: i32, arguments: &[&str]) -> String {
    let output = ask(server, arguments).await;
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    assert!(output.stdout.is_empty(), "{arguments:?}");
    stderr(&output)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file in a folder, with its path as an argument.
fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Arguments that train a small network for one epoch.
fn training<'a>(model: &'a str, blocks: &'a str, seed: &'a str) -> Vec<&'a str> {
    let fixed = ["train", "--dataset", "digits", "--epochs", "1", "--model", model];
    [&fixed[..], &["--blocks", blocks, "--seed", seed]].concat()
}

/// Registers a model with a version of a small network.
async fn push_and_wait(server: &Server, model: &str, seed: u64) {
    let model = server.api.model(model).await;
    server
        .api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await;
}
