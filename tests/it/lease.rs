//! Two servers on one database: each job runs once, and the other server takes over the job of a server that dies.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::{ConnectOptions, Connection as _, PgConnection, query, query_scalar};

use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::process::{Installation, Process};
use crate::support::{cluster, rows};

/// Two servers that share a database and the artifacts, and a connection for the test.
async fn pair(lease_seconds: u32) -> ([Process; 2], PgConnection) {
    let options = cluster::database().await;
    let (installation, url) = (Installation::empty(), options.to_url_lossy().to_string());
    let servers = [
        Process::start_on(&installation, &url, lease_seconds).await,
        Process::start_on(&installation, &url, lease_seconds).await,
    ];
    (servers, options.connect().await.unwrap())
}

/// Waits until a process works on the only job, and returns its id.
async fn wait_for_worker(connection: &mut PgConnection) -> u32 {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let pid: Option<i32> = query_scalar(
            "select (metadata ->> 'pid')::integer
               from graphile_worker._private_workers as worker
               join graphile_worker._private_jobs on locked_by = worker.id
              where (select phase from job) = 'TRAINING'
                and metadata ->> 'pid' is not null",
        )
        .fetch_optional(&mut *connection)
        .await
        .unwrap();
        if let Some(pid) = pid {
            return pid.try_into().unwrap();
        }
        assert!(Instant::now() < end, "no server takes the job");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_other_server_runs_the_job_of_a_server_that_died() {
    let (servers, mut connection) = pair(1).await;
    let model = servers[0].api.model("m").await;
    let job = servers[0].api.train(&model, small_cnn(), json!({ "epochs": 8 })).await;
    let busy = wait_for_worker(&mut connection).await;
    let [first, second] = servers;
    let (dying, mut other) = if first.id() == busy {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(dying.id(), busy);
    dying.kill();

    rows::assert_nothing_is_half_done(&mut connection).await;
    let job = other.api.wait_for_end(&job).await;
    assert_eq!(
        (&job["status"], &job["attempts"]),
        (&json!("SUCCEEDED"), &json!(2)),
        "{job:#}"
    );
    rows::assert_nothing_is_half_done(&mut connection).await;
    assert!(other.terminate().success());
}

#[tokio::test]
async fn a_slow_server_loses_its_job_after_the_lease_and_does_not_finish_it_again() {
    let (servers, mut connection) = pair(1).await;
    let model = servers[0].api.model("m").await;
    let job = servers[0].api.train(&model, small_cnn(), json!({ "epochs": 8 })).await;
    let busy = wait_for_worker(&mut connection).await;
    let [first, second] = servers;
    let (mut slow, mut other) = if first.id() == busy {
        (first, second)
    } else {
        (second, first)
    };
    slow.send(Signal::SIGSTOP);
    let ended = other.api.wait_for_end(&job).await;
    assert_eq!(
        (&ended["status"], &ended["attempts"]),
        (&json!("SUCCEEDED"), &json!(2)),
        "{ended:#}"
    );
    let expected = rows::versions(&mut connection).await;

    // It wakes during its training, completes it and finds that the job has ended.
    slow.send(Signal::SIGCONT);
    assert!(slow.terminate().success());
    assert_eq!(rows::versions(&mut connection).await, expected);
    rows::assert_nothing_is_half_done(&mut connection).await;
    assert!(other.terminate().success());
}

#[tokio::test]
async fn two_servers_run_each_job_once() {
    let (mut servers, mut connection) = pair(30).await;
    let model = servers[0].api.model("m").await;
    let blocks = json!([{ "kind": "Flatten" }, { "kind": "Linear", "parameters": { "out_features": 10 } }]);
    let mut jobs = Vec::new();
    for seed in 0..12 {
        let settings = json!({ "epochs": 1, "seed": seed });
        jobs.push(servers[seed % 2].api.train(&model, blocks.clone(), settings).await);
    }
    for (index, job) in jobs.iter().enumerate() {
        let job = servers[(index + 1) % 2].api.wait_for_end(job).await;
        assert_eq!(
            (&job["status"], &job["attempts"]),
            (&json!("SUCCEEDED"), &json!(1)),
            "{job:#}"
        );
    }
    rows::assert_nothing_is_half_done(&mut connection).await;
    for server in &mut servers {
        assert!(server.terminate().success());
        assert_eq!(server.warnings(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn of_two_equal_networks_that_two_servers_ingest_at_the_same_moment_one_is_a_duplicate() {
    let (mut servers, mut connection) = pair(30).await;
    let model = servers[0].api.model("m").await;
    // Both jobs wait for this lock in the transactions that write their results.
    let mut lock = connection.begin().await.unwrap();
    query("select from dataset for no key update")
        .execute(&mut *lock)
        .await
        .unwrap();
    let weights = initial_weights(&perceptron(), 1);
    let mut jobs = Vec::new();
    for server in &servers {
        jobs.push(server.api.push(&model, perceptron(), weights.clone()).await);
    }
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let end = Instant::now() + Duration::from_secs(60);
    while query_scalar::<_, i64>(waiting).fetch_one(&mut *lock).await.unwrap() < 2 {
        assert!(Instant::now() < end, "the jobs do not wait for the lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lock.rollback().await.unwrap();
    for job in &jobs {
        servers[0].api.wait_for_success(job).await;
    }
    let duplicates = "select count(*) from version where duplicate_of is not null";
    let duplicates: i64 = query_scalar(duplicates).fetch_one(&mut connection).await.unwrap();
    assert_eq!(duplicates, 1);
    for server in &mut servers {
        assert!(server.terminate().success());
    }
}
