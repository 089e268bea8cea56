//! Jobs: listed, cancelled and retried.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use tokio::time::timeout;

use crate::support::client::{Client, text};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

const JOBS: &str = "query($first: Int, $after: String, $last: Int, $before: String, $filter: JobFilter) {
    jobs(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
      totalCount nodes { id } pageInfo { hasPreviousPage hasNextPage startCursor endCursor } } }";

const RETRY: &str = "mutation($id: ID!) { retryJob(input: { id: $id }) { job {
    id status phase attempts finishedAt failure { code } version { status failure { code } } } } }";

/// A page of jobs.
async fn jobs(api: &Client, arguments: Value) -> Value {
    api.data(JOBS, arguments).await["jobs"].take()
}

fn ids(jobs: &Value) -> Vec<String> {
    let nodes = jobs["nodes"].as_array().unwrap().iter();
    nodes.map(|job| text(&job["id"])).collect()
}

/// Starts a training that runs until it is cancelled, so that later jobs stay queued.
async fn running_job(api: &Client) -> String {
    let job = api.endless_job().await;
    api.wait_for_job(&job, |job| job["status"] == "RUNNING").await;
    job
}

/// Cancels jobs and waits until they have ended.
async fn cancel_all<'a>(api: &Client, jobs: impl IntoIterator<Item = &'a String>) {
    for job in jobs {
        api.cancel(job).await;
        assert_eq!(api.wait_for_end(job).await["status"], "CANCELLED");
    }
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_filtered_by_status_kind_and_version() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let weights = initial_weights(&perceptron(), 1);
    let (pushed, ingest) = api.try_push(&model, perceptron(), weights).await.unwrap();
    api.wait_for_success(&ingest).await;
    let train = api.train(&model, perceptron(), json!({ "epochs": 1 })).await;
    let trained = text(&api.wait_for_success(&train).await["version"]["id"]);
    let evaluate = "mutation($id: ID!) { evaluateVersion(input: { versionId: $id }) { job { id } } }";
    let evaluate = text(&api.data(evaluate, json!({ "id": pushed })).await["evaluateVersion"]["job"]["id"]);
    api.wait_for_success(&evaluate).await;
    let running = running_job(api).await;
    let queued = api.train(&model, perceptron(), json!({ "epochs": 1 })).await;

    for (filter, expected) in [
        (Value::Null, vec![&queued, &running, &evaluate, &train, &ingest]),
        (json!({}), vec![&queued, &running, &evaluate, &train, &ingest]),
        (json!({ "statuses": ["SUCCEEDED"] }), vec![&evaluate, &train, &ingest]),
        (json!({ "statuses": ["RUNNING"] }), vec![&running]),
        (json!({ "statuses": ["QUEUED", "RUNNING"] }), vec![&queued, &running]),
        (json!({ "statuses": ["FAILED", "CANCELLED"] }), vec![]),
        (json!({ "kinds": ["TRAIN"] }), vec![&queued, &running, &train]),
        (json!({ "kinds": ["INGEST", "EVALUATE"] }), vec![&evaluate, &ingest]),
        (json!({ "versionId": pushed }), vec![&evaluate, &ingest]),
        (json!({ "versionId": pushed, "kinds": ["INGEST"] }), vec![&ingest]),
        (json!({ "versionId": trained, "kinds": ["EVALUATE"] }), vec![]),
        (json!({ "kinds": ["TRAIN"], "statuses": ["SUCCEEDED"] }), vec![&train]),
    ] {
        let found = jobs(api, json!({ "filter": filter })).await;
        assert_eq!(ids(&found).iter().collect::<Vec<_>>(), expected, "{filter}");
        assert_eq!(found["totalCount"], expected.len(), "{filter}");
    }
    let (code, _) = api.error(JOBS, json!({ "filter": { "versionId": model } })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    cancel_all(api, [&queued, &running]).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn jobs_are_paged_in_both_directions() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    for seed in 0..5 {
        let weights = initial_weights(&perceptron(), seed);
        api.push_and_wait(&model, perceptron(), weights).await;
    }
    let all = ids(&jobs(api, json!({})).await);
    assert_eq!(all.len(), 5);
    let sides = |page: &Value| ["hasPreviousPage", "hasNextPage"].map(|side| page["pageInfo"][side] == true);

    let first = jobs(api, json!({ "first": 2 })).await;
    assert_eq!((ids(&first), sides(&first)), (all[..2].to_vec(), [false, true]));
    let next = jobs(api, json!({ "first": 3, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!((ids(&next), sides(&next)), (all[2..].to_vec(), [true, false]));
    let last = jobs(api, json!({ "last": 2 })).await;
    assert_eq!((ids(&last), sides(&last)), (all[3..].to_vec(), [true, false]));
    let previous = jobs(api, json!({ "last": 1, "before": last["pageInfo"]["startCursor"] })).await;
    assert_eq!((ids(&previous), sides(&previous)), (all[2..3].to_vec(), [true, true]));
    for page in [&first, &next, &last, &previous] {
        assert_eq!(page["totalCount"], 5);
    }
    let filtered = json!({ "first": 1, "filter": { "statuses": ["SUCCEEDED"] } });
    let filtered = jobs(api, filtered).await;
    assert_eq!((ids(&filtered), sides(&filtered)), (all[..1].to_vec(), [false, true]));

    for arguments in [
        json!({ "first": 101 }),
        json!({ "last": -1 }),
        json!({ "first": 1, "last": 1 }),
        json!({ "after": "nonsense" }),
    ] {
        assert_eq!(
            api.error(JOBS, arguments.clone()).await.0,
            "BAD_USER_INPUT",
            "{arguments}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn jobs_of_a_deleted_model_are_not_listed_until_it_is_restored() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    api.push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    for (mutation, count) in [("deleteModel", 0), ("restoreModel", 1)] {
        let query = format!("mutation($id: ID!) {{ {mutation}(input: {{ id: $id }}) {{ model {{ id }} }} }}");
        api.data(&query, json!({ "id": model })).await;
        let found = jobs(api, json!({})).await;
        assert_eq!(
            (ids(&found).len(), &found["totalCount"]),
            (count, &json!(count)),
            "{mutation}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_queued_job_is_cancelled_immediately_and_a_finished_one_does_not_change() {
    let server = Server::start().await;
    let api = &server.api;
    let running = running_job(api).await;
    let model = api.model("m").await;
    let queued = api.train(&model, perceptron(), json!({})).await;
    let cancel =
        "mutation($id: ID!) { cancelJob(input: { id: $id }) { job { status version { status failure { code } } } } }";
    let job = api.data(cancel, json!({ "id": queued })).await["cancelJob"]["job"].take();
    assert_eq!(
        job,
        json!({ "status": "CANCELLED", "version": { "status": "FAILED", "failure": { "code": "CANCELLED" } } })
    );
    cancel_all(api, [&running]).await;

    let finished = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
    api.wait_for_success(&finished).await;
    let job = api.data(cancel, json!({ "id": finished })).await["cancelJob"]["job"].take();
    assert_eq!(
        job,
        json!({ "status": "SUCCEEDED", "version": { "status": "READY", "failure": null } })
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_retried_job_runs_as_if_it_had_never_started() {
    let server = Server::start().await;
    let api = &server.api;
    let running = running_job(api).await;
    let model = api.model("m").await;
    let queued = api.train(&model, perceptron(), json!({ "epochs": 1 })).await;
    cancel_all(api, [&queued]).await;

    let retried = api.data(RETRY, json!({ "id": queued })).await["retryJob"]["job"].take();
    assert_eq!(
        retried,
        json!({ "id": queued, "status": "QUEUED", "phase": "QUEUED", "attempts": 0, "finishedAt": null,
                "failure": null, "version": { "status": "QUEUED", "failure": null } })
    );
    cancel_all(api, [&running]).await;
    let job = api.wait_for_success(&queued).await;
    assert_eq!(
        (&job["attempts"], &job["version"]["status"]),
        (&json!(1), &json!("READY")),
        "{job:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_cancelled_while_it_ran_can_be_retried() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.train(&model, small_cnn(), json!({ "epochs": 1_000 })).await;
    for _ in 0..2 {
        let running = api.wait_for_job(&job, |job| job["phase"] == "TRAINING").await;
        assert_eq!(
            (&running["attempts"], &running["failure"]),
            (&json!(1), &Value::Null),
            "{running:#}"
        );
        cancel_all(api, [&job]).await;
        api.data(RETRY, json!({ "id": job })).await;
    }
    cancel_all(api, [&job]).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn only_failed_and_cancelled_jobs_can_be_retried() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let succeeded = api.push(&model, perceptron(), initial_weights(&perceptron(), 1)).await;
    api.wait_for_success(&succeeded).await;
    let running = running_job(api).await;
    let queued = api.train(&model, perceptron(), json!({ "epochs": 1 })).await;
    for (job, status) in [(&succeeded, "SUCCEEDED"), (&running, "RUNNING"), (&queued, "QUEUED")] {
        let (code, message) = api.error(RETRY, json!({ "id": job })).await;
        assert_eq!(code, "CONFLICT", "{status}: {message}");
        assert_eq!(
            message,
            format!("the job is {status}; only FAILED and CANCELLED jobs can be retried")
        );
        let unchanged = api.wait_for_job(job, |_| true).await;
        assert_eq!(unchanged["status"], status);
    }
    // The id of a job that does not exist: base64 of "Job:999".
    let (code, message) = api.error(RETRY, json!({ "id": "Sm9iOjk5OQ" })).await;
    assert_eq!(code, "NOT_FOUND", "{message}");
    cancel_all(api, [&queued, &running]).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn only_callers_that_may_change_a_model_can_retry_its_jobs() {
    let server = Server::start().await;
    let running = running_job(&server.api).await;
    let owner = server.api.as_account("owner", "WRITE").await;
    let reader = server.api.as_account("owner", "READ").await;
    let stranger = server.api.as_account("stranger", "WRITE").await;
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let mut retried = Vec::new();
    for (visibility, expected) in [("PUBLIC", "FORBIDDEN"), ("PRIVATE", "NOT_FOUND")] {
        let input = json!({ "name": visibility, "visibility": visibility });
        let created = owner.data(create, json!({ "input": input })).await;
        let model = text(&created["createModel"]["model"]["id"]);
        let job = owner.train(&model, perceptron(), json!({ "epochs": 1 })).await;
        cancel_all(&owner, [&job]).await;
        for (caller, expected) in [(&stranger, expected), (&reader, "FORBIDDEN")] {
            let (code, message) = caller.error(RETRY, json!({ "id": job })).await;
            assert_eq!(code, expected, "{visibility}: {message}");
        }
        let allowed = owner.data(RETRY, json!({ "id": job })).await;
        assert_eq!(allowed["retryJob"]["job"]["status"], "QUEUED");
        retried.push(job);
    }
    cancel_all(&server.api, [&running]).await;
    for job in &retried {
        owner.wait_for_success(job).await;
    }
    server.stop().await.unwrap();
}

/// The worker takes one job for each notification, and drops those that come while it is busy.
#[tokio::test]
async fn each_job_that_ends_makes_the_worker_look_for_the_next_one() {
    let server = Server::start().await;
    let api = &server.api;
    let running = running_job(api).await;
    let model = api.model("m").await;
    let mut queued = Vec::new();
    for seed in 0..6 {
        queued.push(
            api.push(&model, perceptron(), initial_weights(&perceptron(), seed))
                .await,
        );
    }
    let database = server.config.database_url.as_deref().unwrap();
    let mut notifications = PgListener::connect(database).await.unwrap();
    notifications.listen("jobs:insert").await.unwrap();
    api.cancel(&running).await;
    for job in &queued {
        api.wait_for_success(job).await;
    }
    for _ in 0..=queued.len() {
        let notified = timeout(Duration::from_secs(60), notifications.recv()).await;
        notified.expect("each job sends a notification").unwrap();
    }
    server.stop().await.unwrap();
}
