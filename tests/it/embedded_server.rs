//! The server with its embedded PostgreSQL: errors at the start, and restarts after crashes.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::process::{Installation, Process, run_to_exit};

/// The error message of a start that must fail.
fn refusal(installation: &Installation, command: &mut Command) -> String {
    let (status, message) = run_to_exit(installation, command);
    assert_eq!(status.code(), Some(1), "{message}");
    // The reason may have several lines, such as the end of a log.
    let at = message
        .rfind("error: ")
        .unwrap_or_else(|| panic!("there is no error message: {message}"));
    message[at..].trim_end().to_owned()
}

fn postmaster(installation: &Installation) -> Pid {
    let text = fs::read_to_string(installation.postmaster_pid()).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
}

/// Kills PostgreSQL, as the system does when memory runs out.
fn kill_postmaster(installation: &Installation) {
    // It may have ended just now.
    let _ = kill(postmaster(installation), Signal::SIGKILL);
}

/// Waits until the server responds with data again.
async fn wait_for_data(server: &Process) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let query = "{ models(first: 10) { nodes { name } } }";
        let response = server.api.execute(query, json!({})).await.unwrap();
        if response.get("errors").is_none() {
            return response["data"]["models"]["nodes"].clone();
        }
        assert!(Instant::now() < end, "{response:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_second_server_on_a_data_directory_is_told_which_process_uses_it() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let message = refusal(&installation, &mut installation.serve());
    let holder = format!("in use by another server (process {})", server.id());
    assert!(message.contains(&holder) && message.contains("--data-dir"), "{message}");
    server.api.model("still running").await;
    assert!(server.terminate().success());
}

#[test]
fn a_port_in_use_is_reported_before_anything_is_created() {
    let installation = Installation::empty();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = refusal(&installation, installation.serve().env("SCV_LISTEN", &address));
    assert!(
        message.contains(&address) && message.contains("--listen") && message.contains("in use"),
        "{message}"
    );
    assert!(!installation.data_dir().exists());
}

#[test]
fn without_postgresql_the_error_names_the_setup_script() {
    let installation = Installation::empty();
    let nothing = tempfile::tempdir().unwrap();
    let mut command = installation.serve();
    let message = refusal(
        &installation,
        command
            .env("PATH", nothing.path())
            .env("SCV_POSTGRES_DIR", nothing.path()),
    );
    assert!(
        message.contains("scripts/setup") && message.contains(nothing.path().to_str().unwrap()),
        "{message}"
    );
    assert!(!installation.data_dir().exists());
}

#[test]
fn an_invalid_database_url_is_refused_without_being_shown() {
    let installation = Installation::empty();
    for invalid in [
        "secret",
        "mysql://u:secret@host/name",
        "postgres://u:secret@host:port/name",
    ] {
        let message = refusal(&installation, installation.serve().env("DATABASE_URL", invalid));
        assert!(
            message.contains("DATABASE_URL") && message.contains("postgres://user@host:5432/name"),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_database_that_does_not_answer_is_reported() {
    let installation = Installation::empty();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://u:secret@{free}/name");
    let message = refusal(&installation, installation.serve().env("DATABASE_URL", url));
    assert!(
        message.contains("DATABASE_URL") && message.contains("refused"),
        "{message}"
    );
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn an_unavailable_device_prevents_the_start() {
    let installation = Installation::empty();
    let message = refusal(&installation, installation.serve().env("SCV_DEVICE", "cuda:63"));
    assert!(message.contains("cuda"), "{message}");
    assert!(!installation.data_dir().exists());
}

#[tokio::test]
async fn data_survives_a_restart_a_kill_and_a_power_cut() {
    let installation = Installation::empty();
    let mut server = Process::start(&installation).await;
    server.api.model("a").await;
    assert!(server.terminate().success());

    let server = Process::start(&installation).await;
    server.api.model("b").await;
    let orphan = postmaster(&installation);
    server.kill();
    assert_eq!(postmaster(&installation), orphan);
    kill(orphan, None).expect("PostgreSQL outlives the server");

    let server = Process::start(&installation).await;
    assert_ne!(postmaster(&installation), orphan);
    server
        .wait_for_log("stopping a PostgreSQL that an earlier run left behind")
        .await;
    server.api.model("c").await;
    let orphan = postmaster(&installation);
    server.kill();
    kill(orphan, Signal::SIGKILL).unwrap();
    assert!(
        installation.postmaster_pid().exists(),
        "no process was left to remove it"
    );

    let mut server = Process::start(&installation).await;
    let data = server
        .api
        .data("{ models(first: 10) { nodes { name } } }", json!({}))
        .await;
    let names: Vec<_> = data["models"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["name"])
        .collect();
    for name in ["a", "b", "c"] {
        assert!(names.contains(&&json!(name)), "{names:?}");
    }
    assert!(server.terminate().success());
    // The only remainder of the killed server is its entry in the list of workers.
    for warning in server.warnings() {
        assert!(warning.contains("Recovered jobs from inactive workers"), "{warning}");
    }
}

#[tokio::test]
async fn kept_answers_are_true_although_the_server_does_not_ask_its_database_for_changes() {
    let installation = Installation::empty();
    let mut server = Process::start(&installation).await;
    let mut expected = Vec::new();
    for number in 0..20 {
        let name = format!("model {number:02}");
        server.api.model(&name).await;
        expected.push(name);
        for _ in 0..2 {
            let data = server
                .api
                .data("{ models(first: 100) { nodes { name } } }", json!({}))
                .await;
            let nodes = data["models"]["nodes"].as_array().unwrap();
            let mut names: Vec<_> = nodes.iter().map(|node| node["name"].as_str().unwrap()).collect();
            names.sort_unstable();
            assert_eq!(names, expected);
        }
    }
    let caches = "{ serverInfo { caches { name hits } } }";
    let caches = server.api.data(caches, json!({})).await["serverInfo"]["caches"].take();
    let of_answers = caches
        .as_array()
        .unwrap()
        .iter()
        .find(|cache| cache["name"] == "answers");
    assert!(of_answers.unwrap()["hits"].as_f64().unwrap() >= 20.0, "{caches}");
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_postgresql_that_is_killed_is_started_again_with_what_it_had() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    server.api.model("kept").await;
    let job = server.api.endless_job().await;
    server.api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
    kill_postmaster(&installation);

    server.wait_for_log("PostgreSQL has ended; it is started again").await;
    let models = wait_for_data(&server).await;
    assert!(
        models.as_array().unwrap().contains(&json!({ "name": "kept" })),
        "{models}"
    );
    server.api.model("new").await;
    // The job goes on, or begins again.
    server.api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
    server.api.cancel(&job).await;
    assert_eq!(server.api.wait_for_end(&job).await["status"], "CANCELLED");
    assert!(server.terminate().success());
    assert!(!installation.postmaster_pid().exists(), "PostgreSQL has been stopped");
}

#[tokio::test]
async fn a_postgresql_that_ends_again_and_again_ends_the_server() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let end = Instant::now() + Duration::from_secs(60);
    // Each time it accepts connections again.
    while !server.has_ended() {
        if installation.try_database().await.is_ok() {
            kill_postmaster(&installation);
        }
        assert!(Instant::now() < end, "the server goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.wait().code(), Some(1));
    server
        .wait_for_log("the embedded database is gone, so the server ends")
        .await;
}

#[tokio::test]
async fn a_server_that_stops_without_its_postgresql_ends_soon() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    server.api.model("kept").await;
    let job = server.api.endless_job().await;
    server.api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
    // It stops, and waits for its job.
    server.send(Signal::SIGTERM);
    server.wait_for_log("stopping").await;
    let start = Instant::now();
    kill_postmaster(&installation);
    assert_eq!(server.wait().code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    server.wait_for_log("before the server had stopped").await;

    let mut server = Process::start(&installation).await;
    let models = wait_for_data(&server).await;
    assert!(
        models.as_array().unwrap().contains(&json!({ "name": "kept" })),
        "{models}"
    );
    assert!(server.terminate().success());
}
