//! The shares of one client: in requests, in connections to the database, and in what events of subscriptions cost. Work that
//! nobody waits for ends.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::client::{self, Client, first_error};
use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

const MODELS: &str = "{ models { nodes { name } } }";

const LAYERS: &str = "subscription($id: ID!) { job(id: $id) { version { layers { nodes { name } } } } }";

/// A table that nobody else can read until the lock is released.
struct LockedTable {
    owner: PgConnection,
    watcher: PgConnection,
    table: &'static str,
}

impl LockedTable {
    async fn of(server: &Server, table: &'static str) -> Self {
        let url = server.config.database_url.as_deref().unwrap();
        let [mut owner, watcher] = [
            PgConnection::connect(url).await.unwrap(),
            PgConnection::connect(url).await.unwrap(),
        ];
        let lock = AssertSqlSafe(format!("begin; lock table {table} in access exclusive mode"));
        sqlx::raw_sql(lock).execute(&mut owner).await.unwrap();
        Self { owner, watcher, table }
    }

    /// How many statements wait for the table.
    async fn waiting(&mut self) -> i64 {
        let waiting = "select count(*) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock' and query like $1";
        let waiting = sqlx::query_scalar(waiting).bind(format!("%from {}%", self.table));
        waiting.fetch_one(&mut self.watcher).await.unwrap()
    }

    /// Waits until so many statements wait for the table. Statements that nobody waits for have to end long before the timeout
    /// of requests.
    async fn wait_for(&mut self, expected: i64) {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let waiting = self.waiting().await;
            if waiting == expected {
                return;
            }
            assert!(
                std::time::Instant::now() < end,
                "{waiting} statements wait; expected {expected}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn release(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.owner).await.unwrap();
    }
}

async fn outcome(api: &Client, query: &str) -> Result<Value, (String, String)> {
    let response = api.execute(query, json!({})).await.unwrap();
    match response.get("errors") {
        None => Ok(response),
        Some(_) => Err(first_error(&response)),
    }
}

#[tokio::test]
async fn a_client_that_has_its_share_of_requests_in_progress_does_not_keep_others_waiting() {
    let server = Server::with(|config| config.limits.client_requests = 1).await;
    let [ada, bob] = [
        server.api.as_account("ada", "READ").await,
        server.api.as_account("bob", "READ").await,
    ];
    let mut locked = LockedTable::of(&server, "model").await;
    let of_ada = ada.clone();
    let first = tokio::spawn(async move { outcome(&of_ada, MODELS).await });
    locked.wait_for(1).await;
    let (code, message) = outcome(&ada, "{ serverInfo { version } }").await.unwrap_err();
    assert_eq!(code, "OVERLOADED");
    assert!(
        message.contains("you have 1 requests in progress") && message.contains("--max-client-requests"),
        "{message}"
    );
    let plot = ada.get("/trainings/VmVyc2lvbjox.svg").await;
    assert_eq!(plot.status(), 503);
    assert!(plot.text().await.unwrap().contains("you have 1 requests in progress"));
    assert!(outcome(&bob, "{ serverInfo { version } }").await.is_ok());
    locked.release().await;
    assert!(first.await.unwrap().is_ok());
    assert!(outcome(&ada, MODELS).await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_statements_of_one_client_take_half_of_the_connections() {
    let server = Server::with(|config| config.database_connections = 4).await;
    let [ada, bob] = [
        server.api.as_account("ada", "READ").await,
        server.api.as_account("bob", "READ").await,
    ];
    let mut locked = LockedTable::of(&server, "model").await;
    let requests: Vec<_> = std::iter::repeat_with(|| {
        let ada = ada.clone();
        tokio::spawn(async move { outcome(&ada, MODELS).await })
    })
    .take(6)
    .collect();
    locked.wait_for(2).await;
    assert!(
        outcome(&bob, "{ datasets { name } }").await.is_ok(),
        "two connections are free"
    );
    assert_eq!(locked.waiting().await, 2);
    locked.release().await;
    for request in requests {
        assert!(request.await.unwrap().is_ok());
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_statements_of_clients_that_leave_are_cancelled() {
    let server = Server::with(|config| config.limits.client_requests = 1).await;
    let mut locked = LockedTable::of(&server, "model").await;
    let api = server.api.clone();
    let posting = tokio::spawn(async move { outcome(&api, MODELS).await });
    locked.wait_for(1).await;
    posting.abort();
    locked.wait_for(0).await;

    let socket = Subscription::start(&server.api, MODELS, json!({})).await;
    locked.wait_for(1).await;
    drop(socket);
    locked.wait_for(0).await;

    locked.release().await;

    let mut locked = LockedTable::of(&server, "version").await;
    let api = server.api.clone();
    let drawing = tokio::spawn(async move { api.get("/trainings/VmVyc2lvbjox.svg").await });
    locked.wait_for(1).await;
    drawing.abort();
    locked.wait_for(0).await;
    locked.release().await;

    let mut locked = LockedTable::of(&server, "job").await;
    let watch = "subscription { job(id: \"Sm9iOjE\") { status } }";
    let watched = Subscription::start(&server.api, watch, json!({})).await;
    locked.wait_for(1).await;
    drop(watched);
    locked.wait_for(0).await;
    locked.release().await;
    assert!(
        outcome(&server.api, MODELS).await.is_ok(),
        "the permits have been returned"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_waits_for_a_permit_for_a_request() {
    let server = Server::with(|config| config.limits.concurrent_requests = 1).await;
    let model = server.api.model("m").await;
    let job = server
        .api
        .push(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    server.api.wait_for_success(&job).await;
    let mut locked = LockedTable::of(&server, "dataset").await;
    let api = server.api.clone();
    let request = tokio::spawn(async move { outcome(&api, "{ datasets { name } }").await });
    locked.wait_for(1).await;
    let mut events = Subscription::start(&server.api, LAYERS, json!({ "id": job })).await;
    let waiting = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
    assert!(waiting.is_err(), "the request has the only permit: {waiting:?}");
    locked.release().await;
    assert!(request.await.unwrap().is_ok());
    let event = events.next().await.unwrap();
    assert!(
        event["data"]["job"]["version"]["layers"]["nodes"][0].is_object(),
        "{event:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_has_the_timeout_and_the_size_of_a_response() {
    let server = Server::with(|config| {
        config.limits.timeout_seconds = 1;
        config.limits.response_bytes = 3_000;
    })
    .await;
    let model = server.api.model("m").await;
    let job = server
        .api
        .push(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    server.api.wait_for_success(&job).await;

    let aliases: String = (0..40).map(|index| format!("n{index}: name ")).collect();
    let large = LAYERS.replace("name", &aliases);
    let mut events = Subscription::start(&server.api, &large, json!({ "id": job })).await;
    let (code, message) = first_error(&json!({ "errors": events.next().await.unwrap() }));
    assert_eq!(code, "QUERY_TOO_COMPLEX");
    assert!(message.contains("3000 bytes"), "{message}");
    // Over HTTP as well.
    let streamed = client::http().post(format!("{}/graphql", server.api.url));
    let streamed = streamed.header("accept", "text/event-stream");
    let streamed = streamed.json(&json!({ "query": large, "variables": { "id": job } }));
    let streamed = streamed.send().await.unwrap().text().await.unwrap();
    assert!(
        streamed.contains("3000 bytes") && streamed.contains("event: complete"),
        "{streamed}"
    );

    let locked = LockedTable::of(&server, "layer").await;
    // A page that is not in memory yet.
    let page = LAYERS.replace("layers", "layers(first: 3)");
    let mut events = Subscription::start(&server.api, &page, json!({ "id": job })).await;
    let (code, message) = first_error(&json!({ "errors": events.next().await.unwrap() }));
    assert_eq!(code, "TIMEOUT");
    assert!(message.contains("more than 1 seconds"), "{message}");
    locked.release().await;
    server.stop().await.unwrap();
}
