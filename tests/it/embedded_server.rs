//! The server with its embedded PostgreSQL: errors at the start, and restarts after crashes.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

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
