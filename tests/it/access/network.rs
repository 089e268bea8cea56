//! Which machines and host names a server accepts.

use scv::app::App;
use scv::config::{AccessChoice, Config};
use serde_json::json;

use crate::support::client;
use crate::support::server::{self, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_other_machines_requires_a_token_or_an_explicit_choice() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..server::config(folder.path()).await
    };
    let refused = format!("{:#}", App::build(&config).await.err().unwrap());
    assert!(
        refused.contains("`scv token create ACCOUNT --scope admin`") && refused.contains("--access open"),
        "{refused}"
    );
    let open = Config {
        access: Some(AccessChoice::Open),
        ..config
    };
    assert!(App::build(&open).await.is_ok());
    // Once a token exists, the server starts and requires it.
    let other = Server::with(|config| config.database_url.clone_from(&open.database_url)).await;
    other.api.as_account("admin", "ADMIN").await;
    other.stop().await.unwrap();
    let with_token = Config { access: None, ..open };
    assert!(App::build(&with_token).await.is_ok());
}

#[tokio::test]
async fn requests_under_a_foreign_host_name_are_refused() {
    let server = Server::with(|config| config.allowed_origins = vec!["http://scv.example.com:8000".to_owned()]).await;
    let status = async |host: &str| {
        let request = client::http()
            .post(format!("{}/graphql", server.api.url))
            .header("host", host);
        let request = request.json(&json!({ "query": "{ __typename }" }));
        request.send().await.unwrap().status().as_u16()
    };
    for (host, expected) in [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost", 200),
        ("scv.example.com:8000", 200),
        ("example.com:8000", 403),
        ("evil.example.com", 403),
        ("localhost.evil.example.com:8000", 403),
    ] {
        assert_eq!(status(host).await, expected, "{host}");
    }
    server.stop().await.unwrap();
}
