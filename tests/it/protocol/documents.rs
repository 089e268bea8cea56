//! Persisted and trusted documents.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{GRAPHQL_RESPONSE, post};
use crate::support::client::first_error;
use crate::support::server::Server;
use crate::support::socket::Subscription;

#[tokio::test]
async fn a_persisted_document_can_be_requested_by_its_hash() {
    let server = Server::start().await;
    let api = &server.api;
    let document = "{ serverInfo { version } }";
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hex::encode(Sha256::digest(document)) } });
    let unknown = post(api, GRAPHQL_RESPONSE, &json!({ "extensions": extensions })).await;
    assert_eq!(unknown.status(), 400);
    let (code, message) = first_error(&unknown.json().await.unwrap());
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("NOT_FOUND", "PersistedQueryNotFound")
    );
    let sent = post(
        api,
        GRAPHQL_RESPONSE,
        &json!({ "query": document, "extensions": extensions }),
    )
    .await;
    assert_eq!(sent.status(), 200);
    let known = post(api, GRAPHQL_RESPONSE, &json!({ "extensions": extensions })).await;
    assert!(known.json::<Value>().await.unwrap()["data"]["serverInfo"]["version"].is_string());
    // As Apollo's clients do it, so that caches between client and server can store responses by URL.
    let address = format!("{}/graphql", api.url);
    let address = reqwest::Url::parse_with_params(&address, [("extensions", extensions.to_string())]).unwrap();
    let by_get: Value = reqwest::get(address).await.unwrap().json().await.unwrap();
    assert!(by_get["data"]["serverInfo"]["version"].is_string(), "{by_get:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_with_trusted_documents_executes_no_others() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let documents = json!({ "version": "{ serverInfo { version } }",
                            "create": "mutation { createModel(input: { name: \"m\" }) { model { id } } }" });
    serde_json::to_writer(&mut file, &documents).unwrap();
    let server = Server::with(|config| config.trusted_documents = Some(file.path().to_owned())).await;
    let api = &server.api;
    let other = post(api, GRAPHQL_RESPONSE, &json!({ "query": "{ serverInfo { device } }" })).await;
    assert_eq!(first_error(&other.json().await.unwrap()).0, "FORBIDDEN");
    let named = post(api, GRAPHQL_RESPONSE, &json!({ "documentId": "version" })).await;
    assert!(named.json::<Value>().await.unwrap()["data"]["serverInfo"]["version"].is_string());
    // Over a WebSocket as well.
    let mut socket = Subscription::start_with(api, json!({ "documentId": "version" })).await;
    assert!(socket.next().await.unwrap()["data"]["serverInfo"]["version"].is_string());
    let address = format!("{}/graphql?documentId=create", api.url);
    assert_eq!(reqwest::get(address).await.unwrap().status(), 405, "a GET only reads");
    server.stop().await.unwrap();
}
