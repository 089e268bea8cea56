//! Following, cancelling and retrying jobs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::{document, error, file, program, stderr, text, training};
use crate::support::networks::small_cnn;
use crate::support::server::Server;

/// Arguments that train a network until the job is cancelled.
fn endless<'a>(model: &'a str, blocks: &'a str) -> Vec<&'a str> {
    let fixed = ["train", "--dataset", "digits", "--epochs", "1000", "--model", model];
    [&fixed[..], &["--blocks", blocks]].concat()
}

#[tokio::test]
async fn a_job_can_be_left_and_followed_later() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());
    let left = document(&server, &[training("a", &blocks, "1"), vec!["--detach"]].concat()).await;
    let id = left["id"].as_str().unwrap();
    let ended = document(&server, &["job", "follow", id]).await;
    assert_eq!(ended["status"], "SUCCEEDED");
    let shown = text(&server, &["job", "show", id]).await;
    assert!(shown.contains("a:1") && shown.contains("succeeded"), "{shown}");
    let output = text(&server, &["job", "cancel", id]).await;
    assert!(output.contains("the job of a:1 has already succeeded"), "{output}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_is_cancelled_and_retried() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());
    let left = document(&server, &[endless("b", &blocks), vec!["--detach"]].concat()).await;
    let id = left["id"].as_str().unwrap();

    let message = error(&server, 1, &["search", "b:1", "0"]).await;
    assert!(message.contains(&format!("scv job follow {id}")), "{message}");
    let message = error(&server, 3, &["search", "b", "0"]).await;
    assert!(
        message.contains("no version of model \"b\" is ready: b:1 is "),
        "{message}"
    );

    text(&server, &["job", "cancel", id]).await;
    let message = error(&server, 6, &["job", "follow", id]).await;
    assert!(message.contains("the job of b:1 was cancelled"), "{message}");
    let cancelled = document(&server, &["job", "list", "--status", "cancelled", "--version", "b:1"]).await;
    assert_eq!(
        (&cancelled["totalCount"], &cancelled["jobs"][0]["id"]),
        (&json!(1), &json!(id))
    );

    let again = document(&server, &["job", "retry", id, "--detach"]).await;
    assert!(
        ["QUEUED", "RUNNING"].contains(&again["status"].as_str().unwrap()),
        "{again:#}"
    );
    let running = text(&server, &["job", "list", "--kind", "train"]).await;
    assert!(running.contains("b:1") && running.contains("train"), "{running}");
    text(&server, &["job", "cancel", again["id"].as_str().unwrap()]).await;
    for verb in ["show", "follow", "cancel", "retry"] {
        let message = error(&server, 3, &["job", verb, "nonsense"]).await;
        assert!(
            message.contains("there is no job nonsense: list jobs with"),
            "{verb}: {message}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_command_that_is_interrupted_leaves_its_job_to_the_server() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());
    let arguments = [endless("c", &blocks), vec!["--server", &server.api.url]].concat();
    let child = program(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let running = "{ jobs(first: 1, filter: { statuses: [RUNNING] }) { nodes { id progress } } }";
    let id = loop {
        let jobs = server.api.data(running, json!({})).await;
        let job = &jobs["jobs"]["nodes"][0];
        if job["progress"].as_f64().is_some_and(|progress| progress > 0.0) {
            break job["id"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < end, "the training does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    kill(Pid::from_raw(child.id().unwrap() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    let message = stderr(&output);
    assert!(message.contains(&format!("scv job follow {id}")), "{message}");
    assert!(message.contains(&format!("scv job cancel {id}")), "{message}");
    let job = document(&server, &["job", "show", &id]).await;
    assert_eq!(job["status"], "RUNNING");
    server.api.cancel(&id).await;
    server.stop().await.unwrap();
}
