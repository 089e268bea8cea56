//! Methods, bodies and statuses.

use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{GRAPHQL_RESPONSE, header, post, request};
use crate::support::client::first_error;
use crate::support::server::Server;

#[tokio::test]
async fn the_status_reports_the_outcome_to_clients_that_accept_graphql_responses() {
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
        let typed = post(api, GRAPHQL_RESPONSE, &body).await;
        assert_eq!(typed.status(), of_response, "{query}");
        assert_eq!(
            header(&typed, CONTENT_TYPE),
            format!("{GRAPHQL_RESPONSE}; charset=utf-8")
        );
        let response: Value = typed.json().await.unwrap();
        assert_eq!(response.get("data").is_some(), has_data, "{response:#}");

        let plain = post(api, "application/json", &body).await;
        assert_eq!(plain.status(), 200, "{query}");
        assert_eq!(header(&plain, CONTENT_TYPE), "application/json; charset=utf-8");
        assert_eq!(plain.json::<Value>().await.unwrap(), response);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn utf_8_is_accepted_by_both_of_its_names_and_with_a_byte_order_mark() {
    let server = Server::start().await;
    let query = r#"{"query":"{ datasets { name } }"}"#;
    for (kind, body) in [
        ("application/json; charset=utf8", query.to_owned()),
        ("application/json; charset=UTF-8", query.to_owned()),
        ("application/json", format!("\u{feff}{query}")),
    ] {
        let request = request(&server.api, Method::POST).header(CONTENT_TYPE, kind).body(body);
        let response: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(
            response["data"]["datasets"][0]["name"], "digits",
            "{kind}: {response:#}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_requests_are_refused_with_what_to_send() {
    let server = Server::start().await;
    let api = &server.api;
    for (kind, body, status, words) in [
        ("application/json", "{", 400, "must be JSON"),
        ("application/json", "7", 400, "an object with `query`"),
        ("application/json", "{}", 400, "`query` is missing"),
        ("application/json", "[]", 400, "the batch has no requests"),
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
        ("application/json; charset=latin1", "{}", 415, "encode it as UTF-8"),
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
async fn a_get_request_executes_queries_but_no_mutations() {
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
    let models = api.data("{ models { totalCount } }", json!({})).await;
    assert_eq!(models["models"]["totalCount"], 0);

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
async fn a_batch_of_requests_within_the_limit_has_a_list_of_responses() {
    let server = Server::with(|config| config.limits.batch = 2).await;
    let api = &server.api;
    let one = json!({ "query": "{ models { totalCount } }" });
    let bad = json!({ "query": "{ nothing }" });
    let responses: Value = post(api, GRAPHQL_RESPONSE, &json!([one, bad]))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(responses[0], json!({ "data": { "models": { "totalCount": 0 } } }));
    assert_eq!(first_error(&responses[1]).0, "BAD_USER_INPUT");
    let response = post(api, GRAPHQL_RESPONSE, &json!([one, one, one])).await;
    assert_eq!(response.status(), 400);
    let (_, message) = first_error(&response.json().await.unwrap());
    assert!(
        message.contains("the batch has 3 requests; the limit is 2"),
        "{message}"
    );
    server.stop().await.unwrap();
}
