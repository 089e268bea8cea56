//! The folder of the artifacts belongs to the database: another one is refused at the start.

use std::fs;
use std::path::Path;

use scv::app::App;
use scv::config::Config;
use scv_artifact::{ArtifactKey, ArtifactKind, ArtifactStore};
use scv_compute::engine::Engine;
use scv_service::Library;
use serde_json::json;

use crate::support::client::first_error;
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

/// Why a server with these settings does not start.
async fn refusal(config: &Config) -> String {
    match App::build(config).await {
        Ok(_) => panic!("the server starts"),
        Err(error) => format!("{error:#}"),
    }
}

/// The settings of a server with another data directory.
fn with_data_dir(config: &Config, data_dir: &Path) -> Config {
    Config {
        data_dir: data_dir.to_owned(),
        ..config.clone()
    }
}

#[tokio::test]
async fn a_second_server_with_a_folder_of_its_own_is_refused() {
    let (server, own) = (Server::start().await, tempfile::tempdir().unwrap());
    let message = refusal(&with_data_dir(&server.config, own.path())).await;
    assert!(message.contains(own.path().to_str().unwrap()), "{message}");
    assert!(message.contains("mount") && message.contains("--data-dir"), "{message}");
    // With the same folder it starts.
    App::build(&server.config).await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_folder_is_not_mounted_does_not_start_and_its_jobs_stay_queued() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with(|config| config.data_dir = folder.path().join("data")).await;
    let config = server.config.clone();
    let endless = server.api.endless_job().await;
    let model = server.api.model("m").await;
    let job = server
        .api
        .push(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    server.stop().await.unwrap();

    let (mount_point, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    fs::rename(&mount_point, &elsewhere).unwrap();
    let message = refusal(&config).await;
    assert!(message.contains("mount"), "{message}");

    fs::remove_dir_all(&mount_point).unwrap();
    fs::rename(&elsewhere, &mount_point).unwrap();
    let server = Server::with(|changed| *changed = config).await;
    server.api.cancel(&endless).await;
    server.api.wait_for_success(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_folder_of_another_database_is_refused() {
    let (one, other) = (Server::start().await, Server::start().await);
    let message = refusal(&with_data_dir(&one.config, &other.config.data_dir)).await;
    assert!(message.contains("belongs to another database"), "{message}");
    one.stop().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_without_an_id_is_taken_if_it_has_what_the_database_names() {
    let (server, own) = (Server::start().await, tempfile::tempdir().unwrap());
    let model = server.api.model("m").await;
    server
        .api
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let id = server.config.data_dir.join("artifacts/id");
    let before = fs::read_to_string(&id).unwrap();
    // As after a backup of the objects alone was restored.
    fs::remove_file(&id).unwrap();
    App::build(&server.config).await.unwrap();
    assert_eq!(fs::read_to_string(&id).unwrap(), before);
    // As in a library of an earlier release.
    server.execute("update catalogue set artifact_store_id = null").await;
    let message = refusal(&server.config).await;
    assert!(message.contains("delete the file `id`"), "{message}");
    fs::remove_file(&id).unwrap();
    let message = refusal(&with_data_dir(&server.config, own.path())).await;
    assert!(message.contains("mount"), "{message}");
    App::build(&server.config).await.unwrap();
    assert_ne!(fs::read_to_string(&id).unwrap(), before);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn objects_that_nothing_needs_are_deleted_after_a_day() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    let weights = initial_weights(&perceptron(), 1);
    server.api.push_and_wait(&model, perceptron(), weights.clone()).await;
    let artifacts = ArtifactStore::open(&server.config.data_dir.join("artifacts")).unwrap();
    let [old, new, again] = ["old", "new", "again"].map(str::as_bytes);
    let kind = ArtifactKind::Weights;
    let old = artifacts.put(kind, old).await.unwrap();
    artifacts.put(kind, again).await.unwrap();
    for file in fs::read_dir(server.config.data_dir.join("artifacts/weights")).unwrap() {
        let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    let new = artifacts.put(kind, new).await.unwrap();
    // It exists, and a request that puts it again is about to need it.
    let again = artifacts.put(kind, again).await.unwrap();

    let database = scv_store::open(&server.config.database()).await.unwrap();
    let engine = Engine::start("cpu".parse().unwrap(), 1).unwrap();
    let settings = server.config.library().unwrap();
    let library = Library::new(database.store.clone(), artifacts.clone(), engine, settings);
    assert_eq!(library.delete_unneeded_artifacts().await.unwrap(), 1);
    assert!(!artifacts.contains(&old).await.unwrap());
    for key in [new, again, ArtifactKey::of(kind, &weights)] {
        assert!(artifacts.contains(&key).await.unwrap(), "{key}");
    }
    drop(library);
    database.close().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_stored_for_a_version_that_cannot_be_registered() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    server
        .api
        .data(
            "mutation($id: ID!) { deleteModel(input: { id: $id }) { model { id } } }",
            json!({ "id": model }),
        )
        .await;
    server.api.model("taken").await;
    let weights = initial_weights(&perceptron(), 1);
    for target in [json!({ "modelId": model }), json!({ "newModel": { "name": "taken" } })] {
        let mut input = json!({ "dataset": "digits", "blocks": perceptron(), "weights": null });
        input
            .as_object_mut()
            .unwrap()
            .extend(target.as_object().unwrap().clone());
        let query = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { version { id } } }";
        let response = server
            .api
            .upload(query, json!({ "input": input }), &[("input.weights", &weights)])
            .await
            .unwrap();
        let (code, message) = first_error(&response);
        assert!(["NOT_FOUND", "CONFLICT"].contains(&&*code), "{code}: {message}");
    }
    assert!(!server.config.data_dir.join("artifacts/weights").exists());
    server.stop().await.unwrap();
}
