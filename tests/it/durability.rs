//! A server that is killed at any moment reaches the same result after the next start.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, query_scalar};

use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::process::{Installation, Process};
use crate::support::rows;
use crate::support::server::Server;

fn settings() -> Value {
    json!({ "epochs": 6, "seed": 7 })
}

/// Waits until the only job is in a phase.
async fn wait_for_phase(connection: &mut PgConnection, phase: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, now): (String, String) = sqlx::query_as("select status, phase from job")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        if now == phase {
            return;
        }
        assert!(
            matches!(status.as_str(), "QUEUED" | "RUNNING"),
            "the job ended before {phase} was seen"
        );
        assert!(Instant::now() < end, "the job stays in {now}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the only job, which is still training, is in a phase, stops it there and kills the server.
async fn kill_in(phase: &str, server: Process, installation: &Installation) {
    let mut holder = installation.database().await;
    let mut lock = holder.begin().await.unwrap();
    let blocking_statement = match phase {
        "TRAINING" => "select",
        // The job reads this table between the evaluation and the ingest.
        "EVALUATING" | "INGESTING" => "lock table layer_vector in access exclusive mode",
        // The job locks this row in the transaction that writes all results.
        "STORING" => "select from dataset for update",
        _ => panic!("{phase} is not a phase of a training"),
    };
    sqlx::query(blocking_statement).execute(&mut *lock).await.unwrap();
    if phase != "INGESTING" {
        wait_for_phase(&mut installation.database().await, phase).await;
        server.kill();
        return;
    }
    wait_for_phase(&mut installation.database().await, "EVALUATING").await;
    // The ingest starts by reading the training images: a pipe without a writer blocks it there.
    let key: String = query_scalar("select images_key from dataset_split where split = 'TRAIN'")
        .fetch_one(&mut installation.database().await)
        .await
        .unwrap();
    let images = installation.data_dir().join("artifacts").join(key);
    let moved = images.with_extension("moved");
    fs::rename(&images, &moved).unwrap();
    nix::unistd::mkfifo(&images, nix::sys::stat::Mode::S_IRWXU).unwrap();
    lock.rollback().await.unwrap();
    wait_for_phase(&mut installation.database().await, phase).await;
    server.kill();
    fs::rename(&moved, &images).unwrap();
}

#[tokio::test]
async fn a_job_that_is_killed_in_any_phase_has_the_same_result_after_a_restart() {
    let mut expected = None;
    for phase in [
        None,
        Some("TRAINING"),
        Some("EVALUATING"),
        Some("INGESTING"),
        Some("STORING"),
    ] {
        let installation = Installation::with_database().await;
        let mut server = Process::start(&installation).await;
        let model = server.api.model("m").await;
        let job = server.api.train(&model, small_cnn(), settings()).await;
        let mut attempts = 1;
        if let Some(phase) = phase {
            kill_in(phase, server, &installation).await;
            server = Process::start(&installation).await;
            rows::assert_nothing_is_half_done(&mut installation.database().await).await;
            attempts = 2;
        }
        let job = server.api.wait_for_end(&job).await;
        assert_eq!(
            (&job["status"], &job["attempts"]),
            (&json!("SUCCEEDED"), &json!(attempts)),
            "{phase:?}: {job:#}"
        );
        let versions = rows::versions(&mut installation.database().await).await;
        assert_eq!(&versions, expected.get_or_insert_with(|| versions.clone()), "{phase:?}");
        assert!(server.terminate().success());
    }
}

#[tokio::test]
async fn a_registered_version_survives_a_kill_at_any_time_after_the_response() {
    let reference = Installation::with_database().await;
    let mut server = Process::start(&reference).await;
    let model = server.api.model("m").await;
    let trained = server.api.train(&model, small_cnn(), settings()).await;
    assert_eq!(server.api.wait_for_end(&trained).await["status"], "SUCCEEDED");
    let weights: String = query_scalar("select weights_key from version")
        .fetch_one(&mut reference.database().await)
        .await
        .unwrap();
    let weights = fs::read(reference.data_dir().join("artifacts").join(weights)).unwrap();
    let job = server.api.push(&model, small_cnn(), weights.clone()).await;
    assert_eq!(server.api.wait_for_end(&job).await["status"], "SUCCEEDED");
    let mut expected = rows::versions(&mut reference.database().await).await.remove(1);
    assert!(server.terminate().success());

    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let model = server.api.model("m").await;
    let delays = [0, 30, 100, 200, 300, 450].map(Duration::from_millis);
    for (delay, number) in delays.into_iter().zip(1..) {
        let job = server.api.push(&model, small_cnn(), weights.clone()).await;
        // Not a wait for a condition: the kill has to happen at different times.
        tokio::time::sleep(delay).await;
        server.kill();

        server = Process::start(&installation).await;
        rows::assert_nothing_is_half_done(&mut installation.database().await).await;
        let job = server.api.wait_for_end(&job).await;
        assert_eq!(job["status"], "SUCCEEDED", "killed after {delay:?}: {job:#}");
        expected["number"] = json!(number);
        let versions = rows::versions(&mut installation.database().await).await;
        assert_eq!(versions.len(), number as usize);
        assert_eq!(versions.last(), Some(&expected), "killed after {delay:?}");
    }
    assert!(server.terminate().success());
}

#[tokio::test]
async fn every_acknowledged_write_survives_a_kill_during_many_writes() {
    let installation = Installation::with_database().await;
    let server = Process::start(&installation).await;
    let blocks = perceptron();
    let weights = initial_weights(&blocks, 1);
    let (sender, mut writes) = tokio::sync::mpsc::unbounded_channel();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (server, sender) = (server.api.clone(), sender.clone());
            let (blocks, weights) = (blocks.clone(), weights.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let Some(model) = server.try_model(&format!("{client}/{number}")).await else {
                        break;
                    };
                    sender.send(("Model", model.clone())).unwrap();
                    let Some((version, job)) = server.try_push(&model, blocks.clone(), weights.clone()).await else {
                        break;
                    };
                    sender.send(("Version", version)).unwrap();
                    sender.send(("Job", job)).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 40 {
        acknowledged.push(writes.recv().await.unwrap());
    }
    server.kill();
    for client in clients {
        client.await.unwrap();
    }
    while let Some(write) = writes.recv().await {
        acknowledged.push(write);
    }

    let mut server = Process::start(&installation).await;
    rows::assert_nothing_is_half_done(&mut installation.database().await).await;
    for (kind, id) in &acknowledged {
        let data = server
            .api
            .data("query($id: ID!) { node(id: $id) { __typename } }", json!({ "id": id }))
            .await;
        assert_eq!(data["node"]["__typename"], *kind, "{id}");
    }
    for (_, job) in acknowledged.iter().filter(|(kind, _)| *kind == "Job") {
        assert_eq!(server.api.wait_for_end(job).await["status"], "SUCCEEDED");
    }
    let unpaired: i64 = query_scalar(
        "select count(*) from version full join job using (version_id) where number is null or kind is null",
    )
    .fetch_one(&mut installation.database().await)
    .await
    .unwrap();
    assert_eq!(unpaired, 0, "versions and jobs come in pairs");
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_server_continues_its_jobs_after_its_database_closed_all_connections() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    let training = server
        .api
        .train(&model, small_cnn(), json!({ "epochs": 20, "seed": 1 }))
        .await;
    server
        .api
        .wait_for_job(&training, |job| job["phase"] == "TRAINING")
        .await;
    let mut database = PgConnection::connect(server.config.database_url.as_deref().unwrap())
        .await
        .unwrap();
    let disconnect = "select pg_terminate_backend(pid)
                 from pg_stat_activity
                where datname = current_database()
                  and pid <> pg_backend_pid()";
    sqlx::query(disconnect).execute(&mut database).await.unwrap();
    let blocks = perceptron();
    let job = server
        .api
        .push(&model, blocks.clone(), initial_weights(&blocks, 1))
        .await;
    assert_eq!(server.api.wait_for_end(&job).await["status"], "SUCCEEDED");
    assert_eq!(server.api.wait_for_end(&training).await["status"], "SUCCEEDED");
    server.stop().await.unwrap();
}
