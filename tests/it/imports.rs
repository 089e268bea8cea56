//! Imports of data sets as jobs: followed, refused, cancelled, retried and taken over.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, query_scalar};

use crate::support::client::{Client, IMPORT_DATASET, first_error, text};
use crate::support::idx;
use crate::support::process::{Installation, Process};
use crate::support::server::Server;
use crate::support::socket::Subscription;

const JOB: &str = "query($id: ID!) { job(id: $id) { kind status phase progress attempts failure { code message }
    version { id } newDatasetName dataset { name } } }";

const RETRY: &str = "mutation($id: ID!) { retryJob(input: { id: $id }) { job { id status } } }";

const TAKEN: &str = "a data set with this name exists already: choose another name";

/// The four files of a data set of two classes.
fn files() -> [Vec<u8>; 4] {
    [
        idx::images(120, 8),
        idx::labels(120, 2, 0),
        idx::images(30, 8),
        idx::labels(30, 2, 0),
    ]
}

/// Four files whose labels are cut off after their header.
fn damaged_files() -> [Vec<u8>; 4] {
    let mut files = files();
    files[3].truncate(20);
    files
}

async fn job(api: &Client, id: &str) -> Value {
    api.data(JOB, json!({ "id": id })).await["job"].take()
}

async fn retry(api: &Client, id: &str) {
    api.data(RETRY, json!({ "id": id })).await;
}

/// Starts a job that keeps the worker busy until it is cancelled.
async fn busy_worker(api: &Client) -> String {
    let endless = api.endless_job().await;
    api.wait_for_job(&endless, |job| job["status"] == "RUNNING").await;
    endless
}

/// The names of all data sets.
async fn names(api: &Client) -> Vec<String> {
    let data = api.data("{ datasets { name } }", json!({})).await;
    let datasets = data["datasets"].as_array().unwrap().iter();
    datasets.map(|dataset| text(&dataset["name"])).collect()
}

/// The files of a kind in the artifact store.
fn stored(data_dir: &Path, kind: &str) -> usize {
    fs::read_dir(data_dir.join("artifacts").join(kind)).map_or(0, Iterator::count)
}

/// Waits until as many uploaded files are stored. They are deleted after their job has ended.
async fn wait_for_uploads(data_dir: &Path, count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while stored(data_dir, "imports") != count {
        assert!(Instant::now() < end, "{} files are stored", stored(data_dir, "imports"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_import_is_followed_like_any_other_job_until_its_data_set_exists() {
    let server = Server::start().await;
    let api = &server.api;
    let endless = busy_worker(api).await;
    let id = api.start_import(json!({ "name": "noise" }), &files()).await;
    assert_eq!(
        job(api, &id).await,
        json!({ "kind": "IMPORT", "status": "QUEUED", "phase": "QUEUED", "progress": 0.0, "attempts": 0, "failure": null,
                "version": null, "newDatasetName": "noise", "dataset": null })
    );
    assert_eq!(names(api).await, ["digits"]);
    assert_eq!(stored(&server.config.data_dir, "imports"), 4);

    let feed = "subscription($id: ID!) { job(id: $id) { status progress dataset { name } } }";
    let mut changes = Subscription::start(api, feed, json!({ "id": id })).await;
    let mut states = vec![changes.next().await.unwrap()["data"]["job"].take()];
    api.cancel(&endless).await;
    while let Some(mut change) = changes.next().await {
        states.push(change["data"]["job"].take());
    }
    assert_eq!(states[0]["status"], "QUEUED");
    assert!(
        states.is_sorted_by_key(|state| state["progress"].as_f64().unwrap()),
        "{states:#?}"
    );
    let expected = json!({ "status": "SUCCEEDED", "progress": 1.0, "dataset": { "name": "noise" } });
    assert_eq!(states.last(), Some(&expected));
    assert_eq!(names(api).await, ["digits", "noise"]);
    wait_for_uploads(&server.config.data_dir, 0).await;

    let metrics = api.get("/metrics").await.text().await.unwrap();
    for phase in ["loading", "checking", "storing"] {
        let counted = format!("scv_job_phase_seconds_count{{kind=\"import\",phase=\"{phase}\"}}");
        assert!(metrics.contains(&counted), "{phase}");
    }
    let listed = "{ jobs(filter: { kinds: [IMPORT] }) { totalCount nodes { newDatasetName version { id } } } }";
    let listed = api.data(listed, json!({})).await["jobs"].take();
    assert_eq!(
        listed,
        json!({ "totalCount": 1, "nodes": [{ "newDatasetName": "noise", "version": null }] })
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn damaged_files_fail_the_job_with_the_location_of_the_error_and_leave_nothing() {
    let server = Server::start().await;
    let api = &server.api;
    let good = files();
    let changed = |index: usize, change: fn(&mut Vec<u8>)| {
        let mut files = good.clone();
        change(&mut files[index]);
        files
    };
    let named = json!({ "name": "new" });
    let bad = [
        (named.clone(), changed(0, |file| file.truncate(1000))),
        (named.clone(), changed(1, |file| file.push(0))),
        (named.clone(), changed(2, |file| file[7] = 29)),
        (
            json!({ "name": "new", "classNames": ["a", "b"] }),
            changed(3, |file| file[20] = 7),
        ),
        (
            named.clone(),
            [
                idx::images(2, 8),
                idx::labels(2, 2, 0),
                idx::images(2, 8),
                idx::labels(2, 2, 0),
            ],
        ),
    ];
    let before = [
        stored(&server.config.data_dir, "images"),
        stored(&server.config.data_dir, "labels"),
    ];
    let mut failures = Vec::new();
    for (input, files) in bad {
        let id = api.start_import(input, &files).await;
        assert_eq!(api.wait_for_end(&id).await["status"], "FAILED");
        let job = job(api, &id).await;
        assert_eq!((&job["dataset"], &job["attempts"]), (&Value::Null, &json!(1)));
        failures.push(job["failure"].clone());
    }
    insta::assert_json_snapshot!(failures);
    assert_eq!(names(api).await, ["digits"]);
    let after = [
        stored(&server.config.data_dir, "images"),
        stored(&server.config.data_dir, "labels"),
    ];
    assert_eq!(after, before, "no split was stored");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_fails_the_second_import() {
    let server = Server::start().await;
    let api = &server.api;
    let endless = busy_worker(api).await;
    let first = api.start_import(json!({ "name": "noise" }), &files()).await;
    let second = api.start_import(json!({ "name": "noise" }), &files()).await;
    api.cancel(&endless).await;
    api.wait_for_success(&first).await;
    assert_eq!(api.wait_for_end(&second).await["status"], "FAILED");
    let failed = job(api, &second).await;
    assert_eq!(failed["failure"], json!({ "code": "CANNOT_RUN", "message": TAKEN }));
    assert_eq!(failed["dataset"], Value::Null);
    assert_eq!(names(api).await, ["digits", "noise"]);
    // Both have the same files, and a retry of the second may need them.
    assert_eq!(stored(&server.config.data_dir, "imports"), 4);
    let refused = api.import(json!({ "name": "noise" }), &files()).await;
    assert_eq!(first_error(&refused), ("CONFLICT".to_owned(), TAKEN.to_owned()));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_import_leaves_nothing_and_can_be_retried() {
    let server = Server::start().await;
    let api = &server.api;
    let endless = busy_worker(api).await;
    let id = api.start_import(json!({ "name": "noise" }), &files()).await;
    api.cancel(&id).await;
    let cancelled = job(api, &id).await;
    assert_eq!(
        (&cancelled["status"], &cancelled["failure"]),
        (
            &json!("CANCELLED"),
            &json!({ "code": "CANCELLED", "message": "requested by a caller without an account" })
        )
    );
    api.cancel(&endless).await;
    api.wait_for_end(&endless).await;
    assert_eq!(names(api).await, ["digits"]);
    assert_eq!(stored(&server.config.data_dir, "imports"), 4);

    retry(api, &id).await;
    api.wait_for_success(&id).await;
    assert_eq!(job(api, &id).await["dataset"], json!({ "name": "noise" }));
    wait_for_uploads(&server.config.data_dir, 0).await;
    let (code, message) = api.error(RETRY, json!({ "id": id })).await;
    assert_eq!(code, "CONFLICT", "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_files_of_a_failed_import_are_deleted_after_a_week() {
    let server = Server::start().await;
    let (api, data_dir) = (&server.api, &server.config.data_dir);
    let id = api.start_import(json!({ "name": "damaged" }), &damaged_files()).await;
    assert_eq!(api.wait_for_end(&id).await["status"], "FAILED");
    retry(api, &id).await;
    assert_eq!(api.wait_for_end(&id).await["status"], "FAILED");
    assert_eq!(stored(data_dir, "imports"), 4, "kept for another retry");

    server
        .execute("update job set created_at = now() - interval '9 days', finished_at = now() - interval '8 days'")
        .await;
    for file in fs::read_dir(data_dir.join("artifacts/imports")).unwrap() {
        let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    api.import_numbers().await;
    wait_for_uploads(data_dir, 0).await;
    retry(api, &id).await;
    assert_eq!(api.wait_for_end(&id).await["status"], "FAILED");
    insta::assert_json_snapshot!(job(api, &id).await["failure"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn everyone_sees_imports_and_those_who_may_write_start_and_cancel_them() {
    let server = Server::start().await;
    let (reader, writer, other) = (
        server.api.as_account("reader", "READ").await,
        server.api.as_account("writer", "WRITE").await,
        server.api.as_account("other", "WRITE").await,
    );
    let endless = busy_worker(&writer).await;
    let input = json!({ "input": { "name": "numbers", "format": "DIGITS" } });
    assert_eq!(reader.error(IMPORT_DATASET, input.clone()).await.0, "FORBIDDEN");
    let id = text(&writer.data(IMPORT_DATASET, input).await["importDataset"]["job"]["id"]);
    assert_eq!(job(&reader, &id).await["newDatasetName"], "numbers");
    let jobs = "{ jobs(filter: { kinds: [IMPORT] }) { totalCount nodes { id } } }";
    assert_eq!(
        reader.data(jobs, json!({})).await["jobs"],
        json!({ "totalCount": 1, "nodes": [{ "id": id }] })
    );
    let cancel = "mutation($id: ID!) { cancelJob(input: { id: $id }) { job { status } } }";
    for mutation in [cancel, RETRY] {
        assert_eq!(reader.error(mutation, json!({ "id": id })).await.0, "FORBIDDEN");
    }
    other.cancel(&id).await;
    assert_eq!(job(&reader, &id).await["status"], "CANCELLED");
    writer.cancel(&endless).await;
    writer.wait_for_end(&endless).await;
    server.stop().await.unwrap();
}

/// A data set as it is compared with another import of the same files.
async fn describe(connection: &mut PgConnection) -> Value {
    query_scalar(
        "select jsonb_agg(to_jsonb(dataset) - array['dataset_id', 'created_at'] || jsonb_build_object(
                    'splits', (select jsonb_agg(to_jsonb(stored) - 'dataset_id' order by split)
                                 from dataset_split as stored
                                where stored.dataset_id = dataset.dataset_id),
                    'probe sets', (select jsonb_agg(jsonb_build_array(content_hash, image_indices, is_default))
                                     from probe_set
                                    where probe_set.dataset_id = dataset.dataset_id)) order by name)
           from dataset",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

async fn wait_for_phase(connection: &mut PgConnection, phase: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let now: String = query_scalar("select phase from job where kind = 'IMPORT'")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        if now == phase {
            return;
        }
        assert!(Instant::now() < end, "the import stays in {now}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets the worker begin the only import, stops it in a phase and kills the server.
async fn kill_in(phase: &str, server: Process, installation: &Installation, before: &str) {
    let mut connection = installation.database().await;
    if phase == "LOADING" {
        // A pipe without a writer blocks whoever reads the file.
        let uploads = installation.data_dir().join("artifacts/imports");
        let upload = fs::read_dir(uploads).unwrap().next().unwrap().unwrap().path();
        let moved = upload.with_extension("moved");
        fs::rename(&upload, &moved).unwrap();
        nix::unistd::mkfifo(&upload, nix::sys::stat::Mode::S_IRWXU).unwrap();
        server.api.cancel(before).await;
        wait_for_phase(&mut connection, phase).await;
        server.kill();
        fs::rename(&moved, &upload).unwrap();
        return;
    }
    // The import writes this table in the transaction that makes everything visible.
    let mut holder = installation.database().await;
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("lock table probe_set in share mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    server.api.cancel(before).await;
    wait_for_phase(&mut connection, phase).await;
    server.kill();
}

#[tokio::test]
async fn an_import_whose_worker_dies_is_done_again_with_the_same_result() {
    let mut expected = None;
    for phase in [None, Some("LOADING"), Some("STORING")] {
        let installation = Installation::with_database().await;
        let mut server = Process::start(&installation).await;
        let endless = busy_worker(&server.api).await;
        let id = server.api.start_import(json!({ "name": "noise" }), &files()).await;
        let mut attempts = 1;
        if let Some(phase) = phase {
            kill_in(phase, server, &installation, &endless).await;
            let names: Vec<String> = query_scalar("select name from dataset")
                .fetch_all(&mut installation.database().await)
                .await
                .unwrap();
            assert_eq!(names, ["digits"], "{phase:?}");
            server = Process::start(&installation).await;
            attempts = 2;
        } else {
            server.api.cancel(&endless).await;
        }
        let mut connection = installation.database().await;
        let job = server.api.wait_for_success(&id).await;
        assert_eq!(job["attempts"], attempts, "{phase:?}");
        let found = describe(&mut connection).await;
        assert_eq!(&found, expected.get_or_insert_with(|| found.clone()), "{phase:?}");
        wait_for_uploads(&installation.data_dir(), 0).await;
        assert!(server.terminate().success());
    }
}
