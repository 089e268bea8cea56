//! A server that is killed at any moment goes on, after the next start, to the same end.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, query_scalar};

use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::process::{Place, Process};
use crate::support::rows;
use crate::support::server::Server;

fn settings() -> Value {
    json!({ "epochs": 6, "seed": 7 })
}

/// Waits until the job is in a phase.
async fn reach(connection: &mut PgConnection, phase: &str) {
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

/// Brings the only job, which still trains, to a phase and keeps it there, and then kills the server.
async fn kill_in(phase: &str, server: Process, place: &Place) {
    let mut holder = place.database().await;
    let mut lock = holder.begin().await.unwrap();
    let wanted_next = match phase {
        "TRAINING" => "select",
        // Read between the evaluation and the ingest.
        "EVALUATING" | "INGESTING" => "lock table layer_vector in access exclusive mode",
        // Locked in the middle of the transaction that writes all results.
        "STORING" => "select from dataset for update",
        _ => panic!("no job is ever {phase}"),
    };
    sqlx::query(wanted_next).execute(&mut *lock).await.unwrap();
    if phase != "INGESTING" {
        reach(&mut place.database().await, phase).await;
        server.kill();
        return;
    }
    reach(&mut place.database().await, "EVALUATING").await;
    // The ingest begins with reading the train images: a pipe that nobody writes to keeps it there.
    let key: String = query_scalar("select images_key from dataset_split where split = 'TRAIN'")
        .fetch_one(&mut place.database().await)
        .await
        .unwrap();
    let images = place.data_dir().join("artifacts").join(key);
    let aside = images.with_extension("aside");
    fs::rename(&images, &aside).unwrap();
    nix::unistd::mkfifo(&images, nix::sys::stat::Mode::S_IRWXU).unwrap();
    lock.rollback().await.unwrap();
    reach(&mut place.database().await, phase).await;
    server.kill();
    fs::rename(&aside, &images).unwrap();
}

#[tokio::test]
async fn a_job_that_is_killed_in_any_phase_ends_as_if_nothing_had_happened() {
    let mut expected = None;
    for phase in [
        None,
        Some("TRAINING"),
        Some("EVALUATING"),
        Some("INGESTING"),
        Some("STORING"),
    ] {
        let place = Place::with_database().await;
        let mut server = Process::start(&place).await;
        let model = server.api.model("m").await;
        let job = server.api.train(&model, small_cnn(), settings()).await;
        let mut attempts = 1;
        if let Some(phase) = phase {
            kill_in(phase, server, &place).await;
            server = Process::start(&place).await;
            rows::assert_nothing_is_half_done(&mut place.database().await).await;
            attempts = 2;
        }
        let job = server.api.finish(&job).await;
        assert_eq!(
            (&job["status"], &job["attempts"]),
            (&json!("SUCCEEDED"), &json!(attempts)),
            "{phase:?}: {job:#}"
        );
        let versions = rows::versions(&mut place.database().await).await;
        assert_eq!(&versions, expected.get_or_insert_with(|| versions.clone()), "{phase:?}");
        assert!(server.terminate().success());
    }
}

#[tokio::test]
async fn a_version_that_was_registered_is_there_however_soon_the_server_is_killed() {
    let reference = Place::with_database().await;
    let mut server = Process::start(&reference).await;
    let model = server.api.model("m").await;
    let trained = server.api.train(&model, small_cnn(), settings()).await;
    assert_eq!(server.api.finish(&trained).await["status"], "SUCCEEDED");
    let weights: String = query_scalar("select weights_key from version")
        .fetch_one(&mut reference.database().await)
        .await
        .unwrap();
    let weights = fs::read(reference.data_dir().join("artifacts").join(weights)).unwrap();
    let job = server.api.push(&model, small_cnn(), weights.clone()).await;
    assert_eq!(server.api.finish(&job).await["status"], "SUCCEEDED");
    let mut expected = rows::versions(&mut reference.database().await).await.remove(1);
    assert!(server.terminate().success());

    let place = Place::with_database().await;
    let mut server = Process::start(&place).await;
    let model = server.api.model("m").await;
    let delays = [0, 30, 100, 200, 300, 450].map(Duration::from_millis);
    for (delay, number) in delays.into_iter().zip(1..) {
        let job = server.api.push(&model, small_cnn(), weights.clone()).await;
        // The experiment's variable.
        tokio::time::sleep(delay).await;
        server.kill();

        server = Process::start(&place).await;
        rows::assert_nothing_is_half_done(&mut place.database().await).await;
        let job = server.api.finish(&job).await;
        assert_eq!(job["status"], "SUCCEEDED", "killed after {delay:?}: {job:#}");
        expected["number"] = json!(number);
        let versions = rows::versions(&mut place.database().await).await;
        assert_eq!(versions.len(), number as usize);
        assert_eq!(versions.last(), Some(&expected), "killed after {delay:?}");
    }
    assert!(server.terminate().success());
}

#[tokio::test]
async fn every_write_that_was_answered_is_there_after_a_kill_in_the_middle_of_many() {
    let place = Place::with_database().await;
    let server = Process::start(&place).await;
    let blocks = perceptron();
    let weights = first_weights(&blocks, 1);
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (server, answered) = (server.api.clone(), answered.clone());
            let (blocks, weights) = (blocks.clone(), weights.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let Some(model) = server.try_model(&format!("{client}/{number}")).await else {
                        break;
                    };
                    answered.send(("Model", model.clone())).unwrap();
                    let Some((version, job)) = server.try_push(&model, blocks.clone(), weights.clone()).await else {
                        break;
                    };
                    answered.send(("Version", version)).unwrap();
                    answered.send(("Job", job)).unwrap();
                }
            })
        })
        .collect();
    drop(answered);
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 40 {
        acknowledged.push(answers.recv().await.unwrap());
    }
    server.kill();
    for client in clients {
        client.await.unwrap();
    }
    while let Some(answer) = answers.recv().await {
        acknowledged.push(answer);
    }

    let mut server = Process::start(&place).await;
    rows::assert_nothing_is_half_done(&mut place.database().await).await;
    for (kind, id) in &acknowledged {
        let data = server
            .api
            .data("query($id: ID!) { node(id: $id) { __typename } }", json!({ "id": id }))
            .await;
        assert_eq!(data["node"]["__typename"], *kind, "{id}");
    }
    for (_, job) in acknowledged.iter().filter(|(kind, _)| *kind == "Job") {
        assert_eq!(server.api.finish(job).await["status"], "SUCCEEDED");
    }
    let alone: i64 = query_scalar(
        "select count(*) from version full join job using (version_id) where number is null or kind is null",
    )
    .fetch_one(&mut place.database().await)
    .await
    .unwrap();
    assert_eq!(alone, 0, "versions and jobs come in pairs");
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_server_whose_database_cuts_all_connections_goes_on_with_its_jobs() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    let training = server
        .api
        .train(&model, small_cnn(), json!({ "epochs": 20, "seed": 1 }))
        .await;
    server.api.job_once(&training, |job| job["phase"] == "TRAINING").await;
    let mut database = PgConnection::connect(server.config.database_url.as_deref().unwrap())
        .await
        .unwrap();
    let cut = "select pg_terminate_backend(pid)
                 from pg_stat_activity
                where datname = current_database()
                  and pid <> pg_backend_pid()";
    sqlx::query(cut).execute(&mut database).await.unwrap();
    let blocks = perceptron();
    let job = server.api.push(&model, blocks.clone(), first_weights(&blocks, 1)).await;
    assert_eq!(server.api.finish(&job).await["status"], "SUCCEEDED");
    assert_eq!(server.api.finish(&training).await["status"], "SUCCEEDED");
    server.stop().await.unwrap();
}
