//! Sessions: a cookie that stands for a token, for this server's own pages alone.

use reqwest::{RequestBuilder, Response};
use scv::config::AccessChoice;
use serde_json::{Value, json};

use super::private_model;
use crate::support::client::{self, first_error, text};
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

/// What the page sends with every request that is not a GET.
const PREFLIGHT: (&str, &str) = ("graphql-preflight", "1");

/// A server that requires tokens, on the database of an open one.
struct Library {
    open: Server,
    server: Server,
    token: String,
}

impl Library {
    async fn create() -> Self {
        let open = Server::start().await;
        let token = open.api.as_account("owner", "WRITE").await.token.unwrap();
        let url = open.config.database_url.clone();
        let data_dir = open.config.data_dir.clone();
        let server = Server::with(|config| {
            config.database_url = url;
            config.data_dir = data_dir;
            config.access = Some(AccessChoice::Tokens);
        })
        .await;
        Self { open, server, token }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.api.url)
    }

    /// The response to signing in.
    async fn sign_in(&self) -> Response {
        let request = client::http().post(self.url("/session"));
        request.bearer_auth(&self.token).send().await.unwrap()
    }

    /// The cookie of a new session, as a browser sends it.
    async fn cookie(&self) -> String {
        let response = self.sign_in().await;
        assert_eq!(response.status(), 204);
        cookie_of(&response)
    }

    fn viewer(&self) -> RequestBuilder {
        let body = json!({ "query": "{ viewer { account } }" });
        client::http().post(self.url("/graphql")).json(&body)
    }

    async fn stop(self) {
        self.server.stop().await.unwrap();
        self.open.stop().await.unwrap();
    }
}

/// The name and the value of the cookie that a response sets.
fn cookie_of(response: &Response) -> String {
    let header = response.headers().get("set-cookie").unwrap().to_str().unwrap();
    header.split(';').next().unwrap().to_owned()
}

async fn json_of(request: RequestBuilder) -> Value {
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_stands_for_a_token_gives_what_the_token_gives() {
    let library = Library::create().await;
    let owner = library.server.api.with_token(&library.token);
    let model = private_model(&owner, "secret").await;
    let version = owner
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let response = library.sign_in().await;
    let header = response.headers().get("set-cookie").unwrap().to_str().unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
        assert!(header.contains(attribute), "{header}");
    }
    assert!(
        !header.contains(&library.token) && !header.contains("Secure"),
        "{header}"
    );
    let cookie = cookie_of(&response);

    let viewer = library
        .viewer()
        .header("cookie", &cookie)
        .header(PREFLIGHT.0, PREFLIGHT.1);
    assert_eq!(json_of(viewer).await["data"]["viewer"]["account"], "owner");
    // Downloads and pictures come with nothing but the cookie.
    let download = client::http().get(library.url(&format!("/versions/{version}/network.onnx")));
    assert_eq!(download.try_clone().unwrap().send().await.unwrap().status(), 401);
    assert_eq!(download.header("cookie", &cookie).send().await.unwrap().status(), 200);
    let query = client::http().get(library.url("/graphql?query={models{nodes{name}}}"));
    let seen = json_of(query.header("cookie", &cookie)).await;
    assert_eq!(seen["data"]["models"]["nodes"], json!([{ "name": "secret" }]));
    library.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_cannot_use_begin_or_end_a_session() {
    let library = Library::create().await;
    let cookie = library.cookie().await;
    let with_cookie = |request: RequestBuilder| request.header("cookie", &cookie);
    // A form of another page can post, but without such a header.
    let refused = json_of(with_cookie(library.viewer())).await;
    assert_eq!(first_error(&refused).0, "FORBIDDEN");
    for foreign in [
        ("origin", "https://example.com"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let posted = with_cookie(library.viewer())
            .header(PREFLIGHT.0, PREFLIGHT.1)
            .header(foreign.0, foreign.1);
        assert_eq!(first_error(&json_of(posted).await).0, "FORBIDDEN", "{foreign:?}");
        let got = with_cookie(client::http().get(library.url("/graphql?query={viewer{account}}")));
        assert_eq!(
            got.header(foreign.0, foreign.1).send().await.unwrap().status(),
            403,
            "{foreign:?}"
        );
        let begun = client::http().post(library.url("/session")).bearer_auth(&library.token);
        let begun = begun.header(foreign.0, foreign.1).send().await.unwrap();
        assert_eq!(
            (begun.status().as_u16(), begun.headers().get("set-cookie")),
            (403, None),
            "{foreign:?}"
        );
        let ended = with_cookie(client::http().delete(library.url("/session"))).header(PREFLIGHT.0, PREFLIGHT.1);
        let ended = ended.header(foreign.0, foreign.1).send().await.unwrap();
        assert_eq!(
            (ended.status().as_u16(), ended.headers().get("set-cookie")),
            (403, None),
            "{foreign:?}"
        );
    }
    let viewer = with_cookie(library.viewer()).header(PREFLIGHT.0, PREFLIGHT.1);
    assert_eq!(json_of(viewer).await["data"]["viewer"]["account"], "owner");
    // A session does not begin others.
    let again = with_cookie(client::http().post(library.url("/session"))).header(PREFLIGHT.0, PREFLIGHT.1);
    assert_eq!(again.send().await.unwrap().status(), 401);
    library.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_and_so_does_the_end_of_its_token() {
    let library = Library::create().await;
    let (first, second) = (library.cookie().await, library.cookie().await);
    let viewer = async |cookie: &str| {
        let request = library
            .viewer()
            .header("cookie", cookie)
            .header(PREFLIGHT.0, PREFLIGHT.1);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((viewer(&first).await, viewer(&second).await), (200, 200));
    let end = client::http().delete(library.url("/session")).header("cookie", &first);
    let ended = end.header(PREFLIGHT.0, PREFLIGHT.1).send().await.unwrap();
    assert_eq!(ended.status(), 204);
    assert!(cookie_of(&ended).ends_with('='), "the cookie is taken back");
    assert_eq!((viewer(&first).await, viewer(&second).await), (401, 200));
    let tokens = library.open.api.data("{ tokens { nodes { id } } }", json!({})).await;
    let revoke = "mutation($id: ID!) { revokeToken(input: { id: $id }) { token { id } } }";
    let id = text(&tokens["tokens"]["nodes"][0]["id"]);
    library.open.api.data(revoke, json!({ "id": id })).await;
    assert_eq!(viewer(&second).await, 401);
    library.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_the_cookie_is_for_tls_and_this_host_alone() {
    let library = Library::create().await;
    let request = client::http().post(library.url("/session")).bearer_auth(&library.token);
    let response = request
        .header("host", "scv.example.com")
        .header("origin", "https://scv.example.com")
        .send()
        .await
        .unwrap();
    let header = response.headers().get("set-cookie").unwrap().to_str().unwrap();
    assert!(
        header.starts_with("__Host-scv=") && header.contains("Secure"),
        "{header}"
    );
    let viewer = library
        .viewer()
        .header("cookie", cookie_of(&response))
        .header(PREFLIGHT.0, PREFLIGHT.1);
    assert_eq!(json_of(viewer).await["data"]["viewer"]["account"], "owner");
    // Without TLS, the cookie that other hosts and connections without TLS can set counts for nothing over TLS, nor the other way round.
    let plain = library.cookie().await;
    let (_, secret) = plain.split_once('=').unwrap();
    let over_tls = library
        .viewer()
        .header("host", "scv.example.com")
        .header("sec-fetch-site", "same-origin");
    let over_tls = over_tls
        .header("cookie", format!("scv-80={secret}"))
        .header(PREFLIGHT.0, PREFLIGHT.1);
    assert_eq!(over_tls.send().await.unwrap().status(), 401);
    let without_tls = library
        .viewer()
        .header("host", "scv.example.com")
        .header("origin", "http://scv.example.com");
    let without_tls = without_tls
        .header("cookie", cookie_of(&response))
        .header(PREFLIGHT.0, PREFLIGHT.1);
    assert_eq!(without_tls.send().await.unwrap().status(), 401);
    library.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_signed_in_creates_tokens_as_with_the_token_itself() {
    let library = Library::create().await;
    let cookie = library.cookie().await;
    let create = async |scope: &str| {
        let query = format!("mutation {{ createToken(input: {{ scope: {scope} }}) {{ token {{ account scope }} }} }}");
        let request = client::http()
            .post(library.url("/graphql"))
            .json(&json!({ "query": query }));
        json_of(request.header("cookie", &cookie).header(PREFLIGHT.0, PREFLIGHT.1)).await
    };
    let created = create("WRITE").await;
    let expected = json!({ "account": "owner", "scope": "WRITE" });
    assert_eq!(created["data"]["createToken"]["token"], expected);
    assert_eq!(first_error(&create("ADMIN").await).0, "FORBIDDEN");
    library.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_asks_for_no_session_and_ignores_one_that_has_ended() {
    let server = Server::start().await;
    let body = json!({ "query": "{ viewer { account scope } }" });
    let port = server.api.url.rsplit_once(':').unwrap().1.to_owned();
    let request = client::http().post(format!("{}/graphql", server.api.url)).json(&body);
    let request = request
        .header("cookie", format!("scv-{port}=scv_unknown"))
        .header(PREFLIGHT.0, PREFLIGHT.1);
    assert_eq!(
        json_of(request).await["data"]["viewer"],
        json!({ "account": null, "scope": "ADMIN" })
    );
    let begun = client::http()
        .post(format!("{}/session", server.api.url))
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), 401);
    server.stop().await.unwrap();
}
