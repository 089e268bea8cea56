//! Jobs that end the server which runs them, and jobs whose files are missing for a time.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::process::{Installation, Process};
use crate::support::server::Server;

const RETRY: &str = "mutation($id: ID!) { retryJob(input: { id: $id }) { job { id } } }";

/// Waits until a job trains, kills the server and starts it again.
async fn kill_while_training(job: &str, server: Process, installation: &Installation) -> Process {
    server.api.wait_for_job(job, |job| job["phase"] == "TRAINING").await;
    server.kill();
    Process::start(installation).await
}

/// A job that waits for another one, and whose file has been moved away.
struct WaitingJob {
    server: Server,
    job: String,
    /// The job that runs until it is cancelled.
    endless: String,
    /// Where the file is stored, and where it is now.
    folders: [PathBuf; 2],
}

impl WaitingJob {
    async fn without_its_file() -> Self {
        let server = Server::start().await;
        let api = &server.api;
        let endless = api.endless_job().await;
        let model = api.model("m").await;
        let job = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
        let folders = ["artifacts/weights", "elsewhere"].map(|folder| server.config.data_dir.join(folder));
        fs::rename(&folders[0], &folders[1]).unwrap();
        Self {
            server,
            job,
            endless,
            folders,
        }
    }

    fn bring_its_file_back(&self) {
        fs::rename(&self.folders[1], &self.folders[0]).unwrap();
    }
}

#[tokio::test]
async fn a_job_with_which_the_server_ended_twice_fails_and_does_not_end_it_again() {
    let installation = Installation::with_database().await;
    let server = Process::start(&installation).await;
    let model = server.api.model("m").await;
    let job = server.api.train(&model, small_cnn(), json!({ "epochs": 1_000 })).await;
    let server = kill_while_training(&job, server, &installation).await;
    let mut server = kill_while_training(&job, server, &installation).await;

    let failed = server.api.wait_for_end(&job).await;
    assert_eq!(failed["status"], "FAILED", "{failed:#}");
    assert_eq!(failed["failure"]["code"], "TOO_MANY_ATTEMPTS");
    let message = failed["failure"]["message"].as_str().unwrap();
    assert!(
        message.contains("the server ended 2 times while it ran this job"),
        "{message}"
    );
    assert_eq!(failed["version"]["status"], "FAILED");
    // The server goes on with other jobs.
    let other = server
        .api
        .push(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    server.api.wait_for_success(&other).await;

    // Tried by hand, the job has one attempt with which the server may end.
    server.api.data(RETRY, json!({ "id": job })).await;
    server = kill_while_training(&job, server, &installation).await;
    assert_eq!(
        server.api.wait_for_end(&job).await["failure"]["code"],
        "TOO_MANY_ATTEMPTS"
    );
    assert!(server.terminate().success());
}

#[tokio::test]
async fn servers_that_are_stopped_in_an_orderly_way_do_not_count_against_a_job() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let job = server.api.endless_job().await;
    for _ in 0..3 {
        server.api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
        assert!(server.terminate().success());
        server = Process::start(&installation).await;
    }
    let running = server.api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
    assert_eq!(running["attempts"], 1);
    server.api.cancel(&job).await;
    server.api.wait_for_end(&job).await;
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_job_whose_file_is_missing_waits_until_it_is_there_again() {
    let waiting = WaitingJob::without_its_file().await;
    let (api, job) = (&waiting.server.api, &waiting.job);
    api.cancel(&waiting.endless).await;

    let requeued = api
        .wait_for_job(job, |job| job["status"] == "QUEUED" && job["attempts"] != 0)
        .await;
    assert_eq!(requeued["failure"]["code"], "ARTIFACT_UNREADABLE");
    let message = requeued["failure"]["message"].as_str().unwrap();
    assert!(message.contains("is missing from the artifact store"), "{message}");
    assert_eq!(requeued["version"]["status"], "QUEUED");
    waiting.bring_its_file_back();
    let done = api.wait_for_success(job).await;
    assert_eq!(
        (&done["failure"], &done["version"]["status"]),
        (&json!(null), &json!("READY"))
    );
    waiting.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_whose_file_stays_missing_fails_and_is_retried_by_hand() {
    let waiting = WaitingJob::without_its_file().await;
    let (api, job) = (&waiting.server.api, &waiting.job);
    // All attempts but the last, which take hours.
    waiting
        .server
        .execute("update job set attempts = 9 where status = 'QUEUED'")
        .await;
    api.cancel(&waiting.endless).await;

    let failed = api.wait_for_end(job).await;
    assert_eq!(failed["failure"]["code"], "ARTIFACT_UNREADABLE", "{failed:#}");
    waiting.bring_its_file_back();
    api.data(RETRY, json!({ "id": job })).await;
    api.wait_for_success(job).await;
    waiting.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_job_says_who_cancelled_it() {
    let server = Server::start().await;
    let api = server.api.as_account("ana", "WRITE").await;
    let model = api.model("m").await;
    let jobs = [
        api.train(&model, small_cnn(), json!({ "epochs": 1_000 })).await,
        api.train(&model, small_cnn(), json!({ "epochs": 1_000 })).await,
    ];
    api.wait_for_job(&jobs[0], |job| job["phase"] == "TRAINING").await;
    for job in &jobs {
        api.cancel(job).await;
        let cancelled = api.wait_for_end(job).await;
        assert_eq!(cancelled["status"], "CANCELLED");
        assert_eq!(
            cancelled["failure"],
            json!({ "code": "CANCELLED", "message": "requested by ana", "layer": null })
        );
    }
    server.stop().await.unwrap();
}
