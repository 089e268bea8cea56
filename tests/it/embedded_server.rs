//! The program with its own PostgreSQL: what it says when it cannot start, and what it survives.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::process::{Place, Process, outcome};

/// What a start that must fail says at last, to the person at the terminal.
fn refusal(place: &Place, command: &mut Command) -> String {
    let (status, said) = outcome(place, command);
    assert_eq!(status.code(), Some(1), "{said}");
    // The reason may go on for lines, such as the end of a log.
    let at = said
        .rfind("error: ")
        .unwrap_or_else(|| panic!("no reason is given: {said}"));
    said[at..].trim_end().to_owned()
}

fn postmaster(place: &Place) -> Pid {
    let text = fs::read_to_string(place.postmaster_pid()).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_second_server_on_a_data_directory_is_told_who_has_it() {
    let place = Place::with_database().await;
    let mut server = Process::start(&place).await;
    let said = refusal(&place, &mut place.serve());
    let holder = format!("in use by another server (process {})", server.id());
    assert!(said.contains(&holder) && said.contains("--data-dir"), "{said}");
    server.api.model("unharmed").await;
    assert!(server.terminate().success());
}

#[test]
fn a_taken_port_is_noticed_before_anything_is_made() {
    let place = Place::empty();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refusal(&place, place.serve().env("SCV_LISTEN", &address));
    assert!(
        said.contains(&address) && said.contains("--listen") && said.contains("in use"),
        "{said}"
    );
    assert!(!place.data_dir().exists());
}

#[test]
fn without_postgresql_the_set_up_is_named() {
    let place = Place::empty();
    let nothing = tempfile::tempdir().unwrap();
    let mut command = place.serve();
    let said = refusal(
        &place,
        command
            .env("PATH", nothing.path())
            .env("SCV_POSTGRES_DIR", nothing.path()),
    );
    assert!(
        said.contains("scripts/setup") && said.contains(nothing.path().to_str().unwrap()),
        "{said}"
    );
    assert!(!place.data_dir().exists());
}

#[test]
fn a_database_url_that_is_none_is_refused_without_repeating_it() {
    let place = Place::empty();
    for garbage in [
        "secret",
        "mysql://u:secret@host/name",
        "postgres://u:secret@host:port/name",
    ] {
        let said = refusal(&place, place.serve().env("DATABASE_URL", garbage));
        assert!(
            said.contains("DATABASE_URL") && said.contains("postgres://user@host:5432/name"),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn a_database_that_does_not_answer_is_reported() {
    let place = Place::empty();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://u:secret@{free}/name");
    let said = refusal(&place, place.serve().env("DATABASE_URL", url));
    assert!(said.contains("DATABASE_URL") && said.contains("refused"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_device_that_cannot_be_had_stops_the_start() {
    let place = Place::empty();
    let said = refusal(&place, place.serve().env("SCV_DEVICE", "cuda:63"));
    assert!(said.contains("cuda"), "{said}");
    assert!(!place.data_dir().exists());
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_a_kill_and_a_power_cut() {
    let place = Place::empty();
    let mut server = Process::start(&place).await;
    server.api.model("a").await;
    assert!(server.terminate().success());

    let server = Process::start(&place).await;
    server.api.model("b").await;
    let orphan = postmaster(&place);
    server.kill();
    assert_eq!(postmaster(&place), orphan);
    kill(orphan, None).expect("PostgreSQL outlives the server");

    let server = Process::start(&place).await;
    assert_ne!(postmaster(&place), orphan);
    server
        .log_has("stopping a PostgreSQL that an earlier run left behind")
        .await;
    server.api.model("c").await;
    let orphan = postmaster(&place);
    server.kill();
    kill(orphan, Signal::SIGKILL).unwrap();
    assert!(place.postmaster_pid().exists(), "nobody was left to remove it");

    let mut server = Process::start(&place).await;
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
    // Once its database runs, all that is left of the killed one is its place in the list of workers.
    for complaint in server.complaints() {
        assert!(
            complaint.contains("Recovered jobs from inactive workers"),
            "{complaint}"
        );
    }
}
