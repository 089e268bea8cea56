//! GraphQL over HTTP as its specification has it: methods, media types, statuses, compression, and events.

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY,
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::client::{Client, first_error};
use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

const RESPONSE: &str = "application/graphql-response+json";

fn request(api: &Client, method: Method) -> RequestBuilder {
    reqwest::Client::new().request(method, format!("{}/graphql", api.url))
}

async fn post(api: &Client, accept: &str, body: &Value) -> Response {
    let request = request(api, Method::POST).header(ACCEPT, accept).json(body);
    request.send().await.unwrap()
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_status_says_what_became_of_a_request_to_clients_that_understand_it() {
    let server = Server::start().await;
    let api = &server.api;
    for (query, of_response, has_data) in [
        ("{ serverInfo { version } }", 200, true),
        ("{ node(id: \"?\") { id } }", 200, true),
        ("{ nothing }", 400, false),
        ("{ models(first: \"x\") { totalCount } }", 400, false),
        ("{", 400, false),
    ] {
        let body = json!({ "query": query });
        let response = post(api, RESPONSE, &body).await;
        assert_eq!(response.status(), of_response, "{query}");
        assert_eq!(header(&response, CONTENT_TYPE), format!("{RESPONSE}; charset=utf-8"));
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer.get("data").is_some(), has_data, "{answer:#}");

        let plain = post(api, "application/json", &body).await;
        assert_eq!(plain.status(), 200, "{query}");
        assert_eq!(header(&plain, CONTENT_TYPE), "application/json; charset=utf-8");
        assert_eq!(plain.json::<Value>().await.unwrap(), answer);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_what_to_send() {
    let server = Server::start().await;
    let api = &server.api;
    for (kind, body, status, words) in [
        ("application/json", "{", 400, "must be JSON"),
        ("application/json", "7", 400, "an object with `query`"),
        ("application/json", "{}", 400, "`query` is missing"),
        ("application/json", "[]", 400, "the list of requests is empty"),
        ("application/json", "[1]", 400, "request 0 must be an object"),
        ("application/json", r#"{"query":{}}"#, 400, "`query` must be a string"),
        (
            "application/json",
            r#"{"query":"{a}","variables":[1]}"#,
            400,
            "`variables` must be an object",
        ),
        (
            "application/json",
            r#"{"query":"{a}","extensions":"x"}"#,
            400,
            "`extensions` must be an object",
        ),
        (
            "application/json",
            r#"{"query":"{a}","operationName":1}"#,
            400,
            "`operationName` must be a string",
        ),
        ("application/json; charset=latin1", "{}", 415, "write it in UTF-8"),
        ("text/plain", "{}", 415, "send application/json"),
        ("", "{}", 415, "send application/json"),
    ] {
        let mut request = request(api, Method::POST).body(body);
        if !kind.is_empty() {
            request = request.header(CONTENT_TYPE, kind);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{kind} {body}");
        let (code, message) = first_error(&response.json().await.unwrap());
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains(words), "{message}");
    }
    let unknown = post(api, "text/html", &json!({ "query": "{ serverInfo { version } }" })).await;
    assert_eq!(unknown.status(), 406);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let response = request(api, method).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, ALLOW)),
            (405, "GET, POST, OPTIONS")
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_get_reads_and_never_writes() {
    let server = Server::start().await;
    let api = &server.api;
    let get = async |parameters: &[(&str, &str)]| {
        let address = reqwest::Url::parse_with_params(&format!("{}/graphql", api.url), parameters).unwrap();
        reqwest::get(address).await.unwrap()
    };
    let query = "query A($name: String) { model(name: $name) { id } } query B { serverInfo { version } }";
    let found = get(&[
        ("query", query),
        ("operationName", "A"),
        ("variables", r#"{"name":"m"}"#),
    ])
    .await;
    assert_eq!(found.status(), 200);
    assert_eq!(
        found.json::<Value>().await.unwrap(),
        json!({ "data": { "model": null } })
    );

    let create =
        "mutation M { createModel(input: { name: \"m\" }) { model { id } } } query Q { serverInfo { version } }";
    let refused = get(&[("query", create), ("operationName", "M")]).await;
    assert_eq!((refused.status().as_u16(), header(&refused, ALLOW)), (405, "POST"));
    assert_eq!(get(&[("query", create), ("operationName", "Q")]).await.status(), 200);
    for alone in [
        "mutation { createModel(input: { name: \"m\" }) { model { id } } }",
        "mutation M { createModel(input: { name: \"m\" }) { model { id } } }",
    ] {
        assert_eq!(get(&[("query", alone)]).await.status(), 405, "{alone}");
    }
    let made = api.data("{ models { totalCount } }", json!({})).await;
    assert_eq!(made["models"]["totalCount"], 0);

    let bad = get(&[("query", "{ serverInfo { version } }"), ("variables", "{")]).await;
    assert_eq!(bad.status(), 400);
    assert!(
        first_error(&bad.json().await.unwrap())
            .1
            .contains("`variables` must be JSON")
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_list_of_requests_is_answered_with_a_list_within_a_limit() {
    let server = Server::with(|config| config.limits.batch = 2).await;
    let api = &server.api;
    let one = json!({ "query": "{ models { totalCount } }" });
    let bad = json!({ "query": "{ nothing }" });
    let answers: Value = post(api, RESPONSE, &json!([one, bad])).await.json().await.unwrap();
    assert_eq!(answers[0], json!({ "data": { "models": { "totalCount": 0 } } }));
    assert_eq!(first_error(&answers[1]).0, "BAD_USER_INPUT");
    let response = post(api, RESPONSE, &json!([one, one, one])).await;
    assert_eq!(response.status(), 400);
    let (_, message) = first_error(&response.json().await.unwrap());
    assert!(
        message.contains("3 requests come at once, and 2 are allowed"),
        "{message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_form_that_another_site_could_send_uploads_nothing() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let input = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron(), "weights": null });
    let query = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { job { id } } }";
    let operations = json!({ "query": query, "variables": { "input": input } });
    let form = || {
        reqwest::multipart::Form::new()
            .text("operations", operations.to_string())
            .text("map", r#"{"0":["variables.input.weights"]}"#)
            .part(
                "0",
                reqwest::multipart::Part::bytes(first_weights(&perceptron(), 1)).file_name("weights"),
            )
    };
    let forged = request(api, Method::POST).multipart(form()).send().await.unwrap();
    assert_eq!(forged.status(), 400);
    let (code, message) = first_error(&forged.json().await.unwrap());
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("add `GraphQL-Preflight: 1`"), "{message}");
    let count = "query($id: ID!) { model(id: $id) { versions { totalCount } } }";
    let left = api.data(count, json!({ "id": model })).await;
    assert_eq!(left["model"]["versions"]["totalCount"], 0);

    for name in ["graphql-preflight", "apollo-require-preflight", "x-requested-with"] {
        let asked = request(api, Method::POST).header(name, "yes").multipart(form());
        let answer: Value = asked.send().await.unwrap().json().await.unwrap();
        assert!(answer.get("errors").is_none(), "{name}: {answer:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_files_of_a_request_are_counted() {
    let server = Server::with(|config| config.limits.files = 1).await;
    let send = async |parts: usize, map: &str| {
        let mut form = reqwest::multipart::Form::new()
            .text("operations", r#"{"query":"{ serverInfo { version } }"}"#)
            .text("map", map.to_owned());
        for part in 0..parts {
            let file = reqwest::multipart::Part::bytes(vec![0; 10]).file_name("file");
            form = form.part(part.to_string(), file);
        }
        let request = request(&server.api, Method::POST).header("graphql-preflight", "1");
        let response = request.multipart(form).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(send(1, "{}").await.0, 200);
    let (status, answer) = send(2, "{}").await;
    let (code, message) = first_error(&answer);
    assert_eq!((status, code.as_str()), (413, "PAYLOAD_TOO_LARGE"), "{message}");
    assert!(message.contains("more than 1 files"), "{message}");
    for (map, words) in [
        (r#"{"0":["variables.a","variables.b"]}"#, "names more than 1 places"),
        (r#"{"7":["variables.a"]}"#, "a file `7` that does not come"),
        ("[]", "`map` must name the variables"),
    ] {
        let (status, answer) = send(1, map).await;
        assert_eq!(status, 400);
        assert!(first_error(&answer).1.contains(words), "{answer:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_socket_and_reads_no_answer_unless_it_is_named() {
    let named = "https://scv.example.com";
    let server = Server::with(|config| config.allowed_origins = vec![named.to_owned()]).await;
    let own = server.api.url.clone();
    let query = format!("{own}/graphql?query=%7B__typename%7D");
    for (origin, status_of_socket, may_read) in [
        (own.as_str(), 101, false),
        (named, 101, true),
        ("https://example.com", 403, false),
        ("null", 403, false),
    ] {
        let socket = reqwest::Client::new()
            .get(format!("{own}/graphql/ws"))
            .header("origin", origin)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "graphql-transport-ws");
        assert_eq!(socket.send().await.unwrap().status(), status_of_socket, "{origin}");
        let asked = request(&server.api, Method::POST)
            .header("origin", origin)
            .json(&json!({ "query": "{ serverInfo { version } }" }));
        let response = asked.send().await.unwrap();
        let allowed = response.headers().get("access-control-allow-origin");
        assert_eq!(allowed.is_some_and(|allowed| allowed == origin), may_read, "{origin}");
        // What a browser asks first, for requests that a page cannot just send.
        let asked = request(&server.api, Method::OPTIONS)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,graphql-preflight",
            );
        let answer = asked.send().await.unwrap();
        let allowed = answer.headers().get("access-control-allow-headers");
        let allowed = allowed.map_or("", |allowed| allowed.to_str().unwrap()).to_lowercase();
        let is_allowed = ["authorization", "content-type", "graphql-preflight"]
            .iter()
            .all(|header| allowed.contains(header));
        assert_eq!(is_allowed, may_read, "{origin}: {allowed}");
        // A GET is sent unasked for whatever a page shows, so one of another page is not even executed.
        let asked = reqwest::Client::new().get(&query).header("origin", origin);
        let status = asked.send().await.unwrap().status();
        assert_eq!(status == 200, status_of_socket == 101, "{origin}");
    }
    let shown = reqwest::Client::new()
        .get(&query)
        .header("sec-fetch-site", "cross-site");
    let shown = shown.send().await.unwrap();
    assert_eq!(shown.status(), 403);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn it_is_said_how_long_an_answer_may_be_kept() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let version = api.pushed(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    for (path, expected) in [
        ("/graphql?query=%7B__typename%7D".to_owned(), "private, no-cache"),
        (format!("/cka/{version}/{version}.svg"), "private, max-age=3600"),
        (
            format!("/versions/{version}/weights.safetensors"),
            "private, max-age=31536000, immutable",
        ),
    ] {
        let answer = api.get(&path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, CACHE_CONTROL), expected, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    // A file is sent in pieces, and its length is known all the same.
    let path = format!("{}/versions/{version}/weights.safetensors", api.url);
    let asked = reqwest::Client::new().head(&path).send().await.unwrap();
    let length: usize = header(&asked, CONTENT_LENGTH).parse().unwrap();
    assert_eq!(reqwest::get(&path).await.unwrap().bytes().await.unwrap().len(), length);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_a_stopping_server_ends_is_not_complete() {
    let server = Server::start().await;
    let api = server.api.clone();
    let model = api.model("m").await;
    let job = api.train(&model, small_cnn(), json!({ "epochs": 400 })).await;
    let query = "subscription($id: ID!) { job(id: $id) { status } }";
    let mut response = post(
        &api,
        "text/event-stream",
        &json!({ "query": query, "variables": { "id": job } }),
    )
    .await;
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: next\n"));
    let stopping = tokio::spawn(server.stop());
    let mut rest = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        rest.extend_from_slice(&piece);
    }
    let rest = String::from_utf8(rest).unwrap();
    assert!(!rest.contains("event: complete"), "{rest}");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn long_answers_are_compressed_as_the_client_accepts_it() {
    let server = Server::start().await;
    let api = &server.api;
    let long = json!({ "query": "{ __schema { types { name description fields { name description } } } }" });
    let short = json!({ "query": "{ models { totalCount } }" });
    let ask = async |body: &Value, accept: &str| {
        let request = request(api, Method::POST).header(ACCEPT_ENCODING, accept).json(body);
        request.send().await.unwrap()
    };
    let plain = ask(&long, "identity").await;
    assert_eq!(header(&plain, CONTENT_ENCODING), "");
    assert!(header(&plain, VARY).contains("accept-encoding"));
    let plain = plain.bytes().await.unwrap();
    for (accept, coding) in [("gzip, br, zstd", "zstd"), ("br, gzip", "br"), ("gzip", "gzip")] {
        let packed = ask(&long, accept).await;
        assert_eq!(header(&packed, CONTENT_ENCODING), coding);
        let bytes = packed.bytes().await.unwrap();
        assert!(
            bytes.len() < plain.len() / 3,
            "{coding}: {} of {}",
            bytes.len(),
            plain.len()
        );
        let mut unpacked = Vec::new();
        match coding {
            "zstd" => unpacked = zstd::decode_all(&bytes[..]).unwrap(),
            "br" => brotli::BrotliDecompress(&mut &bytes[..], &mut unpacked)
                .map(drop)
                .unwrap(),
            _ => std::io::copy(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut unpacked)
                .map(drop)
                .unwrap(),
        }
        assert_eq!(unpacked, plain, "{coding}");
    }
    assert_eq!(header(&ask(&short, "gzip").await, CONTENT_ENCODING), "");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn subscriptions_and_queries_come_as_events_too() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let job = api.push(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    let events = async |query: &str| {
        let body = json!({ "query": query, "variables": { "id": job } });
        let response = post(api, "text/event-stream", &body).await;
        assert_eq!(header(&response, CONTENT_TYPE), "text/event-stream; charset=utf-8");
        response.text().await.unwrap()
    };
    let watched = events("subscription($id: ID!) { job(id: $id) { status } }").await;
    let answers: Vec<Value> = watched
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    assert_eq!(
        answers.last().unwrap()["data"]["job"]["status"],
        "SUCCEEDED",
        "{watched}"
    );
    assert!(watched.ends_with("event: complete\ndata:\n\n"), "{watched}");
    let once = events("query { models { totalCount } }").await;
    assert_eq!(
        once,
        "event: next\ndata: {\"data\":{\"models\":{\"totalCount\":1}}}\n\nevent: complete\ndata:\n\n"
    );
    let refused = events("subscription { nothing }").await;
    assert!(refused.starts_with("event: next\ndata: {\"errors\":[") && refused.ends_with("event: complete\ndata:\n\n"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fields_come_in_the_order_in_which_they_are_asked_for() {
    let server = Server::start().await;
    let fields = [
        "viewer",
        "scope",
        "account",
        "models",
        "totalCount",
        "pageInfo",
        "hasNextPage",
        "nodes",
        "serverInfo",
    ];
    let query = "{ viewer { scope account } models(first: 1) { totalCount pageInfo { hasNextPage } nodes { id } }
                   serverInfo { device } }";
    for accept in [RESPONSE, "text/event-stream"] {
        for _ in 0..20 {
            let answer = post(&server.api, accept, &json!({ "query": query }))
                .await
                .text()
                .await
                .unwrap();
            let places = fields.map(|field| answer.find(&format!("\"{field}\"")).unwrap());
            assert!(places.is_sorted(), "{answer}");
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_document_can_be_named_once_it_is_known() {
    let server = Server::start().await;
    let api = &server.api;
    let document = "{ serverInfo { version } }";
    let named = json!({ "persistedQuery": { "version": 1, "sha256Hash": hex::encode(Sha256::digest(document)) } });
    let unknown = post(api, RESPONSE, &json!({ "extensions": named })).await;
    assert_eq!(unknown.status(), 400);
    let (code, message) = first_error(&unknown.json().await.unwrap());
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("NOT_FOUND", "PersistedQueryNotFound")
    );
    let sent = post(api, RESPONSE, &json!({ "query": document, "extensions": named })).await;
    assert_eq!(sent.status(), 200);
    let known = post(api, RESPONSE, &json!({ "extensions": named })).await;
    assert!(known.json::<Value>().await.unwrap()["data"]["serverInfo"]["version"].is_string());
    // As Apollo's clients do it, so that what stands in between can keep answers by their addresses.
    let address = format!("{}/graphql", api.url);
    let address = reqwest::Url::parse_with_params(&address, [("extensions", named.to_string())]).unwrap();
    let got: Value = reqwest::get(address).await.unwrap().json().await.unwrap();
    assert!(got["data"]["serverInfo"]["version"].is_string(), "{got:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_trusts_documents_executes_no_others() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let documents = json!({ "version": "{ serverInfo { version } }",
                            "create": "mutation { createModel(input: { name: \"m\" }) { model { id } } }" });
    serde_json::to_writer(&mut file, &documents).unwrap();
    let server = Server::with(|config| config.trusted_documents = Some(file.path().to_owned())).await;
    let api = &server.api;
    let own = post(api, RESPONSE, &json!({ "query": "{ serverInfo { device } }" })).await;
    assert_eq!(first_error(&own.json().await.unwrap()).0, "FORBIDDEN");
    let named = post(api, RESPONSE, &json!({ "documentId": "version" })).await;
    assert!(named.json::<Value>().await.unwrap()["data"]["serverInfo"]["version"].is_string());
    // Over a WebSocket as well.
    let mut line = Subscription::start_with(api, json!({ "documentId": "version" })).await;
    assert!(line.next().await.unwrap()["data"]["serverInfo"]["version"].is_string());
    let address = format!("{}/graphql?documentId=create", api.url);
    assert_eq!(reqwest::get(address).await.unwrap().status(), 405, "a GET only reads");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_must_not_be_null_makes_null_what_it_lies_in() {
    let server = Server::start().await;
    let api = &server.api;
    let mut versions = Vec::new();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let model = api.model(name).await;
        versions.push(
            api.trained(&model, perceptron(), json!({ "epochs": 1, "seed": seed }))
                .await,
        );
    }
    let query = "query($id: ID!) { version(id: $id) { number layers { nodes { id } } } }";
    let found = api.data(query, json!({ "id": versions[0] })).await;
    let layer = &found["version"]["layers"]["nodes"][0]["id"];
    let query = "query($id: ID!) { serverInfo { version } layer(id: $id) {
        name similar(first: 1) { edges { rank significance(permutations: 10) { pValue } } } } }";
    let answer = api.ask(query, json!({ "id": layer })).await.unwrap();
    assert_eq!(
        answer["errors"][0]["path"],
        json!(["layer", "similar", "edges", 0, "significance"])
    );
    assert_eq!(answer["data"]["layer"], Value::Null, "{answer:#}");
    assert!(answer["data"]["serverInfo"]["version"].is_string());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_only_asks_about_a_file_is_told_of_it() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let version = api.trained(&model, perceptron(), json!({ "epochs": 1 })).await;
    let address = format!("{}/trainings/{version}.svg", api.url);
    let head = reqwest::Client::new().head(address).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, CONTENT_TYPE)),
        (200, "image/svg+xml")
    );
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    server.stop().await.unwrap();
}
