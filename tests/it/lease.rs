//! Two servers on one database: each job is done once, and a server that dies loses its job to the other.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::{ConnectOptions, PgConnection, query_scalar};

use crate::support::networks::small_cnn;
use crate::support::process::{Place, Process};
use crate::support::{cluster, rows};

/// Two servers that share a database and the artifacts, and a connection of the test's own.
async fn pair(lease_seconds: u32) -> ([Process; 2], PgConnection) {
    let options = cluster::database().await;
    let (place, url) = (Place::empty(), options.to_url_lossy().to_string());
    let servers = [
        Process::start_on(&place, &url, lease_seconds).await,
        Process::start_on(&place, &url, lease_seconds).await,
    ];
    (servers, options.connect().await.unwrap())
}

/// The process that works on the only job, once there is one.
async fn at_work(connection: &mut PgConnection) -> u32 {
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
async fn a_job_whose_server_dies_is_done_by_the_other_one() {
    let (servers, mut connection) = pair(1).await;
    let model = servers[0].api.model("m").await;
    let job = servers[0].api.train(&model, small_cnn(), json!({ "epochs": 8 })).await;
    let busy = at_work(&mut connection).await;
    let [first, second] = servers;
    let (dying, mut other) = if first.id() == busy {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(dying.id(), busy);
    dying.kill();

    rows::assert_nothing_is_half_done(&mut connection).await;
    let job = other.api.finish(&job).await;
    assert_eq!(
        (&job["status"], &job["attempts"]),
        (&json!("SUCCEEDED"), &json!(2)),
        "{job:#}"
    );
    rows::assert_nothing_is_half_done(&mut connection).await;
    assert!(other.terminate().success());
}

#[tokio::test]
async fn a_server_that_is_only_slow_keeps_no_job_beyond_its_lease_and_ends_none_twice() {
    let (servers, mut connection) = pair(1).await;
    let model = servers[0].api.model("m").await;
    let job = servers[0].api.train(&model, small_cnn(), json!({ "epochs": 8 })).await;
    let busy = at_work(&mut connection).await;
    let [first, second] = servers;
    let (mut slow, mut other) = if first.id() == busy {
        (first, second)
    } else {
        (second, first)
    };
    slow.send(Signal::SIGSTOP);
    let ended = other.api.finish(&job).await;
    assert_eq!(
        (&ended["status"], &ended["attempts"]),
        (&json!("SUCCEEDED"), &json!(2)),
        "{ended:#}"
    );
    let expected = rows::versions(&mut connection).await;

    // It wakes in the middle of its training, ends that, and finds the job done.
    slow.send(Signal::SIGCONT);
    assert!(slow.terminate().success());
    assert_eq!(rows::versions(&mut connection).await, expected);
    rows::assert_nothing_is_half_done(&mut connection).await;
    assert!(other.terminate().success());
}

#[tokio::test]
async fn two_servers_do_each_job_once() {
    let (mut servers, mut connection) = pair(30).await;
    let model = servers[0].api.model("m").await;
    let blocks = json!([{ "kind": "Flatten" }, { "kind": "Linear", "parameters": { "out_features": 10 } }]);
    let mut jobs = Vec::new();
    for seed in 0..12 {
        let settings = json!({ "epochs": 1, "seed": seed });
        jobs.push(servers[seed % 2].api.train(&model, blocks.clone(), settings).await);
    }
    for (asked, job) in jobs.iter().enumerate() {
        let job = servers[(asked + 1) % 2].api.finish(job).await;
        assert_eq!(
            (&job["status"], &job["attempts"]),
            (&json!("SUCCEEDED"), &json!(1)),
            "{job:#}"
        );
    }
    rows::assert_nothing_is_half_done(&mut connection).await;
    for server in &mut servers {
        assert!(server.terminate().success());
        assert_eq!(server.complaints(), Vec::<String>::new());
    }
}
