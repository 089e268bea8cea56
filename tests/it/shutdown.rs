//! Shutdown: the server responds to its requests, requeues its job and stops its database.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::networks::small_cnn;
use crate::support::process::{Installation, Process};
use crate::support::rows;
use crate::support::socket::Subscription;

/// Twenty times as long as a shutdown takes, and shorter than any timeout.
const SOON: Duration = Duration::from_secs(2);

/// Waits until a number of statements wait for a lock.
async fn wait_for_blocked_statements(connection: &mut PgConnection, wanted: i64) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let waiting: i64 = sqlx::query_scalar("select count(*) from pg_locks where not granted")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        if waiting >= wanted {
            return;
        }
        assert!(Instant::now() < end, "{waiting} statements wait, not {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_idle_server_stops_immediately_on_sigterm_and_on_ctrl_c() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let installation = Installation::with_database().await;
        let mut server = Process::start(&installation).await;
        // The server does not wait for connections that are kept alive.
        server.api.data("{ __typename }", json!({})).await;
        assert!(installation.postmaster_pid().exists());
        let start = Instant::now();
        let status = server.end(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(start.elapsed() < SOON, "{signal}: {:?}", start.elapsed());
        assert!(
            !installation.postmaster_pid().exists(),
            "{signal}: PostgreSQL has been stopped"
        );
        for warning in server.warnings() {
            // So soon after the start, the shutdown interrupts the first search of the worker for dead workers.
            assert!(
                warning.contains("there is no transaction in progress"),
                "{signal}: {warning}"
            );
        }
    }
}

#[tokio::test]
async fn a_long_job_is_requeued_at_shutdown_and_runs_again_after_the_next_start() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let model = server.api.model("m").await;
    let long = json!({ "epochs": 1000, "seed": 3 });
    let job = server.api.train(&model, small_cnn(), long).await;
    server.api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
    let start = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(!installation.postmaster_pid().exists());
    let warnings = server.warnings();
    assert!(
        warnings
            .iter()
            .all(|line| line.contains("Job interrupted by shutdown signal")),
        "{warnings:#?}"
    );

    let mut server = Process::start(&installation).await;
    rows::assert_nothing_is_half_done(&mut installation.database().await).await;
    let again = server.api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
    assert_eq!(again["attempts"], 1, "a graceful shutdown does not count as an attempt");
    server.api.cancel(&job).await;
    assert_eq!(server.api.wait_for_end(&job).await["status"], "CANCELLED");
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_request_in_flight_gets_its_response_before_the_server_ends() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    server.api.model("kept").await;
    let mut holder = installation.database().await;
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let api = server.api.clone();
    let request = tokio::spawn(async move {
        let query = "{ models(first: 10) { nodes { name } } }";
        api.data(query, json!({})).await
    });
    // The request is in flight once its query waits for the lock.
    wait_for_blocked_statements(&mut installation.database().await, 1).await;
    server.send(Signal::SIGTERM);
    server.wait_for_log("stopping").await;
    lock.rollback().await.unwrap();
    assert_eq!(request.await.unwrap()["models"]["nodes"][0]["name"], "kept");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[tokio::test]
async fn an_open_socket_does_not_delay_the_shutdown() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let job = server.api.endless_job().await;
    let query = "subscription($id: ID!) { job(id: $id) { phase } }";
    let mut socket = Subscription::start(&server.api, query, json!({ "id": job })).await;
    while socket.next().await.unwrap()["data"]["job"]["phase"] != "TRAINING" {}
    server.api.cancel(&job).await;
    assert_eq!(server.api.wait_for_end(&job).await["status"], "CANCELLED");
    let start = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lock_that_is_never_released_does_not_prevent_the_shutdown() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let model = server.api.model("m").await;
    let job = server.api.train(&model, small_cnn(), json!({ "epochs": 4 })).await;
    let mut holder = installation.database().await;
    let mut lock = holder.begin().await.unwrap();
    // The job waits for this lock in the transaction that writes its results.
    sqlx::query("select from dataset for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    wait_for_blocked_statements(&mut installation.database().await, 1).await;
    // A request waits for this lock.
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let api = server.api.clone();
    let request = tokio::spawn(async move { api.execute("{ models(first: 10) { nodes { name } } }", json!({})).await });
    wait_for_blocked_statements(&mut installation.database().await, 2).await;

    let start = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(!installation.postmaster_pid().exists());
    assert!(
        request.await.unwrap().is_err(),
        "there is no response after the shutdown"
    );

    let mut server = Process::start(&installation).await;
    rows::assert_nothing_is_half_done(&mut installation.database().await).await;
    assert_eq!(server.api.wait_for_end(&job).await["status"], "SUCCEEDED");
    assert!(server.terminate().success());
}
