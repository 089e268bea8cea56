//! Tokens: without a valid one, a server that requires tokens refuses every request.

use scv::config::AccessChoice;
use serde_json::{Value, json};

use super::document;
use crate::support::client::{self, Client, first_error, text};
use crate::support::server::Server;
use crate::support::socket::Subscription;

/// A second server on the database of another one; it requires a token.
async fn server_with_tokens(open: &Server) -> Server {
    let (url, data_dir) = (open.config.database_url.clone(), open.config.data_dir.clone());
    Server::with(|config| {
        config.database_url = url;
        config.data_dir = data_dir;
        config.access = Some(AccessChoice::Tokens);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_requires_tokens_refuses_requests_without_a_valid_one() {
    let open = Server::start().await;
    let admin = open.api.as_account("admin", "ADMIN").await;
    let server = server_with_tokens(&open).await;
    let info = json!({ "query": "{ viewer { account scope } }" });
    let status = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let has_challenge = response.headers().get("www-authenticate").is_some();
        assert_eq!(has_challenge, response.status() == 401);
        response.status().as_u16()
    };
    let http = client::http();
    let post = || http.post(format!("{}/graphql", server.api.url)).json(&info);
    assert_eq!(status(post()).await, 401);
    assert_eq!(
        first_error(&post().send().await.unwrap().json().await.unwrap()).0,
        "UNAUTHENTICATED"
    );
    for wrong in ["Bearer scv_0000", "Bearer", "Basic c2N2OnNjdg==", "bearer nonsense"] {
        assert_eq!(status(post().header("authorization", wrong)).await, 401, "{wrong}");
    }
    for path in [
        "/metrics",
        "/versions/VmVyc2lvbjox/network.onnx",
        "/trainings/VmVyc2lvbjox.svg",
    ] {
        assert_eq!(server.api.get(path).await.status(), 401, "{path}");
    }
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(server.api.get(path).await.status(), 200, "{path}");
    }
    let job = "subscription { job(id: \"Sm9iOjE\") { status } }";
    assert_eq!(
        Subscription::start(&server.api, job, json!({}))
            .await
            .close_code()
            .await,
        4403
    );

    let token = admin.token.clone().unwrap();
    let authenticated = server.api.with_token(&token);
    let viewer = authenticated.data("{ viewer { account scope } }", json!({})).await;
    assert_eq!(viewer["viewer"], json!({ "account": "admin", "scope": "ADMIN" }));
    assert_eq!(authenticated.get("/metrics").await.status(), 200);
    assert_eq!(
        status(post().header("authorization", format!("bearer {token}"))).await,
        200
    );
    server.stop().await.unwrap();
    open.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_and_revokes_only_its_own_tokens_and_a_revoked_token_is_refused() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let create = "mutation($input: CreateTokenInput!) { createToken(input: $input) {
        secret token { id account scope expiresAt revokedAt lastUsedAt } } }";
    let past = json!({ "input": { "account": "a", "expiresAt": "2020-01-01T00:00:00Z" } });
    let (code, message) = admin.error(create, past).await;
    assert_eq!((code.as_str(), message.contains("expiresAt")), ("BAD_USER_INPUT", true));
    let created = admin.data(create, json!({ "input": { "account": "a" } })).await["createToken"].take();
    let id = text(&created["token"]["id"]);
    assert_eq!(created["token"]["scope"], "READ");
    let user = server.api.with_token(created["secret"].as_str().unwrap());
    let own = user
        .data("{ tokens { totalCount nodes { id account lastUsedAt } } }", json!({}))
        .await["tokens"]
        .take();
    assert_eq!(
        (&own["totalCount"], &own["nodes"][0]["id"]),
        (&json!(1), &json!(id)),
        "{own:#}"
    );
    let all = admin
        .data("{ tokens { totalCount pageInfo { hasNextPage } } }", json!({}))
        .await;
    assert_eq!(all["tokens"]["totalCount"], 2);
    // Tokens of other accounts do not exist for this account.
    let of_admin =
        admin.data("{ tokens(first: 1) { nodes { id } } }", json!({})).await["tokens"]["nodes"][0]["id"].take();
    let revoke = |id: &Value| json!({ "input": { "id": id } });
    let document = "mutation($input: RevokeTokenInput!) { revokeToken(input: $input) { token { revokedAt } } }";
    assert_eq!(user.error(document, revoke(&of_admin)).await.0, "NOT_FOUND");
    assert!(
        user.data("query($id: ID!) { node(id: $id) { id } }", json!({ "id": of_admin }))
            .await["node"]
            .is_null()
    );
    let revoked = user.data(document, revoke(&json!(id))).await;
    assert!(revoked["revokeToken"]["token"]["revokedAt"].is_string());
    assert_eq!(user.error("{ viewer { scope } }", json!({})).await.0, "UNAUTHENTICATED");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_socket_cannot_use_a_revoked_token() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let (reader, writer) = (
        server.api.as_account("a", "READ").await,
        server.api.as_account("a", "WRITE").await,
    );
    let mut socket = Subscription::start(&writer, "{ viewer { account } }", json!({})).await;
    assert_eq!(socket.next().await.unwrap()["data"]["viewer"]["account"], "a");
    assert!(socket.next().await.is_none());
    let tokens = "{ tokens { nodes { id scope } } }";
    let tokens = writer.data(tokens, json!({})).await["tokens"]["nodes"].take();
    let of = |scope: &str| {
        let mut all = tokens.as_array().unwrap().iter();
        text(&all.find(|token| token["scope"] == scope).unwrap()["id"])
    };
    let revoke = |id: &str| json!({ "input": { "id": id } });
    // A token cannot revoke one with a larger scope.
    let (code, _) = reader.error(&document("revokeToken"), revoke(&of("WRITE"))).await;
    assert_eq!(code, "FORBIDDEN");
    admin.data(&document("revokeToken"), revoke(&of("WRITE"))).await;
    socket
        .send("mutation { createModel(input: { name: \"late\" }) { model { id } } }")
        .await;
    assert!(socket.next().await.unwrap().to_string().contains("UNAUTHENTICATED"));
    assert!(admin.data("{ model(name: \"late\") { id } }", json!({})).await["model"].is_null());
    assert!(
        reader
            .data(&document("revokeToken"), revoke(&of("READ")))
            .await
            .is_object()
    );
    server.stop().await.unwrap();
}

/// Creates a token and returns the response.
const CREATE: &str = "mutation($input: CreateTokenInput!) { createToken(input: $input) {
    secret token { id account scope expiresAt } } }";

#[tokio::test(flavor = "multi_thread")]
async fn who_may_write_creates_tokens_of_the_own_account_that_allow_no_more() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let reader = server.api.as_account("ada", "READ").await;
    let writer = server.api.as_account("ada", "WRITE").await;
    for (api, input, expected) in [
        // A token that only reads must not outlive its revocation, or crowd out others.
        (&reader, json!({}), Err("FORBIDDEN")),
        (&writer, json!({}), Ok(json!(["ada", "READ"]))),
        (&writer, json!({ "account": "ada" }), Ok(json!(["ada", "READ"]))),
        (&writer, json!({ "scope": "WRITE" }), Ok(json!(["ada", "WRITE"]))),
        (&writer, json!({ "scope": "ADMIN" }), Err("FORBIDDEN")),
        (&writer, json!({ "account": "bob" }), Err("FORBIDDEN")),
        (
            &writer,
            json!({ "expiresAt": "2020-01-01T00:00:00Z" }),
            Err("BAD_USER_INPUT"),
        ),
        (&admin, json!({ "scope": "ADMIN" }), Ok(json!(["admin", "ADMIN"]))),
        // A request without a token has no account of its own.
        (&server.api, json!({}), Err("BAD_USER_INPUT")),
    ] {
        match expected {
            Ok(expected) => {
                let created = api.data(CREATE, json!({ "input": input })).await["createToken"].take();
                assert_eq!(
                    json!([created["token"]["account"], created["token"]["scope"]]),
                    expected,
                    "{input}"
                );
                let user = server.api.with_token(created["secret"].as_str().unwrap());
                let viewer = user.data("{ viewer { account scope } }", json!({})).await["viewer"].take();
                assert_eq!(json!([viewer["account"], viewer["scope"]]), expected, "{input}");
            }
            Err(expected) => {
                assert_eq!(
                    api.error(CREATE, json!({ "input": input })).await.0,
                    expected,
                    "{input}"
                );
            }
        }
    }
    let log = "{ auditLog(first: 7) { nodes { account mutation input code } } }";
    let log = admin.data(log, json!({})).await["auditLog"]["nodes"].take();
    let entry =
        json!({ "account": "ada", "mutation": "createToken", "input": { "scope": "ADMIN" }, "code": "FORBIDDEN" });
    assert!(log.as_array().unwrap().contains(&entry), "{log:#}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ones_own_is_valid_no_longer_than_the_one_that_created_it() {
    let server = Server::start().await;
    let first = json!({ "account": "ada", "scope": "WRITE", "expiresAt": "2999-01-01T00:00:00Z" });
    let first = server.api.data(CREATE, json!({ "input": first })).await["createToken"].take();
    let ada = server.api.with_token(first["secret"].as_str().unwrap());
    let end = async |input: Value| {
        let created = ada.data(CREATE, json!({ "input": input })).await;
        text(&created["createToken"]["token"]["expiresAt"])
    };
    assert_eq!(end(json!({})).await, "2999-01-01T00:00:00+00:00");
    let earlier = "2998-01-01T00:00:00+00:00";
    assert_eq!(end(json!({ "expiresAt": earlier })).await, earlier);
    let later = json!({ "input": { "expiresAt": "2999-01-02T00:00:00Z" } });
    let (code, message) = ada.error(CREATE, later).await;
    assert_eq!(code, "FORBIDDEN");
    assert!(message.contains("expires at 2999-01-01"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_lists_and_revokes_its_own_tokens() {
    let server = Server::start().await;
    let admin = server.api.as_account("admin", "ADMIN").await;
    let writer = server.api.as_account("ada", "WRITE").await;
    let reader = server.api.as_account("ada", "READ").await;
    let query = "{ viewer { tokens { totalCount nodes { id account } } } }";
    let own = async |api: &Client| api.data(query, json!({})).await["viewer"]["tokens"].take();
    let tokens = own(&writer).await;
    assert_eq!(
        (&tokens["totalCount"], &tokens["nodes"][1]["account"]),
        (&json!(2), &json!("ada"))
    );
    let of_admin = own(&admin).await;
    assert_eq!(of_admin["totalCount"], 1, "its own alone: {of_admin:#}");
    assert_eq!(
        own(&server.api).await,
        json!({ "totalCount": 0, "nodes": [] }),
        "no account"
    );
    let pages = "{ viewer { tokens(last: 1) { nodes { id } pageInfo { hasPreviousPage } } } }";
    let last = writer.data(pages, json!({})).await["viewer"]["tokens"].take();
    let expected = json!({ "nodes": [{ "id": tokens["nodes"][1]["id"] }], "pageInfo": { "hasPreviousPage": true } });
    assert_eq!(last, expected);

    let revoke = json!({ "input": { "id": tokens["nodes"][1]["id"] } });
    let of_writer = json!({ "input": { "id": tokens["nodes"][0]["id"] } });
    assert_eq!(reader.error(&document("revokeToken"), of_writer).await.0, "FORBIDDEN");
    writer.data(&document("revokeToken"), revoke).await;
    assert_eq!(reader.error(query, json!({})).await.0, "UNAUTHENTICATED");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_at_most_a_hundred_valid_tokens() {
    let server = Server::start().await;
    let ada = server.api.as_account("ada", "WRITE").await;
    // Those that are revoked or expired do not count.
    server
        .execute(
            "insert into token (account_id, digest, scope, expires_at, revoked_at)
                  select account_id, sha256(number::text::bytea), 'READ', case when number > 110 then now() end,
                         case when number between 100 and 110 then now() end
                    from account cross join generate_series(2, 120) as number",
        )
        .await;
    ada.data(CREATE, json!({ "input": {} })).await;
    let for_ada = json!({ "input": { "account": "ada" } });
    for (api, input) in [(&ada, json!({ "input": {} })), (&server.api, for_ada)] {
        let (code, message) = api.error(CREATE, input).await;
        assert_eq!(code, "CONFLICT");
        assert!(message.contains("100 valid tokens"), "{message}");
    }
    server
        .execute("update token set revoked_at = now() where token_id = (select max(token_id) from token)")
        .await;
    ada.data(CREATE, json!({ "input": {} })).await;
    server.stop().await.unwrap();
}
