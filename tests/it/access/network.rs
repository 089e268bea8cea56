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
    let other = Server::with(|config| {
        config.database_url.clone_from(&open.database_url);
        config.data_dir.clone_from(&open.data_dir);
    })
    .await;
    other.api.as_account("admin", "ADMIN").await;
    other.stop().await.unwrap();
    let with_token = Config { access: None, ..open };
    assert!(App::build(&with_token).await.is_ok());
}

/// The status of a response to a request under a host name.
async fn status(server: &Server, host: &str) -> u16 {
    let request = client::http()
        .post(format!("{}/graphql", server.api.url))
        .header("host", host);
    let request = request.json(&json!({ "query": "{ __typename }" }));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn requests_under_a_foreign_host_name_are_refused_wherever_no_token_is_needed() {
    for access in [None, Some(AccessChoice::Open)] {
        let server = Server::with(|config| {
            config.access = access;
            config.allowed_origins = vec!["http://scv.example.com:8000".to_owned()];
            config.allowed_hosts = vec!["scv.lan".to_owned()];
        })
        .await;
        for (host, expected) in [
            ("127.0.0.1:8000", 200),
            ("[::1]:8000", 200),
            ("localhost", 200),
            ("LOCALHOST:8000", 200),
            ("scv.example.com:8000", 200),
            ("scv.lan", 200),
            ("Scv.Lan:9000", 200),
            ("example.com:8000", 403),
            ("evil.example.com", 403),
            ("localhost.evil.example.com:8000", 403),
        ] {
            assert_eq!(status(&server, host).await, expected, "{access:?} {host}");
        }
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_requires_tokens_serves_every_host_name() {
    let server = Server::with(|config| config.access = Some(AccessChoice::Open)).await;
    server.api.as_account("admin", "ADMIN").await;
    let with_tokens = Server::with(|config| {
        config.database_url.clone_from(&server.config.database_url);
        config.data_dir.clone_from(&server.config.data_dir);
        config.access = Some(AccessChoice::Tokens);
    })
    .await;
    assert_eq!(status(&with_tokens, "scv.example.com").await, 401);
    with_tokens.stop().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn pages_of_other_sites_cannot_make_a_browser_request_plots() {
    let server = Server::start().await;
    let plot = format!("{}/cka/VmVyc2lvbjox/VmVyc2lvbjoy.svg", server.api.url);
    for (site, destination, expected) in [
        ("same-origin", "image", 404),
        ("none", "document", 404),
        // A link in another site.
        ("cross-site", "document", 404),
        ("cross-site", "image", 403),
        ("cross-site", "iframe", 403),
        ("same-site", "image", 403),
    ] {
        let request = client::http()
            .get(&plot)
            .header("sec-fetch-site", site)
            .header("sec-fetch-dest", destination);
        let status = request.send().await.unwrap().status();
        assert_eq!(status, expected, "{site} {destination}");
    }
    server.stop().await.unwrap();
}
