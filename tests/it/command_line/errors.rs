//! Errors: what is wrong, where, and what to do; and the exit codes.

use serde_json::{Value, json};

use super::{ask, error, file, program, push_and_wait, scv, stderr, stdout, training};
use crate::support::networks::perceptron;
use crate::support::server::Server;

#[tokio::test]
async fn errors_name_the_fault_and_its_place() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let message = error(&server, 3, &["search", "nobody", "0"]).await;
    assert!(
        message.contains("there is no model \"nobody\": the server has no models yet"),
        "{message}"
    );

    let broken = file(
        folder.path(),
        "broken.json",
        "[\n  {\"kind\": \"ReLU\"},\n  {\"sort\": \"ReLU\"}\n]",
    );
    let message = error(&server, 1, &training("a", &broken, "1")).await;
    assert!(
        message.contains("broken.json is not a list of blocks (2 errors)\n"),
        "{message}"
    );
    assert!(message.contains("\n  block 1: The block has no `kind`"), "{message}");
    assert!(
        message.contains("\n  block 1: A block has no key `sort`; its keys are"),
        "{message}"
    );
    let unclosed = file(folder.path(), "unclosed.json", "[\n  {\"kind\": \"ReLU\"},\n]");
    let message = error(&server, 1, &training("a", &unclosed, "1")).await;
    assert!(
        message.contains("unclosed.json is not a list of blocks: line 3, column 1: found `]`, expected another entry"),
        "{message}"
    );
    let message = error(&server, 1, &training("a", "/nowhere/blocks.json", "1")).await;
    assert!(message.contains("cannot read /nowhere/blocks.json"), "{message}");

    let faulty = json!([{ "kind": "Conv3d" }, { "kind": "Flatten" }, { "kind": "Linear", "parameters": {} }]);
    let faulty = file(folder.path(), "faulty.json", faulty.to_string());
    let message = error(&server, 1, &training("a", &faulty, "1")).await;
    assert!(message.contains("\n  block 0 (Conv3d): "), "{message}");
    assert!(message.contains("\n  block 2 (Linear): "), "{message}");

    let good = file(folder.path(), "good.json", perceptron().to_string());
    let elsewhere = ["train", "--model", "a", "--dataset", "moon", "--blocks", &good];
    let message = error(&server, 3, &elsewhere).await;
    assert_eq!(message, "error: there is no data set \"moon\": the server has digits\n");
    let message = error(&server, 3, &["search", "a"]).await;
    assert!(
        message.contains("there is no model"),
        "what was refused left nothing behind: {message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_misspelt_version_is_reported_with_those_that_exist() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    let message = error(&server, 3, &["search", "a:7"]).await;
    assert!(
        message.contains("model \"a\" has no version 7: it has 1 version"),
        "{message}"
    );
    let message = error(&server, 3, &["search", "a:newest"]).await;
    assert!(message.contains("there is no model \"a:newest\""), "{message}");
    assert!(message.contains("a version number, latest or best"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_unknown_data_set_is_not_found_by_any_command() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let network = file(folder.path(), "net.onnx", "read by the server, which is not asked");
    for arguments in [
        &["dataset", "show", "moon"][..],
        &["model", "list", "--dataset", "moon"],
        &["search", "a", "0", "--dataset", "moon"],
        &["evaluate", "a", "--dataset", "moon"],
        &["reindex", "--dataset", "moon"],
        &["push", &network, "--model", "b", "--dataset", "moon"],
    ] {
        let message = error(&server, 3, arguments).await;
        assert_eq!(message, "error: there is no data set \"moon\": the server has digits\n");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_option_that_would_be_ignored_is_refused() {
    // None of these needs a server.
    for (arguments, expected) in [
        (
            &["compare", "a", "b", "--count", "3"][..],
            "cannot be used with '--count <N>'",
        ),
        (&["search", "a", "--exact"][..], "required arguments were not provided"),
        (
            &["search", "a", "--min-accuracy", "0.9"][..],
            "required arguments were not provided",
        ),
        (
            &[
                "push",
                "--model",
                "a",
                "--dataset",
                "digits",
                "--mean",
                "0",
                "--std",
                "1",
                "layers.npz",
            ][..],
            "--mean is only for ONNX files, and layers.npz contains activations",
        ),
        (
            &["push", "--model", "a", "--dataset", "digits", "--bgr", "layers.npz"][..],
            "--bgr is only for ONNX files",
        ),
    ] {
        let run = scv(arguments).await;
        assert_eq!(run.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&run).contains(expected), "{}", stderr(&run));
    }
}

#[tokio::test]
async fn an_option_that_is_not_accepted_says_what_is() {
    // None of these needs a server.
    for (arguments, expected) in [
        (
            &["search", "a", "0", "--min-accuracy", "90"][..],
            "expected a number from 0 to 1",
        ),
        (
            &["search", "a", "0", "--count", "all"][..],
            "expected a whole number from 1 to 100",
        ),
        (&["serve", "--listen", "8000"][..], "expected HOST:PORT"),
        (&["serve", "--max-body-bytes", "2MB"][..], "KiB, MiB, GiB"),
        (&["serve", "--device", "gpu"][..], "expected auto, cpu, cuda, or cuda:N"),
        (&["serve", "--llm-url", "ollama"][..], "expected an http or https URL"),
        (
            &["status", "--server", "ftp://here"][..],
            "expected an http or https URL",
        ),
        (
            &["status", "--log", "scv=loud"][..],
            "is not a log filter (--log, SCV_LOG)",
        ),
        (
            &["compare", "a", "b", "--output", "map.gif"][..],
            "map.gif must end in .svg or .png",
        ),
        (
            &["predict", "a", "x.png", "--invert", "perhaps"][..],
            "expected yes or no",
        ),
    ] {
        let output = scv(arguments).await;
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    let blocks = ["train", "--model", "a", "--dataset", "digits", "--blocks", "x.json"];
    for (option, expected) in [
        (["--momentum", "0.5"], "--momentum is only for --optimizer sgd"),
        (["--momentum", "1"], "expected a number from 0 to less than 1"),
        (["--epochs", "ten"], "expected a whole number from 1 to 1000"),
        (["--learning-rate", "0"], "expected a number above 0 and at most 10"),
    ] {
        let output = scv(&[&blocks[..], &option].concat()).await;
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{option:?}: {message}");
        assert!(message.contains(expected), "{option:?}: {message}");
    }
}

#[tokio::test]
async fn a_value_of_the_environment_that_is_not_accepted_is_named_by_its_variable() {
    for (variable, value, expected) in [
        ("SCV_MAX_DEPTH", "foo", "expected a whole number from 1 to 60"),
        ("SCV_PICTURE_BYTES", "much", "expected a number of bytes"),
        ("SCV_ACCESS", "closed", "possible values: open, tokens"),
        ("SCV_NO_INTROSPECTION", "perhaps", "expected yes or no"),
    ] {
        let output = program(&["serve"]).env(variable, value).output().await.unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(
            message.contains(&format!("invalid value '{value}' for '{variable}'")),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn the_usage_in_an_error_has_no_option_that_is_not_required() {
    let output = scv(&["search", "--server", "127.0.0.1:9"]).await;
    let message = stderr(&output);
    assert!(
        message.contains("Usage: scv search [OPTIONS] <MODEL[:VERSION]>"),
        "{message}"
    );
    assert!(
        !message.contains("--server") && !message.contains("--config"),
        "{message}"
    );
}

#[tokio::test]
async fn the_address_of_the_endpoint_is_the_address_of_its_server() {
    let server = Server::start().await;
    for path in ["/graphql", "/graphql/"] {
        let output = scv(&["whoami", "--server", &format!("{}{path}", server.api.url)]).await;
        assert_eq!(stdout(&output), "anonymous (admin)\n", "{}", stderr(&output));
    }
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
    let message = stderr(&output);
    assert!(
        message.contains(&format!("cannot reach a server at http://127.0.0.1:{port}/")),
        "{message}"
    );
    assert!(
        message.contains("(Connection refused): start one with `scv serve`"),
        "{message}"
    );
}

#[tokio::test]
async fn with_json_errors_are_json_too() {
    let server = Server::start().await;
    let parsed = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let report = parsed(&error(&server, 3, &["search", "nobody", "0", "--json"]).await);
    assert_eq!(report["error"]["code"], "NOT_FOUND");
    assert!(
        report["error"]["message"].as_str().unwrap().contains("nobody"),
        "{report:#}"
    );
    let usage = ask(&server, &["--json", "search"]).await;
    assert_eq!(usage.status.code(), Some(2));
    let report = parsed(&stderr(&usage));
    assert_eq!(report["error"]["code"], "USAGE");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("MODEL") && !message.contains("Usage:"), "{message}");
    let usage = ask(&server, &["--json", "search", "a", "-n", "0"]).await;
    let report = parsed(&stderr(&usage));
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("expected a whole number from 1 to 100"), "{message}");
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
