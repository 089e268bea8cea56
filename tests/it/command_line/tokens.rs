//! Access tokens.

use serde_json::{Value, json};

use super::{program, stderr};
use crate::support::server::Server;

#[tokio::test]
async fn tokens_are_created_listed_and_revoked_beside_a_server_that_requires_them() {
    let open = Server::start().await;
    let url = open.config.database_url.clone().unwrap();
    let token = async |arguments: &[&str]| {
        let mut command = program(&[&["--json", "token"], arguments].concat());
        command.env("DATABASE_URL", &url);
        command.output().await.unwrap()
    };
    let created = token(&[
        "create",
        "ada",
        "--scope",
        "admin",
        "--days",
        "30",
        "--description",
        "mine",
    ])
    .await;
    let created: Value = serde_json::from_slice(&created.stdout).unwrap();
    let secret = created["secret"].as_str().unwrap().to_owned();
    let strict = Server::with(|config| {
        config.database_url = Some(url.clone());
        config.data_dir.clone_from(&open.config.data_dir);
        config.access = Some(scv::config::AccessChoice::Tokens);
    })
    .await;
    let compare = async |secret: Option<&str>| {
        let mut command = program(&["compare", "none", "--server", &strict.api.url]);
        command.envs(secret.map(|secret| ("SCV_TOKEN", secret)));
        let output = command.output().await.unwrap();
        (output.status.code(), stderr(&output))
    };
    for secret in [None, Some("scv_none")] {
        let (code, message) = compare(secret).await;
        assert_eq!(code, Some(4));
        assert!(
            message.contains("; set SCV_TOKEN, or name a file") && message.contains("--token-file"),
            "{message}"
        );
    }
    let (code, inside) = compare(Some(&secret)).await;
    assert_eq!(code, Some(3));
    assert!(inside.contains("none") && !inside.contains("SCV_TOKEN"), "{inside}");

    let listed: Value = serde_json::from_slice(&token(&["list"]).await.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed[0]["account"], &listed[0]["description"]),
        (&json!("ada"), &json!("mine"))
    );
    assert!(
        listed[0]["lastUsedAt"].is_string() && listed[0].get("secret").is_none(),
        "{listed:#}"
    );
    let number = listed[0]["number"].to_string();
    assert!(token(&["revoke", &number]).await.status.success());
    let (code, revoked) = compare(Some(&secret)).await;
    assert!(code == Some(4) && revoked.contains("; set SCV_TOKEN"), "{revoked}");
    let unknown = token(&["revoke", "99"]).await;
    assert_eq!(unknown.status.code(), Some(3));
    assert!(stderr(&unknown).contains("has no token 99"));
    strict.stop().await.unwrap();
    open.stop().await.unwrap();
}

#[tokio::test]
async fn a_misspelt_directory_does_not_become_a_library() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("typo");
    for arguments in [&["token", "create", "ada"][..], &["token", "list"], &["analyst-role"]] {
        let output = program(arguments)
            .args(["--data-dir", directory.to_str().unwrap()])
            .output()
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        let message = stderr(&output);
        assert!(
            message.contains("there is no library in") && message.contains("typo"),
            "{message}"
        );
        assert!(!directory.exists(), "{arguments:?}");
    }
}
