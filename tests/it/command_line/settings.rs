//! The settings file, and where settings come from.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use super::{SCV, file, program, stderr, stdout};
use crate::support::server::Server;

/// A command that reads a settings file.
fn with_file(path: &str, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command.env("SCV_CONFIG", path);
    command
}

async fn run(path: &str, arguments: &[&str]) -> Output {
    with_file(path, arguments).output().await.unwrap()
}

/// The value and the source of a setting that `scv config show --json` lists.
fn setting(output: &Output, name: &str) -> (Option<String>, String) {
    assert!(output.status.success(), "{}", stderr(output));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = all.as_array().unwrap().iter().find(|entry| entry["setting"] == name);
    let found = found.unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (text(&found["value"]), text(&found["source"]).unwrap())
}

fn found(value: &str, source: &str) -> (Option<String>, String) {
    (Some(value.to_owned()), source.to_owned())
}

#[tokio::test]
async fn settings_come_from_options_the_environment_the_file_and_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let content = "# A comment\nmax-depth = 30\nmax-fields = 31\nmax-aliases = 32\nallow-origin = [\"https://a\", \"https://b\"]\n";
    let path = file(folder.path(), "config.toml", content);
    let output = with_file(&path, &["config", "show", "--json", "--max-depth", "40"])
        .env("SCV_MAX_FIELDS", "41")
        .env("SCV_TOKEN", "scv_secret")
        .env("DATABASE_URL", "postgres://ada:s3cret@db/scv")
        .output()
        .await
        .unwrap();
    let at = |line: u32| format!("file {path}:{line}");
    assert_eq!(setting(&output, "max-depth"), found("40", "option"));
    assert_eq!(
        setting(&output, "max-fields"),
        found("41", "environment variable SCV_MAX_FIELDS")
    );
    assert_eq!(setting(&output, "max-aliases"), found("32", &at(4)));
    assert_eq!(setting(&output, "allow-origin"), found("https://a,https://b", &at(5)));
    assert_eq!(setting(&output, "max-batch"), found("10", "default"));
    assert_eq!(
        setting(&output, "token"),
        found("***", "environment variable SCV_TOKEN")
    );
    assert_eq!(
        setting(&output, "database-url"),
        found("postgres://ada:***@db/scv", "environment variable DATABASE_URL")
    );
    let whole = stdout(&output);
    assert!(!whole.contains("scv_secret") && !whole.contains("s3cret"), "{whole}");
}

#[tokio::test]
async fn faults_of_the_file_are_reported_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "config.toml", "max-dept = 30\ntoken = \"scv_secret\"\n");
    let output = run(&path, &["model", "list"]).await;
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(
        message.contains(&format!("{path}:1: unknown setting max-dept")),
        "{message}"
    );
    assert!(message.contains("nearest known one is max-depth"), "{message}");
    assert!(
        message.contains(&format!("{path}:2: token must not be")) && message.contains("SCV_TOKEN"),
        "{message}"
    );
    assert!(!message.contains("scv_secret"), "{message}");
    // What needs no settings still works.
    for arguments in [&["--help"][..], &["config", "path"], &["completions", "bash"]] {
        let output = run(&path, arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn the_path_of_the_file_follows_the_option_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "config.toml", "");
    let output = run(&path, &["config", "path"]).await;
    assert_eq!(stdout(&output).trim(), path);
    let missing = folder.path().join("missing.toml");
    let missing = missing.to_str().unwrap();
    let output = run(&path, &["config", "show", "--config", missing]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(missing), "{}", stderr(&output));
    // The default file may be missing.
    let output = default_file(folder.path(), &["config", "show"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Runs the program without a named settings file, with a home directory of its own.
async fn default_file(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(SCV);
    command.args(arguments).env_clear().env("HOME", home);
    command.output().await.unwrap()
}

#[tokio::test]
async fn clients_find_server_and_token_by_the_file() {
    let open = Server::start().await;
    let ada = open.api.as_account("ada", "READ").await;
    let strict = Server::with(|config| {
        config.database_url = open.config.database_url.clone();
        config.data_dir = open.config.data_dir.clone();
        config.access = Some(scv::config::AccessChoice::Tokens);
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = file(folder.path(), "token", format!("{}\n", ada.token.unwrap()));
    let address = strict.api.url.trim_start_matches("http://");
    let content = format!("server = \"{address}\"\ntoken-file = \"{token}\"\n");
    let path = file(folder.path(), "config.toml", content);
    let output = run(&path, &["whoami"]).await;
    assert_eq!(stdout(&output), "ada (read)\n", "{}", stderr(&output));
    // The environment takes precedence over the file, and an option over the environment.
    let output = with_file(&path, &["whoami"])
        .env("SCV_TOKEN", "scv_wrong")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let output = with_file(&path, &["whoami", "--token-file", &token])
        .env("SCV_TOKEN", "scv_wrong")
        .output()
        .await
        .unwrap();
    assert_eq!(stdout(&output), "ada (read)\n", "{}", stderr(&output));
    let output = run(&path, &["whoami", "--token-file", &token, "--token", "x"]).await;
    assert_eq!(output.status.code(), Some(2));
    strict.stop().await.unwrap();
    open.stop().await.unwrap();
}

#[tokio::test]
async fn settings_that_belong_together_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "config.toml", "llm-model = \"llama3.2\"\n");
    let output = run(&path, &["serve"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--llm-model requires --llm-url"),
        "{}",
        stderr(&output)
    );
}
