//! A server that is asked to stop answers what was asked of it, hands back its job, and stops its database.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::networks::small_cnn;
use crate::support::process::{Place, Process};
use crate::support::rows;
use crate::support::socket::Subscription;

/// Twenty times what stopping takes, and less than waiting for any timeout would.
const SOON: Duration = Duration::from_secs(2);

/// Waits until as many statements wait for a lock.
async fn waiting(connection: &mut PgConnection, wanted: i64) {
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
async fn an_idle_server_stops_at_once_on_sigterm_and_on_ctrl_c() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::with_database().await;
        let mut server = Process::start(&place).await;
        // A connection that is kept open for a next request is no reason to wait.
        server.api.data("{ __typename }", json!({})).await;
        assert!(place.postmaster_pid().exists());
        let begin = Instant::now();
        let status = server.end(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(begin.elapsed() < SOON, "{signal}: {:?}", begin.elapsed());
        assert!(
            !place.postmaster_pid().exists(),
            "{signal}: PostgreSQL has been stopped"
        );
        for complaint in server.complaints() {
            // So soon after the start, it interrupts the worker's first look for others that have died.
            assert!(
                complaint.contains("there is no transaction in progress"),
                "{signal}: {complaint}"
            );
        }
    }
}

#[tokio::test]
async fn a_job_that_does_not_end_soon_is_handed_back_and_goes_on_after_the_next_start() {
    let place = Place::with_database().await;
    let mut server = Process::start(&place).await;
    let model = server.api.model("m").await;
    let long = json!({ "epochs": 1000, "seed": 3 });
    let job = server.api.train(&model, small_cnn(), long).await;
    server.api.job_once(&job, |job| job["phase"] == "TRAINING").await;
    let begin = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(!place.postmaster_pid().exists());
    let complaints = server.complaints();
    assert!(
        complaints
            .iter()
            .all(|line| line.contains("Job interrupted by shutdown signal")),
        "{complaints:#?}"
    );

    let mut server = Process::start(&place).await;
    rows::assert_nothing_is_half_done(&mut place.database().await).await;
    let again = server.api.job_once(&job, |job| job["phase"] == "TRAINING").await;
    assert_eq!(again["attempts"], 1, "a stop in order is no attempt that failed");
    server.api.cancel(&job).await;
    assert_eq!(server.api.finish(&job).await["status"], "CANCELLED");
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_server_ends() {
    let place = Place::with_database().await;
    let mut server = Process::start(&place).await;
    server.api.model("kept").await;
    let mut holder = place.database().await;
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let api = server.api.clone();
    let asked = tokio::spawn(async move {
        let query = "{ models(first: 10) { nodes { name } } }";
        api.data(query, json!({})).await
    });
    // It is in flight once its query waits for the lock.
    waiting(&mut place.database().await, 1).await;
    server.send(Signal::SIGTERM);
    server.log_has("stopping").await;
    lock.rollback().await.unwrap();
    assert_eq!(asked.await.unwrap()["models"]["nodes"][0]["name"], "kept");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn an_open_socket_does_not_hold_up_the_end() {
    let place = Place::with_database().await;
    let mut server = Process::start(&place).await;
    let job = server.api.endless_job().await;
    let query = "subscription($id: ID!) { job(id: $id) { phase } }";
    let mut socket = Subscription::start(&server.api, query, json!({ "id": job })).await;
    while socket.next().await.unwrap()["data"]["job"]["phase"] != "TRAINING" {}
    server.api.cancel(&job).await;
    assert_eq!(server.api.finish(&job).await["status"], "CANCELLED");
    let begin = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lock_that_is_never_let_go_does_not_keep_the_server_from_ending() {
    let place = Place::with_database().await;
    let mut server = Process::start(&place).await;
    let model = server.api.model("m").await;
    let job = server.api.train(&model, small_cnn(), json!({ "epochs": 4 })).await;
    let mut holder = place.database().await;
    let mut lock = holder.begin().await.unwrap();
    // For this one waits the job, in the middle of the transaction that writes its results.
    sqlx::query("select from dataset for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    waiting(&mut place.database().await, 1).await;
    // And for this one a request.
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let api = server.api.clone();
    let asked = tokio::spawn(async move { api.ask("{ models(first: 10) { nodes { name } } }", json!({})).await });
    waiting(&mut place.database().await, 2).await;

    let begin = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    assert!(!place.postmaster_pid().exists());
    assert!(asked.await.unwrap().is_err(), "nobody is left to answer");

    let mut server = Process::start(&place).await;
    rows::assert_nothing_is_half_done(&mut place.database().await).await;
    assert_eq!(server.api.finish(&job).await["status"], "SUCCEEDED");
    assert!(server.terminate().success());
}
