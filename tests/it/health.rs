//! Health and readiness: what they know, and that they respond whatever hangs.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::client::Client;
use crate::support::process::{Installation, Process};
use crate::support::server::Server;

/// Status and text of a response.
async fn get(api: &Client, path: &str) -> (u16, String) {
    let response = api.get(path).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Waits until `/readyz` responds with a status, and returns the text.
async fn wait_for_readiness(api: &Client, status: u16) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let (found, text) = get(api, "/readyz").await;
        if found == status {
            return text;
        }
        assert!(Instant::now() < end, "{found}: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_whose_connections_are_all_in_use_is_ready() {
    let server = Server::with(|config| config.database_connections = 4).await;
    let mut holder = PgConnection::connect(server.config.database_url.as_deref().unwrap())
        .await
        .unwrap();
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let blocked: Vec<_> = (0..8)
        .map(|number| {
            let api = server.api.clone();
            let query = format!("{{ models(first: {}) {{ nodes {{ name }} }} }}", number + 1);
            tokio::spawn(async move { api.execute(&query, json!({})).await })
        })
        .collect();
    let waiting = "select count(*) from pg_locks where not granted";
    let mut observer = PgConnection::connect(server.config.database_url.as_deref().unwrap())
        .await
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    // One of the four connections listens for notifications, and one client may have half of them.
    while sqlx::query_scalar::<_, i64>(waiting)
        .fetch_one(&mut observer)
        .await
        .unwrap()
        < 2
    {
        assert!(Instant::now() < end, "the requests do not wait for the lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(get(&server.api, "/readyz").await, (200, "ready\n".to_owned()));
    lock.rollback().await.unwrap();
    for request in blocked {
        request.await.unwrap().unwrap();
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_without_its_artifacts_is_alive_and_not_ready() {
    let server = Server::start().await;
    let folder = server.config.data_dir.join("artifacts");
    let elsewhere = server.config.data_dir.join("elsewhere");
    fs::rename(&folder, &elsewhere).unwrap();
    fs::write(&folder, "a file").unwrap();
    let text = wait_for_readiness(&server.api, 503).await;
    assert_eq!(text, "the artifact store cannot be written and read\n");
    assert_eq!(get(&server.api, "/healthz").await, (200, "alive\n".to_owned()));
    fs::remove_file(&folder).unwrap();
    fs::rename(&elsewhere, &folder).unwrap();
    wait_for_readiness(&server.api, 200).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_worker_does_not_run_is_alive_and_not_ready() {
    let server = Server::start().await;
    wait_for_readiness(&server.api, 200).await;
    // The worker fails, and cannot be started again.
    server.execute("alter schema graphile_worker rename to away").await;
    server
        .execute(
            "select pg_terminate_backend(pid)
               from pg_stat_activity
              where datname = current_database()
                and pid <> pg_backend_pid()",
        )
        .await;
    let end = Instant::now() + Duration::from_secs(60);
    while wait_for_readiness(&server.api, 503).await != "the worker does not run, so jobs wait\n" {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(get(&server.api, "/healthz").await.0, 200);
    // At once, because the worker makes a schema that is missing.
    server
        .execute(
            "do $$ begin
                 drop schema if exists graphile_worker cascade;
                 alter schema away rename to graphile_worker;
             end $$",
        )
        .await;
    wait_for_readiness(&server.api, 200).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn readiness_responds_while_postgresql_hangs() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    wait_for_readiness(&server.api, 200).await;
    let postgres = processes_of_postgres(&installation);
    for &pid in &postgres {
        kill(pid, Signal::SIGSTOP).unwrap();
    }
    // The last result is reused for a second.
    let begin = Instant::now();
    let text = wait_for_readiness(&server.api, 503).await;
    // A connection from the pool would be waited for ten seconds.
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    assert!(text.contains("the database does not respond"), "{text}");
    assert_eq!(get(&server.api, "/healthz").await.0, 200);
    for &pid in &postgres {
        kill(pid, Signal::SIGCONT).unwrap();
    }
    wait_for_readiness(&server.api, 200).await;
    assert!(server.terminate().success());
}

/// The embedded PostgreSQL of a running server: its first process, and all that this one has started.
fn processes_of_postgres(installation: &Installation) -> Vec<Pid> {
    let file = fs::read_to_string(installation.postmaster_pid()).unwrap();
    let first = file.lines().next().unwrap().to_owned();
    let parent_of = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        Some(line.trim().to_owned())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    let own = names.filter(|pid| *pid == first || parent_of(pid).as_ref() == Some(&first));
    own.filter_map(|pid| Some(Pid::from_raw(pid.parse().ok()?))).collect()
}
