//! The rate limit per caller.

use scv::config::AccessChoice;
use serde_json::json;

use crate::support::client::{self, Client, first_error};
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_over_the_rate_limit_is_told_when_to_retry() {
    let server = Server::with(|config| config.limits.requests_per_minute = 5).await;
    let send = || {
        let request = client::http().post(format!("{}/graphql", server.api.url));
        request.json(&json!({ "query": "{ __typename }" })).send()
    };
    for _ in 0..5 {
        assert_eq!(send().await.unwrap().status(), 200);
    }
    let refused = send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    let (code, message) = first_error(&refused.json().await.unwrap());
    assert_eq!(
        (code.as_str(), message.contains("try again in")),
        ("OVERLOADED", true),
        "{message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_over_the_rate_limit_does_not_affect_others() {
    let server = Server::with(|config| config.limits.requests_per_minute = 8).await;
    let [ada, bob] = [
        server.api.as_account("ada", "READ").await,
        server.api.as_account("bob", "READ").await,
    ];
    let status = async |client: &Client| {
        let mut request = client::http().post(format!("{}/graphql", client.url));
        if let Some(token) = &client.token {
            request = request.bearer_auth(token);
        }
        let request = request.json(&json!({ "query": "{ __typename }" }));
        request.send().await.unwrap().status().as_u16()
    };
    for client in [&ada, &bob] {
        assert_eq!(status(client).await, 200);
    }
    // From the same address, without a token.
    while status(&server.api).await != 429 {}
    for _ in 0..7 {
        assert_eq!(status(&ada).await, 200, "a caller with a known token has its own limit");
    }
    assert_eq!(status(&ada).await, 429, "and that limit is reached");
    assert_eq!(status(&bob).await, 200);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_tokens_are_rate_limited() {
    let open = Server::start().await;
    open.api.as_account("somebody", "READ").await;
    let (url, data_dir) = (open.config.database_url.clone(), open.config.data_dir.clone());
    let server = Server::with(|config| {
        config.database_url = url;
        config.data_dir = data_dir;
        config.access = Some(AccessChoice::Tokens);
        config.limits.requests_per_minute = 5;
    })
    .await;
    let mut statuses = Vec::new();
    for guess in 0..6 {
        let request = client::http().post(format!("{}/graphql", server.api.url));
        let request = request
            .bearer_auth(format!("scv_{guess}"))
            .json(&json!({ "query": "{ __typename }" }));
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    server.stop().await.unwrap();
    open.stop().await.unwrap();
}
